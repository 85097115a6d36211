"""The stores of a random schedule: they fail now and then, and other processes act before and after each use."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.ledger.store import Store, Text
from airflow_provider_tcbilling.purchasing.errors import OrderIsAnothers

T = TypeVar("T")

OPEN = ("intended", "charged", "refused")
"""States of a record that knows no order and may have one."""


class Surroundings(Protocol):
    """The part of a world that a store needs: its time, its chance, and whether its database is down."""

    now: float
    database_ahead: float
    database_down_until: float

    def happens(self, probability: float) -> bool: ...

    def pause(self, label: str, *, stands_still: bool = True) -> None: ...


@dataclass
class Rows:
    """
    All that a store remembers.

    :param records: By the key of the purchase: the text, and the moment of the last change by the store's clock.
    :param orders: By server and number, the key of the purchase that an order was assigned to, or that recorded it.
    """

    records: dict[str, tuple[str, float]] = field(default_factory=dict)
    orders: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass(frozen=True)
class Powers:
    """The promises of a store: see :class:`.Store`."""

    is_shared: bool = False
    compares: bool = False
    assigns: bool = False
    has_clock: bool = False
    is_complete: bool = False
    has_index: bool = False


SHELVES: Mapping[str, Powers] = {
    "ledger": Powers(is_shared=True, assigns=True),
    "comparing": Powers(is_shared=True, compares=True),
    "database": Powers(is_shared=True, compares=True, assigns=True, has_clock=True, is_complete=True, has_index=True),
    "task state": Powers(),
}
"""By name: a folder of objects, a store of a user that only compares, a database, the task state store."""


class Shelf(Store):
    """
    A store of the simulation.

    :param kind: A name in :data:`SHELVES`.
    :param rows: Stores that are given the same rows are one store.
    """

    about = "a shelf"

    def __init__(self, world: Surroundings, kind: str, rows: Rows) -> None:
        self._world, self.rows, self._powers = world, rows, SHELVES[kind]
        self.is_shared, self.replaces_conditionally = self._powers.is_shared, self._powers.compares
        self.has_clock = self._powers.has_clock  # type: ignore[misc]

    @property
    def creates_exclusively(self) -> bool:
        """Whether of two creations one is refused."""
        return self.is_shared

    @property
    def assigns_orders(self) -> bool:
        """Whether an order is given to one purchase only."""
        return self._powers.assigns

    @property
    def complete_since(self) -> float:
        """Epoch seconds from when on no intent is missing."""
        return -math.inf if self._powers.is_complete else math.inf

    def now(self) -> float:
        """Return the time of the store's clock."""
        return self._world.now + self._world.database_ahead

    def location(self, key: str) -> str:
        """Return a name of the record."""
        return f"shelf/{key}"

    def owners(self, server: str, order_ids: Collection[str]) -> Mapping[str, str]:
        """Return the key of the purchase that each order was assigned to."""
        return self._tried("", lambda: self._used("owners", lambda: self._owners(server, order_ids)))

    def assign(self, server: str, order_id: str, key: str) -> str:
        """Assign an order to a purchase, unless it is another's; return the key of the purchase that has it."""
        give = self.rows.orders.setdefault
        return self._tried(key, lambda: self._used(f"assign {order_id}", lambda: give((server, order_id), key)))

    def _owners(self, server: str, order_ids: Collection[str]) -> Mapping[str, str]:
        return {one: key for (name, one), key in self.rows.orders.items() if name == server and one in order_ids}

    def _get(self, key: str) -> str | None:
        return self._used("read", lambda: self.rows.records.get(key, (None,))[0])

    def _create(self, key: str, text: str) -> bool:
        return self._used("create", lambda: self._put(key, text, self.creates_exclusively and key in self.rows.records))

    def _replace(self, key: str, text: str, expected: Text | None) -> bool:
        return self._used("write", lambda: self._put(key, text, self._has_changed(key, expected)))

    def _has_changed(self, key: str, expected: Text | None) -> bool:
        stored = self.rows.records.get(key, (None,))[0]
        return self.replaces_conditionally and expected is not None and stored != expected

    def _put(self, key: str, text: str, is_refused: bool) -> bool:
        if is_refused:
            return False
        record = json.loads(text)
        if self._powers.has_index and record["order_id"]:
            owner = self.rows.orders.setdefault((server_name(record["endpoint"]), record["order_id"]), key)
            if owner != key:
                raise OrderIsAnothers(record["order_id"], owner)
        self.rows.records[key] = text, self.now()
        return True

    def _list(self) -> Iterable[tuple[str, str]]:
        return self._used("list", lambda: self._listed(-math.inf, ()))

    def _list_changed(self, since: float, order_ids: Collection[str]) -> Iterable[tuple[str, str]]:
        """Leave out all that may be left out, as a query of an index does."""
        if not self._powers.has_index:
            return self._list()
        return self._used("list", lambda: self._listed(since, order_ids))

    def _listed(self, since: float, order_ids: Collection[str]) -> list[tuple[str, str]]:
        owners = {key for (_, order_id), key in self.rows.orders.items() if order_id in order_ids}
        found = [
            (self.location(key), text)
            for key, (text, changed_at) in self.rows.records.items()
            if since == -math.inf or key in owners or (changed_at >= since and json.loads(text)["state"] in OPEN)
        ]
        return found if self.is_shared else []

    def _used(self, what: str, use: Callable[[], T]) -> T:
        world = self._world
        world.pause(f"before {what}")
        if world.now < world.database_down_until or world.happens(0.02):
            raise OSError("the store is down")
        result = use()
        if world.happens(0.02):
            raise OSError("the store answers too late")
        world.pause(f"after {what}")
        return result
