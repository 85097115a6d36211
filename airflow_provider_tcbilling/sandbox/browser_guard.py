"""
The guard against browsers: the sandbox has no password, so pages of other sites must neither control nor read it.

A page can send requests to this machine, with its own site as ``Origin``. Or it lets its own name become this machine's
address (DNS rebinding), and then the browser takes both for one site, but the ``Host`` is that name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # With no-referrer a browser may write "null" as the Origin of the page's own requests.
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Of the page and of every answer to a control call."""

PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; script-src 'nonce-{nonce}'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
}

UNKNOWN_HOST = "the Host header does not name this sandbox; start it with --allow-host NAME if NAME is its name"
FROM_ELSEWHERE = "the request comes from the page of another site"

_OF_BROWSERS = ("origin", "referer", "sec-fetch-site")
"""Headers that only browsers send. They name the page that sends the request."""

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^\s:/?#@\[\]\\]+)(:[0-9]{0,5})?")


@dataclass(frozen=True)
class Hosts:
    """
    The names by which a sandbox is called.

    :param listens_on: The address that it listens on. Names of this machine's loopback always count.
    :param others: More names, for example that of a container or a proxy.
    """

    listens_on: str = "127.0.0.1"
    others: frozenset[str] = frozenset()

    @classmethod
    def of(cls, listens_on: str, others: Collection[str] = ()) -> Hosts:
        """
        Return the names of a sandbox on an address.

        :raises ValueError: One of the others is no name of a host, so it would never match.
        """
        if wrong := [other for other in others if not _name_in(other)]:
            raise ValueError(f"{', '.join(map(repr, wrong))}: not the name of a host, such as sandbox or 10.0.0.5")
        return cls(listens_on.lower(), frozenset(map(_name_in, others)))

    @property
    def is_everywhere(self) -> bool:
        """Whether it listens on every address of this machine."""
        address = _address(self.listens_on)
        return not self.listens_on or bool(address and address.is_unspecified)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach it."""
        return _is_loopback(self.listens_on)

    def include(self, host: str) -> bool:
        """Whether a ``Host`` header names this sandbox, on whatever port."""
        name = _name_in(host)
        if not name:
            return False
        # No page can be served under an address that is not its own: only names can be rebound.
        is_own_address = self.is_everywhere and _address(name) is not None
        return name in {self.listens_on, *self.others} or _is_loopback(name) or is_own_address


class Guard:
    """
    Refuse the requests of pages of other sites.

    A client of the billing API may name any host, since its signature covers it and a proxy may stand between. A
    browser may not.

    :param app: The application to guard.
    """

    def __init__(self, app: ASGIApp, hosts: Hosts) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer that it is refused."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        at_root, method = scope["path"] == "/", scope["method"]
        is_client = at_root and method == "POST" and not any(name in headers for name in _OF_BROWSERS)
        # A link from another site may lead to the page.
        is_page = at_root and method in ("GET", "HEAD")
        refusal = None
        if not is_client and not self._hosts.include(", ".join(headers.getlist("host"))):
            refusal = JSONResponse({"error": UNKNOWN_HOST}, status_code=421)
        elif not is_page and comes_from_elsewhere(headers):
            refusal = JSONResponse({"error": FROM_ELSEWHERE}, status_code=403)
        await (refusal or self._app)(scope, receive, send if is_client else send_guarded)


def comes_from_elsewhere(headers: Headers) -> bool:
    """Whether a browser says that the page of another site, or of another port, sends a request."""
    own = headers.get("host", "").lower()
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    return any(_site_of(headers[name]) != own for name in ("origin", "referer") if headers.get(name))


def _site_of(url: str) -> str:
    try:
        return urlsplit(url).netloc.lower()
    except ValueError:
        return ""


def _name_in(host: str) -> str:
    found = _HOST.fullmatch(host)
    return found["name"].strip("[]").rstrip(".").lower() if found else ""


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


def _is_loopback(name: str) -> bool:
    address = _address(name)
    return address.is_loopback if address else name == "localhost" or name.endswith(".localhost")
