"""Changes of a ledger in a database: each is one transaction of a row, an event and an order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from airflow_provider_tcbilling.ledger.database_events import append, book_of
from airflow_provider_tcbilling.ledger.database_rows import (
    StoredText,
    account_of,
    columns_of,
    id_of,
    kind_of,
    record_of,
    server_of,
    stored_form,
    written,
)
from airflow_provider_tcbilling.ledger.database_tables import orders, purchases
from airflow_provider_tcbilling.purchasing.errors import OrderIsAnothers

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from airflow_provider_tcbilling.ledger.store import Text


class Taken(Exception):
    """There is a record of this key already. It ends a transaction that shall change nothing."""


@dataclass(frozen=True)
class Change:
    """
    One change of a purchase. Rows are locked in the order purchase, order, book, so no two changes block each other.

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
        book = book_of(connection, server_of(record), account_of(record))
        own = {"id": self.id, "key": written(self.key, len(self.key)), "book": book, "version": 1}
        row = {**own, **columns_of(record), "record": stored_form(self.text)}
        try:
            connection.execute(insert(purchases).values(row))
        except IntegrityError:
            raise Taken from None
        self._note(connection, book, {}, record)
        return True

    def update(self, connection: Connection, expected: Text | None) -> bool:
        """Store a record in place of the expected one; return False if there is another one by now."""
        row = row_of(connection, self.id, is_locked=True)
        if row is None:
            return expected is None and self.insert(connection)
        if expected is not None and not _is_expected(row, expected):
            return False
        record = record_of(self.text)
        values = {**columns_of(record), "version": row.version + 1, "record": stored_form(self.text)}
        own = (purchases.c.id == self.id, purchases.c.version == row.version)
        if connection.execute(update(purchases).where(*own).values(values)).rowcount != 1:
            return False
        self._note(connection, row.book, _record_in(row), record)
        return True

    def _note(self, connection: Connection, book: int, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Give the purchase its order, and append the event."""
        was, is_ = columns_of(old), columns_of(new)
        is_placed = is_["order_id"] is not None and is_["order_id"] != was["order_id"]
        is_paid = is_["paid_cents"] is not None and is_["paid_cents"] != was["paid_cents"]
        if is_placed:
            self._own(connection, server_of(new), is_["order_id"])
        who = written(new.get("owner"), 100)
        event = {
            "purchase": self.id,
            "kind": self.kind or kind_of(old, new),
            "at_ms": self.at_ms,
            "who": who if who != old.get("owner") else "",
            "order_id": is_["order_id"] if is_placed else None,
            "cents": is_["paid_cents"] if is_paid else None,
            "currency": is_["currency"] if is_paid else None,
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
    columns = (purchases.c.version, purchases.c.state, purchases.c.order_id, purchases.c.book, purchases.c.record)
    wanted = select(*columns).where(purchases.c.id == purchase)
    return connection.execute(wanted.with_for_update() if is_locked else wanted).first()


def owner_of(connection: Connection, server: str, order_id: str) -> str | None:
    """Return the primary key of the purchase that has an order; ``None`` if none has it."""
    wanted = select(orders.c.purchase).where(orders.c.order_id == order_id, orders.c.server == server)
    owner = connection.execute(wanted).scalar()
    return None if owner is None else str(owner)


def give(connection: Connection, server: str, order_id: str, purchase: str) -> None:
    """Give an order to a purchase. Where another process does so at the same moment, one of the two is done again."""
    connection.execute(insert(orders).values(order_id=order_id, server=server, purchase=purchase))


def assign(connection: Connection, server: str, order_id: str, key: str, at_ms: int) -> str:
    """Give an order to a purchase unless another one has it; return the key of the one that has it then."""
    purchase, owner = id_of(key), owner_of(connection, server, order_id)
    if owner == purchase:
        return key
    if owner:
        found = connection.execute(select(purchases.c.key).where(purchases.c.id == owner)).scalar()
        return str(found or f"purchase {owner}")
    row = row_of(connection, purchase)
    give(connection, server, order_id, purchase)
    event = {"purchase": purchase, "kind": "assigned", "at_ms": at_ms, "who": "", "order_id": order_id}
    append(connection, row.book if row else book_of(connection, server, ""), event)
    return key


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
