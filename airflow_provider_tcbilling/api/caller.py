"""Caller: a request is sent when it is its turn, and repeated where that is safe."""

from __future__ import annotations

import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from airflow_provider_tcbilling.api import actions
from airflow_provider_tcbilling.api.access import checked
from airflow_provider_tcbilling.api.credentials import Credentials, FixedKey, Key
from airflow_provider_tcbilling.api.error_codes import EXPIRED_CODES
from airflow_provider_tcbilling.api.errors import (
    AnotherAccount,
    AuthError,
    CredentialsUnavailable,
    InvalidRequest,
    OutcomeUnknown,
    RateLimited,
    TcBillingError,
    Unreachable,
)
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
    The sender of the requests of one identity to one endpoint. Blocking; use one per thread.

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
    :param rate_limiter: Limits the requests a second; ``None`` is what all clients of this identity on this machine
        share.
    :param credentials: Keys that change, instead of one key.
    :param account_id: The number of the account that each key must be of. One of another account sends nothing.
    :param sts_endpoint: The address of STS, which is asked for the account of a key that may not read its balance;
        ``None`` is the one that belongs to *endpoint*, empty is none.
    """

    def __init__(
        self,
        secret_id: str = "",
        secret_key: str = "",
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
        credentials: Credentials | None = None,
        account_id: str = "",
        sts_endpoint: str | None = None,
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
        if credentials is None and not (secret_id or secret_key):
            raise InvalidRequest("BillingClient", ["there is no key: give secret_id and secret_key, or credentials"])
        self.endpoint = endpoint = address
        self.credentials = credentials = credentials or Credentials(FixedKey(Key(secret_id, secret_key, token)))
        self._attempts, self._only_reads = attempts, only_reads
        # The number of an account is often written as a number.
        self._account_id, self._only_key_id = str(account_id or "").strip(), ""
        self._accounts, self._sts_endpoint = dict[str, str](), sts_endpoint
        self._sleep, self.request_seconds = sleep or time.sleep, connect_timeout + read_timeout
        self._rate_limiter = rate_limiter or RateLimiter(endpoint, credentials.identity)
        auth = Tc3Auth(secret_id, secret_key, actions.SERVICE, token=token, clock=clock)
        self._transport = Transport(
            endpoint, auth, language=language, timeout=(connect_timeout, read_timeout), clock=clock
        )

    def close(self) -> None:
        """Close the connections."""
        self._transport.session.close()

    @property
    def key_id(self) -> str:
        """A hash of the SecretId that is in use now. The same key is of the same account."""
        return self.credentials.key().name

    @property
    def has_temporary_key(self) -> bool:
        """Whether the key in use now is a temporary one, whose name says nothing of the account."""
        return self.credentials.key().is_temporary

    @cached_property
    def lasting_secret(self) -> str:
        """A secret that stays the same while keys change; empty if there is none."""
        return self.credentials.lasting_secret()

    @cached_property
    def seal(self) -> Callable[[str], str]:
        """Seals fingerprints, with a secret that lasts if there is one."""
        return Seal(self.lasting_secret or self.credentials.key().secret_key).sealed

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

        **Money moves in this call.** What may have been carried out is not repeated. That a key has expired is believed
        only if a query with it is refused, too: a machine in between may have made up the refusal of a request that was
        carried out.

        :param payload: Of :meth:`Action.payload_without_token`. It is sent as it is.
        :param client_token: Idempotency key, at most 64 ASCII characters.
        :param send_by: Epoch seconds after which nothing is sent any more.
        :return: The order; ``instance_ids`` is empty while delivery is under way.
        :raises InvalidRequest: The token is not one. Nothing was sent.
        :raises OutcomeUnknown: No usable answer. It may have been carried out.
        """
        answer = self.call(action, action.with_token(payload, client_token), send_by)
        return read_by(action.name, lambda: Order.from_wire(answer, client_token))

    def bind(self, account: str, key_id: str) -> None:
        """
        Send requests of one account only from now on, whichever keys come.

        :param account: Its number; empty if nothing tells it.
        :param key_id: The key whose account it is. Where nothing tells the account, no other key sends anything.
        """
        if not self.credentials.is_lasting:
            self._account_id = self._account_id or account
            self._only_key_id = key_id

    def call(
        self, action: Action, payload: Mapping[str, Any], send_by: float = math.inf, key: Key | None = None
    ) -> dict[str, Any]:
        """
        Send a request when it is its turn, and repeat it where that is safe.

        A key that the server calls expired is refreshed once, and the same bytes are sent again.

        :param action: One of the tables of :mod:`airflow_provider_tcbilling.api.actions`.
        :param payload: The request's JSON object, of :meth:`Action.payload`.
        :param send_by: Epoch seconds after which nothing is sent any more.
        :param key: Use this key, whatever account it is of, instead of the present one.
        :return: The ``Response`` object, of which the fields of ``action.answer`` have been checked.
        :raises InvalidRequest: The client only reads. Nothing was sent.
        :raises CredentialsUnavailable: There is no key. Nothing was sent.
        :raises AnotherAccount: The key is not of the account that it must be of. Nothing was sent.
        """
        if self._only_reads and not action.only_reads:
            raise InvalidRequest(action.name, ["this client only reads: it is for waiting, or for dry runs"])
        body = compact_json(payload).encode()
        may_refresh = key is None
        for attempt in itertools.count(1):
            try:
                if not self._rate_limiter.wait(action.name, send_by - self._clock(), self._sleep):
                    raise Unreachable(f"{action.name}: its time had passed, so nothing was sent.")
                self._transport.auth.key = key or self._key_for(action, send_by)
                # An order number must reach its record, so nothing is done between the answer and the caller.
                return self._transport.send(action, body, send_by)
            except TcBillingError as error:
                self._doubt(action, error, send_by)
                if may_refresh and self._is_refreshed_after(error, send_by):
                    may_refresh = False
                    continue
                self._pause(action, error, attempt, send_by)
        raise AssertionError("the last attempt returns or raises")

    def account_of(self, key: Key, send_by: float = math.inf) -> str:
        """
        Return the number of the account that a key is of; empty if nothing tells it.

        :param send_by: Epoch seconds after which nothing is sent any more.
        :raises TcBillingError: It could not be read this time.
        """
        if not self._accounts.get(key.name):
            from airflow_provider_tcbilling.api.account import account_of

            self._accounts[key.name] = account_of(self, key, self._sts_endpoint, send_by)
        return self._accounts[key.name]

    def _key_for(self, action: Action, send_by: float) -> Key:
        """Return the key that signs: surely one of the account that it must be of."""
        key = self.credentials.key(send_by - self._clock())
        if not self._account_id:
            if self._only_key_id not in ("", key.name):
                raise AnotherAccount(action.name, "", "")
            return key
        try:
            account = self.account_of(key, send_by)
        except TcBillingError as error:
            if isinstance(error, (AuthError, CredentialsUnavailable)):
                raise
            # Whatever became of that query, nothing of this request was sent.
            raise CredentialsUnavailable(
                f"{action.name}: nothing was sent, because the account of the key could not be read: {error}"
            ) from None
        if account != self._account_id:
            raise AnotherAccount(action.name, account, self._account_id)
        return key

    def _doubt(self, action: Action, error: TcBillingError, send_by: float) -> None:
        """
        Raise if an action that moves money was refused as if its key had expired, and the server takes the key.

        :raises OutcomeUnknown: It may have been carried out.
        """
        is_of_key = isinstance(error, AuthError) and error.action == action.name and error.code in EXPIRED_CODES
        # A key that nothing replaces is not sent again by itself.
        if not (is_of_key and action.moves_money) or isinstance(self.credentials.source, FixedKey):
            return
        try:
            self.call(actions.DESCRIBE_ACCOUNT_BALANCE, {}, send_by, self._transport.auth.key)
        except TcBillingError as second:
            if isinstance(second, AuthError) and second.code in EXPIRED_CODES:
                return
        raise OutcomeUnknown(
            f"{action.name} was refused as if its key had expired, and a query with the same key was not: {error}"
        ) from None

    def _is_refreshed_after(self, error: TcBillingError, send_by: float) -> bool:
        """Whether the server has refused an expired key, and there is a new one now."""
        if not (isinstance(error, AuthError) and error.code in EXPIRED_CODES):
            return False
        refused = self._transport.auth.key
        return self.credentials.after(refused, send_by - self._clock()) != refused

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
    if isinstance(error, AnotherAccount):
        return False
    return error.transient and not (error.ambiguous and action.moves_money)
