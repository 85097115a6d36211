"""Queries and upkeep of a ledger in a database, for the command line."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, or_, select, union_all, update

from airflow_provider_tcbilling.ledger.database_lookup import is_prunable
from airflow_provider_tcbilling.ledger.database_rows import PRUNED, id_of
from airflow_provider_tcbilling.ledger.database_tables import books, events, purchases, totals
from airflow_provider_tcbilling.purchasing.record import State

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlalchemy.engine import Connection
    from sqlalchemy.sql import ColumnElement

MOST_COUNTED = 1_000
"""So many purchases are counted: to count a million takes longer than to show the first of them."""

PRUNED_AT_ONCE = 500

SHOWN = ("key", "state", "action", "order_id", "product", "dag_id", "intended_at", "changed_at", "paid_cents")
SHOWN_TOO = ("currency", "account", "book")


@dataclass(frozen=True)
class Query:
    """
    Which purchases are searched, and in which order they come. A condition that is ``None`` holds always.

    :param since: Epoch seconds of the last change.
    :param text: Part of the key, of the order number, of the product or of the DAG, in any case.
    :param sort: A column, after a ``-`` the highest first. Only ``changed_at`` is fast among a million.
    """

    state: str | None = None
    dag_id: str | None = None
    product: str | None = None
    since: float | None = None
    text: str | None = None
    sort: str = "-changed_at"
    limit: int = 100

    @property
    def conditions(self) -> list[ColumnElement[bool]]:
        """The conditions of the query, but for the state."""
        found: list[ColumnElement[bool]] = [
            column == value
            for column, value in ((purchases.c.dag_id, self.dag_id), (purchases.c.product, self.product))
            if value is not None
        ]
        if self.since is not None:
            found.append(purchases.c.changed_at >= self.since)
        if self.text:
            columns = (purchases.c.key, purchases.c.order_id, purchases.c.product, purchases.c.dag_id)
            part = self.text.lower()
            found.append(or_(*(func.lower(column).contains(part, autoescape=True) for column in columns)))
        return found

    def order(self, columns: Any) -> list[Any]:
        """Return the order of some columns; rows without a value come last on every server."""
        column = columns[self.sort.lstrip("-")]
        ordered = column.desc() if self.sort.startswith("-") else column.asc()
        return [column.is_(None), ordered] if column.name in ("intended_at", "paid_cents") else [ordered]

    @property
    def states(self) -> list[str]:
        """The states that are searched, each by the index."""
        return [self.state] if self.state is not None else [*(state.value for state in State), ""]


@dataclass(frozen=True)
class Found:
    """
    What a search has found.

    :param rows: The columns of each purchase, with ``server``; at most as many as the limit.
    :param count: How many match, at most :data:`MOST_COUNTED` and one.
    """

    rows: list[dict[str, Any]]
    count: int

    @property
    def is_counted(self) -> bool:
        """Whether the count is the number of all that match."""
        return self.count <= MOST_COUNTED


def matching_purchases(connection: Connection, query: Query) -> Found:
    """Return the purchases that match."""
    columns = [purchases.c[name] for name in (*SHOWN, *SHOWN_TOO)]
    if query.dag_id is not None and query.state is None:
        chosen = select(*columns).where(purchases.c.state != PRUNED, *query.conditions)
        wanted: Any = chosen.order_by(*query.order(purchases.c)).limit(query.limit)
    else:
        wanted = _of_each_state(query, columns)
    names = {book.id: book.server for book in connection.execute(select(books))}
    rows = [{**row, "server": names.get(row["book"], "")} for row in connection.execute(wanted).mappings()]
    counted = select(purchases.c.id).where(purchases.c.state.in_(query.states), *query.conditions)
    count = select(func.count()).select_from(counted.limit(MOST_COUNTED + 1).subquery())
    return Found(rows, connection.execute(count).scalar_one())


def _of_each_state(query: Query, columns: list[Any]) -> Any:
    """Return the first of each state, and of them the first: the index is of state and time."""

    def first(state: str) -> Select[Any]:
        chosen = (
            select(*columns).where(purchases.c.state == state, *query.conditions).order_by(*query.order(purchases.c))
        )
        return select(chosen.limit(query.limit).subquery())

    together = union_all(*map(first, query.states)).subquery()
    return select(together).order_by(*query.order(together.c)).limit(query.limit)


def events_of(connection: Connection, key: str) -> list[dict[str, Any]]:
    """Return the events of a purchase, the first one first."""
    wanted = select(events).where(events.c.purchase == id_of(key)).order_by(events.c.book, events.c.seq)
    return [dict(row) for row in connection.execute(wanted).mappings()]


def prune(connection: Connection, before: float) -> int:
    """
    Remove the records of some purchases that were delivered before a moment; return how many.

    Their rows stay, so that a task that is run again is stopped; so do their orders, their events, and a total.
    """
    columns = [purchases.c[name] for name in ("id", "book", "product", "currency", "paid_cents", "changed_at")]
    delivered = is_prunable(before)
    wanted = select(*columns).where(*delivered).order_by(purchases.c.changed_at).limit(PRUNED_AT_ONCE)
    rows = connection.execute(wanted.with_for_update()).all()
    counts: Counter[tuple[Any, ...]] = Counter()
    cents: Counter[tuple[Any, ...]] = Counter()
    for row in rows:
        month = datetime.fromtimestamp(row.changed_at, timezone.utc).strftime("%Y-%m")
        group = (row.book, month, row.product, row.currency or "")
        counts[group] += 1
        cents[group] += row.paid_cents or 0
    for group, count in counts.items():
        _add(connection, group, count, cents[group])
    pruned = purchases.c.id.in_([row.id for row in rows])
    connection.execute(
        update(purchases).where(pruned).values(state=PRUNED, record=b"", version=purchases.c.version + 1)
    )
    return len(rows)


def _add(connection: Connection, group: tuple[Any, ...], count: int, cents: int) -> None:
    names = ("book", "month", "product", "currency")
    own = [totals.c[name] == value for name, value in zip(names, group, strict=True)]
    more = {"purchases": totals.c.purchases + count, "cents": totals.c.cents + cents}
    if not connection.execute(update(totals).where(*own).values(more)).rowcount:
        row = dict(zip(names, group, strict=True))
        connection.execute(insert(totals).values(**row, purchases=count, cents=cents))


def totals_of(connection: Connection) -> list[dict[str, Any]]:
    """Return what was paid by purchases that were pruned, by book, month, product and currency."""
    return [dict(row) for row in connection.execute(select(totals)).mappings()]
