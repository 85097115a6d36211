"""The world of a random schedule: purchases, renewals or refunds, and what goes wrong with them, all from a seed."""

from __future__ import annotations

import contextlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest import mock

from greenlet import getcurrent, greenlet

from airflow_provider_tcbilling.api import caller, exchange
from airflow_provider_tcbilling.api import transport as wire
from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, RENEW_INSTANCE
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.models import DealStatus, Order
from airflow_provider_tcbilling.api.rate_limit import UNLIMITED
from airflow_provider_tcbilling.ledger.store import NoStore, Store
from airflow_provider_tcbilling.purchasing.authorization import Authorization
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.money_action import MoneyAction
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.purchasing.refund import Refund
from airflow_provider_tcbilling.purchasing.renewal import Renewal
from airflow_provider_tcbilling.sandbox.gateway import Gateway
from airflow_provider_tcbilling.sandbox.options import Options as ServerRules
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.sandbox.orders import Fate, PlacedOrder
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from verification.schedules.line import LAST_CHECK, Died, Line
from verification.schedules.shelves import SHELVES, Rows, Shelf

LAG = 10.0
WINDOW = 300.0
TRIES = 6
"""How often Airflow, and then a person, runs a purchase again."""

ORDER = {
    "product_code": "p_cloudfirewall",
    "sub_product_code": "sp_cloudfirewall_svv1",
    "region_code": "ap-guangzhou",
    "zone_code": "ap-guangzhou-6",
    "parameter": {"pid": 1002147},
}
PRODUCT = {name: ORDER[name] for name in ("product_code", "sub_product_code", "region_code")}
MONEY_ACTIONS: Mapping[str, Callable[[BillingClient, str], MoneyAction]] = {
    "purchases": lambda client, instance_id: NewInstance(client, ORDER),
    "renewals": lambda client, instance_id: Renewal(client, {**PRODUCT, "instance_id": instance_id}),
    "refunds": lambda client, instance_id: Refund(client, {**PRODUCT, "instance_id": instance_id}),
}
"""What a world spends its money on; each renewal and each refund has an instance of its own."""

DAY = 86_400.0
SERVERS = ("honour", "forget-after:20", "ignore", "reject-repeat")
STORES = (*SHELVES, "nothing")
KNOW_REPEATS = ("honour", "reject-repeat")
"""Servers that place no second order, so that a request may leave however late."""

STANDSTILLS = (3.0, 20.0, 340.0, 700.0)
"""Seconds for which a process stands still, give or take 30%: also longer than another one waits to take over."""

FARTHEST = 900.0
"""Seconds by which the workers' clocks may be wrong."""

APART = 145.0
"""Seconds by which each may differ from their mean: any two by less than what the rules allow."""

DELAYS = (1.0, 30.0, 70.0, 400.0, 90_000.0)


@dataclass
class Buyer:
    """One purchase, renewal or refund: its tries, what became of them, what it bought, and how the last try stopped."""

    name: str
    store: Store
    first_try_at: float
    instance_id: str = ""
    outcomes: list[str] = field(default_factory=list)
    order_id: str = ""
    stop: PurchaseOutcomeUnknown | None = None

    @property
    def hangs(self) -> bool:
        """Whether its last try neither bought nor stopped."""
        return not self.order_id and not self.stop

    @cached_property
    def tokens(self) -> set[str]:
        """Every token that it may ever send."""
        return {client_token_for(self.name, generation) for generation in range(50)}


