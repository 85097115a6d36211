"""
Alike: orders of the same thing that were made close together, which may be one order too many.

It is a hint and no difference: a task that is mapped buys ten of a kind within seconds, and means it. Renewals are left
out, since a list of so many orders does not name their instances; the renewals of one instance have one record each.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.api.models import DealStatus
from airflow_provider_tcbilling.api.text import folded
from airflow_provider_tcbilling.api.values import DealAction

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.reports import Line

CLOSE = 600.0
"""Seconds. A repeat follows its first request within minutes."""

_GONE = frozenset({DealStatus.REFUNDED, DealStatus.CLOSED, DealStatus.EXPIRED, DealStatus.PAYMENT_REFUSED})
"""Statuses of an order that is nobody's problem any more."""


def close_together(lines: Iterable[Line]) -> Iterator[tuple[Line, ...]]:
    """Yield the purchases of one thing of which each was made within ten minutes of the one before."""
    groups: dict[tuple[object, ...], list[Line]] = defaultdict(list)
    for line in lines:
        if line.deals and line.at is not None and all(_is_bought(line, place) for place in range(len(line.deals))):
            groups[_thing(line)].append(line)
    for group in groups.values():
        for row in _rows(sorted(group, key=lambda line: (line.at or 0.0, line.order_id))):
            if len(row) > 1 and not _differ(row):
                yield tuple(row)


def _is_bought(line: Line, place: int) -> bool:
    deal = line.deals[place]
    return deal.action == DealAction.PURCHASE and deal.status not in _GONE


def _thing(line: Line) -> tuple[object, ...]:
    """Return what the order book shows of the thing that was bought."""
    deal = line.deals[0]
    codes = (folded(deal.product_code), folded(deal.sub_product_code), folded(deal.zone_code))
    length = (deal.time_span, folded(deal.time_unit), deal.project_id)
    return (*codes, *length, len(line.deals), line.book_cents, line.currency)


def _rows(group: Sequence[Line]) -> Iterator[list[Line]]:
    """Yield the runs of lines of which each is close to the one before."""
    row: list[Line] = []
    for line in group:
        if row and (line.at or 0.0) - (row[-1].at or 0.0) > CLOSE:
            yield row
            row = []
        row.append(line)
    yield row


def _differ(row: Sequence[Line]) -> bool:
    """Whether the ledger shows that no two orders are of one thing: it knows more of a request than the order book."""
    things = [line.entry.thing for line in row if line.entry and line.entry.thing]
    return len(things) == len(row) == len(set(things))
