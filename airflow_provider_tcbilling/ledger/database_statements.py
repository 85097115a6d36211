"""The statements of a purchase, each compiled once for a kind of database: a purchase must not wait for a compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, insert, select, update

from airflow_provider_tcbilling.ledger.database_tables import books, events, orders, purchases

if TYPE_CHECKING:
    from sqlalchemy import Table
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
        dialect = connection.dialect
        kind = f"{dialect.name}+{dialect.driver}"
        if kind not in self._texts:
            compiled: Any = self._statement.compile(dialect=dialect)
            self._texts[kind] = str(compiled), compiled.positiontup and tuple(compiled.positiontup)
        text, order = self._texts[kind]
        return connection.exec_driver_sql(text, values if order is None else tuple(values[name] for name in order))


def _row_of(table: Table) -> dict[str, Any]:
    return {column.name: bindparam(column.name, type_=column.type) for column in table.columns}


BOOK = Prepared(
    select(books.c.id, books.c.seq, books.c.hash)
    .where(books.c.server == bindparam("server"), books.c.account == bindparam("account"))
    .with_for_update()
)
"""The last event of a book, which stays locked until the transaction ends."""

NEW_BOOK = Prepared(insert(books).values({k: v for k, v in _row_of(books).items() if k != "id"}))
BOOK_GOES_ON = Prepared(
    update(books).where(books.c.id == bindparam("book")).values(seq=bindparam("new_seq"), hash=bindparam("new_hash"))
)

_SHOWN = (purchases.c.version, purchases.c.state, purchases.c.order_id, purchases.c.record)
PURCHASE = Prepared(select(*_SHOWN).where(purchases.c.id == bindparam("id")))
PURCHASE_LOCKED = Prepared(select(*_SHOWN).where(purchases.c.id == bindparam("id")).with_for_update())
NEW_PURCHASE = Prepared(insert(purchases).values(_row_of(purchases)))

_CHANGED = tuple(column for column in purchases.columns if column.name not in ("id", "key"))
PURCHASE_GOES_ON = Prepared(
    update(purchases)
    .where(purchases.c.id == bindparam("id"), purchases.c.version == bindparam("old_version"))
    .values({column.name: bindparam(f"new_{column.name}", type_=column.type) for column in _CHANGED})
)

OWNER = Prepared(
    select(orders.c.purchase).where(orders.c.order_id == bindparam("order_id"), orders.c.server == bindparam("server"))
)
NEW_ORDER = Prepared(insert(orders).values(_row_of(orders)))
NEW_EVENT = Prepared(insert(events).values(_row_of(events)))