class World:
    """
    One schedule.

    :param seed: Everything follows from it.
    :param spends_on: One of :data:`MONEY_ACTIONS`.
    """

    stores: ClassVar[tuple[str, ...]] = STORES
    numbers: ClassVar[tuple[int, ...]] = (1, 1, 2, 3)
    """How many purchases there are."""

    death = 0.04
    """How probable it is that a process dies at each place where it may."""

    def __init__(self, seed: int, spends_on: str = "purchases") -> None:
        self.spends_on = spends_on
        self._random = random.Random(seed)
        self.now = self._started = 1_790_000_000.0 + self._random.random() * 1e6
        self.trace: list[str] = []
        self.is_calm = self.is_past_the_check = False
        self.is_honest = False
        self.server = self.choose(SERVERS)
        self.kind = self.choose(self.stores)
        self.server_knows_repeats = self.server in KNOW_REPEATS
        self.has_copies = self.kind != "nothing" and self.happens(0.6)
        self._ahead = self._random.uniform(-FARTHEST, FARTHEST) if self.happens(0.5) else 0.0
        self._apart = APART if self.happens(0.5) else 0.0
        self._standstills = self.choose((0.0, 0.03, 0.2))
        delivery = self.choose((0.0, 1.0, 500.0))
        rules = ServerRules(tokens=Tokens.parse(self.server), rate_limit=0, delivery_seconds=delivery, seed=0)
        self.sandbox = Sandbox(rules)
        self.sandbox.account.clock.now = lambda: self.now  # type: ignore[method-assign]
        self.sandbox.gateway = Gateway(self.sandbox.options, clock=lambda: self.now)
        self.database_ahead = self._ahead + self._random.uniform(-self._apart, self._apart)
        self.database_down_until = 0.0
        self.rows = Rows()
        names = [f"purchase-{n}" for n in range(self.choose(self.numbers))]
        self.buyers = [
            Buyer(
                name,
                self._store(),
                self.now,
                self.sandbox.account.add_instance(expires_at=self.now + 300 * DAY).instance_id
                if spends_on != "purchases"
                else "",
            )
            for name in names
        ]
        if self.buyers[0].store.is_shared:
            self._share_the_ledger()
        self._rules = Rules(LAG, self.choose((WINDOW, None, None)), request_seconds=3.0)
        self._actors: list[tuple[float, greenlet]] = []
        self._events: list[tuple[float, Callable[[], Any]]] = []

    def happens(self, probability: float) -> bool:
        return not self.is_calm and self._random.random() < probability

    def choose(self, options: tuple[Any, ...]) -> Any:
        return self._random.choice(options)

    def note(self, text: str) -> None:
        """Add a line to the trace."""
        self.trace.append(text)

    def pause(self, label: str, *, stands_still: bool = True) -> None:
        """Let others act, at a place where this process may die, or stand still."""
        self.note(label)
        if self.happens(self.death):
            self.note(f"died: {label}")
            raise Died
        if stands_still:
            self.stand_still(label)
        self.sleep(self._random.random() * 0.2 if self.happens(0.5) else 0.0)

    def sleep(self, seconds: float) -> None:
        self._actors.append((self.now + max(0.0, seconds), getcurrent()))
        getcurrent().parent.switch()

    def stand_still(self, label: str) -> None:
        """Let this process be stopped now and then, while others go on and take its purchase over."""
        if not self.happens(self._standstills):
            return
        seconds = self.choose(STANDSTILLS) * self._random.uniform(0.7, 1.3)
        self.note(f"stands still for {seconds:.0f} s: {label}")
        self.is_past_the_check |= label == LAST_CHECK
        self.sleep(seconds)

    def later(self, exchange: Callable[[], Any]) -> None:
        """Carry a request out although nobody waits for its answer any more."""
        self._events.append((self.now + self._random.random() * 2.0, exchange))

    def run(self) -> list[str]:
        """Run it, and return what is wrong with how it ended."""
        clock = SimpleNamespace(monotonic=lambda: self.now)
        patches = ((exchange, "time", clock), (wire, "time", clock), (caller, "random", self._random))
        with contextlib.ExitStack() as stack:
            for patch in patches:
                stack.enter_context(mock.patch.object(*patch))
            return self._run()

    def _run(self) -> list[str]:
        if self.happens(0.5):
            self._spend_long_ago()
        for buyer in self.buyers:
            begins = self._random.random() * self.choose((0.1, 20.0))
            for copy in range(1 + (self.has_copies and self.happens(0.7))):
                self._start(partial(self._tries, buyer, copy), begins + copy * self.choose((0.0, 0.1, 5.0)))
        self._until_quiet()
        self.is_calm, self._calm_since = True, self.now
        for buyer in self.buyers:
            if buyer.hangs:
                self._start(partial(self._tries, buyer, 0), 1.0)
        self._until_quiet()
        return list(self._faults())

    def _store(self) -> Store:
        """Return the store of one purchase: a shared one remembers all of them."""
        if self.kind == "nothing":
            return NoStore()
        return Shelf(self, self.kind, self.rows if SHELVES[self.kind].is_shared else Rows())

    def _share_the_ledger(self) -> None:
        """Let another endpoint have numbered its orders alike: its records say nothing about the orders of this one."""
        for place in (0, 1):
            elsewhere = Record(
                f"elsewhere-{place}", "t", 0, "f", "http://elsewhere.invalid", "CreateInstance", State.ORDERED, "o",
                self.now, self.now, self.now, self.now, order_id=self.sandbox.account.ids.order_number(place, self.now),
            )  # fmt: skip
            self.rows.records[elsewhere.key] = json.dumps(elsewhere.as_json()), self.now

    def _spend_long_ago(self) -> None:
        """Let there be an identical order of another day, which nobody here may take for its own."""
        ledger = self.sandbox.account
        if self.spends_on == "purchases":
            request = CREATE_INSTANCE.payload({**ORDER, "pay_mode": "PrePay", "client_token": "long-ago"})
            ledger.buy(request, Fate()).created_at = self.now - 90_000.0
        if self.spends_on == "renewals":
            of_this = {**PRODUCT, "instance_id": self.buyers[0].instance_id, "client_token": "long-ago"}
            order = ledger.renew(RENEW_INSTANCE.payload(of_this), Fate())
            order.become(DealStatus.DELIVERED, self.now)
            order.created_at = self.now - 90_000.0

    def _start(self, run: Callable[[], None], seconds: float) -> None:
        self._actors.append((self.now + seconds, greenlet(run)))

    def _until_quiet(self) -> None:
        while self._actors or self._events:
            at, _ = min([*self._events, *self._actors], key=lambda due: due[0])
            self.now = max(self.now, at)
            events = [event for event in self._events if event[0] <= self.now]
            self._events = [event for event in self._events if event[0] > self.now]
            for _, carry_out in events:
                self._hide_next_order()
                carry_out()
            due = [actor for actor in self._actors if actor[0] <= self.now]
            if due:
                actor = self._random.choice(due)
                self._actors.remove(actor)
                actor[1].switch()

    def _tries(self, buyer: Buyer, copy: int) -> None:
        for try_number in range(1, TRIES + 1):
            outcome = self._try(buyer, len(buyer.outcomes) + 1 if not copy else 1)
            buyer.outcomes.append(outcome)
            self.note(f"{buyer.name} copy {copy} try {try_number}: {outcome}")
            if buyer.order_id or (buyer.stop and not self.happens(0.2)):
                return
            self.sleep(self._delay() if not self.is_calm else 400.0)

    def _delay(self) -> float:
        return float(self.choose(DELAYS))

    def _try(self, buyer: Buyer, try_number: int) -> str:
        ahead = self._ahead_of_a_worker()

        def clock() -> float:
            return self.now + ahead

        client = BillingClient(
            "AKIDSANDBOX", "sandbox-key", endpoint="http://sandbox.invalid", allow_http=True, connect_timeout=1,
            read_timeout=2, rate_limiter=UNLIMITED, clock=clock, sleep=self.sleep,
        )  # fmt: skip
        client._transport.session.mount("http://", Line(self))
        client._transport.session.trust_env = False
        self._hide_next_order()
        buyer.stop = None
        purchase = Purchase(
            buyer.name, self._action(client, buyer), buyer.store, self._rules,
            presumed_since=self._presumed_since(buyer) if try_number > 1 else None,
            twins="a copy" * (len(self.buyers) > 1 and self.spends_on == "purchases"),
            checkpoint=lambda name: self.pause(f"at {name}"), clock=None if buyer.store.has_clock else clock,
            sleep=self.sleep, authorization=self._authorization(buyer, client),
        )  # fmt: skip
        try:
            order = purchase.place()
            self._placed(buyer, purchase, order, client)
        except Died:
            buyer.stop = None  # Another copy may have stopped meanwhile; this one is tried again.
            return "died"
        except PurchaseOutcomeUnknown as stop:
            buyer.stop = stop
            return f"stopped: {stop.reason}"
        except TcBillingError as error:
            return f"{type(error).__name__}: {error}"
        buyer.order_id = order.order_id
        return f"order {order.order_id}"

    def _authorization(self, buyer: Buyer, client: BillingClient) -> Authorization | None:
        """Return the rules of a purchase."""

    def _placed(self, buyer: Buyer, purchase: Purchase, order: Order, client: BillingClient) -> None:
        """Do what a task does with an order that is known."""

    def _ahead_of_a_worker(self) -> float:
        """Return the seconds by which the clock of a try's worker is ahead."""
        return self._ahead + self._random.uniform(-self._apart, self._apart)

    def _action(self, client: BillingClient, buyer: Buyer) -> MoneyAction:
        """Return what a purchase moves money for."""
        return MONEY_ACTIONS[self.spends_on](client, buyer.instance_id)

    def _presumed_since(self, buyer: Buyer) -> float | None:
        """Return since when a try before this one may have sent, of which a store could have lost the record."""
        first_try_at = buyer.first_try_at + self._ahead
        return None if buyer.store.complete_since <= first_try_at else first_try_at

    def _hide_next_order(self) -> None:
        """Let the next order be listed late, but within the lag."""
        self.sandbox.faults.add(
            {"fault": "not-visible", "seconds": self._random.random() * (LAG - 4.0), "looks": 0, "times": 1}
        )

    def _faults(self) -> Iterable[str]:
        orders = self.sandbox.account.orders()
        returned = Counter(buyer.order_id for buyer in self.buyers if buyer.order_id)
        yield from (f"{count} purchases return order {order_id}" for order_id, count in returned.items() if count > 1)
        groups = [self.buyers] if self._are_interchangeable else [[buyer] for buyer in self.buyers]
        for group in groups:
            yield from self._faults_of(
                group, [o.order_id for o in orders if any(o.client_token in b.tokens for b in group)]
            )
        moved = abs(self.sandbox.options.balance_cents - self.sandbox.account.balance_cents)
        if moved != sum(order.cost_cents for order in orders if order.client_token and self._has_moved(order)):
            yield f"moved {moved} cents for {len(orders)} orders"

    @property
    def _tokens(self) -> set[str]:
        return {token for buyer in self.buyers for token in buyer.tokens}

    def _faults_of_identical(self, placed: list[str]) -> Iterable[str]:
        """Yield what is wrong where one purchase may take the order of another: only together are they right."""
        if len(placed) > len(self.buyers):
            yield f"{len(placed)} orders for {len(self.buyers)} purchases: {placed}"
        returned = {buyer.order_id for buyer in self.buyers if buyer.order_id}
        yield from (f"{order_id} is returned, and nobody placed it here" for order_id in returned - {*placed})
        yield from (f"order {order_id} is lost" for order_id in self._lost({*placed} - returned))
        yield from (f"{buyer.name} never came to an end: {buyer.outcomes}" for buyer in self.buyers if buyer.hangs)

    def _lost(self, order_ids: Iterable[str]) -> Iterable[str]:
        """Yield the orders that no stop names; a book that refuses to be read shows none."""
        stops = " ".join(str(buyer.stop) for buyer in self.buyers if buyer.stop)
        is_blind = self.is_past_the_check or "cannot be read" in stops
        return (order_id for order_id in sorted(order_ids) if order_id not in stops and not is_blind)

    def _has_moved(self, order: PlacedOrder) -> bool:
        """Whether an order's money has moved: a refund's comes back at its end."""
        return self.spends_on != "refunds" or order.status == DealStatus.REFUNDED

    @property
    def _are_interchangeable(self) -> bool:
        """Whether one of these purchases may take the order of another: a ledger knows which are still without one."""
        return self.spends_on == "purchases" and self.kind in ("ledger", "database")

    def _faults_of(self, buyers: list[Buyer], bought: list[str]) -> Iterable[str]:
        names, outcomes = [buyer.name for buyer in buyers], [buyer.outcomes for buyer in buyers]
        returned = {buyer.order_id for buyer in buyers if buyer.order_id}
        stops = [str(buyer.stop) for buyer in buyers if buyer.stop and not buyer.order_id]
        left = set(bought) - returned
        if len(bought) > len(buyers):
            yield f"{names} bought {len(bought)} times: {bought}"
        if returned - set(bought):
            yield f"{names} return {returned}, and bought {bought}"
        if len(left) > len(buyers) - len(returned):
            yield f"{names} bought {bought}, and know only {returned}"
        # A book that refuses to be read shows no order, and one that a stopped process placed may be of any time.
        is_blind = self.is_past_the_check or any("cannot be read" in stop for stop in stops)
        if left and not stops:
            yield f"{names} lost {left} (outcomes {outcomes})"
        if left and stops and not is_blind and not all(any(one in stop for stop in stops) for one in left):
            yield f"{names} stopped without naming all of {left}: {stops}"
        if any(not buyer.order_id and not buyer.stop for buyer in buyers):
            yield f"{names} never came to an end: {outcomes}"
