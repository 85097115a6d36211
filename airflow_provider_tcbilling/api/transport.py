"""The one place that touches the wire: a signed request out, a checked answer in."""

from __future__ import annotations

import logging
import math
import os
import re
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import timezone
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit

import requests

from airflow_provider_tcbilling import __version__
from airflow_provider_tcbilling.api.actions import LOOPBACK, VERSION
from airflow_provider_tcbilling.api.errors import AuthError, OutcomeUnknown, TcBillingError, Unreachable, api_error
from airflow_provider_tcbilling.api.exchange import MAX_ANSWER_BYTES, Exchange, WatchingAdapter, under_way
from airflow_provider_tcbilling.api.masking import is_secret_name, without_these
from airflow_provider_tcbilling.api.reading import UNREADABLE, json_of
from airflow_provider_tcbilling.api.schema import Action
from airflow_provider_tcbilling.api.signing import MAX_CLOCK_DIFFERENCE, Tc3Auth
from airflow_provider_tcbilling.api.text import harmless

FARTHEST_CLOCK = 86_400.0
"""
Seconds by which a clock is corrected at most: a wrong time zone is within them. A query of the order book reaches as
far ahead, so that even the one that finds the clock wrong lists the newest orders. A user must set a clock that is
farther off, and nothing is bought until then.
"""

_USER_INFO = re.compile(r"//.*@|(?<=Failed to parse: )'[^']*:[^']*'")
"""A user and a password, as they stand in the address of a proxy, also in one that cannot be parsed."""

_ANY_HEADER = 47
"""Of zlib: the header tells whether it is gzip or zlib."""

_NOT_SHOWN = re.compile("signature=|authorization|x-tc-token", re.IGNORECASE)

log = logging.getLogger(__name__)


