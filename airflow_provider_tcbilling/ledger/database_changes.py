"""Changes of a ledger in a database: each is one transaction of a row, an event and an order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from airflow_provider_tcbilling.ledger.database_engine import Outdated
from airflow_provider_tcbilling.ledger.database_events import Place, locked_place
from airflow_provider_tcbilling.ledger.database_form import compressed
from airflow_provider_tcbilling.ledger.database_reservations import check
from airflow_provider_tcbilling.ledger.database_rows import (
    StoredText,
    account_of,
    columns_of,
    id_of,
    kind_of,
    money_of,
    order_of,
    record_of,
    server_of,
    written,
)
from airflow_provider_tcbilling.ledger.database_statements import (
    NEW_ORDER,
    NEW_PURCHASE,
    PURCHASE,
    PURCHASE_GOES_ON,
    execute_all,
)
from airflow_provider_tcbilling.ledger.database_tables import books, orders, purchases
from airflow_provider_tcbilling.purchasing.errors import OrderIsAnothers
from airflow_provider_tcbilling.purchasing.record import State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from airflow_provider_tcbilling.ledger.database_statements import Write
    from airflow_provider_tcbilling.ledger.store import Text
    from airflow_provider_tcbilling.purchasing.reservation import Reservation


class Taken(Exception):
    """There is a record of this key already. It ends a transaction that shall change nothing."""


@dataclass(frozen=True)
class Change:
    """
    One change of a purchase. Rows are locked in the order book, order, purchase, so no two changes block each other.

    :param text: Its record from now on.
    :param at_ms: The moment, in epoch milliseconds of the ledger's clock.
    :param kind: The name of the event, where the record does not tell it.
    :param reservation: Must hold when the record is stored: nobody else reserves before the transaction ends.
    """

    key: str
    text: str
    at_ms: int
    kind: str = ""
    reservation: Reservation | None = None

    @property
    def id(self) -> str:
        """The primary key of the purchase."""
        return id_of(self.key)

    def insert(self, connection: Connection) -> bool:
        """
        Store the first record.

        :raises Taken: There is one.
        """
        record = record_of(self.text)
        place = self._place(connection, record)
        if place.row is not None:
            raise Taken
        self._check(connection, record)
        return self._insert(connection, place, record)

    def update(self, connection: Connection, expected: Text | None) -> bool:
        """Store a record in place of the expected one; return False if there is another one by now."""
        record = record_of(self.text)
        place = self._place(connection, record)
        row = place.row
        if row is None:
            return expected is None and self._insert(connection, place, record)
        if expected is not None and not _is_expected(row, expected):
            return False
        self._check(connection, record)
        columns = columns_of(record)
        values = {**columns, "book": place.book, "version": row.version + 1, "record": compressed(self.text)}
        new = {f"new_{name}": value for name, value in values.items()}
        goes_on = PURCHASE_GOES_ON, {"id": self.id, "old_version": row.version, **new}
        if execute_all(connection, [*self._notes(place, _record_in(row), record, columns), goes_on]) != 1:
            raise Outdated
        return True

    def _place(self, connection: Connection, record: Mapping[str, Any]) -> Place:
        server = server_of(record)
        order = server, order_of(record)
        book = server, account_of(record)
        reserving = {"reserves": True} if self.reservation else {}
        return locked_place(connection, book, self.id, order, **reserving)

    def _check(self, connection: Connection, record: Mapping[str, Any]) -> None:
        """Raise unless the reservation holds in the window that the record counts in, which may have ended by now."""
        if self.reservation:
            check(connection, self.reservation, money_of(record)["counted_at"] or self.at_ms / 1000)

    def _insert(self, connection: Connection, place: Place, record: Mapping[str, Any]) -> bool:
        columns = columns_of(record)
        own = {"id": self.id, "key": written(self.key, len(self.key)), "book": place.book, "version": 1}
        new = NEW_PURCHASE, {**own, **columns, "record": compressed(self.text)}
        execute_all(connection, [*self._notes(place, {}, record, columns), new])
        return True

    def _notes(
        self, place: Place, old: Mapping[str, Any], new: Mapping[str, Any], columns: Mapping[str, Any]
    ) -> Iterator[Write]:
        """
        Yield the statements that give the purchase its order and append the event.

        :raises OrderIsAnothers: Another purchase has it.
        """
        order_id, before = columns["order_id"], money_of(old)
        is_placed = order_id is not None and order_id != old.get("order_id")
        cents, currency = _amount_of(columns, before, old)
        is_overrun = columns["overrun_cents"] is not None and before["overrun_cents"] is None
        if is_placed and place.owner not in (None, self.id):
            raise OrderIsAnothers(order_id, str(place.owner))
        if is_placed and place.owner is None:
            yield NEW_ORDER, {"order_id": order_id, "server": server_of(new), "purchase": self.id, "key": None}
        who = written(new.get("owner"), 100)
        yield from place.next_event(
            {
                "purchase": self.id,
                "kind": self.kind or kind_of(old, new, is_overrun=is_overrun),
                "at_ms": self.at_ms,
                "who": who if who != old.get("owner") else "",
                "order_id": order_id if is_placed else None,
                "cents": cents,
                "currency": currency,
            }
        )


def _amount_of(
    columns: Mapping[str, Any], before: Mapping[str, Any], old: Mapping[str, Any]
) -> tuple[int | None, str | None]:
    """Return the amount that a change is about: what is counted from now on, what is released, or what was paid."""
    counted, released = columns["counted_cents"], before["counted_cents"]
    if counted != released and (counted or released):
        is_released = columns["state"] == State.DECLINED.value or counted is None
        return released if is_released else counted, columns["counted_currency"] or before["counted_currency"]
    if columns["paid_cents"] not in (None, old.get("paid_cents")):
        return columns["paid_cents"], columns["currency"]
    return None, None


def row_of(connection: Connection, purchase: str) -> Row[Any] | None:
    """Return the row of a purchase; ``None`` if there is none."""
    return PURCHASE.on(connection, {"id": purchase}).first()


def assign(connection: Connection, server: str, order_id: str, key: str, at_ms: int) -> str:
    """Give an order to a purchase unless another one has it; return the key of the one that has it then."""
    purchase = id_of(key)
    place = locked_place(connection, (server, _account_of(connection, purchase)), purchase, (server, order_id))
    if place.owner == purchase:
        return key
    if place.owner:
        return owners(connection, server, [order_id])[order_id]
    own = None if place.row is not None else written(key, len(key))
    order = {"order_id": order_id, "server": server, "purchase": purchase, "key": own}
    event = {"purchase": purchase, "kind": "assigned", "at_ms": at_ms, "who": "", "order_id": order_id}
    execute_all(connection, [(NEW_ORDER, order), *place.next_event(event)])
    return key


def owners(connection: Connection, server: str, order_ids: Collection[str]) -> dict[str, str]:
    """Return the key of the purchase that has each order. A purchase that has no record left its key at the order."""
    key = func.coalesce(purchases.c.key, orders.c.key).label("key")
    wanted = select(orders.c.order_id, key).select_from(
        orders.outerjoin(purchases, purchases.c.id == orders.c.purchase)
    )
    rows = connection.execute(wanted.where(orders.c.order_id.in_(order_ids), orders.c.server == server))
    return {row.order_id: str(row.key) for row in rows}


def _account_of(connection: Connection, purchase: str) -> str:
    """Return the account of the book of a purchase; empty if it has no row."""
    joined = purchases.join(books, books.c.id == purchases.c.book)
    return str(
        connection.execute(select(books.c.account).select_from(joined).where(purchases.c.id == purchase)).scalar() or ""
    )


def _is_expected(row: Row[Any], expected: Text) -> bool:
    if isinstance(expected, StoredText):
        return expected.version == int(row.version)
    text = expected.decode("utf-8", "replace") if isinstance(expected, bytes) else expected
    return str(StoredText.of(row.record, row.version)) == text


def _record_in(row: Row[Any]) -> Mapping[str, Any]:
    try:
        return record_of(StoredText.of(row.record, row.version))
    except Exception:
        return {}
