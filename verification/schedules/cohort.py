"""The world of identical purchases: a fleet of machines buys the same thing many times, with one ledger for all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, ClassVar

from greenlet import getcurrent, greenlet

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.money_action import MoneyAction
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.sandbox.orders import PlacedOrder
from verification.schedules.line import Died
from verification.schedules.shelves import SHELVES
from verification.schedules.world import LAG, ORDER, WINDOW, Buyer, World

LONG_WINDOW = 20_000.0
"""A replay window that no retry of a schedule misses."""

WORKERS_APART = 100.0
"""Seconds by which the clock of a machine may differ from the mean: two machines by twice as much."""

DATABASE_OFF = 60.0
"""Seconds by which the clock of the database may differ from the mean; more than that is reported to the user."""

DEATHS = (0.0, 0.02, 0.05, 0.1)
RETRIED_AFTER = (1.0, 30.0, 70.0, 397.0, 600.0)
"""Seconds until Airflow tries again: a delay of its own, or after its heartbeat time-out."""

STANDSTILLS_OF_A_TRY = 3
"""How often one try stands still: one that never goes on proves nothing."""

SLOWEST = 4_000.0
"""Seconds in which all purchases are done once nothing goes wrong any more; a lease and a lag are far shorter."""


class Cohort(World):
    """
    Identical purchases, with one ledger, on machines with clocks of their own.

    The order book may be *honest*: whole, consistent, and late by less than its lag; requests are never refused, and
    the replay window is not missed. Then every purchase must be made exactly once, and nothing may stop.

    :param seed: Everything follows from it.
    """

    stores: ClassVar[tuple[str, ...]] = ("database", "database", "database", "ledger")
    numbers: ClassVar[tuple[int, ...]] = (2, 2, 3, 4, 6)

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.is_honest = self.happens(0.7)
        self.death = self.choose(DEATHS)
        if not self.is_honest:
            self._rules = Rules(LAG, self.choose((WINDOW, None, 4 * WINDOW)), request_seconds=3.0)
        else:
            self._rules = Rules(LAG, LONG_WINDOW, request_seconds=3.0)
        self._apart = self.choose((0.0, WORKERS_APART))
        self.machines = [self._ahead_of_a_worker() for _ in range(self.choose((1, 2, 2, 3)))]
        self.database_ahead = self._ahead + self._random.uniform(-DATABASE_OFF, DATABASE_OFF) * bool(self._apart)
        self.has_copies = self.has_copies and self.happens(0.4)
        kinds = 2 if not self.is_honest and self.happens(0.3) else 1
        self._parameters = {buyer.name: n % kinds for n, buyer in enumerate(self.buyers)}
        """What each wants: the order book shows no difference."""
        self._machine_of: dict[greenlet, int] = {}
        self._standstills_left: dict[greenlet, int] = {}
        self._killed: set[greenlet] = set()
        self._calm_since = 0.0

    def note(self, text: str) -> None:
        """Add a line to the trace, with the moment and the process."""
        who = getattr(getcurrent(), "label", "the world")
        super().note(f"{self.now - self._started:9.2f} {who}: {text}")

    def sleep(self, seconds: float) -> None:
        """Sleep, unless the machine is killed meanwhile."""
        super().sleep(seconds)
        if getcurrent() in self._killed:
            self._killed.discard(getcurrent())
            self.note("died: its machine is killed")
            raise Died

    def stand_still(self, label: str) -> None:
        """Stand still now and then, but not for ever."""
        left = self._standstills_left.get(getcurrent(), 0)
        if left:
            before = self.now
            super().stand_still(label)
            self._standstills_left[getcurrent()] = left - (self.now > before)

    def run(self) -> list[str]:
        """Run it, with machines and the database that go down at random moments."""
        for _ in range(self.choose((0, 0, 1, 2, 3))):
            machine = self._random.randrange(len(self.machines))
            self._at(self.choose((5.0, 60.0, 600.0)), partial(self._kill, machine))
        for _ in range(self.choose((0, 0, 0, 1, 2))):
            self._at(self.choose((5.0, 60.0, 600.0)), self._stop_database)
        return super().run()

    def _at(self, latest: float, event: Callable[[], Any]) -> None:
        self._events.append((self.now + self._random.random() * latest, event))

    def _kill(self, machine: int) -> None:
        """Kill all processes of a machine in the middle of what they do."""
        dead = {actor for actor, place in self._machine_of.items() if place == machine}
        self.note(f"machine {machine} is killed, with {len(dead)} processes")
        self._killed |= dead
        self._actors = [(self.now if actor in dead else at, actor) for at, actor in self._actors]

    def _stop_database(self) -> None:
        if self.is_calm:
            return
        self.database_down_until = self.now + self.choose((0.5, 20.0, 200.0))
        self.note(f"the ledger is down for {self.database_down_until - self.now:.1f} s")

    def _run(self) -> list[str]:
        wrong = super()._run()
        self.database_down_until = 0.0
        for buyer in self.buyers:
            if buyer.order_id:
                self._start(partial(self._again, buyer, wrong), 1.0)
        self._until_quiet()
        return wrong

    def _again(self, buyer: Buyer, wrong: list[str]) -> None:
        """Let a user clear the task of a purchase that is made: it returns the same order."""
        before = buyer.order_id
        outcome = self._try(buyer, 2)
        if outcome != f"order {before}":
            wrong.append(f"{buyer.name} returned {before}, and after a clear: {outcome}")

    def _try(self, buyer: Buyer, try_number: int) -> str:
        process = getcurrent()
        process.label = f"{buyer.name} try {try_number} of {id(process) % 997}"
        self._machine_of[process] = self._random.randrange(len(self.machines))
        self._standstills_left[process] = STANDSTILLS_OF_A_TRY
        try:
            return super()._try(buyer, try_number)
        finally:
            del self._machine_of[process]
            self._killed.discard(process)

    def _delay(self) -> float:
        return float(self.choose(RETRIED_AFTER)) if self.is_honest else super()._delay()

    def _ahead_of_a_worker(self) -> float:
        place = self._machine_of.get(getcurrent()) if hasattr(self, "_machine_of") else None
        return super()._ahead_of_a_worker() if place is None else self.machines[place]

    def _action(self, client: BillingClient, buyer: Buyer) -> MoneyAction:
        return NewInstance(client, self._order_of(buyer))

    def _order_of(self, buyer: Buyer) -> dict[str, Any]:
        return {**ORDER, "parameter": {"pid": 1002147 + self._parameters[buyer.name]}}

    def _faults(self) -> Iterable[str]:
        placed = [order for order in self.sandbox.account.orders() if order.client_token != "long-ago"]
        returned = Counter(buyer.order_id for buyer in self.buyers if buyer.order_id)
        yield from (f"{count} purchases return order {order_id}" for order_id, count in returned.items() if count > 1)
        yield from self._faults_of_the_money(placed, returned)
        yield from self._faults_of_records(returned)
        if self.is_honest and self.server != "reject-repeat":
            yield from (f"{buyer.name} stopped: {buyer.stop}" for buyer in self.buyers if buyer.stop)
        yield from (f"{buyer.name} never came to an end: {buyer.outcomes}" for buyer in self.buyers if buyer.hangs)
        if self.is_honest and self.now - self._calm_since > SLOWEST:
            yield f"it took {self.now - self._calm_since:.0f} s after the last misfortune"

    def _faults_of_the_money(self, placed: list[PlacedOrder], returned: Counter[str]) -> Iterable[str]:
        by_id = {order.order_id: order for order in placed}
        for parameter in set(self._parameters.values()):
            buyers = [buyer for buyer in self.buyers if self._parameters[buyer.name] == parameter]
            orders = [order for order in placed if _parameter_of(order) == 1002147 + parameter]
            if len(orders) > len(buyers):
                yield f"{len(orders)} orders for {len(buyers)} purchases: {[order.order_id for order in orders]}"
        for buyer in self.buyers:
            if buyer.order_id and buyer.order_id not in by_id:
                yield f"{buyer.name} returns {buyer.order_id}, which nobody placed here"
            elif buyer.order_id and _parameter_of(by_id[buyer.order_id]) != 1002147 + self._parameters[buyer.name]:
                yield f"{buyer.name} returns {buyer.order_id}, which is of something else"
        yield from (f"order {order_id} is lost" for order_id in self._lost(by_id.keys() - returned.keys()))
        if foreign := [order.order_id for order in placed if order.client_token not in self._tokens]:
            yield f"{foreign} were placed with a token of nobody"

    def _faults_of_records(self, returned: Counter[str]) -> Iterable[str]:
        """Yield where the ledger says something else than the tasks."""
        names = {buyer.name for buyer in self.buyers}
        stored = {key: json.loads(text) for key, (text, _) in self.rows.records.items() if key in names}
        owned = Counter(record["order_id"] for record in stored.values() if record["order_id"])
        yield from (f"{count} records own order {order_id}" for order_id, count in owned.items() if count > 1)
        for buyer in self.buyers:
            if buyer.order_id and stored.get(buyer.name, {}).get("order_id") != buyer.order_id:
                yield f"{buyer.name} returns {buyer.order_id}, and its record says {stored.get(buyer.name)}"
        for (_, order_id), key in self.rows.orders.items():
            has = stored.get(key, {}).get("order_id")
            if has and has != order_id and SHELVES[self.kind].has_index:
                yield f"order {order_id} is assigned to {key}, which has {has}"


def _parameter_of(order: PlacedOrder) -> Any:
    parameter = order.request["Parameter"]
    return (json.loads(parameter) if isinstance(parameter, str) else parameter)["pid"]
