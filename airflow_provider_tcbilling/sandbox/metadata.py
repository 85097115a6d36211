"""The metadata service of a machine, as far as it gives keys: the name of the machine's role, and its keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.sandbox.keys import Keys, written
from airflow_provider_tcbilling.sandbox.roles import Principal
from airflow_provider_tcbilling.sandbox.sts import expiry_of

METADATA = "metadata"
"""The name of its requests in the journal and in faults."""

PATH = "/latest/meta-data/cam/security-credentials/"

_NOT_FOUND = "<html><head><title>404 Not Found</title></head><body><h1>404 Not Found</h1></body></html>"


@dataclass(frozen=True)
class Page:
    """An answer that is no JSON."""

    status: int
    content_type: str
    text: str


def security_credentials(keys: Keys, role_name: str) -> tuple[dict[str, Any], Page | None]:
    """
    Answer a request for the list of roles, which an empty name asks for, or for a key of a role.

    :return: The JSON object, or the page in place of one.
    """
    role = keys.role_of_machine
    if role is None or role_name not in ("", role.name):
        return {}, Page(404, "text/html", _NOT_FOUND)
    if not role_name:
        return {}, Page(200, "text/plain", role.name)
    key = keys.issue(Principal(role.account, role, "machine", role.account), keys.seconds)
    return {**written(key), **expiry_of(key), "Code": "Success"}, None
