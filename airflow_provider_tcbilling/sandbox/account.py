"""
Account: money, orders and instances, the requests that change them, and how they move on with time.

The account moves on lazily, whenever something reads or changes it.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_provider_tcbilling.api.models import DealStatus
from airflow_provider_tcbilling.sandbox.clock import Clock
from airflow_provider_tcbilling.sandbox.errors import Refused
from airflow_provider_tcbilling.sandbox.ids import Ids
from airflow_provider_tcbilling.sandbox.instances import NOTIFY, Instance, Instances, later
from airflow_provider_tcbilling.sandbox.options import FROM_NOW, Options
from airflow_provider_tcbilling.sandbox.orders import (
    AIMS,
    AS_LISTED,
    PURCHASE,
    REFUND,
    RENEW,
    UNDER_WAY,
    Fate,
    Orders,
    PlacedOrder,
    Terms,
    as_read,
    parts_of,
)
from airflow_provider_tcbilling.sandbox.prices import Prices
from airflow_provider_tcbilling.sandbox.roles import FIRST_ACCOUNT
from airflow_provider_tcbilling.sandbox.token_memory import TokenMemory
from airflow_provider_tcbilling.sandbox.wallet import Wallet

SECONDS_UNTIL_DELIVERING = 1.0

LARGEST_QUANTITY = 10_000
"""The most instances of an order. Invented: no maximum is documented."""

LONGEST_MONTHS = 36
"""How far ahead a renewal may move an expiry."""


class Account:
    """
    One account.

    :param options: How it behaves.
    :param source: The source of its numbers; a new one, of the options' seed, if not given.
    :param uin: Its number.
    """

    def __init__(self, options: Options, source: random.Random | None = None, uin: int = FIRST_ACCOUNT) -> None:
        self.options = options
        self.clock = Clock(options.zone)
        self.ids = Ids(source or random.Random(options.seed), options.zone)
        self.uin = uin
        self.owned = Instances()
        self.prices = Prices(options.prices, options.price_cents)
        self.wallet = Wallet(options)
        self._orders = Orders()
        self._tokens = TokenMemory(options.tokens)
        # Tests read the account in their own thread while the server's thread carries requests out.
        self._lock = threading.RLock()

    @property
    def balance_cents(self) -> int:
        """Money on the account, after everything that has fallen due by now."""
        self.move_on()
        return self.wallet.balance_cents

    @balance_cents.setter
    def balance_cents(self, cents: int) -> None:
        self.wallet.balance_cents = cents

    @property
    def voucher_cents(self) -> int:
        """Vouchers on the account, after everything that has fallen due by now."""
        self.move_on()
        return self.wallet.voucher_cents

    @voucher_cents.setter
    def voucher_cents(self, cents: int) -> None:
        self.wallet.voucher_cents = cents

    def orders(self) -> list[PlacedOrder]:
        """Return all orders as they stand now, the oldest first. It does not count as a query of a client."""
        self.move_on()
        return list(self._orders.all)

    def numbered(self, number: str) -> list[PlacedOrder]:
        """Return the orders that a number names, be it of a sub-order or of a big deal, as they stood last."""
        return self._orders.numbered(number)

    def instances(self) -> list[Instance]:
        """Return all instances as they stand now."""
        self.move_on()
        return self.owned.all(self.clock.now())

    def query(self, orders: Iterable[PlacedOrder]) -> list[PlacedOrder]:
        """Count a client's query of these orders, and return those that are listed already."""
        listed = []
        for order in orders:
            order.queries += 1
            with self._lock:
                self._advance(order)
            hidden_until = order.created_at + order.fate.hidden_seconds
            if order.queries > order.fate.hidden_queries and self.clock.now() >= hidden_until:
                listed.append(order)
        return listed

    def move_on(self) -> None:
        """Let everything happen that has fallen due by now."""
        with self._lock:
            for order in self._orders.under_way():
                self._advance(order)
            self.owned.move_on(self.clock.now(), self._renew_by_itself)

    def buy(self, request: Mapping[str, Any], fate: Fate) -> PlacedOrder:
        """Carry CreateInstance out: take the money and place the order, or answer with the one the token bought."""
        if as_read(request)["Quantity"] > LARGEST_QUANTITY:
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
        self._named(request).set_renewal(request)

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
    ) -> Instance:
        """
        Add an instance that was bought before the sandbox began: with its order, and at no cost to the balance.

        :param expires_at: Epoch seconds, in the past for an isolated one; ``None`` if the server shows no expiry.
        :param renew_flag: Any text, also a flag that the API does not document.
        :param paid_cents: The paid money; one month's price if not given.
        :param bought_at: Epoch seconds; now if not given.
        """
        with self._lock:
            self.move_on()
            now = self.clock.now()
            request = {
                "ProductCode": product_code,
                "SubProductCode": sub_product_code,
                "RegionCode": region_code,
                "ZoneCode": zone_code,
                "RenewFlag": renew_flag,
            }
            moment = now if bought_at is None else bought_at
            price = self.prices.of(PURCHASE, as_read(request), None)
            paid = price.cents_for(1, "m") if paid_cents is None else paid_cents
            order = self._place(PURCHASE, request, paid + voucher_cents, Fate(), voucher_cents=voucher_cents, at=moment)
            order.moves_money = False
            (instance,) = order.hand_over(self.ids, moment, self.options.zone)
            instance.name, instance.expires_at, instance.is_locked = name, expires_at, is_locked
            self.owned.add(instance, now)
            order.become(DealStatus.DELIVERED, moment)
            return instance

    def add_order(
        self,
        action: str,
        request: Mapping[str, Any],
        terms: Terms,
        *,
        at: float,
        ends_as: int | None,
    ) -> list[PlacedOrder]:
        """
        Place an order of another user of the account, and end it at once.

        :param action: ``purchase`` or ``renew``.
        :param at: When it was placed, in epoch seconds.
        :param ends_as: Its last status; ``None`` lets it go on like an order of a client.
        :return: Its sub-orders.
        :raises Refused: There is too little money, or no such instance.
        """
        with self._lock:
            self.move_on()
            instance = self._named(request) if action == RENEW else None
            first = self._pay(action, request, Fate(ends_as), instance, at=at, terms=terms)
            orders = self.numbered(first.big_deal_id)
            for order in orders:
                if ends_as is None:
                    self._advance(order)
                    continue
                if not terms.is_paid:
                    order.history.clear()
                self._end(order, order.created_at)
            return orders

    def _once(self, action: str, request: Mapping[str, Any], place: Callable[[], PlacedOrder]) -> PlacedOrder:
        with self._lock:
            self.move_on()
            token = request["ClientToken"]
            earlier = self._tokens.earlier(token, action, request, self.clock.now())
            if earlier is not None:
                return earlier
            order = place()
            self._tokens.add(token, order)
            for part in self.numbered(order.big_deal_id):
                self._advance(part)
            return order

    def _named(self, request: Mapping[str, Any]) -> Instance:
        """Return the instance that a request names."""
        self.move_on()
        found = self.owned.find(request["InstanceId"], self.clock.now())
        mistakes = found.mistakes_in(request) if found else [f"there is no instance {request['InstanceId']}"]
        if found is None or mistakes:
            raise Refused("InvalidParameter.ApiParamError", f"InstanceId: {'; '.join(mistakes)}.")
        return found

    def _renew(self, request: Mapping[str, Any], fate: Fate) -> PlacedOrder:
        instance, now = self._named(request), self.clock.now()
        if instance.is_locked:
            raise Refused("InvalidParameter.ResourceLocked", f"{instance.instance_id} is locked.")
        if instance.expires_at is not None:
            expiry = self._renewal_starts_at(instance.expires_at, now, now)
            for renewal in (*instance.renewals_under_way, request):
                length = as_read(renewal)
                expiry = later(expiry, length["Period"], length["PeriodUnit"], self.options.zone)
            if expiry > later(now, LONGEST_MONTHS, "m", self.options.zone):
                text = f"It would expire more than {LONGEST_MONTHS} months from now."
                raise Refused("FailedOperation.BusinessCheckErrCode", text)
        order = self._pay(RENEW, request, fate, instance)
        instance.renewals_under_way.append(order.request)
        return order

    def _renew_by_itself(self, instance: Instance, moment: float) -> None:
        request = {
            "ProductCode": instance.product_code,
            "SubProductCode": instance.sub_product_code,
            "RegionCode": instance.region_code,
            "InstanceId": instance.instance_id,
            "Period": instance.renew_period,
            "PeriodUnit": instance.renew_period_unit,
        }
        # Too little money is no error here: the instance lapses.
        with contextlib.suppress(Refused):
            self._end(self._pay(RENEW, request, Fate(), instance, at=moment), moment)

    def _renewal_starts_at(self, expiry: float, placed_at: float, now: float) -> float:
        was_isolated = expiry <= placed_at
        return now if was_isolated and self.options.isolated_renewal == FROM_NOW else expiry

    def _refund(self, request: Mapping[str, Any], fate: Fate) -> PlacedOrder:
        instance = self._named(request)
        if instance.is_locked or instance.renewals_under_way:
            raise Refused("InvalidParameter.ResourceLocked", f"{instance.instance_id} is locked.")
        is_first = not any(
            order.action == REFUND
            and order.request["ProductCode"] == instance.product_code
            and order.status in (*UNDER_WAY, DealStatus.REFUNDED)
            for order in self._orders.all
        )
        cents, formula = instance.refund(self.clock.now(), is_first=is_first)
        order = self._place(REFUND, request, cents, fate, instance=instance)
        order.formula, order.returned_order_ids = formula, tuple(instance.order_ids)
        instance.is_locked = True
        return order

    def _pay(
        self,
        action: str,
        request: Mapping[str, Any],
        fate: Fate,
        instance: Instance | None = None,
        *,
        at: float | None = None,
        terms: Terms = AS_LISTED,
    ) -> PlacedOrder:
        """Take the money, and place the sub-orders of one big deal; return the first of them."""
        read = as_read(request)
        price = self.prices.of(action, read, instance)
        cost = price.cents_for(read["Period"], read["PeriodUnit"]) * read["Quantity"]
        cost = cost if terms.cents is None else terms.cents
        vouchers = self.wallet.pay(cost, terms.voucher_cents) if terms.is_paid else 0
        big_deal_id, placed = "", []
        for quantity, part in parts_of(read["Quantity"], cost, self.options.suborder_quantity):
            voucher_cents = min(vouchers, part)
            vouchers -= voucher_cents
            order = self._place(
                action, request, part, fate, voucher_cents, instance=instance, at=at, big_deal_id=big_deal_id
            )
            order.quantity, order.moves_money, order.creator = quantity, terms.is_paid, terms.creator
            order.currency = terms.currency or price.currency or order.currency
            big_deal_id = order.big_deal_id
            placed.append(order)
        return placed[0]

    def _place(
        self,
        action: str,
        request: Mapping[str, Any],
        cost: int,
        fate: Fate,
        voucher_cents: int = 0,
        *,
        instance: Instance | None = None,
        at: float | None = None,
        big_deal_id: str = "",
    ) -> PlacedOrder:
        moment, place = self.clock.now() if at is None else at, len(self._orders.all)
        order = PlacedOrder(
            self.ids.order_number(place, moment),
            big_deal_id or self.ids.order_number(place, moment, "801"),
            request.get("ClientToken", ""),
            dict(request),
            cost,
            moment,
            fate,
            action,
            voucher_cents,
            instance,
            currency=self.wallet.currency,
        )
        if instance and not fate.is_nameless:
            order.instance_ids = [instance.instance_id]
        order.become(DealStatus.PAID, moment)
        self._orders.add(order)
        return order

    def _advance(self, order: PlacedOrder) -> None:
        if order.status not in UNDER_WAY:
            return
        now, options = self.clock.now(), self.options
        waited = now - order.created_at
        enough_queries = order.queries > options.delivery_looks or not options.delivery_looks
        if enough_queries and waited >= options.delivery_seconds:
            self._end(order, now)
        elif order.status == DealStatus.PAID and (order.queries or waited > SECONDS_UNTIL_DELIVERING):
            order.become(DealStatus.DELIVERING, now)

    def _end(self, order: PlacedOrder, now: float) -> None:
        if order.ends_as == AIMS[order.action]:
            self._carry_out(order, now)
        if order.ends_as == DealStatus.REFUNDED:
            self.wallet.give_back(order.paid_cents)
        if order.instance and order.action == REFUND:
            order.instance.is_locked = False
        if order.instance and order.request in order.instance.renewals_under_way:
            order.instance.renewals_under_way.remove(order.request)
        order.become(order.ends_as, now)

    def _carry_out(self, order: PlacedOrder, now: float) -> None:
        """Hand the instances of a purchase over, extend the instance of a renewal, take that of a refund back."""
        if order.instance is None:
            for instance in order.hand_over(self.ids, now, self.options.zone):
                self.owned.add(instance, now)
            return
        order.instance_ids = [order.instance.instance_id]
        if order.action == RENEW:
            self._extend(order.instance, order, now)
        else:
            self.owned.remove(order.instance)

    def _extend(self, instance: Instance, order: PlacedOrder, now: float) -> None:
        instance.order_ids.append(order.order_id)
        instance.renewed_cents += order.paid_cents
        if instance.expires_at is None:
            return
        if order.fate.expiry_late_seconds:
            instance.show_late(now + order.fate.expiry_late_seconds, now)
        start = self._renewal_starts_at(instance.expires_at, order.created_at, now)
        self.owned.extend(instance, later(start, order.period, order.period_unit, self.options.zone), now)
