"""Reservations of a ledger in a database: what its purchases count beside one, in one statement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import String, and_, bindparam, case, func, literal_column, null, or_, select, union_all

from airflow_provider_tcbilling.api.endpoint import API_DOMAIN, is_tencents
from airflow_provider_tcbilling.api.text import amount, folded, harmless
from airflow_provider_tcbilling.ledger.database_rows import OPEN, id_of
from airflow_provider_tcbilling.ledger.database_statements import Prepared
from airflow_provider_tcbilling.ledger.database_tables import books, prices, purchases
from airflow_provider_tcbilling.purchasing.limits import Window
from airflow_provider_tcbilling.purchasing.prices import Price
from airflow_provider_tcbilling.purchasing.record import SPENDING_ACTIONS, State
from airflow_provider_tcbilling.purchasing.reservation import Counted, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy.engine import Connection, Row
    from sqlalchemy.sql import ColumnElement

    from airflow_provider_tcbilling.purchasing.limits import Limit
    from airflow_provider_tcbilling.purchasing.reservation import Reservation

_ROW = purchases.c

MOST_READ = 100
"""Purchases that are read for a message, which names fewer."""

_UNDER_WAY = 1
"""The place of the numbers of the balance; those of the limits follow it."""


@dataclass(frozen=True)
class Scope:
    """The form of the condition of what a limit counts. Its values are named after its place."""

    place: int
    is_run: bool
    has_product: bool
    has_origin: bool


def check(connection: Connection, reservation: Reservation, now: float) -> None:
    """
    Raise unless a reservation holds at this moment.

    :raises MoneyRefused: It does not. The transaction must be rolled back.
    """
    usage = usage_of(connection, reservation, now)
    reservation.check(usage, now, lambda limit: open_in(connection, reservation, limit, now))


def usage_of(connection: Connection, reservation: Reservation, now: float) -> Usage:
    """Return what counts beside a reservation: one statement, in which each limit reads its own part of an index."""
    scopes = _scopes_of(reservation)
    has_balance = reservation.least_balance is not None
    statement = _usage(scopes, bool(reservation.account), bool(reservation.price_key), has_balance)
    found = statement.on(connection, _values_of(reservation, now)).all()
    rows = {row[0]: [None if cents is None else int(cents) for cents in row[1:]] for row in found}
    sums = {place: [cents or 0 for cents in row] for place, row in rows.items()}
    counted = [Counted(limit, *sums.get(place, ())) for place, limit in enumerate(reservation.limits, _UNDER_WAY + 1)]
    _, under_way, unknown, _ = sums.get(_UNDER_WAY, (0, 0, 0, 0))
    return Usage(counted, under_way, unknown, rows[0][0])


def open_in(connection: Connection, reservation: Reservation, limit: Limit, now: float) -> list[str]:
    """
    Return in words the purchases in the window of a limit.

    Those whose price nothing tells come first, then those that reserve, then those that are settled, the largest first.
    """
    place = reservation.limits.index(limit) + _UNDER_WAY + 1
    scope = next((scope for scope in _scopes_of(reservation) if scope.place == place), None)
    if scope is None:
        return []
    columns = (_ROW.key, _ROW.counted_cents, _ROW.counted_currency, _ROW.gross_cents, _ROW.order_id)
    wanted = select(*columns).where(_beside(bool(reservation.account)), _in_window(scope))
    is_known, is_settled = (case((column.is_(None), 0), else_=1) for column in (_ROW.counted_cents, _ROW.gross_cents))
    wanted = wanted.order_by(is_known, is_settled, _ROW.counted_cents.desc()).limit(MOST_READ)
    rows = connection.execute(wanted, _values_of(reservation, now)).all()
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
    values = {"server": server, "account": account, "price_key": price_key, "others": _others(server)}
    rows = _prices(bool(account)).on(connection, values).all()
    if rows:
        return Price(rows[0][1], rows[0][0], rows[0][3])
    return Price(blocked_cents=_block(bool(account)).on(connection, values).scalar())


def _scopes_of(reservation: Reservation) -> tuple[Scope, ...]:
    """Return the scopes of the limits that count more than the purchase itself."""
    return tuple(
        Scope(place, limit.window is Window.RUN, bool(limit.product), bool(limit.origin))
        for place, limit in enumerate(reservation.limits, _UNDER_WAY + 1)
        if limit.window is not Window.ORDER
    )


def _values_of(reservation: Reservation, now: float) -> dict[str, Any]:
    """Return the values of the statements of a reservation, by name."""
    values: dict[str, Any] = {
        "own": id_of(reservation.key),
        "server": reservation.server,
        "account": reservation.account,
        "others": _others(reservation.server),
        "price_key": reservation.price_key,
        "run": reservation.run,
        "run_origin": reservation.origin,
    }
    if reservation.least_balance is not None:
        values["recent_since"] = reservation.recent_since
    for place, limit in enumerate(reservation.limits, _UNDER_WAY + 1):
        if limit.window in (Window.DAY, Window.MONTH):
            values[f"begin_{place}"], _ = limit.span(now, reservation.zone)
        values[f"product_{place}"], values[f"origin_{place}"] = folded(limit.product), limit.origin
        values[f"currency_{place}"] = limit.currency
    return values


@lru_cache(256)
def _usage(scopes: tuple[Scope, ...], has_account: bool, has_price_key: bool, has_balance: bool) -> Prepared:
    """Return the statement of a form of reservations: it is built once, as a purchase must not wait for that."""
    beside = _beside(has_account)
    parts = [_sums_of(scope.place, beside, _in_window(scope), f"currency_{scope.place}") for scope in scopes]
    if has_balance:
        parts.append(_sums_of(_UNDER_WAY, beside, _under_way()))
    blocked = _blocked(has_account) if has_price_key else null()
    first = select(_number(0), blocked, _number(0), _number(0), _number(0))
    return Prepared(union_all(first, *parts) if parts else first)


@lru_cache(2)
def _prices(has_account: bool) -> Prepared:
    latest = func.max(_ROW.counted_at)
    # Nothing is no price: an order that was never paid has it, and the next one may cost something.
    same = (_ROW.price_key == bindparam("price_key"), _ROW.gross_cents > _number(0), _ROW.state != _text(_DECLINED))
    by_currency = select(_ROW.counted_currency, func.max(_ROW.gross_cents), latest, _blocked(has_account))
    by_currency = by_currency.where(_of_account(has_account), *same)
    return Prepared(by_currency.group_by(_ROW.counted_currency).order_by(latest.desc()))


@lru_cache(2)
def _block(has_account: bool) -> Prepared:
    return Prepared(select(_blocked(has_account)))


def _sums_of(place: int, beside: ColumnElement[bool], scope: ColumnElement[bool], currency: str = "") -> Any:
    """
    Return the query of the numbers of :class:`.Counted`, after a place.

    :param currency: The name of the currency of the limit; without one they are the numbers of the balance.
    """
    is_unknown = _ROW.counted_cents.is_(None)
    numbers: list[Any]
    if currency:
        is_settled = _ROW.gross_cents.is_not(None)
        is_foreign = and_(_ROW.counted_currency != _text(""), _ROW.counted_currency != bindparam(currency))
        numbers = [
            case((is_foreign, _number(0)), else_=_ROW.gross_cents),
            case((or_(is_foreign, is_settled), _number(0)), else_=_ROW.counted_cents),
            case((and_(~is_foreign, is_unknown), _number(1)), else_=_number(0)),
            case((is_foreign, _number(1)), else_=_number(0)),
        ]
    else:
        # The balance may not show what was paid a moment ago either, so it counts as reserved.
        unknown = case((is_unknown, _number(1)), else_=_number(0))
        numbers = [_ROW.gross_cents, _ROW.counted_cents, unknown, _number(0)]
    return select(_number(place), *map(func.sum, numbers)).select_from(purchases).where(beside, scope)


def _blocked(has_account: bool) -> Any:
    """Return the query of the highest price above its reservation that no user has accepted."""
    names = ("server", "price_key", "account")
    server, price_key, account = (bindparam(name, type_=String()) for name in names)
    of_account = or_(prices.c.account == _text(""), prices.c.account == account)
    of = (prices.c.server == server, prices.c.price_key == price_key, of_account)
    accepted = select(func.max(prices.c.accepted_cents)).where(*of).scalar_subquery()
    other = purchases.alias("overrun")
    row = other.c
    overrun = select(func.max(row.overrun_cents)).where(
        row.price_key == price_key,
        row.state != _text(_DECLINED),
        _of_account(has_account, row),
        row.overrun_cents > func.coalesce(accepted, _number(-1)),
    )
    return overrun.scalar_subquery()


def _beside(has_account: bool) -> ColumnElement[bool]:
    """Return the condition of the purchases that may count beside a reservation."""
    return and_(
        _of_account(has_account),
        _ROW.id != bindparam("own"),
        _is_one_of(_ROW.action, SPENDING_ACTIONS),
        _ROW.state != _text(_DECLINED),
    )


def of_account(server: str, account: str) -> ColumnElement[bool]:
    """
    Return the condition of the purchases at a server, without those that are surely of another account.

    Tencent's servers have several names, and an account is the same one at all of them.
    """
    return _of_account(bool(account), _ROW, {"server": server, "account": account, "others": _others(server)})


def _of_account(has_account: bool, row: Any = _ROW, values: Mapping[str, Any] | None = None) -> ColumnElement[bool]:
    """Return the same condition, with names in place of values that are not given."""
    server, account, others = (
        bindparam(name, type_=String()) if values is None else values[name] for name in ("server", "account", "others")
    )
    at_server: ColumnElement[bool] = row.book.in_(select(books.c.id).where(books.c.server == server))
    if not has_account:
        return at_server
    mine = and_(at_server, or_(row.account == _text(""), row.account == account))
    at_another = row.book.in_(select(books.c.id).where(books.c.server.like(others)))
    return or_(mine, and_(at_another, row.account == account))


def _others(server: str) -> str:
    """Return the pattern of the names of all servers at which an account is the same one; else one of no server."""
    return f"%{API_DOMAIN}" if is_tencents(server) else "-"


def _in_window(scope: Scope) -> ColumnElement[bool]:
    """Return the condition of the purchases that a limit counts."""
    if scope.is_run:
        conditions = [_ROW.run == bindparam("run"), _ROW.dag_id == bindparam("run_origin")]
    else:
        conditions = [_ROW.counted_at >= bindparam(f"begin_{scope.place}")]
    if scope.has_product:
        # A record that a user made has no request, so it may be of each product.
        product = func.lower(_ROW.product)
        conditions.append(or_(product == _text(""), product == bindparam(f"product_{scope.place}")))
    if scope.has_origin:
        conditions.append(_ROW.dag_id == bindparam(f"origin_{scope.place}"))
    return and_(*conditions)


def _under_way() -> ColumnElement[bool]:
    """Return the condition of the purchases that the balance may not show yet."""
    return or_(_is_one_of(_ROW.state, OPEN), _ROW.changed_at >= bindparam("recent_since"))


_DECLINED = State.DECLINED.value


def _is_one_of(column: Any, values: Iterable[str]) -> ColumnElement[bool]:
    return or_(*(column == _text(value) for value in values))


def _text(value: str) -> Any:
    """Return a constant of this package as a text in a statement."""
    return literal_column(f"'{value}'")


def _number(number: int) -> Any:
    return literal_column(str(number))
