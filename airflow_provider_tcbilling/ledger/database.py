"""
DatabaseStore: a ledger in PostgreSQL, MySQL or SQLite, which all workers of a fleet share.

Only ``ledger.database*`` and the migrations import SQLAlchemy, and only where a connection names such a ledger.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import select

from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.ledger import (
    database_check,
    database_decisions,
    database_events,
    database_lookup,
    database_reservations,
    database_schema,
    database_search,
)
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.ledger.database_changes import Change, Taken, assign, owners, row_of
from airflow_provider_tcbilling.ledger.database_engine import CommitUnknown, database_of
from airflow_provider_tcbilling.ledger.database_rows import OPEN, PRUNED, StoredText, id_of, milliseconds, written
from airflow_provider_tcbilling.ledger.database_tables import orders, purchases
from airflow_provider_tcbilling.ledger.naming import options_of
from airflow_provider_tcbilling.ledger.store import Store, Text
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, StoreFailed

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from airflow_provider_tcbilling.ledger.database_engine import Database
    from airflow_provider_tcbilling.ledger.database_schema import Identity
    from airflow_provider_tcbilling.ledger.database_search import Found, Query
    from airflow_provider_tcbilling.purchasing.approval import Approval
    from airflow_provider_tcbilling.purchasing.limits import Limit
    from airflow_provider_tcbilling.purchasing.prices import Acceptance, Price
    from airflow_provider_tcbilling.purchasing.reservation import Reservation, Usage

UNSURE_TRIES = 3
"""How often a change is made sure of whose answers were lost."""

CHUNK = 500
"""Rows or orders of one query."""


class DatabaseStore(Store):
    """
    Records in a database: one row for each purchase, and events that are only ever added.

    Each change is one transaction of row, event and order, so that of two processes that create, or take over, one is
    refused. All deadlines follow the database's clock. No connection is open while a task waits.

    :param address: Where the database is.
    """

    is_shared = True
    replaces_conditionally = True
    has_clock: ClassVar[bool] = True

    def __init__(self, address: Address) -> None:
        self.address = address
        self.about = f"the ledger {address}"

    @property
    def creates_exclusively(self) -> bool:
        """Yes: the key is unique."""
        return True

    @property
    def counts_money(self) -> bool:
        """Yes: a change is one transaction, in which no other reserves."""
        return True

    @property
    def assigns_orders(self) -> bool:
        """Yes: an order is unique."""
        return True

    @property
    def complete_since(self) -> float:
        """The moment at which the ledger was created, and five minutes, by which Airflow's clock may differ."""
        return self.identity.created_at + CLOCK_MARGIN

    def complete_since_for(self, placed_by: Mapping[str, Any]) -> float:
        """Return since when the ledger has purchases of a DAG: before, its connection may have named another ledger."""
        dag_id = placed_by.get("dag_id")
        first = self.database.reading(lambda connection: database_lookup.first_of(connection, dag_id))
        return max(self.complete_since, math.inf if first is None else first + CLOCK_MARGIN)

    @property
    def identity(self) -> Identity:
        """The identity of the ledger, which every worker must see alike."""
        return database_schema.identity_of(self._database)

    @property
    def database(self) -> Database:
        """
        The connections of this process, to a ledger whose schema was checked.

        :raises StoreFailed: It cannot be reached, or its schema is another one. Nothing was sent.
        """
        database_schema.identity_of(self._database)
        return self._database

    @property
    def _database(self) -> Database:
        return database_of(self.address)

    def now(self) -> float:
        """Return the database's time in epoch seconds."""
        return self._database.now()

    def location(self, key: str) -> str:
        """Return the row of a record."""
        return self._location(id_of(key))

    def options(self, key: str) -> str:
        """Return the options that name a purchase on the command line."""
        return options_of(key)

    def owners(self, server: str, order_ids: Collection[str]) -> Mapping[str, str]:
        """Return the key of the purchase that each order was assigned to."""

        def read(connection: Connection) -> dict[str, str]:
            found: dict[str, str] = {}
            for chunk in _chunks(order_ids):
                found.update(owners(connection, server, chunk))
            return found

        return self.database.reading(read)

    def assign(self, server: str, order_id: str, key: str) -> str:
        """Assign an order to a purchase for ever, unless it is another's; return the key of the one that has it."""
        at_ms = milliseconds(self.now())

        def change(connection: Connection) -> str:
            return assign(connection, server, order_id, key, at_ms)

        for _ in range(UNSURE_TRIES - 1):
            with contextlib.suppress(CommitUnknown):  # It is done, or is done again.
                return self.database.attempting(change)
        return self.database.changing(change)

    def price(self, server: str, account: str, price_key: str) -> Price:
        """Return what is remembered of a price."""
        return self.database.reading(
            lambda connection: database_reservations.price_of(connection, server, account, price_key)
        )

    def accept_price(self, server: str, account: str, price_key: str, price: Acceptance) -> None:
        """Accept a price that was above its reservation, so that it blocks no further purchase."""
        at = self.now()
        self.database.changing(
            lambda connection: database_decisions.accept_price(connection, (server, account), price_key, price, at)
        )

    def usage(self, reservation: Reservation) -> Usage:
        """Return what counts beside a reservation at this moment."""
        now = self.now()
        return self.database.reading(lambda connection: database_reservations.usage_of(connection, reservation, now))

    def open_in(self, reservation: Reservation, limit: Limit) -> Sequence[str]:
        """Return in words the purchases in the window of a limit; those whose price is not known come first."""
        now = self.now()
        return self.database.reading(
            lambda connection: database_reservations.open_in(connection, reservation, limit, now)
        )

    def approval(self, code: str) -> Approval | None:
        """Return the approval of a code."""
        return self.database.reading(lambda connection: database_decisions.approval_of(connection, code))

    def approve(self, approvals: Sequence[Approval], server: str, account: str) -> None:
        """Remember approvals, all of them or none."""
        at_ms = milliseconds(self.now())
        self.database.changing(
            lambda connection: database_decisions.approve(connection, (server, account), approvals, at_ms)
        )

    def import_text(self, key: str, text: str) -> bool:
        """
        Take a record over from another ledger; return False, and store nothing, if there is one of its key.

        :raises OrderIsAnothers: Its order belongs to another purchase here. Nothing was stored.
        """
        return self._created(key, text, "imported")

    def search(self, query: Query) -> Found:
        """Return the purchases that match, and how many they are."""
        return self.database.reading(lambda connection: database_search.matching_purchases(connection, query))

    def events_of(self, key: str) -> list[dict[str, Any]]:
        """Return the events of a purchase, the first one first."""
        return self.database.reading(lambda connection: database_search.events_of(connection, key))

    def prune(self, before: float) -> int:
        """
        Remove the records of purchases that were delivered before a moment; return how many.

        Rows, orders, events and totals stay, so a task that is run again is stopped, and buys nothing.

        :param before: Epoch seconds of the last change.
        """
        pruned = 0
        while count := self.database.changing(lambda connection: database_search.prune(connection, before)):
            pruned += count
        return pruned

    def totals(self) -> list[dict[str, Any]]:
        """Return what was paid by purchases that were pruned, by book, month, product and currency."""
        return self.database.reading(database_search.totals_of)

    def verify_chain(self) -> list[str]:
        """Return each place at which the events are not those that were appended; empty if all are."""
        return self.database.reading(lambda connection: [*database_events.flaws(connection)])

    def upgrade(self) -> None:
        """
        Create the tables, or bring them to the schema of this package.

        :raises StoreFailed: The role may not do it, or the schema is of a newer version.
        """
        database_schema.upgrade(self._database)

    def upgrade_sql(self) -> str:
        """Return the SQL that :meth:`upgrade` runs for a new ledger."""
        return database_schema.upgrade_sql(self.address)

    def self_test(self) -> list[str]:
        """Return each rule of the tables that does not hold, tried in a transaction that is rolled back."""
        return database_check.flaws(self.database)

    def durability_flaws(self) -> list[str]:
        """Return the settings of the server with which a crash of its machine may lose what was stored."""
        return database_check.durability_flaws(self._database)

    def clock_difference(self) -> float:
        """Return the seconds by which the ledger's clock is ahead of this machine's."""
        return self._database.clock_difference()

    def shares_a_schema_with_airflow(self) -> bool:
        """Whether the tables stand among those of Airflow's metadata database, where a cleanup may hit them."""
        return database_schema.shares_a_schema_with_airflow(self._database)

    def _get(self, key: str) -> StoredText | None:
        row = self.database.reading(lambda connection: row_of(connection, id_of(key)))
        if row is not None and row.state == PRUNED:
            raise InvalidRecord(self.location(key), f"it was pruned, and its order is {row.order_id}")
        return None if row is None else StoredText.of(row.record, row.version)

    def _create(self, key: str, text: str) -> bool:
        return self._created(key, text)

    def _created(self, key: str, text: str, kind: str = "") -> bool:
        return self._sure(key, text, self._change(key, text, kind).insert)

    def _reserve(self, key: str, text: str, expected: Text | None, reservation: Reservation) -> bool:
        change = replace(self._change(key, text), reservation=reservation)
        store = change.insert if expected is None else partial(change.update, expected=expected)
        return self._sure(key, text, store)

    def _replace(self, key: str, text: str, expected: Text | None) -> bool:
        change = self._change(key, text)
        return self._sure(key, text, lambda connection: change.update(connection, expected))

    def _change(self, key: str, text: str, kind: str = "") -> Change:
        return Change(key, text, milliseconds(self.now()), kind)

    def _list(self) -> Iterator[tuple[str, Text]]:
        rows = self.database.reading(lambda connection: _page(connection, ""))
        while rows:
            yield from map(self._listed, rows)
            last = str(rows[-1].id)
            rows = self.database.reading(partial(_page, last=last))

    def _list_changed(self, since: float, order_ids: Collection[str]) -> Iterable[tuple[str, Text]]:
        def read(connection: Connection) -> list[Row[Any]]:
            columns = (purchases.c.id, purchases.c.record)
            is_open = select(*columns).where(purchases.c.state.in_(OPEN), purchases.c.changed_at >= max(since, 0.0))
            found = [*connection.execute(is_open)]
            for chunk in _chunks(order_ids):
                owning = select(*columns).join(orders, orders.c.purchase == purchases.c.id)
                owning = owning.where(orders.c.order_id.in_(chunk), purchases.c.state != PRUNED)
                found += connection.execute(owning)
            return found

        rows = self.database.reading(read)
        return {row.id: self._listed(row) for row in rows}.values()

    def _list_possible(self, token: str, dag_id: str, order_ids: Collection[str]) -> Iterable[tuple[str, Text]]:
        def read(connection: Connection) -> list[Row[Any]]:
            return [*database_lookup.possible(connection, token, dag_id, order_ids)]

        return map(self._listed, self.database.reading(read))

    def _listed(self, row: Row[Any]) -> tuple[str, Text]:
        try:
            return self._location(row.id), StoredText.of(row.record, 0)
        except Exception:
            return self._location(row.id), ""

    def _location(self, purchase: str) -> str:
        return f"{self.address}/{purchase}"

    def _sure(self, key: str, text: str, change: Callable[[Connection], bool]) -> bool:
        """
        Carry out a change, and make sure of it where the answer to its COMMIT is lost.

        A text that is found is ours: it names its owner and its moment. One that is not found may still come, so the
        change is made again, which waits for the one before, and is refused by it.

        :raises StoreFailed: The database does not answer any more, so it may have been stored.
        """
        try:
            return self._changed(change)
        except CommitUnknown as error:
            unknown = error
        for _ in range(UNSURE_TRIES):
            if self._is_stored(key, text, unknown):
                return True
            with contextlib.suppress(CommitUnknown):
                return self._changed(change) or self._is_stored(key, text, unknown)
        raise StoreFailed(str(unknown)) from unknown

    def _changed(self, change: Callable[[Connection], bool]) -> bool:
        try:
            return self.database.attempting(change)
        except Taken:
            return False

    def _is_stored(self, key: str, text: str, unknown: CommitUnknown) -> bool:
        try:
            return self._get(key) == text
        except Exception:
            raise StoreFailed(str(unknown)) from unknown


def _page(connection: Connection, last: str) -> list[Row[Any]]:
    wanted = select(purchases.c.id, purchases.c.record).where(purchases.c.state != PRUNED)
    after = wanted.where(purchases.c.id > last) if last else wanted
    return [*connection.execute(after.order_by(purchases.c.id).limit(CHUNK))]


def _chunks(order_ids: Collection[str]) -> Iterator[list[str]]:
    ids = sorted({written(order_id, 100) for order_id in order_ids})
    return (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK))
