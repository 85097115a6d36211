"""Lookup in a ledger in a database: the records that a command line asks for, without reading all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from airflow_provider_tcbilling.ledger.database_tables import purchases
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.record import State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

KEYS_AT_ONCE = 5_000


@dataclass(frozen=True)
class Sum:
    """Purchases of one currency, and what was paid for them."""

    currency: str | None
    purchases: int
    cents: int


def delivered_before(connection: Connection, before: float) -> list[Sum]:
    """Return how many purchases were delivered and changed last before a moment, by currency."""
    columns = (purchases.c.currency, func.count(), func.coalesce(func.sum(purchases.c.paid_cents), 0))
    wanted = select(*columns).where(purchases.c.state == State.DELIVERED.value, purchases.c.changed_at < before)
    rows = connection.execute(wanted.group_by(purchases.c.currency).order_by(purchases.c.currency))
    return [Sum(currency, int(count), int(cents)) for currency, count, cents in rows]
