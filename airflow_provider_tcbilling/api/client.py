"""BillingClient: one method per action, and the rule of what may be sent again."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from airflow_provider_tcbilling.api import actions
from airflow_provider_tcbilling.api.access import checked
from airflow_provider_tcbilling.api.errors import ApiError, OutcomeUnknown, RateLimited, TcBillingError, Unreachable
from airflow_provider_tcbilling.api.fingerprint import Seal
from airflow_provider_tcbilling.api.models import (
    Balance,
    Deals,
    DealStatus,
    Order,
    RenewableInstance,
    failures_of,
    instances_of,
)
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
from airflow_provider_tcbilling.api.reading import read_by
from airflow_provider_tcbilling.api.schema import Action, compact_json
from airflow_provider_tcbilling.api.server_time import first_of, last_of
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

DAY = 86_400
DEALS_PER_PAGE = 200
"""Above this the server hides the instances of an order."""

log = logging.getLogger(__name__)


class BillingClient:
    """
    The Tencent Cloud Billing API as Python methods. Blocking; use one per thread.

    :param secret_id: Name of the key.
    :param secret_key: The key. It is never sent, logged or shown.
    :param token: Session token of a temporary key pair, else empty.
    :param endpoint: ``https://host`` of the API, or ``http://127.0.0.1:port`` of a sandbox. It decides who gets
        signed requests, so take it only from somebody you trust. What is no address raises ``InvalidRequest``.
    :param allow_http: Send without TLS to another machine. Every machine in between can read and change the traffic.
    :param language: ``en-US`` or ``zh-CN``; changes the words of error messages, nothing else.
    :param connect_timeout: Seconds until a connection attempt is given up; nothing was sent then.
    :param read_timeout: Seconds until an answer is given up; the request may have been carried out then.
    :param attempts: Tries of one call, the first included. What may be repeated: :func:`may_repeat`.
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

    def create_instance(
        self,
        *,
        client_token: str,
        product_code: str,
        sub_product_code: str,
        region_code: str,
        zone_code: str,
        parameter: Mapping[str, Any] | str,
        pay_mode: str = "PrePay",
        quantity: int | None = None,
        project_id: int | None = None,
        period: int | None = None,
        period_unit: str | None = None,
        renew_flag: str | None = None,
        send_by: float = math.inf,
    ) -> Order:
        """
        Place an order for a prepaid product and pay it from the account balance.

        **Money moves in this call.** What may have been carried out is not repeated here: who has to buy once takes
        :class:`~airflow_provider_tcbilling.purchasing.purchase.Purchase`, which looks before it sends again.

        :param client_token: Idempotency key, at most 64 ASCII characters. The same purchase, the same token.
        :param parameter: What exactly is bought: a mapping, or a JSON object as text.
        :param quantity: How many; the server assumes 1.
        :param period: Length of the subscription in *period_unit*, 1 to 36; the server assumes 1.
        :param period_unit: ``m`` months or ``y`` years; the server assumes months.
        :param send_by: Epoch seconds after which nothing is sent any more.
        :return: The order; ``instance_ids`` is empty while delivery is under way.
        :raises InvalidRequest: A field breaks the rules. Nothing was sent.
        :raises Unreachable: No connection. Nothing was bought.
        :raises InsufficientBalance: Nothing was bought.
        :raises OutcomeUnknown: No usable answer. It may have been bought: repeat only with the same token.
        :raises ApiError: Refused; ask its ``ambiguous`` whether it may have been bought all the same.

        https://www.tencentcloud.com/document/api/555/77176
        """
        payload = actions.CREATE_INSTANCE.payload_without_token(
            {
                "product_code": product_code,
                "sub_product_code": sub_product_code,
                "region_code": region_code,
                "zone_code": zone_code,
                "pay_mode": pay_mode,
                "parameter": parameter,
                "quantity": quantity,
                "project_id": project_id,
                "period": period,
                "period_unit": period_unit,
                "renew_flag": renew_flag,
            }
        )
        return self.place(actions.CREATE_INSTANCE, payload, client_token, send_by)

    def renew_instance(
        self,
        *,
        client_token: str,
        product_code: str,
        sub_product_code: str,
        region_code: str,
        instance_id: str,
        period: int | None = None,
        period_unit: str | None = None,
        send_by: float = math.inf,
    ) -> Order:
        """
        Renew one instance and pay from the account balance.

        **Money moves in this call**, and each renewal adds a period. What may have been carried out is not repeated
        here: who has to renew once takes :class:`~airflow_provider_tcbilling.purchasing.purchase.Purchase` with a
        :class:`~airflow_provider_tcbilling.purchasing.renewal.Renewal`.

        :param send_by: Epoch seconds after which nothing is sent any more.
        :return: The order; its instances are not named.
        :raises OutcomeUnknown: It may have been renewed.

        https://www.tencentcloud.com/document/api/555/77178
        """
        payload = actions.RENEW_INSTANCE.payload_without_token(
            {
                "product_code": product_code,
                "sub_product_code": sub_product_code,
                "region_code": region_code,
                "instance_id": instance_id,
                "period": period,
                "period_unit": period_unit,
            }
        )
        return self.place(actions.RENEW_INSTANCE, payload, client_token, send_by)

    def refund_instance(
        self,
        *,
        client_token: str,
        product_code: str,
        sub_product_code: str,
        region_code: str,
        instance_id: str,
        send_by: float = math.inf,
    ) -> Order:
        """
        Give one instance back. Only what was really paid is refunded; used vouchers are lost.

        **This cannot be undone**, and after an unknown outcome it is not repeated here.

        :param send_by: Epoch seconds after which nothing is sent any more.
        :return: The refund order; its instances are not named.
        :raises OutcomeUnknown: It may have been refunded.

        https://www.tencentcloud.com/document/api/555/77180
        """
        payload = actions.REFUND_INSTANCE.payload_without_token(
            {
                "product_code": product_code,
                "sub_product_code": sub_product_code,
                "region_code": region_code,
                "instance_id": instance_id,
            }
        )
        return self.place(actions.REFUND_INSTANCE, payload, client_token, send_by)

    def set_renewal(
        self,
        *,
        product_code: str,
        region_code: str,
        instance_id: str,
        renew_flag: str,
        renew_period: str | None = None,
        renew_period_unit: str | None = None,
    ) -> list[dict[str, Any]]:
        """
        Set what happens when the subscription of one instance ends.

        :return: The instances for which it **failed**, each with ``InstanceId``, ``Code`` and ``Message``, harmless;
            the server does not raise an error for them.

        https://www.tencentcloud.com/document/api/555/78444
        """
        payload = actions.SET_RENEWAL.payload(
            {
                "product_code": product_code,
                "region_code": region_code,
                "instance_id": instance_id,
                "renew_flag": renew_flag,
                "renew_period": renew_period,
                "renew_period_unit": renew_period_unit,
            }
        )
        answer = self.call(actions.SET_RENEWAL, payload)
        return read_by(actions.SET_RENEWAL.name, lambda: failures_of(answer))

    def describe_renew_instances(
        self, *, max_results: int = 100, **filters: Any
    ) -> tuple[list[RenewableInstance], str | None]:
        """
        Return one page of instances with their expiry, and where the next page starts: ``None`` on the last.

        Only products that the renewal page of the console has are listed.

        :param filters: ``next_token``, ``reverse``, ``renew_flag_list``, ``instance_id_list``,
            ``expire_time_start``, ``expire_time_end``.
        :raises TcBillingError: The list could not be read. Looking never costs anything.

        https://www.tencentcloud.com/document/api/555/78424
        """
        payload = actions.DESCRIBE_RENEW_INSTANCES.payload({"max_results": max_results, **filters})
        answer = self.call(actions.DESCRIBE_RENEW_INSTANCES, payload)
        return read_by(actions.DESCRIBE_RENEW_INSTANCES.name, lambda: instances_of(answer))

    def describe_deals(
        self,
        *,
        order_id: str | None = None,
        big_deal_id: str | None = None,
        resource_id: str | None = None,
        statuses: Iterable[int] = tuple(DealStatus),
        days: int = actions.ORDER_BOOK_DAYS,
        span: tuple[float, float] | None = None,
        page: int = 0,
        limit: int = DEALS_PER_PAGE,
        send_by: float = math.inf,
    ) -> Deals:
        """
        Return one page of orders, whatever their status.

        :param order_id: Only this sub-order.
        :param big_deal_id: Only the sub-orders of this big deal.
        :param resource_id: Only the orders of this instance.
        :param days: How far back, in days.
        :param span: Instead of *days*: from and until when, in epoch seconds. Since nobody knows the zone of the
            order book, orders of some hours before and after come with them.
        :param page: Number of the page, from 0.
        :param limit: Orders a page, at most 200.
        :param send_by: Epoch seconds after which the request is not sent any more.
        :raises TcBillingError: The order book could not be read. Looking never costs anything.

        https://www.tencentcloud.com/document/api/555/67735
        """
        now = self._clock() + self.clock_offset
        since, until = span or (now - days * DAY, now + DAY)
        payload = actions.DESCRIBE_DEALS_BY_COND.payload(
            {
                "start_time": first_of(since),
                "end_time": last_of(until),
                "limit": limit,
                "offset": page,
                "order_id": order_id,
                "big_deal_id": big_deal_id,
                "resource_id": resource_id,
                # Left out, the server lists delivered orders only: one that is under way, or has died, would look lost.
                "status_set": [int(status) for status in statuses],
            }
        )
        answer = self.call(actions.DESCRIBE_DEALS_BY_COND, payload, send_by)
        deals = read_by(actions.DESCRIBE_DEALS_BY_COND.name, lambda: Deals.from_wire(answer))
        if page == 0 and deals.total and not deals:
            raise OutcomeUnknown(f"DescribeDealsByCond: no order is listed, and the answer says {deals.total}.")
        return deals

    def describe_account_balance(self) -> Balance:
        """
        Return what the account can spend. Free, and the smallest signed call there is.

        https://www.tencentcloud.com/document/api/555/20253
        """
        answer = self.call(actions.DESCRIBE_ACCOUNT_BALANCE, {})
        return read_by(actions.DESCRIBE_ACCOUNT_BALANCE.name, lambda: Balance.from_wire(answer))

    @cached_property
    def account(self) -> str:
        """The number of the account, which is asked for once; empty if the key may not read it."""
        try:
            return str(self.describe_account_balance().uin or "")
        except ApiError as error:
            if error.transient:
                raise
            return ""

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
        """
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
