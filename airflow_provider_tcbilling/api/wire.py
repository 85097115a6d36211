"""The one place that touches the wire: a signed request out, a checked answer in."""

from __future__ import annotations

import json
import logging
import ssl
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests import exceptions as requests_errors
from requests.adapters import HTTPAdapter
from urllib3 import exceptions as urllib3_errors

from airflow_provider_tcbilling import __version__
from airflow_provider_tcbilling.api.actions import LOOPBACK, VERSION
from airflow_provider_tcbilling.api.errors import AuthError, OutcomeUnknown, Unreachable, api_error
from airflow_provider_tcbilling.api.schema import Action
from airflow_provider_tcbilling.api.signing import MAX_CLOCK_DIFFERENCE, Tc3Auth

MAX_ANSWER_BYTES = 8 * 2**20
"""A full page of orders is below 1 MB; anything above this is not an answer."""

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What reading an answer of the wrong shape raises."""

_BEFORE_SENDING = (
    requests_errors.ConnectTimeout,
    requests_errors.InvalidProxyURL,
    requests_errors.InvalidURL,
    requests_errors.ProxyError,
    urllib3_errors.ConnectTimeoutError,
    urllib3_errors.NewConnectionError,
    urllib3_errors.ProxyError,
    ssl.SSLCertVerificationError,
)

log = logging.getLogger(__name__)


class Wire:
    """
    A connection to one endpoint with one key.

    :param endpoint: ``https://host``, or ``http://127.0.0.1:port`` of a sandbox. It gets signed requests.
    :param auth: Signs each attempt afresh.
    :param timeout: Seconds to connect, and seconds without a byte of the answer.
    """

    def __init__(
        self,
        endpoint: str,
        auth: Tc3Auth,
        *,
        language: str,
        timeout: tuple[float, float],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.endpoint = endpoint
        self.auth = auth
        self.session = _session(endpoint, language)
        self._timeout = timeout
        self._clock = clock

    def send(self, action: Action, body: bytes) -> dict[str, Any]:
        """
        Send a request once, or twice if the server refused it only because the local clock is wrong.

        :raises Unreachable: Nothing was sent.
        :raises OutcomeUnknown: It was sent, and no usable answer came back.
        :raises ApiError: The server's answer is an error.
        """
        response, content = self._post(action, body)
        try:
            return _answer(action, response, content)
        except AuthError as error:
            if error.code != "AuthFailure.SignatureExpire" or not self._correct_clock(response):
                raise
        return _answer(action, *self._post(action, body))

    def _post(self, action: Action, body: bytes) -> tuple[requests.Response, bytes]:
        try:
            with self.session.post(
                self.endpoint,
                data=body,
                headers={"X-TC-Action": action.name},
                auth=self.auth,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            ) as response:
                return response, _content(action, response)
        except (requests.RequestException, urllib3_errors.HTTPError, OSError) as error:
            reason = type(error).__name__
            if was_never_sent(error):
                text = f"{action.name}: no connection to {self.endpoint}, so nothing was sent ({reason})."
                raise Unreachable(text) from error
            text = f"{action.name} was sent to {self.endpoint} and the answer was lost ({reason})."
            raise OutcomeUnknown(text) from error

    def _correct_clock(self, response: requests.Response) -> bool:
        """Take the server's time over; return whether ours was wrong enough to explain an expired signature."""
        try:
            server = parsedate_to_datetime(response.headers["Date"]).timestamp()
        except UNREADABLE:
            return False
        offset = server - self._clock()
        if abs(offset - self.auth.clock_offset) < MAX_CLOCK_DIFFERENCE / 2:
            return False
        self.auth.clock_offset = offset
        log.warning(
            "The local clock is %d seconds %s Tencent's; signing with theirs. Set the clock of this machine.",
            abs(offset),
            "behind" if offset > 0 else "ahead of",
        )
        return True


def was_never_sent(error: BaseException) -> bool:
    """Return True only if it is certain that no byte of the request was sent."""
    return any(isinstance(e, _BEFORE_SENDING) for e in _with_reasons(error))


def _with_reasons(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it wraps: the libraries keep the first cause in ``args`` or in ``reason``."""
    yield error
    for wrapped in (*error.args, getattr(error, "reason", None)):
        if isinstance(wrapped, BaseException) and wrapped is not error:
            yield from _with_reasons(wrapped)


def _session(endpoint: str, language: str) -> requests.Session:
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=0))
    session.mount("https://", HTTPAdapter(max_retries=0))
    session.trust_env = urlsplit(endpoint).hostname not in LOOPBACK
    session.headers.update(
        {
            "Host": urlsplit(endpoint).netloc,
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"airflow-provider-tcbilling/{__version__}",
            "X-TC-Version": VERSION,
            "X-TC-Language": language,
        }
    )
    return session


def _content(action: Action, response: requests.Response) -> bytes:
    content = bytearray()
    for chunk in response.iter_content(2**16):
        content += chunk
        if len(content) > MAX_ANSWER_BYTES:
            raise OutcomeUnknown(f"{action.name}: the answer is larger than {MAX_ANSWER_BYTES} bytes.")
    return bytes(content)


def _answer(action: Action, response: requests.Response, content: bytes) -> dict[str, Any]:
    if response.status_code != 200:
        raise OutcomeUnknown(f"{action.name}: HTTP status {response.status_code} instead of an answer.")
    try:
        answer = dict(json.loads(content)["Response"])
        request_id = str(answer.get("RequestId") or "")
        error = "Error" in answer and api_error(action.name, answer["Error"], request_id)
    except UNREADABLE as fault:
        kind = response.headers.get("Content-Type", "no content type")
        raise OutcomeUnknown(f"{action.name}: {len(content)} bytes of {kind} are not an answer.") from fault
    if error:
        raise error
    mistakes = "; ".join(f"{m.field}: {m.text}" for m in action.check_answer(answer))
    if mistakes:
        raise OutcomeUnknown(f"{action.name}: a success that lacks what it must hold ({mistakes}; {request_id}).")
    return answer
