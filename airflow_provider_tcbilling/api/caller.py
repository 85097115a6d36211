"""Caller: a request is sent when it is its turn, and repeated where that is safe."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_tcbilling.api import actions
from airflow_provider_tcbilling.api.access import checked
from airflow_provider_tcbilling.api.errors import InvalidRequest, RateLimited, TcBillingError, Unreachable
from airflow_provider_tcbilling.api.fingerprint import Seal
from airflow_provider_tcbilling.api.json_text import compact_json
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
from airflow_provider_tcbilling.api.reading import read_by
from airflow_provider_tcbilling.api.schema import Action
from airflow_provider_tcbilling.api.signing import Tc3Auth
from airflow_provider_tcbilling.api.transport import Transport

CONNECT_TIMEOUT = 10.0
"""Seconds to wait for a connection."""

READ_TIMEOUT = 60.0
"""Seconds to wait for an answer. The server may deliver before it answers, so a purchase can be slow."""

ATTEMPTS = 5
"""Tries of one call, the first included."""

THROTTLED = 4
"""How many times as often, and as slowly, a request is repeated while the server only says that there are too many."""

BACKOFF_BASE, BACKOFF_CAP = 0.5, 8.0
"""Seconds: before try n+1 the wait is drawn from 0 to the smaller of base * 2^n and the cap (full jitter)."""

log = logging.getLogger(__name__)


class Caller:
    """
    The sender of the requests of one key to one endpoint. Blocking; use one per thread.

    :param secret_id: Name of the key.
    :param secret_key: The key. It is never sent, logged or shown.
    :param token: Session token of a temporary key pair, else empty.
    :param endpoint: ``https://host`` of the API, or ``http://127.0.0.1:port`` of a sandbox. It decides who gets
        signed requests, so take it only from somebody you trust. Any other text raises ``InvalidRequest``.
    :param allow_http: Send without TLS to another machine. Every machine in between can read and change the traffic.
    :param language: ``en-US`` or ``zh-CN``; changes the words of error messages, nothing else.
    :param connect_timeout: Seconds until a connection attempt is given up; nothing was sent then.
    :param read_timeout: Seconds until an answer is given up; the request may have been carried out then.
    :param attempts: Tries of one call, the first included. :func:`may_repeat` decides which.
    :param only_reads: Refuse each action that changes something, before it is sent.
    :param rate_limiter: Limits the requests a second; ``None`` is what all clients of this key on this machine share.
    """

    def __init__(
        self,
        secret_id: str,
        secret_key: str,
        *,
        token: str = "",
        endpoint: str = actions.ENDPOINT,
        allow_http: bool = False,
        language: str = "en-US",
        connect_timeout: float = CONNECT_TIMEOUT,
        read_timeout: float = READ_TIMEOUT,
        attempts: int = ATTEMPTS,
        only_reads: bool = False,
        rate_limiter: RateLimiter | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.clock = self._clock = clock = clock or time.time
        address = checked(
            endpoint,
            {"secret_id": secret_id, "secret_key": secret_key, "token": token, "language": language},
            {"connect_timeout": connect_timeout, "read_timeout": read_timeout},
            allow_http=allow_http,
        )
        if not isinstance(address, str):
            del secret_key, token  # A tool that shows the variables of a failed call would show them.
            raise address
        self.endpoint = endpoint = address
        self.key_id = hashlib.sha256(secret_id.encode()).hexdigest()[:16]
        self.has_temporary_key, self.seal, self._attempts = bool(token), Seal(secret_key).sealed, attempts
        self._only_reads = only_reads
        self._sleep, self.request_seconds = sleep or time.sleep, connect_timeout + read_timeout
        self._rate_limiter = rate_limiter or RateLimiter(endpoint, secret_id)
        auth = Tc3Auth(secret_id, secret_key, actions.SERVICE, token=token, clock=clock)
        self._transport = Transport(
            endpoint, auth, language=language, timeout=(connect_timeout, read_timeout), clock=clock
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.session.close()

    @property
    def server_ahead(self) -> float:
        """Seconds by which the server's clock is ahead of this machine's, as its last answer said; 0 if none did."""
        return self._transport.server_ahead

    @property
    def clock_offset(self) -> float:
        """Seconds that the local clock was found to be behind the server's; 0 while they agree."""
        return self._transport.auth.clock_offset

    def place(self, action: Action, payload: Mapping[str, Any], client_token: str, send_by: float = math.inf) -> Order:
        """
        Send an action that moves money, with its token.

        **Money moves in this call.** What may have been carried out is not repeated.

        :param payload: Of :meth:`Action.payload_without_token`. It is sent as it is.
        :param client_token: Idempotency key, at most 64 ASCII characters.
        :param send_by: Epoch seconds after which nothing is sent any more.
        :return: The order; ``instance_ids`` is empty while delivery is under way.
        :raises InvalidRequest: The token is not one. Nothing was sent.
        :raises OutcomeUnknown: No usable answer. It may have been carried out.
        """
        answer = self.call(action, action.with_token(payload, client_token), send_by)
        return read_by(action.name, lambda: Order.from_wire(answer, client_token))

    def call(self, action: Action, payload: Mapping[str, Any], send_by: float = math.inf) -> dict[str, Any]:
        """
        Send a request when it is its turn, and repeat it where that is safe.

        :param action: One of the tables of :mod:`airflow_provider_tcbilling.api.actions`.
        :param payload: The request's JSON object, of :meth:`Action.payload`.
        :param send_by: Epoch seconds after which nothing is sent any more.
        :return: The ``Response`` object, of which the fields of ``action.answer`` have been checked.
        :raises InvalidRequest: The client only reads. Nothing was sent.
        """
        if self._only_reads and not action.only_reads:
            raise InvalidRequest(action.name, ["this client only reads: it is for waiting, or for dry runs"])
        body = compact_json(payload).encode()
        for attempt in itertools.count(1):
            try:
                if not self._rate_limiter.wait(action.name, send_by - self._clock(), self._sleep):
                    raise Unreachable(f"{action.name}: its time had passed, so nothing was sent.")
                # An order number must reach its record, so nothing is done between the answer and the caller.
                return self._transport.send(action, body, send_by)
            except TcBillingError as error:
                self._pause(action, error, attempt, send_by)
        raise AssertionError("the last attempt returns or raises")

    def _pause(self, action: Action, error: TcBillingError, attempt: int, send_by: float) -> None:
        """Wait before the next attempt; raise the error if there is none."""
        patience = 1
        if isinstance(error, RateLimited):
            self._rate_limiter.note(action.name, refused=True)
            patience = THROTTLED
        last = 1 + (self._attempts - 1) * patience
        pause = random.uniform(0, min(BACKOFF_CAP * patience, BACKOFF_BASE * 2**attempt))
        if attempt >= last or not may_repeat(action, error) or self._clock() + pause > send_by:
            raise error
        log.warning("%s Trying again in %.1f s (try %d of %d).", error, pause, attempt + 1, last)
        self._sleep(pause)


def may_repeat(action: Action, error: TcBillingError) -> bool:
    """Whether the same bytes may be sent again at once: another try may help, and cannot do it twice."""
    return error.transient and not (error.ambiguous and action.moves_money)
