"""Reservations of a ledger in a database: what its purchases count beside one, in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, case, func, literal_column, null, or_, select, union_all

from airflow_provider_tcbilling.api.text import amount, folded, harmless
from airflow_provider_tcbilling.ledger.database_rows import OPEN, id_of
from airflow_provider_tcbilling.ledger.database_tables import books, prices, purchases
from airflow_provider_tcbilling.purchasing.limits import Window
from airflow_provider_tcbilling.purchasing.prices import Price
from airflow_provider_tcbilling.purchasing.record import SPENDING_ACTIONS, State
from airflow_provider_tcbilling.purchasing.reservation import Counted, Usage

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row
    from sqlalchemy.sql import ColumnElement

    from airflow_provider_tcbilling.purchasing.limits import Limit
    from airflow_provider_tcbilling.purchasing.reservation import Reservation

_ROW = purchases.c

MOST_READ = 100
"""Purchases that are read for a message, which names fewer."""


def check(connection: Connection, reservation: Reservation, now: float) -> None:
    """
    Raise unless a reservation holds at this moment.

    :raises MoneyRefused: It does not. The transaction must be rolled back.
    """
    usage = usage_of(connection, reservation, now)
    reservation.check(usage, now, lambda limit: open_in(connection, reservation, limit, now))


def usage_of(connection: Connection, reservation: Reservation, now: float) -> Usage:
    """Return what counts beside a reservation: one statement, in which each limit reads its own part of an index."""
    scopes = {limit: _in_window(limit, reservation, now) for limit in reservation.limits}
    beside = _beside(reservation)
    parts = [
        _sums_of(place, beside, scope, limit)
        for place, (limit, scope) in enumerate(scopes.items(), 2)
        if scope is not None
    ]
    if reservation.least_balance is not None:
        parts.append(_sums_of(1, beside, _under_way(reservation.recent_since)))
    blocked = _blocked(reservation.server, reservation.account, reservation.price_key)
    wanted = union_all(select(_number(0), blocked, _number(0), _number(0), _number(0)), *parts)
    rows = {row[0]: [None if cents is None else int(cents) for cents in row[1:]] for row in connection.execute(wanted)}
    sums = {place: [cents or 0 for cents in row] for place, row in rows.items()}
    counted = [Counted(limit, *sums.get(place, ())) for place, limit in enumerate(scopes, 2)]
    _, under_way, unknown, _ = sums.get(1, (0, 0, 0, 0))
    return Usage(counted, under_way, unknown, rows[0][0])


def _sums_of(place: int, beside: ColumnElement[bool], scope: ColumnElement[bool], limit: Limit | None = None) -> Any:
    """Return the query of the numbers of :class:`.Counted`, after a place; without a limit, those of the balance."""
    is_settled, is_foreign = _ROW.gross_cents.is_not(None), _ROW.counted_currency.not_in(("", limit and limit.currency))
    # The balance may not show what was paid a moment ago either, so it counts as reserved.
    reserved = case((is_settled, 0), else_=_ROW.counted_cents) if limit else _ROW.counted_cents
    unknown, foreign = (case((condition, 1), else_=0) for condition in (_ROW.counted_cents.is_(None), is_foreign))
    summed = (_ROW.gross_cents, reserved, unknown, foreign)
    return select(_number(place), *map(func.sum, summed)).select_from(purchases).where(beside, scope)


def _number(number: int) -> Any:
    return literal_column(str(number))


def open_in(connection: Connection, reservation: Reservation, limit: Limit, now: float) -> list[str]:
    """
    Return in words the purchases in the window of a limit.

    Those whose price nothing tells come first, then those that reserve, then those that are settled, the largest first.
    """
    scope = _in_window(limit, reservation, now)
    if scope is None:
        return []
    columns = (_ROW.key, _ROW.counted_cents, _ROW.counted_currency, _ROW.gross_cents, _ROW.order_id)
    wanted = select(*columns).where(_beside(reservation), scope)
    is_known, is_settled = (case((column.is_(None), 0), else_=1) for column in (_ROW.counted_cents, _ROW.gross_cents))
    rows = connection.execute(wanted.order_by(is_known, is_settled, _ROW.counted_cents.desc()).limit(MOST_READ)).all()
    return [f"{_counted(row)} by {harmless(row.key, 200)}, {_order(row.order_id)}" for row in rows]


def _counted(row: Row[Any]) -> str:
    if row.counted_cents is None:
        return "an unknown amount"
    return f"{amount(row.counted_cents, row.counted_currency)} {'reserved' if row.gross_cents is None else 'paid'}"


def _order(order_id: str | None) -> str:
    return f"order {order_id}" if order_id else "no order is known"


def price_of(connection: Connection, server: str, account: str, price_key: str) -> Price:
    """Return what is remembered of a price."""
    if not price_key:
        return Price()
    same = and_(of_account(server, account), *_priced(price_key))
    latest = func.max(_ROW.counted_at)
    by_currency = select(_ROW.counted_currency, func.max(_ROW.gross_cents), latest).where(same)
    rows = connection.execute(by_currency.group_by(_ROW.counted_currency).order_by(latest.desc())).all()
    blocked = connection.execute(select(_blocked(server, account, price_key))).scalar()
    return Price(rows[0][1], rows[0][0], blocked) if rows else Price(blocked_cents=blocked)


def _blocked(server: str, account: str, price_key: str) -> Any:
    """Return the query of the highest price above its reservation that no user has accepted."""
    if not price_key:
        return null()
    of = (prices.c.server == server, prices.c.price_key == price_key, prices.c.account.in_(("", account)))
    accepted = select(func.max(prices.c.accepted_cents)).where(*of).scalar_subquery()
    other = purchases.alias("overrun")
    row = other.c
    overrun = select(func.max(row.overrun_cents)).where(
        row.price_key == price_key,
        row.state != State.DECLINED.value,
        row.book.in_(select(books.c.id).where(books.c.server == server)),
        *([row.account.in_(("", account))] if account else []),
        row.overrun_cents > func.coalesce(accepted, -1),
    )
    return overrun.scalar_subquery()


def _priced(price_key: str) -> tuple[ColumnElement[bool], ...]:
    # Nothing is no price: an order that was never paid has it, and the next one may cost something.
    return _ROW.price_key == price_key, _ROW.gross_cents > 0, _ROW.state != State.DECLINED.value


def _beside(reservation: Reservation) -> ColumnElement[bool]:
    """Return the condition of the purchases that may count beside a reservation."""
    return and_(
        of_account(reservation.server, reservation.account),
        _ROW.id != id_of(reservation.key),
        _ROW.action.in_(SPENDING_ACTIONS),
        _ROW.state != State.DECLINED.value,
    )


def of_account(server: str, account: str) -> ColumnElement[bool]:
    """Return the condition of the purchases at a server, without those that are surely of another account."""
    at_server = _ROW.book.in_(select(books.c.id).where(books.c.server == server))
    return and_(at_server, _ROW.account.in_(("", account))) if account else at_server


def _in_window(limit: Limit, reservation: Reservation, now: float) -> ColumnElement[bool] | None:
    """Return the condition of the purchases that a limit counts; ``None`` if it counts each by itself."""
    if limit.window is Window.ORDER:
        return None
    begin, _ = limit.span(now, reservation.zone)
    if limit.window is Window.RUN:
        conditions = [_ROW.run == reservation.run, _ROW.dag_id == reservation.origin]
    else:
        conditions = [_ROW.counted_at >= begin]
    if limit.product:
        # A record that a user made has no request, so it may be of each product.
        conditions.append(func.lower(_ROW.product).in_(("", folded(limit.product))))
    if limit.origin:
        conditions.append(_ROW.dag_id == limit.origin)
    return and_(*conditions)


def _under_way(since: float) -> ColumnElement[bool]:
    """Return the condition of the purchases that the balance may not show yet."""
    return or_(_ROW.state.in_(OPEN), _ROW.changed_at >= since)