class Transport:
    """
    A connection to one endpoint with one key.

    :param endpoint: ``https://host``, or ``http://127.0.0.1:port`` of a sandbox. It gets signed requests.
    :param auth: Signs each attempt afresh.
    :param timeout: Seconds until the connection stands, and seconds from the request's first byte to the answer's last.
        Both together bound everything that :meth:`send` does.
    :param version: ``X-TC-Version``.
    :param region: ``X-TC-Region``; empty for an API that has none.
    :param secrets: Texts in the requests that no error may show, beside those of the key.
    """

    def __init__(
        self,
        endpoint: str,
        auth: Tc3Auth,
        *,
        language: str,
        timeout: tuple[float, float],
        clock: Callable[[], float] = time.time,
        version: str = VERSION,
        region: str = "",
        secrets: Iterable[str] = (),
    ) -> None:
        self.endpoint = endpoint
        self._secrets = tuple(secrets)
        self.auth = auth
        self.session = _session(endpoint, language, version, region)
        self._timeout = timeout
        self._clock = clock
        self._is_reusable = False
        self.server_ahead = 0.0
        """
        Seconds by which the server's clock was ahead of this machine's when it last gave an answer, to a second.

        Only the date of an answer that was understood counts, and only one with which its signature was valid.
        """

    def send(
        self,
        action: Action,
        body: bytes,
        send_by: float = math.inf,
        *,
        ends_at: float | None = None,
        may_correct_clock: bool = True,
    ) -> dict[str, Any]:
        """
        Send a request once, or twice if the server refused it only because the local clock is wrong.

        :param send_by: Epoch seconds after which no first byte leaves any more.
        :param ends_at: Monotonic seconds at which everything is given up; by default when the time-outs are over.
        :param may_correct_clock: Repeat a request whose signature has expired with the server's time.
        :raises Unreachable: Nothing was sent, or all that was sent was refused.
        :raises OutcomeUnknown: It was sent, and no usable answer came back.
        :raises ApiError: The server's answer is an error.
        """
        ends_at = time.monotonic() + sum(self._timeout) if ends_at is None else ends_at
        self._drop_old_connections(action)
        failed: TcBillingError | None = None
        exchange = Exchange(*self._timeout, ends_at=ends_at, send_by=send_by, clock=self._clock)
        try:
            with (
                under_way(exchange),
                self.session.post(
                    self.endpoint,
                    data=body,
                    headers={"X-TC-Action": action.name},
                    auth=self.auth,
                    timeout=self._timeout,
                    allow_redirects=False,
                    stream=True,
                ) as response,
            ):
                content = _content(action, response)
        except TcBillingError:
            raise
        except Exception as error:
            failed = self._failed(action, exchange, error)
        except BaseException as stop:
            # The libraries' frames hold the signed headers, and tools that report errors show the variables of frames.
            stop.__context__ = None
            raise stop.with_traceback(None) from None
        if failed:
            # Not from within the handler: a library's error holds the request, and its text a proxy's password.
            raise failed
        self._is_reusable = response.status_code == 200 and not action.moves_money
        before = self.auth.clock_offset
        try:
            return self._answer(action, response, content)
        except AuthError as error:
            is_expired = error.code == "AuthFailure.SignatureExpire"
            if not (may_correct_clock and is_expired and self._correct_clock(response)):
                raise
        return self._send_with_their_time(before, action, body, send_by, ends_at)

    def _send_with_their_time(
        self, before: float, action: Action, body: bytes, send_by: float, ends_at: float
    ) -> dict[str, Any]:
        """Send it again with the corrected clock, which counts from then on only if the server takes it."""
        try:
            answer = self.send(action, body, send_by, ends_at=ends_at, may_correct_clock=False)
        except BaseException:
            # Nothing confirms it: a machine in between may have written the date, and the refusal.
            self.auth.clock_offset = before
            raise
        log.warning(
            "The local clock is %d seconds %s Tencent's; signing with theirs. Set the clock of this machine.",
            abs(self.auth.clock_offset),
            "behind" if self.auth.clock_offset > 0 else "ahead of",
        )
        return answer

    def _answer(self, action: Action, response: requests.Response, content: bytes) -> dict[str, Any]:
        answer = _answer(action, response, content, self._without_secrets)
        ahead = self._ahead(response)
        if ahead is not None and abs(ahead - self.auth.clock_offset) <= 2 * MAX_CLOCK_DIFFERENCE:
            self.server_ahead = ahead
        return answer

    def _without_secrets(self, text: Any) -> Any:
        """Return a text of the server without what was sent to it, and must not be shown."""
        key = self.auth.key
        return without_these((key.secret_key, key.token, *self._secrets), text) if isinstance(text, str) else text

    def _drop_old_connections(self, action: Action) -> None:
        """Close the connections on which an answer may still be under way: it would be read as the next one."""
        if action.moves_money or not self._is_reusable:
            for adapter in self.session.adapters.values():
                getattr(adapter, "drop_connections", adapter.close)()
        self._is_reusable = False

    def _failed(self, action: Action, exchange: Exchange, error: Exception) -> TcBillingError:
        """Return what a failure means: unsent only if our own connections served it, and none had begun."""
        reason = _reason(error)
        is_watched = all(isinstance(adapter, WatchingAdapter) for adapter in self.session.adapters.values())
        if is_watched and not exchange.has_begun:
            return Unreachable(
                f"{action.name}: no connection to {self.endpoint} carried it, so nothing was sent ({reason})."
            )
        return OutcomeUnknown(f"{action.name} was sent to {self.endpoint} and the answer was lost ({reason}).")

    def _ahead(self, response: requests.Response) -> float | None:
        """Return the seconds by which the server's clock is ahead of ours; ``None`` if it tells none, or an odd one."""
        return seconds_ahead(response, self._clock())

    def _correct_clock(self, response: requests.Response) -> bool:
        """Try the server's time; return whether ours was wrong enough to explain an expired signature."""
        offset = self._ahead(response)
        if offset is None or abs(offset - self.auth.clock_offset) < MAX_CLOCK_DIFFERENCE / 2:
            return False
        self.auth.clock_offset = offset
        return True


