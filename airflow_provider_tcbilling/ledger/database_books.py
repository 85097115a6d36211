"""Purchases of a ledger in a database for a report: those near a span of time, of which one page at a time is held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from airflow_provider_tcbilling.ledger.database_rows import PRUNED, StoredText, id_of, record_of
from airflow_provider_tcbilling.ledger.database_tables import books, purchases
from airflow_provider_tcbilling.ledger.reports_entry import Entry, Price, entry_of_stored

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.engine import Connection, Row

    from airflow_provider_tcbilling.ledger.database_engine import Database

PAGE = 500
"""Purchases of one query."""


def entries_between(database: Database, since: float, until: float) -> Iterator[Entry]:
    """Yield the purchases whose intent was stored between two moments, in epoch seconds, or at an unknown one."""
    last = ""
    while True:
        rows = database.reading(partial(_page, since=since, until=until, last=last))
        yield from map(_entry, rows)
        if len(rows) < PAGE:
            return
        last = str(rows[-1].id)


def entry_with_key(database: Database, key: str) -> Entry | None:
    """Return the purchase of a key; ``None`` if there is none."""
    row = database.reading(lambda connection: connection.execute(_wanted().where(purchases.c.id == id_of(key))).first())
    return None if row is None else _entry(row)


def _wanted() -> Select[Any]:
    columns = (purchases, books.c.server, books.c.account.label("book_account"))
    return select(*columns).select_from(purchases.outerjoin(books, books.c.id == purchases.c.book))


def _page(connection: Connection, since: float, until: float, last: str) -> list[Row[Any]]:
    at = purchases.c.intended_at
    wanted = _wanted().where(or_(at.is_(None), at.between(since, until)))
    after = wanted.where(purchases.c.id > last) if last else wanted
    return [*connection.execute(after.order_by(purchases.c.id).limit(PAGE))]


def _entry(row: Row[Any]) -> Entry:
    """Return the purchase of a row: as its record says, or, if it was pruned, as its columns do."""
    if row.state != PRUNED:
        return _read(row)
    return Entry(
        key=str(row.key),
        order_id=str(row.order_id or ""),
        action=str(row.action),
        state=PRUNED,
        at=row.intended_at,
        price=Price(row.gross_cents, row.paid_cents, row.currency or ""),
        reserved_cents=row.reserved_cents,
        reserved_currency=row.counted_currency,
        account=str(row.account),
        key_id=str(row.book_account or ""),
        server=str(row.server or ""),
        product=str(row.product),
        origin={"dag_id": str(row.dag_id)} if row.dag_id else {},
    )


def _read(row: Row[Any]) -> Entry:
    try:
        stored: Any = record_of(StoredText.of(row.record, 0))
    except Exception:
        stored = {}
    entry = entry_of_stored(stored, str(row.id))
    return replace(entry, key=str(row.key)) if entry.is_unusable else entry
