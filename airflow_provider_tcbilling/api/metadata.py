"""The metadata service of a machine: keys of its role. Plain HTTP to the machine itself, so never through a proxy."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote, unquote

from airflow_provider_tcbilling.api.credentials import Key
from airflow_provider_tcbilling.api.errors import CredentialsRefused, CredentialsUnavailable
from airflow_provider_tcbilling.api.exchange import Exchange, under_way
from airflow_provider_tcbilling.api.key_reading import key_of, life_of
from airflow_provider_tcbilling.api.reading import UNREADABLE, json_of
from airflow_provider_tcbilling.api.sts_actions import LONGEST_DURATION
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.api.transport import bare_session, seconds_ahead

METADATA = "http://metadata.tencentyun.com"
"""The metadata service of Tencent's machines. Only they reach it."""

PATH = "/latest/meta-data/cam/security-credentials/"

CONNECT_SECONDS, ANSWER_SECONDS = 3.0, 5.0
"""How long a connection and an answer may take. The service runs on the machine's own host."""

MOST_BYTES = 2**16

NAME = re.compile(r"[\w+=,.@-]{1,128}", re.ASCII)
"""The form of the name of a role."""


def key_of_role(endpoint: str, role: str, within: float) -> Key:
    """
    Return a key of the machine's role.

    :param role: Its name; empty asks the service for it.
    :param within: Seconds that it may take.
    :raises CredentialsUnavailable: The service does not answer, or not with a key that is good.
    """
    ends_at = time.monotonic() + min(within, 2 * (CONNECT_SECONDS + ANSWER_SECONDS))
    role = role or _only_role(endpoint, ends_at)
    content, ahead = _read(endpoint, quote(role, safe=""), ends_at)
    where = f"the metadata service for the role {harmless(role, 128)}"
    now = time.time()
    try:
        answer: dict[str, Any] = json_of(content)
        if answer["Code"] != "Success":
            raise CredentialsUnavailable(f"No key came from {where}: it says {harmless(answer['Code'], 100)}.")
        left = life_of(answer["ExpiredTime"], now + ahead)
        # No key of a role lives longer, so an expiry in milliseconds, or of another century, is no reason to trust it.
        left = min(left, LONGEST_DURATION)
        key = key_of(where, {part: answer[part] for part in ("TmpSecretId", "TmpSecretKey", "Token")}, now + left)
    except CredentialsRefused as error:
        raise CredentialsUnavailable(*error.args) from None
    except UNREADABLE:
        raise CredentialsUnavailable(f"No key came from {where}: {len(content)} bytes are not one.") from None
    if not key.token:
        raise CredentialsUnavailable(f"No key came from {where}: it has no token.")
    if left <= 0:
        raise CredentialsUnavailable(
            f"The key from {where} has expired {-left:.0f} s ago, or the clock of this machine is wrong."
        )
    return key


def _only_role(endpoint: str, ends_at: float) -> str:
    content, _ = _read(endpoint, "", ends_at)
    if content.lstrip().startswith(b"<"):
        raise CredentialsUnavailable(
            f"{endpoint} answers with a page and not with the name of a role, so nothing was sent. Is it the metadata "
            "service, and does no proxy stand before it?"
        )
    names = content.decode("ascii", "replace").split()
    if len(names) != 1 or not NAME.fullmatch(names[0]):
        raise CredentialsUnavailable(
            f"The metadata service names {len(names)} roles and not one: attach a role to this machine, or name it in "
            "cam_role_name. Nothing was sent."
        )
    return names[0]


def _read(endpoint: str, role: str, ends_at: float) -> tuple[bytes, float]:
    """Return an answer, and the seconds by which the service's clock is ahead."""
    exchange = Exchange(CONNECT_SECONDS, ANSWER_SECONDS, ends_at=ends_at, send_by=float("inf"), clock=time.time)
    try:
        with (
            bare_session(is_direct=True) as session,
            under_way(exchange),
            session.get(
                f"{endpoint}{PATH}{role}",
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,
                stream=True,
                headers={"Accept-Encoding": "identity"},
            ) as response,
        ):
            status, content = response.status_code, response.raw.read(MOST_BYTES + 1, decode_content=False)
            ahead = seconds_ahead(response, time.time()) or 0.0
    except Exception as error:
        raise CredentialsUnavailable(
            f"{endpoint}, the metadata service of this machine, gave no key, so nothing was sent "
            f"({type(error).__name__}). Only a machine of Tencent Cloud reaches it, and a container only if its "
            "network lets it."
        ) from None
    if status != 200 or len(content) > MOST_BYTES:
        about = f"it answers with status {status}"
        if status == 404:
            named = f"no such role as {unquote(role)!r}" if role else "no role"
            about = f"it has {named}. Compare cam_role_name with the role that is attached to this machine"
        elif status == 200:
            about = f"it answers with more than {MOST_BYTES} bytes"
        raise CredentialsUnavailable(f"The metadata service of this machine gave no key, so nothing was sent: {about}.")
    return content, ahead
