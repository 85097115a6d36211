"""Endpoint: the address of a server, cleaned in one place, and the one name of the server behind it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from airflow_provider_tcbilling.api.actions import ENDPOINT, LOOPBACK
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.text import harmless

DEFAULT_PORTS = {"https": 443, "http": 80}

API_DOMAIN = ".tencentcloudapi.com"
"""How the hosts end of all servers of Tencent's."""

MAX_HOST, MAX_LABEL = 253, 63
"""Characters of a host, and of each part of it between two dots."""

_ADDRESS = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://|(?![a-z0-9+.-]*:/))(?P<user>[^/?#]*@)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[^\s\[\]:/?#@\\]+)(?::(?P<port>[0-9]{0,9}))?(?P<rest>[/?#][^@]*)?",
    re.IGNORECASE | re.DOTALL,
)
_SHOWN = re.compile(r"([a-z][a-z0-9+.-]*://)?(.*@)?(\[[^\]]*\]?|[^:/?#\\]*)(.*)", re.IGNORECASE | re.DOTALL)
_LABEL = re.compile(r"[a-z0-9_-]+")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


class NoSuchHost(ValueError):
    """The host of an address that holds nothing else is too long, or has a part of it that is."""


@dataclass(frozen=True)
class Endpoint:
    """
    An address that was understood.

    :param host: In lower case and ASCII, without brackets and without a last dot.
    :param port: ``None`` is the scheme's own.
    :param is_bare: It was an address and nothing more: no user, path, query or fragment.
    """

    scheme: str
    host: str
    port: int | None
    is_bare: bool

    @property
    def is_loopback(self) -> bool:
        """Whether it can only be this machine."""
        return self.host in LOOPBACK

    @property
    def address(self) -> str:
        """The address that requests are sent to."""
        return self._written(self.host)

    @property
    def name(self) -> str:
        """The one name of the server: the spellings of this machine are the same server."""
        return self._written("127.0.0.1" if self.is_loopback else self.host)

    def _written(self, host: str) -> str:
        name = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{name}" if self.port is None else f"{self.scheme}://{name}:{self.port}"


def cleaned(endpoint: str) -> str:
    """
    Return the address that requests are sent to, whichever way it was written.

    :raises InvalidRequest: It is no address, or more than an address. Nothing was sent.
    """
    try:
        found = parsed(endpoint if isinstance(endpoint, str) else "")
    except ValueError as error:
        raise InvalidRequest("Endpoint", [str(error)]) from error
    if not found.is_bare:
        raise InvalidRequest("Endpoint", [f"{shown(endpoint)} must be an address and nothing more"])
    return found.address


def usable(endpoint: str) -> str:
    """
    Return the cleaned address. A host that cannot exist stays as it is: the request then ends with ``Unreachable``.

    :raises InvalidRequest: It is no address, or more than an address. Nothing was sent.
    """
    try:
        return cleaned(endpoint)
    except InvalidRequest as error:
        if isinstance(error.__cause__, NoSuchHost):
            return endpoint.strip()
        raise


def server_name(endpoint: str) -> str:
    """Return the one name of a server; a text that is no address is its own name."""
    try:
        return parsed(endpoint).name
    except ValueError:
        return shown(endpoint)


def is_tencents(server: str) -> bool:
    """Whether the name of a server is one of Tencent's: an account is the same one at all of them."""
    return server.endswith(API_DOMAIN)


@lru_cache(256)
def parsed(endpoint: str) -> Endpoint:
    """
    Read an address; a name without a scheme is ``https``, unless it is this machine.

    :raises ValueError: It is no address. The message shows no user, password, path or query.
    """
    match = _ADDRESS.fullmatch(endpoint.strip()) if isinstance(endpoint, str) else None
    try:
        if match is None:
            raise ValueError("scheme, host or port cannot be read")
        host = _host(match["host"])
        scheme = (match["scheme"] or ("http" if host in LOOPBACK else "https")).lower()
        if scheme not in DEFAULT_PORTS:
            raise ValueError("the scheme is not https")
        port = int(match["port"]) if match["port"] else DEFAULT_PORTS[scheme]
        if not 0 < port < 2**16:
            raise ValueError("the port is not from 1 to 65535")
        is_bare = not match["user"] and not (match["rest"] or "").strip("/?#")
    except ValueError as error:
        is_secret = "@" in str(endpoint) or match is None or bool(match["rest"])
        kind = NoSuchHost if isinstance(error, NoSuchHost) and not is_secret else ValueError
        raise kind(f"{shown(endpoint)} is not an address such as {ENDPOINT}: {error}") from None
    return Endpoint(scheme, host, None if port == DEFAULT_PORTS[scheme] else port, is_bare)


def shown(endpoint: str) -> str:
    """Return scheme and host of an address for a message, without its other parts, which may be secret."""
    match = _SHOWN.fullmatch(str(endpoint).strip())
    scheme, user, host, rest = match.groups(default="") if match else ("", "", "", "")
    return f"'{scheme}{'***@' if user else ''}{harmless(host, 100)}{'...' if rest.strip('/?#') else ''}'"


def _host(written: str) -> str:
    from ipaddress import IPv4Address, IPv6Address

    if written.startswith("["):
        address = IPv6Address(written[1:-1])
        return str(address.ipv4_mapped or address)
    name = written.removesuffix(".").lower()
    if not name.isascii():
        name = _ascii(name)
    labels = name.split(".")
    if len(name) > MAX_HOST or max(map(len, labels)) > MAX_LABEL:
        raise NoSuchHost(f"a host has at most {MAX_HOST} characters, and {MAX_LABEL} between two dots")
    if not all(map(_LABEL.fullmatch, labels)):
        raise ValueError("the host holds characters that no host has, or nothing between two dots")
    return str(IPv4Address(name)) if _NUMBER.fullmatch(labels[-1]) else name


def _ascii(name: str) -> str:
    import idna  # As requests encodes a host itself.

    try:
        return idna.encode(name, uts46=True).decode("ascii").removesuffix(".")
    except UnicodeError:
        raise ValueError("the host holds characters that cannot be encoded") from None