def seconds_ahead(response: requests.Response, now: float) -> float | None:
    """Return the seconds by which the date of an answer is ahead of *now*; ``None`` if there is none, or an odd one."""
    try:
        date = parsedate_to_datetime(response.headers["Date"])
        # A date without a zone is of UTC in HTTP, and of this machine's zone in Python.
        ahead = (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp() - now
    except UNREADABLE:
        return None
    return ahead if abs(ahead) <= FARTHEST_CLOCK else None


def _reason(error: BaseException) -> str:
    """Return the first cause of a failure, with the library's text as far as it can hold nothing secret."""
    *_, cause = _with_causes(error)
    text = _USER_INFO.sub("***", harmless(cause, 200))
    return type(cause).__name__ if not text or _NOT_SHOWN.search(text) else f"{type(cause).__name__}: {text}"


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it wraps: the libraries keep the first cause in ``args`` or in ``reason``."""
    yield error
    wrapped = [e for e in (*error.args, getattr(error, "reason", None)) if isinstance(e, BaseException)]
    for cause in wrapped[:1]:
        yield from _with_causes(cause)


class _Session(requests.Session):
    """A session without redirects: for one, requests would read the whole body, and trust its address."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return nothing, whatever the answer says."""


def bare_session(*, is_direct: bool) -> requests.Session:
    """
    Return a session whose connections serve an exchange, without retries, redirects and cookies.

    :param is_direct: No proxy, and no key that a file of this machine has for the host.
    """
    session = _Session()
    session.mount("http://", WatchingAdapter())
    session.mount("https://", WatchingAdapter())
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.trust_env = not is_direct
    return session


def _session(endpoint: str, language: str, version: str, region: str) -> requests.Session:
    session = bare_session(is_direct=urlsplit(endpoint).hostname in LOOPBACK)
    if not session.trust_env:
        # No proxy, but still the certificates that the machine trusts: a sandbox may speak https.
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    session.headers.update(
        {
            "Host": urlsplit(endpoint).netloc,
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"airflow-provider-tcbilling/{__version__}",
            "X-TC-Version": version,
            "X-TC-Language": language,
            **({"X-TC-Region": region} if region else {}),
        }
    )
    return session


def _content(action: Action, response: requests.Response) -> bytes:
    """Return the body of an answer; nothing of what is none is read."""
    if response.status_code != 200:
        return b""
    content = b"".join(response.raw.stream(2**16, decode_content=False))
    if response.headers.get("Content-Encoding", "").strip().lower() in ("gzip", "x-gzip", "deflate"):
        # No compression was requested, and a few bytes can unpack into gigabytes.
        content = zlib.decompressobj(_ANY_HEADER).decompress(content, MAX_ANSWER_BYTES + 1)
    if len(content) > MAX_ANSWER_BYTES:
        raise OutcomeUnknown(f"{action.name}: the answer is larger than {MAX_ANSWER_BYTES} bytes.")
    return content


def _answer(
    action: Action,
    response: requests.Response,
    content: bytes,
    without_secrets: Callable[[Any], Any] = lambda text: text,
) -> dict[str, Any]:
    if response.status_code != 200:
        raise OutcomeUnknown(f"{action.name}: HTTP status {response.status_code} instead of an answer.")
    try:
        answer: dict[str, Any] = json_of(content)["Response"]
        request_id = str(answer.get("RequestId") or "")
        said = {name: without_secrets(text) for name, text in answer.get("Error", {}).items()}
        error = "Error" in answer and api_error(action.name, said, request_id)
    except UNREADABLE as fault:
        kind = response.headers.get("Content-Type", "no content type")
        raise OutcomeUnknown(f"{action.name}: {len(content)} bytes of {kind} are not an answer.") from fault
    if error:
        raise error
    # The text of a mistake shows the value.
    mistakes = "; ".join(
        f"{m.field} is wrong" if is_secret_name(m.field) else f"{m.field}: {m.text}"
        for m in action.check_answer(answer)
    )
    if mistakes:
        raise OutcomeUnknown(f"{action.name}: a success that lacks what it must hold ({mistakes}; {request_id}).")
    return answer
