"""Summary: the sums of a report, by currency, day and product, and the report as plain JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_tcbilling.api.models import unique
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.ledger.reports import Kind, Line, Report

UNKNOWN_DAY = "day not known"


@dataclass
class Sums:
    """
    Sums of lines of one currency, in 1/100 of it.

    :param settled_cents: The sum of the purchases whose price the ledger knows.
    :param reserved_cents: The sum of the reservations of purchases without a price.
    :param nobody_cents: The cost of orders that no purchase has.
    :param refunded_cents: The money that came back.
    :param book_cents: The cost of all orders that the order book lists, without refunds.
    """

    settled_cents: int = 0
    reserved_cents: int = 0
    nobody_cents: int = 0
    refunded_cents: int = 0
    book_cents: int = 0

    @property
    def shown_cents(self) -> int:
        """The settled, the reserved and the ownerless amounts together."""
        return self.settled_cents + self.reserved_cents + self.nobody_cents

    def add(self, line: Line) -> None:
        """Add a line. An amount that is not known adds nothing."""
        if line.kind is Kind.REFUND or (line.entry and line.entry.is_refund):
            self.refunded_cents += abs(line.book_cents or 0)
            return
        if line.kind is Kind.UNCHARGED:
            return
        self.book_cents += line.book_cents or 0
        self.nobody_cents += (line.book_cents or 0) if line.entry is None else 0
        self.settled_cents += line.ledger_cents or 0
        if line.entry and line.ledger_cents is None:
            self.reserved_cents += line.reserved_cents or line.book_cents or 0


def creator_of(line: Line) -> str:
    """Return the users that placed an order which nobody owns, as the order book writes them; empty for others."""
    deals = line.deals if line.kind is Kind.NOBODY else ()
    users = unique(harmless(deal.shown["Creator"], 60) for deal in deals if deal.shown.get("Creator"))
    return f"placed by user {', '.join(users)}" if users else ""


def sums_of(lines: Iterable[Line]) -> Sums:
    """Return the sums of some lines of one currency."""
    sums = Sums()
    for line in lines:
        sums.add(line)
    return sums


def by_currency(lines: Iterable[Line]) -> dict[str, list[Line]]:
    """Return the lines of each currency; the one with the most lines comes first."""
    groups: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        groups[line.currency].append(line)
    return dict(sorted(groups.items(), key=lambda group: (-len(group[1]), group[0])))


def totals_of(report: Report) -> dict[str, Sums]:
    """Return the sums of each currency; an empty name is a currency that is not known."""
    return {currency: sums_of(lines) for currency, lines in by_currency(report.lines).items()}


def by_day(report: Report, lines: Iterable[Line]) -> dict[str, Sums]:
    """Return the sums of each day of the span, in its zone, also of those without a line."""
    days = {day: Sums() for day in report.span.days()}
    for line in lines:
        day = UNKNOWN_DAY if line.at is None else report.span.day_of(line.at)
        days.setdefault(day, Sums()).add(line)
    return days


def by_product(lines: Iterable[Line]) -> dict[str, Sums]:
    """Return the sums of each product, the most expensive one first."""
    products = _grouped(lines, lambda line: line.product or "not known")
    return dict(sorted(products.items(), key=lambda item: (-item[1].shown_cents, item[0])))


def _grouped(lines: Iterable[Line], key: Callable[[Line], str]) -> dict[str, Sums]:
    groups: dict[str, Sums] = defaultdict(Sums)
    for line in lines:
        groups[key(line)].add(line)
    return groups


def plain_report(report: Report) -> dict[str, Any]:
    """Return a report as plain JSON. Texts of the server are harmless, times are ISO 8601 in the zone of the report."""
    span = report.span
    return {
        "span": span.name,
        "zone": span.zone,
        "from": written(span.since, span.zone),
        "to": written(span.until, span.zone),
        "server": report.scope.server,
        "account": report.scope.account,
        "book_zone": report.book_zone[0],
        "book_zone_from": report.book_zone[1],
        "agrees": report.agrees,
        "counts": {kind.value: count for kind, count in report.counts.items()},
        "totals": {currency: asdict(sums) for currency, sums in totals_of(report).items()},
        "lines": [plain_line(line, span.zone) for line in report.lines],
        "close_together": [[line.order_id for line in group] for group in report.hints],
        "left_out": report.others,
        "notes": list(report.notes),
    }


def plain_line(line: Line, zone: str) -> dict[str, Any]:
    """Return a line as plain JSON."""
    return {
        "kind": line.kind.value,
        "differs": line.kind.is_difference,
        "at": None if line.at is None else written(line.at, zone),
        "order_id": line.order_id or None,
        "sub_orders": [deal.order_id for deal in line.deals],
        "status": line.status or None,
        "product": harmless(line.product) or None,
        "purchase_key": line.key or None,
        "book_cents": line.book_cents,
        "ledger_cents": line.ledger_cents,
        "reserved_cents": line.reserved_cents,
        "currency": harmless(line.currency) or None,
        "origin": dict(_origin(line)),
        "reason": harmless(line.reason) or None,
    }


def _origin(line: Line) -> Mapping[str, Any]:
    return line.entry.origin if line.entry else {}


def written(moment: float, zone: str) -> str:
    """Write a moment in a zone, as ISO 8601."""
    return datetime.fromtimestamp(int(moment), ZoneInfo(zone)).isoformat()
