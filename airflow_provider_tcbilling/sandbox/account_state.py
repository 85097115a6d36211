"""An account: its money, its clock, its orders and instances, and how they move on with time."""

from __future__ import annotations

import contextlib
import random
import threading
import time
import uuid
from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pendulum

from airflow_provider_tcbilling.api.models import DealStatus
from airflow_provider_tcbilling.sandbox.instances import MONTHS, NOTIFY, Subscription, Subscriptions, later
from airflow_provider_tcbilling.sandbox.options import FROM_NOW, Options
from airflow_provider_tcbilling.sandbox.orders import (
    AIMS,
    PURCHASE,
    REFUND,
    RENEW,
    UNDER_WAY,
    Fate,
    PlacedOrder,
    Refused,
)

CURRENCY = "USD"
SECONDS_UNTIL_DELIVERING = 1.0

_FIRST_NUMBERS = (100_000_000_000, 900_000_000_000)
"""Where the numbers of an account's orders begin: so far from another's that they do not meet."""


class Clock:
    """The account's clock. It can be moved; signatures and the rate limit keep to the real time."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Return epoch seconds."""
        return time.time() + self.offset

    def set(self, moment: float) -> None:
        """Let it be *moment*, in epoch seconds, and go on from there."""
        self.offset = moment - time.time()


