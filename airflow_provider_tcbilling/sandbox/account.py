"""What the requests that spend, or give back, do to the account, and what it remembers of their client tokens."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_tcbilling.api.models import DealStatus
from airflow_provider_tcbilling.sandbox.account_state import AccountState
from airflow_provider_tcbilling.sandbox.instances import NOTIFY, Subscription, later
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.orders import PURCHASE, REFUND, RENEW, UNDER_WAY, Fate, PlacedOrder, Refused

LARGEST_QUANTITY = 10_000
"""The most instances of an order. Invented: no maximum is documented."""

LONGEST_MONTHS = 36
"""How far ahead a renewal may move an expiry."""

RENEWAL_PERIODS = {"m": 11, "y": 5}
"""The longest automatic renewal, by unit."""


class Account(AccountState):
    """
    The memory of one account.

    :param options: How it behaves.
    :param source: The source of its numbers; a new one, of the options' seed, if not given.
    """

    def __init__(self, options: Options, source: random.Random | None = None) -> None:
        super().__init__(options, source)
        self._placed_with: dict[str, PlacedOrder] = {}

    def buy(self, request: Mapping[str, Any], fate: Fate) -> PlacedOrder:
        """Carry CreateInstance out: take the money and place the order, or answer with the one the token bought."""
        if request.get("Quantity", 1) > LARGEST_QUANTITY:
            raise Refused("FailedOperation.NumLimitError", f"An order has at most {LARGEST_QUANTITY} instances here.")
        return self._once(PURCHASE, request, lambda: self._pay(PURCHASE, request, fate))

    def renew(self, request: Mapping[str, Any], fate: Fate) -> PlacedOrder:
        """Carry RenewInstance out: take the money and place the order. The expiry moves when it is delivered."""
        return self._once(RENEW, request, lambda: self._renew(request, fate))

    def refund(self, request: Mapping[str, Any], fate: Fate) -> PlacedOrder:
        """Carry RefundInstance out: lock the instance and place the order. The money comes when it is carried out."""
        return self._once(REFUND, request, lambda: self._refund(request, fate))

    def set_renewal(self, request: Mapping[str, Any]) -> None:
        """
        Set what happens when an instance expires.

        :raises Refused: There is no such instance, or its product cannot renew itself for so long.
        """
        subscription = self._asked_for(request)
        unit = request.get("RenewPeriodUnit") or subscription.renew_period_unit
        period = int(request.get("RenewPeriod") or subscription.renew_period)
        if period > RENEWAL_PERIODS[unit]:
            raise Refused("InvalidParameter.ApiParamError", f"A renewal has at most {RENEWAL_PERIODS[unit]} {unit}.")
        subscription.renew_flag = request["RenewFlag"]
        subscription.renew_period, subscription.renew_period_unit = period, unit

    def add_instance(
        self,
        *,
        expires_at: float | None,
        name: str = "",
        product_code: str = "p_cloudfirewall",
        sub_product_code: str = "sp_cloudfirewall_svv1",
        region_code: str = "ap-guangzhou",
        zone_code: str = "ap-guangzhou-6",
        renew_flag: str = NOTIFY,
        is_locked: bool = False,
        paid_cents: int | None = None,
        voucher_cents: int = 0,
        bought_at: float | None = None,
    ) -> Subscription:
        """
        Add an instance that was bought before the sandbox began: with its order, and at no cost to the balance.

        :param expires_at: Epoch seconds, in the past for an isolated one; ``None`` if the server tells no expiry.
        :param renew_flag: Any text, to play a flag that nobody knows.
        :param paid_cents: What was paid in money; one month's price if not given.
        :param bought_at: Epoch seconds; now if not given.
        """
        with self._lock:
            self.settle()
            now = self.clock.now()
            paid = self.options.price_cents if paid_cents is None else paid_cents
            request = {
                "ProductCode": product_code,
                "SubProductCode": sub_product_code,
                "RegionCode": region_code,
                "ZoneCode": zone_code,
                "RenewFlag": renew_flag,
            }
            moment = now if bought_at is None else bought_at
            order = self._place(PURCHASE, request, paid + voucher_cents, Fate(), voucher_cents=voucher_cents, at=moment)
            (subscription,) = self._subscriptions_of(order, moment)
            subscription.name, subscription.expires_at, subscription.is_locked = name, expires_at, is_locked
            self.subscriptions.add(subscription, now)
            order.become(DealStatus.DELIVERED, moment)
            return subscription

    def _once(self, action: str, request: Mapping[str, Any], place: Callable[[], PlacedOrder]) -> PlacedOrder:
        with self._lock:
            self.settle()
            token = request["ClientToken"]
            earlier = self._placed_with.get(token)
            if earlier is not None and self._remembers(earlier):
                if self.options.tokens.repeat == "reject-repeat":
                    raise Refused("FailedOperation.InvalidDeal", "Only unpaid orders can be paid.")
                if self.options.tokens.repeat == "honour":
                    if (earlier.action, earlier.request) != (action, request):
                        raise Refused("InvalidParameter.ApiParamError", "ClientToken was used with other parameters.")
                    return earlier
            order = self._placed_with[token] = place()
            self._settle(order)
            return order

    def _remembers(self, order: PlacedOrder) -> bool:
        seconds = self.options.tokens.remembered_seconds
        return seconds is None or self.clock.now() - order.created_at < seconds

    def _asked_for(self, request: Mapping[str, Any]) -> Subscription:
        self.settle()
        found = self.subscriptions.find(request["InstanceId"], self.clock.now())
        mistakes = found.mistakes_in(request) if found else [f"there is no instance {request['InstanceId']}"]
        if found is None or mistakes:
            raise Refused("InvalidParameter.ApiParamError", f"InstanceId: {'; '.join(mistakes)}.")
        return found

    def _renew(self, request: Mapping[str, Any], fate: Fate) -> PlacedOrder:
        subscription, now = self._asked_for(request), self.clock.now()
        if subscription.is_locked:
            raise Refused("InvalidParameter.ResourceLocked", f"{subscription.instance_id} is locked.")
        if subscription.expires_at is not None:
            expiry = self._renewal_starts_at(subscription.expires_at, now, now)
            for renewal in (*subscription.renewals_under_way, request):
                expiry = later(expiry, renewal.get("Period", 1), renewal.get("PeriodUnit", "m"), self.options.zone)
            if expiry > later(now, LONGEST_MONTHS, "m", self.options.zone):
                text = f"It would expire more than {LONGEST_MONTHS} months from now."
                raise Refused("FailedOperation.BusinessCheckErrCode", text)
        order = self._pay(RENEW, request, fate, subscription)
        subscription.renewals_under_way.append(order.request)
        return order

    def _refund(self, request: Mapping[str, Any], fate: Fate) -> PlacedOrder:
        subscription = self._asked_for(request)
        if subscription.is_locked or subscription.renewals_under_way:
            raise Refused("InvalidParameter.ResourceLocked", f"{subscription.instance_id} is locked.")
        is_first = not any(
            order.action == REFUND
            and order.request["ProductCode"] == subscription.product_code
            and order.status in (*UNDER_WAY, DealStatus.REFUNDED)
            for order in self._orders
        )
        cents, formula = subscription.refund(self.clock.now(), is_first=is_first)
        order = self._place(REFUND, request, cents, fate, subscription=subscription)
        order.formula, order.returned_order_ids = formula, tuple(subscription.order_ids)
        subscription.is_locked = True
        return order
