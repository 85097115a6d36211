"""The statements of a purchase, each compiled once for a kind of database: a purchase must not wait for a compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, insert, select, true, update

from airflow_provider_tcbilling.ledger.database_tables import books, events, identity, orders, purchases

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Select, Table
    from sqlalchemy.engine import Connection, CursorResult
    from sqlalchemy.sql import ClauseElement


class Prepared:
    """
    A statement with named parameters.

    Values go to the driver as they are: texts, numbers, bytes and ``None``.
    """

    def __init__(self, statement: ClauseElement) -> None:
        self._statement = statement
        self._texts: dict[str, tuple[str, tuple[str, ...] | None]] = {}

    def on(self, connection: Connection, values: dict[str, Any]) -> CursorResult[Any]:
        """Execute it on a connection."""
        text, order = self.text(connection)
        return connection.exec_driver_sql(text, values if order is None else tuple(values[name] for name in order))

    def text(self, connection: Connection) -> tuple[str, tuple[str, ...] | None]:
        """Return it as the driver takes it, and the order of its parameters where they have no names."""
        dialect = connection.dialect
        kind = f"{dialect.name}+{dialect.driver}+{getattr(dialect, 'is_mariadb', False)}"
        if kind not in self._texts:
            compiled: Any = self._statement.compile(dialect=dialect)
            self._texts[kind] = str(compiled), compiled.positiontup and tuple(compiled.positiontup)
        return self._texts[kind]


Write = tuple[Prepared, dict[str, Any]]
"""A statement and its values."""


def execute_all(connection: Connection, writes: Sequence[Write]) -> int:
    """Execute statements, in one message where the driver can; return how many rows the last one changed."""
    if connection.dialect.driver == "psycopg2":
        texts, values = [], {}
        for number, (statement, own) in enumerate(writes):
            texts.append(statement.text(connection)[0].replace("%(", f"%(s{number}_"))
            values.update({f"s{number}_{name}": value for name, value in own.items()})
        return int(connection.exec_driver_sql("; ".join(texts), values).rowcount)
    return [int(statement.on(connection, values).rowcount) for statement, values in writes][-1]


def _row_of(table: Table) -> dict[str, Any]:
    return {column.name: bindparam(column.name, type_=column.type) for column in table.columns}


_SHOWN = (purchases.c.version, purchases.c.state, purchases.c.order_id, purchases.c.record)


def _place(locked: Any, *locks: Table) -> Select[Any]:
    order = and_(orders.c.order_id == bindparam("order_id"), orders.c.server == bindparam("order_server"))
    joined = locked.outerjoin(purchases, purchases.c.id == bindparam("purchase")).outerjoin(orders, order)
    return (
        select(books.c.id, books.c.seq, books.c.hash, *_SHOWN, orders.c.purchase.label("owner"))
        .select_from(joined)
        .where(books.c.server == bindparam("server"), books.c.account == bindparam("account"))
        .with_for_update(of=locks)
    )


PLACE = Prepared(_place(books, books))
"""
The last event of a book, which stays locked until the transaction ends; with it a purchase and the owner of an order.

The purchase and the owner may be those of before the lock, so a change compares the version again, and an order is
unique.
"""

PLACE_THAT_RESERVES = Prepared(_place(books.join(identity, true()), books, identity))
"""The same, and the one row of the ledger's identity: of all reservations in a ledger one is made at a time."""

NEW_BOOK = Prepared(insert(books).values({k: v for k, v in _row_of(books).items() if k != "id"}))
BOOK_GOES_ON = Prepared(
    update(books).where(books.c.id == bindparam("book")).values(seq=bindparam("new_seq"), hash=bindparam("new_hash"))
)

PURCHASE = Prepared(select(*_SHOWN).where(purchases.c.id == bindparam("id")))
NEW_PURCHASE = Prepared(insert(purchases).values(_row_of(purchases)))

_CHANGED = tuple(column for column in purchases.columns if column.name not in ("id", "key"))
PURCHASE_GOES_ON = Prepared(
    update(purchases)
    .where(purchases.c.id == bindparam("id"), purchases.c.version == bindparam("old_version"))
    .values({column.name: bindparam(f"new_{column.name}", type_=column.type) for column in _CHANGED})
)

NEW_ORDER = Prepared(insert(orders).values(_row_of(orders)))
NEW_EVENT = Prepared(insert(events).values(_row_of(events)))
