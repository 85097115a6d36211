"""
TC3-HMAC-SHA256, one pure function per step of the manual.

::

    canonical_request -> string_to_sign -> signing_key -> signature -> authorization

https://www.tencentcloud.com/document/product/555/30749
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Mapping

import pendulum
from requests import PreparedRequest
from requests.auth import AuthBase

from airflow_provider_tcbilling.api.credentials import Key

ALGORITHM = "TC3-HMAC-SHA256"
MAX_CLOCK_DIFFERENCE = 300
"""Seconds between the signer's clock and the server's, beyond which a signature has expired."""


def canonical_request(headers: Mapping[str, str], body: bytes) -> str:
    """
    Write a POST request in the form that is hashed.

    :param headers: The headers to sign, as sent; ``content-type`` and ``host`` are the least that the server accepts.
    :param body: The exact bytes that are sent.
    """
    names = sorted(headers)
    lines = "".join([f"{name}:{headers[name].strip().lower()}\n" for name in names])
    return f"POST\n/\n\n{lines}\n{';'.join(names)}\n{hashlib.sha256(body).hexdigest()}"


def string_to_sign(timestamp: int, scope: str, canonical: str) -> str:
    """
    Bind the request to a moment and a service.

    :param timestamp: Epoch seconds; the same number goes into ``X-TC-Timestamp``.
    :param scope: ``YYYY-MM-DD/service/tc3_request``, the date being the timestamp's date in UTC.
    """
    return f"{ALGORITHM}\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"


def credential_scope(timestamp: int, service: str) -> str:
    """Return the scope of a signature. The date is UTC: a local date fails for the first hours of the local day."""
    return f"{pendulum.from_timestamp(timestamp).to_date_string()}/{service}/tc3_request"


def signing_key(secret_key: str, scope: str) -> bytes:
    """Derive the key for one scope, that is for one UTC day. Treat it like the secret key itself."""
    key = f"TC3{secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def signature(key: bytes, text: str) -> str:
    """Sign the string to sign."""
    return hmac.digest(key, text.encode(), "sha256").hex()


class _OfThread(threading.local):
    """The key of each thread, which is the first one until the thread takes another."""

    def __init__(self, key: Key) -> None:
        self.key = key


class Tc3Auth(AuthBase):
    """
    Signs each attempt afresh, with the key that it has at that moment.

    :param service: First label of the API's domain, ``billing``.
    :param token: Session token of a temporary key pair, else empty.
    :param clock: Returns epoch seconds.
    """

    def __init__(
        self,
        secret_id: str,
        secret_key: str,
        service: str,
        *,
        token: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        first = Key(secret_id, secret_key, token)
        self._own = _OfThread(first)
        self.service = service
        self.clock_offset = 0.0
        """Seconds that are added to the local clock."""
        self._clock = clock
        self._today = (first, -1, "", b"")

    @property
    def key(self) -> Key:
        """The key that signs in this thread. All three parts are replaced together, and for this thread only."""
        return self._own.key

    @key.setter
    def key(self, key: Key) -> None:
        self._own.key = key

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Sign a request that is about to be sent."""
        body = request.body if isinstance(request.body, bytes) else str(request.body or "").encode()
        sent = request.headers
        request.headers.update(self.headers(sent["Host"], sent["Content-Type"], body, sent.get("X-TC-Action", "")))
        return request

    def headers(self, host: str, content_type: str, body: bytes, action: str = "") -> dict[str, str]:
        """
        Return the headers that make this body a signed request from now on, for five minutes.

        :param action: Signed too, so that no machine on the way can change it; empty signs none.
        """
        key, timestamp = self._own.key, int(self._clock() + self.clock_offset)
        scope, derived = self._scope_and_derived(key, timestamp)
        signed = {"content-type": content_type, "host": host} | ({"x-tc-action": action} if action else {})
        text = string_to_sign(timestamp, scope, canonical_request(signed, body))
        headers = {
            "X-TC-Timestamp": str(timestamp),
            "Authorization": (
                f"{ALGORITHM} Credential={key.secret_id}/{scope}, "
                f"SignedHeaders={';'.join(signed)}, Signature={signature(derived, text)}"
            ),
        }
        if key.token:
            headers["X-TC-Token"] = key.token
        return headers

    def _scope_and_derived(self, key: Key, timestamp: int) -> tuple[str, bytes]:
        """Return the scope and the key that is derived for it: once for each key and each day."""
        of, day, scope, derived = self._today
        if of is not key or day != timestamp // 86400:
            scope = credential_scope(timestamp, self.service)
            derived = signing_key(key.secret_key, scope)
            self._today = (key, timestamp // 86400, scope, derived)
        return scope, derived


class Unsigned(Tc3Auth):
    """Marks a request as one without a signature, which STS accepts where a web identity stands in its place."""

    def __init__(self) -> None:
        super().__init__("", "", "")

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Mark a request that is about to be sent."""
        request.headers.update({"X-TC-Timestamp": str(int(self._clock())), "Authorization": "SKIP"})
        return request
