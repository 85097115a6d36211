"""Lookup in a ledger in a database: the records that a command line asks for, without reading all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from airflow_provider_tcbilling.ledger.database_rows import PRUNED, written
from airflow_provider_tcbilling.ledger.database_tables import orders, purchases
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.record import State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row
    from sqlalchemy.sql import ColumnElement

KEYS_AT_ONCE = 5_000

COLUMNS = (purchases.c.id, purchases.c.record)


@dataclass(frozen=True)
class Sum:
    """Purchases of one currency, and what was paid for them."""

    currency: str | None
    purchases: int
    cents: int


def server_of(connection: Connection) -> str:
    """Return the kind and the version of the server."""
    version = ".".join(map(str, connection.dialect.server_version_info or ()))
    return f"{connection.dialect.name} {version}".strip()


def delivered_before(connection: Connection, before: float) -> list[Sum]:
    """Return how many purchases were delivered and changed last before a moment, by currency."""
    columns = (purchases.c.currency, func.count(), func.coalesce(func.sum(purchases.c.paid_cents), 0))
    wanted = select(*columns).where(*is_prunable(before))
    rows = connection.execute(wanted.group_by(purchases.c.currency).order_by(purchases.c.currency))
    return [Sum(currency, int(count), int(cents)) for currency, count, cents in rows]


def is_prunable(before: float) -> tuple[ColumnElement[bool], ...]:
    """Return the conditions of a delivered purchase that reserves nothing: without its record no price ends that."""
    reserves_nothing = or_(purchases.c.gross_cents.is_not(None), purchases.c.reserved_cents.is_(None))
    return purchases.c.state == State.DELIVERED.value, purchases.c.changed_at < before, reserves_nothing


def possible(connection: Connection, token: str, dag_id: str, order_ids: Collection[str]) -> Iterator[Row[Any]]:
    """Yield the rows of the purchases that may have a token, be of a DAG, or own an order: of the one that is given."""
    if order_ids:
        yield from _of_orders(connection, order_ids)
    elif dag_id:
        yield from _of_dag(connection, dag_id)
    else:
        yield from _of_token(connection, token)
    yield from connection.execute(select(*COLUMNS).where(purchases.c.state == ""))  # They may be any purchase.


def _of_orders(connection: Connection, order_ids: Collection[str]) -> Iterator[Row[Any]]:
    """Yield the rows of the purchases that own some orders, of any server."""
    owning = select(*COLUMNS).join(orders, orders.c.purchase == purchases.c.id).where(purchases.c.state != PRUNED)
    yield from connection.execute(owning.where(orders.c.order_id.in_([written(one, 100) for one in order_ids])))


def first_of(connection: Connection, dag_id: Any) -> float | None:
    """Return when a purchase of a DAG that has changed least lately has changed, ``None`` if there is none."""
    named = written(dag_id, 255) if isinstance(dag_id, str) else ""
    first: float | None = connection.execute(
        select(func.min(purchases.c.changed_at)).where(purchases.c.dag_id == named)
    ).scalar_one()
    return first


def _of_dag(connection: Connection, dag_id: str) -> Iterator[Row[Any]]:
    """Yield the rows of the purchases of a DAG."""
    yield from connection.execute(
        select(*COLUMNS).where(purchases.c.dag_id == written(dag_id, 255), purchases.c.state != PRUNED)
    )


def _of_token(connection: Connection, token: str) -> Iterator[Row[Any]]:
    """
    Yield the row of the purchase whose first client token this is; of every purchase if there is none.

    The first token follows from the key. A later one, after a refusal, stands only in the record.
    """
    ids = [purchase for purchase, key in _keys(connection) if client_token_for(key) == token]
    wanted = select(*COLUMNS).where(purchases.c.state != PRUNED)
    yield from connection.execute(wanted.where(purchases.c.id.in_(ids)) if ids else wanted)


def _keys(connection: Connection) -> Iterator[tuple[str, str]]:
    """Yield the id and the key of each purchase."""
    last = ""
    while True:
        wanted = select(purchases.c.id, purchases.c.key).order_by(purchases.c.id).limit(KEYS_AT_ONCE)
        rows = connection.execute(wanted.where(purchases.c.id > last) if last else wanted).all()
        yield from ((str(row.id), str(row.key)) for row in rows)
        if len(rows) < KEYS_AT_ONCE:
            return
        last = str(rows[-1].id)
