"""
Reservation: the condition on which an intent may be stored, and what a store has counted when it decides on it.

A store that counts money decides in the same transaction that stores the intent. So of two purchases that both want the
last of a limit, one is refused, wherever they run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.endpoint import is_tencents, server_name
from airflow_provider_tcbilling.api.text import amount
from airflow_provider_tcbilling.purchasing.limits import DEFAULT_ZONE, Limit, Window
from airflow_provider_tcbilling.purchasing.money_errors import (
    AmountUnknown,
    BalanceTooLow,
    LimitReached,
    MixedCurrencies,
    PriceBlocked,
)
from airflow_provider_tcbilling.purchasing.prices import Price
from airflow_provider_tcbilling.purchasing.record import SPENDING_ACTIONS, Record, State

BALANCE_SECONDS = 60.0
"""Seconds before the balance was read from when on a purchase may not be paid in it yet."""


@dataclass(frozen=True)
class Counted:
    """
    What a limit has counted in its window, but for the purchase that asks.

    :param settled: Cents of purchases whose price is known.
    :param reserved: Cents that purchases reserve whose price is not known yet.
    :param unknown: Purchases that have neither a price nor a reservation.
    :param foreign: Purchases in another currency than the limit's.
    """

    limit: Limit
    settled: int = 0
    reserved: int = 0
    unknown: int = 0
    foreign: int = 0


@dataclass(frozen=True)
class Usage:
    """
    What a store has counted for a reservation.

    :param counted: For each of its limits.
    :param under_way: Cents of purchases that the balance may not show yet.
    :param unknown: How many of these have no known price.
    :param blocked_cents: As :attr:`.Price.blocked_cents`.
    """

    counted: Sequence[Counted] = ()
    under_way: int = 0
    unknown: int = 0
    blocked_cents: int | None = None


@dataclass(frozen=True)
class Reservation:
    """
    What one purchase reserves, and the rules that must hold then.

    :param key: The purchase. Its own earlier reservation does not count beside it.
    :param cents: The most that it may cost, in 1/100 of *currency*; ``None`` if no limit needs to know it.
    :param limits: The limits that count it.
    :param server: The name of the API's server.
    :param account: Its account; empty if it is not known, so that purchases of every account count.
    :param origin: The origin of the purchase; with *run* what a limit of a run counts together.
    :param balance: Cents that the account could spend at *balance_at*, in epoch seconds.
    :param least_balance: Cents that must stay; ``None`` if nothing must.
    """

    key: str
    cents: int | None
    currency: str
    limits: tuple[Limit, ...] = ()
    zone: str = DEFAULT_ZONE
    server: str = ""
    account: str = ""
    product: str = ""
    origin: str = ""
    run: str = ""
    price_key: str = ""
    balance: int = 0
    balance_at: float = 0.0
    least_balance: int | None = None

    @property
    def recent_since(self) -> float:
        """Epoch seconds from when on a change of a purchase may not show in the balance."""
        return math.inf if self.least_balance is None else self.balance_at - BALANCE_SECONDS

    def check(self, usage: Usage, now: float, reserved_by: Callable[[Limit], Sequence[str]]) -> None:
        """
        Raise unless the purchase may be started.

        :param now: Epoch seconds of the ledger's clock.
        :param reserved_by: Returns in words the purchases whose price a limit does not know yet.
        :raises MoneyRefused: It may not. The ledger stays as it was.
        """
        if usage.blocked_cents is not None:
            raise PriceBlocked(amount(usage.blocked_cents, self.currency), self.price_key)
        for counted in usage.counted:
            self._check_limit(counted, now, reserved_by)
        if self.least_balance is not None:
            self._check_balance(usage, self.least_balance)

    def _check_limit(self, counted: Counted, now: float, reserved_by: Callable[[Limit], Sequence[str]]) -> None:
        limit, needed = counted.limit, self.cents or 0
        _, ends = limit.span(now, self.zone)
        facts: dict[str, Any] = {"ends": ends if ends < math.inf else None, "zone": self.zone}
        sums = (limit, counted.settled, counted.reserved, needed)
        if counted.foreign or limit.currency != self.currency:
            raise MixedCurrencies(
                f"Nothing was sent: limit {limit.name!r} is in {limit.currency}, and this purchase, or one in its "
                f"window, is in another currency ({self.currency or 'not known'})."
            )
        if counted.unknown:
            raise AmountUnknown(*sums, by=reserved_by(limit), **facts)
        if counted.settled + counted.reserved + needed > limit.max_cents:
            raise LimitReached(*sums, by=reserved_by(limit), **facts)

    def _check_balance(self, usage: Usage, least: int) -> None:
        left = self.balance - usage.under_way
        if usage.unknown or left - (self.cents or 0) < least:
            texts = [amount(cents, self.currency) for cents in (left, self.cents or 0, least)]
            raise BalanceTooLow(*texts, has_unknown=bool(usage.unknown))

    def concerns(self, record: Record) -> bool:
        """Whether another purchase counts beside this one: of the same server, and perhaps of the same account."""
        return (
            record.key != self.key
            and record.action in SPENDING_ACTIONS
            and record.state is not State.DECLINED
            and self._is_of_this_account(record)
        )

    def _is_of_this_account(self, record: Record) -> bool:
        server, accounts = server_name(record.endpoint), {record.account, self.account} - {""}
        if server == self.server:
            return len(accounts) <= 1
        is_same = bool(record.account) and record.account == self.account
        return is_same and is_tencents(server) and is_tencents(self.server)


def usage_of(reservation: Reservation, records: Iterable[Record], now: float, blocked: int | None = None) -> Usage:
    """Count records for a reservation, as a store does that cannot ask a database."""
    beside = [record for record in records if reservation.concerns(record)]
    counted = []
    for limit in reservation.limits:
        begin, _ = limit.span(now, reservation.zone)
        scope = [record for record in beside if _is_in(limit, reservation, record, begin)]
        mine = [record for record in scope if record.counted_currency in ("", limit.currency)]
        counted.append(
            Counted(
                limit,
                sum(record.settled_cents or 0 for record in mine),
                sum(record.counted_cents or 0 for record in mine if record.settled_cents is None),
                sum(record.counted_cents is None for record in mine),
                len(scope) - len(mine),
            )
        )
    recent = [record for record in beside if is_under_way(record, reservation.recent_since)]
    return Usage(
        counted,
        sum(record.counted_cents or 0 for record in recent),
        sum(record.counted_cents is None for record in recent),
        blocked,
    )


def price_of(records: Iterable[Record], server: str, account: str, price_key: str, accepted: int) -> Price:
    """Return what records tell of a price, as a store does that cannot ask a database."""
    of_it = Reservation("", None, "", server=server, account=account)
    same = [record for record in records if price_key and record.price_key == price_key and of_it.concerns(record)]
    # Nothing is no price: an order that was never paid has it, and the next one may cost something.
    priced = [record for record in same if record.gross_cents]
    currency = max(priced, key=lambda record: record.counts_from).counted_currency if priced else ""
    prices = [record.gross_cents or 0 for record in priced if record.counted_currency == currency]
    overruns = [record.gross_cents or 0 for record in same if record.is_overrun]
    return Price(
        max(prices, default=None), currency, max((cents for cents in overruns if cents > accepted), default=None)
    )


def is_under_way(record: Record, since: float) -> bool:
    """Whether the balance may not show a purchase yet."""
    return since < math.inf and (record.state.may_have_an_order or record.changed_at >= since)


def _is_in(limit: Limit, reservation: Reservation, record: Record, begin: float) -> bool:
    if limit.window is Window.ORDER or record.counts_from < begin:
        return False
    origin, run = record.placed_by.get("dag_id") or "", record.placed_by.get("run_id") or ""
    is_of_run = (origin, run) == (reservation.origin, reservation.run) or limit.window is not Window.RUN
    # A record that a user made has no request, so it may be of each product.
    return is_of_run and limit.counts(record.payload.get("ProductCode") or limit.product, origin)
