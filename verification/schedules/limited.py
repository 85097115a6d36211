"""The world of limits: more purchases are wanted than a limit allows, and prices change while they are made."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.ledger.store import Store, Text
from airflow_provider_tcbilling.purchasing.authorization import Authorization
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_errors import MoneyRefused
from airflow_provider_tcbilling.purchasing.money_rules import MoneyRules
from airflow_provider_tcbilling.purchasing.prices import Acceptance, Price
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.purchasing.reservation import Reservation, Usage, price_of, usage_of
from airflow_provider_tcbilling.sandbox.orders import PlacedOrder
from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch
from verification.schedules.shelves import Rows, Shelf
from verification.schedules.world import Buyer, World

PRICE = 10_000
ZONES = ("Asia/Shanghai", "UTC", "America/New_York")
TURNS = 5
"""How often each task is cleared once nothing goes wrong any more; in the last two nothing new is bought."""

SLACK = 4_000.0
"""Seconds that the last tries of all purchases may take."""


@dataclass(frozen=True)
class Usual:
    """The limits of a world, and what may happen to its prices."""

    limits: tuple[Limit, ...]
    zone: str
    least_balance: int | None
    prices: tuple[int, ...]


class Counting(Shelf):
    """A store of the simulation that counts money: it decides in the step in which it stores."""

    def __init__(self, world: Limited, kind: str, rows: Rows) -> None:
        super().__init__(world, kind, rows)
        self._limited = world

    @property
    def counts_money(self) -> bool:
        """Yes."""
        return True

    def price(self, server: str, account: str, price_key: str) -> Price:
        """Return what is remembered of a price."""
        return self._tried("", lambda: self._used("price", lambda: self._price(server, account, price_key)))

    def _price(self, server: str, account: str, price_key: str) -> Price:
        return price_of(self._limited.records(), server, account, price_key, self._limited.accepted.get(price_key, -1))

    def accept_price(self, server: str, account: str, price_key: str, price: Acceptance) -> None:
        """Accept a price."""
        self._limited.accepted[price_key] = price.cents

    def usage(self, reservation: Reservation) -> Usage:
        """Return what counts beside a reservation."""
        return self._tried("", lambda: self._used("usage", lambda: self._usage(reservation, self.now())))

    def _usage(self, reservation: Reservation, at: float) -> Usage:
        blocked = self._price(reservation.server, reservation.account, reservation.price_key).blocked_cents
        return usage_of(reservation, self._limited.records(), at, blocked)

    def _reserve(self, key: str, text: str, expected: Text | None, reservation: Reservation) -> bool:
        return self._used("reserve", lambda: self._reserved(key, text, expected, reservation))

    def _reserved(self, key: str, text: str, expected: Text | None, reservation: Reservation) -> bool:
        is_refused = key in self.rows.records if expected is None else self._has_changed(key, expected)
        if is_refused:
            return False
        at = Record.from_json(json.loads(text), key).counts_from
        reservation.check(self._usage(reservation, at), at, lambda limit: ())
        self._limited.watch_the_start(key)
        return self._put(key, text, False)

    def _put(self, key: str, text: str, is_refused: bool) -> bool:
        is_stored = super()._put(key, text, is_refused)
        self._limited.watch(key)
        return is_stored


class Limited(World):
    """
    Purchases or renewals of which a limit allows only some. Prices may change, and a user accepts them in the end.

    :param seed: Everything follows from it.
    """

    stores: ClassVar[tuple[str, ...]] = ("database", "database", "comparing")
    numbers: ClassVar[tuple[int, ...]] = (2, 3, 4, 6)

    def __init__(self, seed: int) -> None:
        self.accepted: dict[str, int] = {}
        self._wrong: list[str] = []
        self._refusals: dict[str, MoneyRefused] = {}
        super().__init__(seed, "renewals" if seed % 4 == 3 else "purchases")
        self.is_honest = self.happens(0.4)
        self._usual = self._drawn()
        self._account = self.choose(("", "100000000001"))

    def _drawn(self) -> Usual:
        """Draw the rules: a limit for some of the purchases, perhaps a second one, and prices that change."""
        number = self._random.randint(1, len(self.buyers))
        windows = self.choose(((Window.RUN,), (Window.DAY,), (Window.MONTH,), (Window.DAY, Window.RUN)))
        limits = tuple(
            Limit(f"of a {window.value}", window, number * PRICE + self.choose((0, PRICE - 1)) + place * PRICE, "USD")
            for place, window in enumerate(windows)
        )
        least = self.sandbox.options.balance_cents - (number + 1) * PRICE if self.happens(0.2) else None
        prices = self.choose(((), (), (15_000,), (5_000,), (12_000, 20_000)))
        return Usual(limits, self.choose(ZONES), least, prices)

    def records(self) -> list[Record]:
        """Return what the ledger has by now."""
        return [Record.from_json(json.loads(text), key) for key, (text, _) in self.rows.records.items()]

    def run(self) -> list[str]:
        """Run it, with prices that change at random moments."""
        for cents in self._usual.prices:
            at = self.now + self._random.random() * self.choose((1.0, 20.0, 600.0))
            self._events.append((at, partial(self._change_the_price, cents)))
        return super().run()

    def _change_the_price(self, cents: int) -> None:
        self.note(f"the price is {cents} from now on")
        self.sandbox.account.prices.add({"cents": cents})

    def _store(self) -> Store:
        return Counting(self, self.kind, self.rows)

    def _authorization(self, buyer: Buyer, client: BillingClient) -> Authorization:
        usual = self._usual
        rules = MoneyRules(usual.limits, usual.zone, PRICE, "USD", usual.least_balance)
        if self.is_calm and self.sandbox.account.prices.listed():
            rules = replace(rules, max_cents=max(PRICE, *usual.prices))  # A user has raised it.
        action = self._action(client, buyer)
        action.account = lambda: self._account  # type: ignore[method-assign]
        return Authorization(buyer.store, action, rules)

    def _placed(self, buyer: Buyer, purchase: Purchase, order: Order, client: BillingClient) -> None:
        delivery = DeliveryWatch(client, order.order_id, action=self._action(client, buyer).action.name).step()
        if delivery.order:
            purchase.note_delivery(delivery.order)

    def _hide_next_order(self) -> None:
        # A purchase that is refused leaves the fault for the next one.
        if len(self.sandbox.faults.listed()) < 20:
            super()._hide_next_order()

    def _try(self, buyer: Buyer, try_number: int) -> str:
        self._refusals.pop(buyer.name, None)
        return super()._try(buyer, try_number)

    def _run(self) -> list[str]:
        super()._run()
        for turn in range(TURNS):
            self._accept_prices()
            is_last = turn >= TURNS - 2
            for buyer in self.buyers:
                if (buyer.order_id and not self._is_settled(buyer)) or (not buyer.order_id and not is_last):
                    self._start(partial(self._once_more, buyer), 600.0)
            self._until_quiet()
        return list(self._faults())

    def _is_settled(self, buyer: Buyer) -> bool:
        return any(record.key == buyer.name and record.state is State.DELIVERED for record in self._own_records())

    def _once_more(self, buyer: Buyer) -> None:
        """Let a user clear a task once nothing goes wrong any more."""
        if not buyer.stop:
            outcome = self._try(buyer, 2)
            buyer.outcomes.append(outcome)
            self.note(f"{buyer.name} once more: {outcome}")

    def _accept_prices(self) -> None:
        for record in self.records():
            if record.is_overrun:
                cents = max(record.gross_cents or 0, self.accepted.get(record.price_key, 0))
                self.accepted[record.price_key] = cents

    def watch_the_start(self, key: str) -> None:
        """Note a purchase that is started although an order of its price cost more than was reserved for it."""
        others = (record for record in self.records() if record.key != key and record.is_overrun)
        for record in others if self.spends_on == "purchases" else ():
            if (record.gross_cents or 0) > self.accepted.get(record.price_key, -1):
                self._wrong.append(f"{key} was started although the price of {record.key} is blocked")

    def watch(self, key: str) -> None:
        """Note each limit that the ledger exceeds after a change, and money that it does not count."""
        for limit in self._usual.limits:
            for begin, (total, more) in self._sums(limit).items():
                if total > limit.max_cents + more:
                    self._wrong.append(f"limit {limit.name} from {begin:.0f}: {total} after a change of {key}")

    def _sums(self, limit: Limit) -> dict[float, tuple[int, int]]:
        """Return by the begin of a window what is counted in it, and what its orders cost above their reservation."""
        sums: dict[float, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for record in self._own_records():
            begin, _ = limit.span(record.counts_from, self._usual.zone)
            total, more = sums[begin]
            over = max(0, (record.gross_cents or 0) - (record.reserved_cents or 0))
            sums[begin] = total + (record.counted_cents or 0), more + over
        return sums

    def _own_records(self) -> Iterator[Record]:
        names = {buyer.name for buyer in self.buyers}
        return (record for record in self.records() if record.key in names)

    def _own_orders(self) -> list[PlacedOrder]:
        return [order for order in self.sandbox.account.orders() if order.client_token in self._tokens]

    def _faults(self) -> Iterable[str]:
        yield from dict.fromkeys(self._wrong)
        yield from self._faults_of_orders()
        yield from self._faults_of_the_end()

    def _faults_of_orders(self) -> Iterable[str]:
        """Yield orders that no record counts, and limits that the orders of a window exceed."""
        stored = {record.key: record for record in self._own_records()}
        owners = {record.order_id: record for record in stored.values() if record.order_id}
        by_token = {token: buyer.name for buyer in self.buyers for token in buyer.tokens}
        cost: dict[str, int] = defaultdict(int)
        for order in self._own_orders():
            owner = owners.get(order.order_id) or stored.get(by_token[order.client_token])
            if owner is None or owner.state is State.DECLINED:
                yield f"order {order.order_id} is counted nowhere: {owner}"
            else:
                cost[owner.key] += order.cost_cents
        for limit in self._usual.limits:
            sums: dict[float, int] = defaultdict(int)
            for key, cents in cost.items():
                sums[limit.span(stored[key].counts_from, self._usual.zone)[0]] += min(
                    cents, stored[key].reserved_cents or 0
                )
            yield from (f"orders of {total} in limit {limit}" for total in sums.values() if total > limit.max_cents)
        least = self._usual.least_balance
        over = sum(max(0, cents - (stored[key].reserved_cents or 0)) for key, cents in cost.items())
        if least is not None and self.sandbox.account.balance_cents < least - over:
            yield f"the balance is {self.sandbox.account.balance_cents}, and {least} must stay"

    def _faults_of_the_end(self) -> Iterable[str]:
        """Yield where the ledger and the order book differ, and purchases that something blocks for ever."""
        placed = {order.order_id: order for order in self._own_orders()}
        stopped = {buyer.name for buyer in self.buyers if buyer.stop}
        for record in self._own_records():
            if record.order_id and record.order_id in placed and record.settled_cents is not None:
                if record.settled_cents != placed[record.order_id].cost_cents:
                    yield f"{record.key} counts {record.settled_cents}, and its order cost another amount"
            elif record.order_id and not self.is_past_the_check:
                yield f"{record.key} is not settled: {record}"
        for buyer in self.buyers:
            if not buyer.order_id and buyer.name not in stopped and not self._is_full(buyer):
                yield f"{buyer.name} is refused although there is room: {buyer.outcomes}"

    def _is_full(self, buyer: Buyer) -> bool:
        """Whether a purchase that was refused does not fit into a limit beside those that count, or the balance."""
        last = buyer.outcomes[-1] if buyer.outcomes else ""
        rest = [record for record in self._own_records() if record.key != buyer.name]
        needed = max(PRICE, *self._usual.prices) if self.sandbox.account.prices.listed() else PRICE
        if last.startswith("LimitReached"):
            # It was refused some time before the end, perhaps on the day before.
            since = [(limit, limit.span(self.now, self._usual.zone)[0] - SLACK) for limit in self._usual.limits]
            counted = [
                (limit, sum(record.counted_cents or 0 for record in rest if record.counts_from >= begin))
                for limit, begin in since
            ]
            return any(cents + needed > limit.max_cents for limit, cents in counted)
        return last.startswith("BalanceTooLow")