class AccountState:
    """
    What moves on when nobody does anything. It settles lazily: whenever somebody looks.

    :param options: How it behaves.
    :param source: The source of its numbers; a new one, of the options' seed, if not given.
    """

    def __init__(self, options: Options, source: random.Random | None = None) -> None:
        self.options = options
        self.clock = Clock()
        self.uin = 100_000_000_001
        self.subscriptions = Subscriptions()
        self.voucher_cents = options.voucher_cents
        self._balance_cents = options.balance_cents
        self._random = source or random.Random(options.seed)
        self._first_number = self._random.randrange(*_FIRST_NUMBERS)
        self._instance_ids: set[str] = set()
        self._orders: list[PlacedOrder] = []
        self._by_number: dict[str, list[PlacedOrder]] = defaultdict(list)
        self._under_way: list[PlacedOrder] = []
        # Tests look at the account from their own thread while the server's thread carries requests out.
        self._lock = threading.RLock()
        self._carry_out: Mapping[str, Callable[[PlacedOrder, float], None]] = {
            PURCHASE: self._hand_over,
            RENEW: self._extend,
            REFUND: self._take_back,
        }

    @property
    def balance_cents(self) -> int:
        """Money on the account, after everything that has fallen due by now."""
        self.settle()
        return self._balance_cents

    @balance_cents.setter
    def balance_cents(self, cents: int) -> None:
        self._balance_cents = cents

    def price_of(self, request: Mapping[str, Any]) -> int:
        """Return what an order costs, in cents."""
        months = request.get("Period", 1) * MONTHS[request.get("PeriodUnit", "m")]
        return int(self.options.price_cents * months * request.get("Quantity", 1))

    def orders(self) -> list[PlacedOrder]:
        """Return all orders as they stand now, the oldest first, without looking at them as a client does."""
        self.settle()
        return list(self._orders)

    def numbered(self, number: str) -> list[PlacedOrder]:
        """Return the orders that a number names, be it of a sub-order or of a big deal, as they stood last."""
        return list(self._by_number.get(number, ()))

    def instances(self) -> list[Subscription]:
        """Return all instances as they stand now."""
        self.settle()
        return self.subscriptions.all(self.clock.now())

    def look(self, orders: Iterable[PlacedOrder]) -> list[PlacedOrder]:
        """Count a client's look at these orders, and return those that are listed already."""
        listed = []
        for order in orders:
            order.looks += 1
            with self._lock:
                self._settle(order)
            hidden_until = order.created_at + order.fate.hidden_seconds
            if order.looks > order.fate.hidden_looks and self.clock.now() >= hidden_until:
                listed.append(order)
        return listed

    def settle(self) -> None:
        """Let everything happen that has fallen due by now."""
        with self._lock:
            for order in self._under_way:
                self._settle(order)
            self._under_way = [order for order in self._under_way if order.status in UNDER_WAY]
            self.subscriptions.move_on(self.clock.now(), self._renew_by_itself)

    def local_time(self, moment: float) -> str:
        """Write a time as the server does: without zone."""
        return pendulum.from_timestamp(moment, tz=self.options.zone).to_datetime_string()

    def moment(self, local_time: str) -> float:
        """Read a time as the server does."""
        try:
            return pendulum.from_format(local_time, "YYYY-MM-DD HH:mm:ss", tz=self.options.zone).timestamp()
        except ValueError:
            raise Refused("InvalidParameterValue", f"{local_time!r} is not a time.") from None

    def order_number(self, place: int, moment: float, end: str = "811") -> str:
        """
        Return the number of an order.

        :param place: How many orders were placed before it.
        :param moment: When it is placed, in epoch seconds.
        :param end: The last digits, which differ between a sub-order and its big deal.
        """
        day = pendulum.from_timestamp(moment, tz=self.options.zone).format("YYYYMMDD")
        return f"{day}{self._first_number + place}{end}"

    def new_id(self) -> str:
        """Return a new request id."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _new_instance_id(self) -> str:
        while (instance_id := f"ins-{self._random.getrandbits(32):08x}") in self._instance_ids:
            pass
        self._instance_ids.add(instance_id)
        return instance_id

    def _renew_by_itself(self, subscription: Subscription, moment: float) -> None:
        request = {
            "ProductCode": subscription.product_code,
            "SubProductCode": subscription.sub_product_code,
            "RegionCode": subscription.region_code,
            "InstanceId": subscription.instance_id,
            "Period": subscription.renew_period,
            "PeriodUnit": subscription.renew_period_unit,
        }
        # Too little money is no error here: the subscription lapses.
        with contextlib.suppress(Refused):
            self._end(self._pay(RENEW, request, Fate(), subscription, at=moment), moment)

    def _renewal_starts_at(self, expiry: float, placed_at: float, now: float) -> float:
        was_isolated = expiry <= placed_at
        return now if was_isolated and self.options.isolated_renewal == FROM_NOW else expiry

    def _pay(
        self,
        action: str,
        request: Mapping[str, Any],
        fate: Fate,
        subscription: Subscription | None = None,
        at: float | None = None,
    ) -> PlacedOrder:
        cost = self.price_of(request)
        voucher_cents = min(self.voucher_cents, cost)
        if cost - voucher_cents > self._balance_cents:
            raise Refused("FailedOperation.BalanceInsufficient", "The account balance is insufficient.")
        order = self._place(action, request, cost, fate, voucher_cents=voucher_cents, subscription=subscription, at=at)
        self.voucher_cents -= voucher_cents
        self._balance_cents -= order.paid_cents
        return order

    def _place(
        self,
        action: str,
        request: Mapping[str, Any],
        cost: int,
        fate: Fate,
        *,
        voucher_cents: int = 0,
        subscription: Subscription | None = None,
        at: float | None = None,
    ) -> PlacedOrder:
        moment = self.clock.now() if at is None else at
        order = PlacedOrder(
            self.order_number(len(self._orders), moment),
            self.order_number(len(self._orders), moment, "801"),
            request.get("ClientToken", ""),
            dict(request),
            cost,
            moment,
            fate,
            action,
            voucher_cents,
            subscription,
        )
        if subscription and not fate.is_nameless:
            order.instance_ids = [subscription.instance_id]
        order.become(DealStatus.PAID, moment)
        insort(self._orders, order, key=lambda placed: placed.created_at)
        self._under_way.append(order)
        for number in (order.order_id, order.big_deal_id):
            self._by_number[number].append(order)
        return order

    def _settle(self, order: PlacedOrder) -> None:
        if order.status not in UNDER_WAY:
            return
        now, options = self.clock.now(), self.options
        waited = now - order.created_at
        enough_looks = order.looks > options.delivery_looks or not options.delivery_looks
        if enough_looks and waited >= options.delivery_seconds:
            self._end(order, now)
        elif order.status == DealStatus.PAID and (order.looks or waited > SECONDS_UNTIL_DELIVERING):
            order.become(DealStatus.DELIVERING, now)

    def _end(self, order: PlacedOrder, now: float) -> None:
        if order.ends_as == AIMS[order.action]:
            self._carry_out[order.action](order, now)
        if order.ends_as == DealStatus.REFUNDED:
            self._balance_cents += order.paid_cents
        if order.subscription and order.action == REFUND:
            order.subscription.is_locked = False
        if order.subscription and order.request in order.subscription.renewals_under_way:
            order.subscription.renewals_under_way.remove(order.request)
        order.become(order.ends_as, now)

    def _hand_over(self, order: PlacedOrder, now: float) -> None:
        for subscription in self._subscriptions_of(order, now):
            self.subscriptions.add(subscription, now)

    def _extend(self, order: PlacedOrder, now: float) -> None:
        subscription = order.instance
        order.instance_ids = [subscription.instance_id]
        subscription.order_ids.append(order.order_id)
        subscription.renewed_cents += order.paid_cents
        if subscription.expires_at is None:
            return
        if order.fate.expiry_late_seconds:
            subscription.show_late(now + order.fate.expiry_late_seconds, now)
        start = self._renewal_starts_at(subscription.expires_at, order.created_at, now)
        expiry = later(start, order.period, order.period_unit, self.options.zone)
        self.subscriptions.extend(subscription, expiry, now)

    def _take_back(self, order: PlacedOrder, now: float) -> None:
        order.instance_ids = [order.instance.instance_id]
        self.subscriptions.remove(order.instance)

    def _subscriptions_of(self, order: PlacedOrder, now: float) -> list[Subscription]:
        bought, quantity = order.request, order.request.get("Quantity", 1)
        order.instance_ids = [self._new_instance_id() for _ in range(quantity)]
        return [
            Subscription(
                instance_id,
                bought["ProductCode"],
                bought["SubProductCode"],
                bought["RegionCode"],
                order.zone_code,
                now,
                later(now, order.period, order.period_unit, self.options.zone),
                order.project_id,
                renew_flag=bought.get("RenewFlag") or NOTIFY,
                paid_cents=_share(order.paid_cents, quantity, number),
                voucher_cents=_share(order.voucher_cents, quantity, number),
                order_ids=[order.order_id],
            )
            for number, instance_id in enumerate(order.instance_ids)
        ]


def _share(cents: int, parts: int, number: int) -> int:
    """Return one of the equal parts of an amount; the first ones take what does not divide."""
    return cents // parts + (number < cents % parts)
