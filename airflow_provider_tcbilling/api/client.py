"""BillingClient: one method per action."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_tcbilling._moved import forward
from airflow_provider_tcbilling.api import actions
from airflow_provider_tcbilling.api.caller import Caller
from airflow_provider_tcbilling.api.error_codes import EXPIRED_CODES
from airflow_provider_tcbilling.api.errors import AuthError, OutcomeUnknown
from airflow_provider_tcbilling.api.models import (
    Balance,
    Deals,
    DealStatus,
    Order,
    RenewableInstance,
    failures_of,
    instances_of,
)
from airflow_provider_tcbilling.api.reading import read_by
from airflow_provider_tcbilling.api.server_time import first_of, last_of

DAY = 86_400
DEALS_PER_PAGE = 200
"""Above this the server hides the instances of an order."""


class BillingClient(Caller):
    """
    The Tencent Cloud Billing API as Python methods, one for each action. Blocking; use one per thread.

    Its arguments are those of :class:`~airflow_provider_tcbilling.api.caller.Caller`.
    """

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
        :class:`~airflow_provider_tcbilling.purchasing.purchase.Purchase`, which queries before it sends again.

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
        :param span: Instead of *days*: from and until when, in epoch seconds. The zone of the order book
            is unknown, so orders of some hours before and after come with them.
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
                # Left out, the server lists delivered orders only: one that is under way, or has died, would seem lost.
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

    @property
    def account(self) -> str:
        """The number of the account, which is asked for once for each key; empty if nothing tells it."""
        key = self.credentials.key()
        try:
            return self.account_of(key)
        except AuthError as error:
            # Here, too, a key that has expired is refreshed once.
            if error.code not in EXPIRED_CODES or (newer := self.credentials.after(key)) == key:
                raise
        return self.account_of(newer)


__getattr__ = forward(__name__, "api.caller")
