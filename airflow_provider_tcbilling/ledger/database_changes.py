"""Changes of a ledger in a database: each is one transaction of a row, an event and an order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from airflow_provider_tcbilling.ledger.database_events import Book, append, locked_book
from airflow_provider_tcbilling.ledger.database_form import compressed
from airflow_provider_tcbilling.ledger.database_rows import (
    StoredText,
    account_of,
    columns_of,
    id_of,
    kind_of,
    record_of,
    server_of,
    written,
)
from airflow_provider_tcbilling.ledger.database_statements import (
    NEW_ORDER,
    NEW_PURCHASE,
    OWNER,
    PURCHASE,
    PURCHASE_GOES_ON,
    PURCHASE_LOCKED,
)
from airflow_provider_tcbilling.ledger.database_tables import books, purchases
from airflow_provider_tcbilling.purchasing.errors import OrderIsAnothers

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from airflow_provider_tcbilling.ledger.store import Text


class Taken(Exception):
    """There is a record of this key already. It ends a transaction that shall change nothing."""


@dataclass(frozen=True)
class Change:
    """
    One change of a purchase. Rows are locked in the order book, purchase, order, so no two changes block each other.

    :param text: Its record from now on.
    :param at_ms: The moment, in epoch milliseconds of the ledger's clock.
    :param kind: What the event is called, where the record does not tell.
    """

    key: str
    text: str
    at_ms: int
    kind: str = ""

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
        self._insert(connection, record, self._book(connection, record))
        return True

    def update(self, connection: Connection, expected: Text | None) -> bool:
        """Store a record in place of the expected one; return False if there is another one by now."""
        record = record_of(self.text)
        book = self._book(connection, record)
        row = row_of(connection, self.id, is_locked=True)
        if row is None:
            return expected is None and self._insert(connection, record, book)
        if expected is not None and not _is_expected(row, expected):
            return False
        columns = columns_of(record)
        values = {**columns, "book": book.id, "version": row.version + 1, "record": compressed(self.text)}
        new = {f"new_{name}": value for name, value in values.items()}
        if PURCHASE_GOES_ON.on(connection, {"id": self.id, "old_version": row.version, **new}).rowcount != 1:
            return False
        self._note(connection, book, _record_in(row), record, columns)
        return True

    @staticmethod
    def _book(connection: Connection, record: Mapping[str, Any]) -> Book:
        return locked_book(connection, server_of(record), account_of(record))

    def _insert(self, connection: Connection, record: Mapping[str, Any], book: Book) -> bool:
        columns = columns_of(record)
        own = {"id": self.id, "key": written(self.key, len(self.key)), "book": book.id, "version": 1}
        try:
            NEW_PURCHASE.on(connection, {**own, **columns, "record": compressed(self.text)})
        except IntegrityError:
            raise Taken from None
        self._note(connection, book, {}, record, columns)
        return True

    def _note(
        self,
        connection: Connection,
        book: Book,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        columns: Mapping[str, Any],
    ) -> None:
        """Give the purchase its order, and append the event."""
        order_id, cents = columns["order_id"], columns["paid_cents"]
        is_placed = order_id is not None and order_id != old.get("order_id")
        is_paid = cents is not None and cents != old.get("paid_cents")
        if is_placed:
            self._own(connection, server_of(new), order_id)
        who = written(new.get("owner"), 100)
        event = {
            "purchase": self.id,
            "kind": self.kind or kind_of(old, new),
            "at_ms": self.at_ms,
            "who": who if who != old.get("owner") else "",
            "order_id": order_id if is_placed else None,
            "cents": cents if is_paid else None,
            "currency": columns["currency"] if is_paid else None,
        }
        append(connection, book, event)

    def _own(self, connection: Connection, server: str, order_id: str) -> None:
        owner = owner_of(connection, server, order_id)
        if owner is None:
            give(connection, server, order_id, self.id)
        elif owner != self.id:
            raise OrderIsAnothers(order_id, owner)


def row_of(connection: Connection, purchase: str, *, is_locked: bool = False) -> Row[Any] | None:
    """Return the row of a purchase; ``None`` if there is none."""
    return (PURCHASE_LOCKED if is_locked else PURCHASE).on(connection, {"id": purchase}).first()


def owner_of(connection: Connection, server: str, order_id: str) -> str | None:
    """Return the primary key of the purchase that has an order; ``None`` if none has it."""
    owner = OWNER.on(connection, {"order_id": order_id, "server": server}).scalar()
    return None if owner is None else str(owner)


def give(connection: Connection, server: str, order_id: str, purchase: str) -> None:
    """Give an order to a purchase. Where another process does so at the same moment, one of the two is done again."""
    NEW_ORDER.on(connection, {"order_id": order_id, "server": server, "purchase": purchase})


def assign(connection: Connection, server: str, order_id: str, key: str, at_ms: int) -> str:
    """Give an order to a purchase unless another one has it; return the key of the one that has it then."""
    purchase, owner = id_of(key), owner_of(connection, server, order_id)
    if owner == purchase:
        return key
    if owner:
        found = connection.execute(select(purchases.c.key).where(purchases.c.id == owner)).scalar()
        return str(found or f"purchase {owner}")
    book = locked_book(connection, server, _account_of(connection, purchase))
    give(connection, server, order_id, purchase)
    event = {"purchase": purchase, "kind": "assigned", "at_ms": at_ms, "who": "", "order_id": order_id}
    append(connection, book, event)
    return key


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
