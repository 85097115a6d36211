"""The addresses that a connection names, and the one list of the servers that may get signed requests."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from typing import Any

from airflow_provider_tcbilling.api.actions import ENDPOINT
from airflow_provider_tcbilling.api.endpoint import API_DOMAIN, parsed, shown

__all__ = ["address_mistakes", "address_of"]


def address_of(host: Any, port: Any) -> str:
    """Return the address that a host and a port make."""
    name = host.strip() if isinstance(host, str) else ""
    if not name:
        return ENDPOINT
    if name.count(":") > 1 and not re.search(r"\[|@|://", name):
        name = f"[{name}]"
    is_named = not port or ("://" in name and re.search(f":{re.escape(str(port))}/*$", name))
    return name if is_named else f"{name.rstrip('/')}:{port}"


def address_mistakes(field: str, address: str, allowed_hosts: Collection[str]) -> Iterator[str]:
    """
    Yield what is wrong with the address of a server that gets signed requests, without a password in it.

    :param field: The name of the connection's field.
    :param allowed_hosts: Hosts beside Tencent's and this machine.
    """
    try:
        endpoint = parsed(address)
    except ValueError as error:
        yield f"{field} {error}"
        return
    if "_" in endpoint.host:
        yield (
            f"{field} {shown(address)} is not an address such as {ENDPOINT}: no host on the internet has an underscore"
        )
    if not endpoint.is_bare:
        yield f"{field} {shown(address)} must be an address and nothing more"
    if endpoint.is_loopback:
        return
    if endpoint.scheme != "https":
        yield f"{field} {shown(address)} must be https"
    if not endpoint.host.endswith(API_DOMAIN) and endpoint.host not in _hosts(allowed_hosts):
        yield (
            f"{field} {endpoint.host!r} is not under {API_DOMAIN[1:]} and is not localhost: signed requests go nowhere "
            "else unless [tcbilling] allowed_hosts in Airflow's configuration names it"
        )


def _hosts(names: Collection[str]) -> Iterator[str]:
    for name in names:
        with contextlib.suppress(ValueError):
            yield parsed(name).host
