"""The memory of prices of a ledger in a database: how many price keys are known, and which are blocked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import and_, distinct, func, select

from airflow_provider_tcbilling.ledger.database_reservations import of_account
from airflow_provider_tcbilling.ledger.database_tables import prices, purchases
from airflow_provider_tcbilling.purchasing.record import State

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_ROW = purchases.c


@dataclass(frozen=True)
class PriceMemory:
    """
    The prices that a ledger remembers.

    :param known: How many price keys have a price.
    :param blocked: Price keys with the highest price that no user has accepted, in cents, and its currency.
    """

    known: int
    blocked: tuple[tuple[str, int, str], ...] = ()


def price_memory(connection: Connection, server: str, account: str) -> PriceMemory:
    """
    Return the prices of an account at a server.

    :param account: Empty for those of all accounts.
    """
    mine = and_(of_account(server, account), _ROW.price_key != "", _ROW.state != State.DECLINED.value)
    known = connection.execute(
        select(func.count(distinct(_ROW.price_key))).where(mine, _ROW.gross_cents > 0)
    ).scalar_one()
    accepted = (
        select(func.max(prices.c.accepted_cents))
        .where(prices.c.server == server, prices.c.price_key == _ROW.price_key, prices.c.account.in_(("", account)))
        .correlate(purchases)
        .scalar_subquery()
    )
    blocked = connection.execute(
        select(_ROW.price_key, func.max(_ROW.overrun_cents), func.max(_ROW.counted_currency))
        .where(mine, _ROW.overrun_cents > func.coalesce(accepted, -1))
        .group_by(_ROW.price_key)
        .order_by(func.max(_ROW.overrun_cents).desc(), _ROW.price_key)
    ).all()
    return PriceMemory(int(known), tuple((key, int(cents), currency) for key, cents, currency in blocked))
