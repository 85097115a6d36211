"""
The order book as evidence: which of its orders may be what was sent.

That nothing was bought is proven only by a whole and consistent book in which every new order is another's. A book that
is silent or contradicts itself proves nothing, and counts as one that could not be read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from airflow_provider_tcbilling.api.client import DAY, DEALS_PER_PAGE, BillingClient
from airflow_provider_tcbilling.api.errors import OutcomeUnknown
from airflow_provider_tcbilling.api.models import Deal, total_of, unique
from airflow_provider_tcbilling.api.order_book import big_deal_of
from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN, readings, with_zone
from airflow_provider_tcbilling.api.text import amount, harmless
from airflow_provider_tcbilling.purchasing.match import Compared, Match, match
from airflow_provider_tcbilling.purchasing.money_action import Candidate
from airflow_provider_tcbilling.waiting.order_end import can_be_one

MAX_PAGES = 50
"""10,000 orders within hours are not searched for one: an account with so many needs a ledger."""

ROUNDED = 60.0
"""Seconds that a query asks for beside the span: an answer gives the server's clock only roughly."""


_MIDNIGHT = "00:00:00"
"""The time of a day that stands behind a date whose time was left out."""

Standing = tuple[Match, tuple[str, ...]]
"""A verdict, and the fields that are not understood."""


@dataclass(frozen=True)
class Search:
    """
    The orders of a span that are not surely another's.

    :param matching: The orders that match.
    :param unclear: The orders that cannot be told apart, with the fields that are not understood.
    """

    matching: list[Candidate] = field(default_factory=list)
    unclear: list[Candidate] = field(default_factory=list)


def search(
    client: BillingClient,
    since: float,
    until: float,
    compared: Iterable[Compared],
    listed_before: Iterable[str] = (),
) -> Search:
    """
    Search the orders that were made between two moments, as far as clocks can be trusted. It costs nothing.

    :param since: Epoch seconds.
    :param compared: What is compared of each sub-order.
    :param listed_before: Numbers of sub-orders that were listed before anything was sent, which are left out.
    :raises TcBillingError: The order book could not be read, is not whole, or contradicts itself, so nothing is known.
    """
    return searches(client, [(since, until)], compared, listed_before)[0]


def searches(
    client: BillingClient,
    spans: Sequence[tuple[float, float]],
    compared: Iterable[Compared],
    listed_before: Iterable[str] = (),
) -> list[Search]:
    """
    Search as :func:`search` does, in several spans of time and one reading of the order book.

    :param spans: Pairs of epoch seconds.
    :raises TcBillingError: As for :func:`search`.
    """
    compared, listed_before = tuple(compared), frozenset(listed_before)
    since, until = min(start for start, _ in spans), max(end for _, end in spans)
    wide = _span(client, since - ROUNDED, until + ROUNDED)
    book = whole_book(client, wide)
    span = _span(client, since, until)
    if not wide[0] <= span[0] <= span[1] <= wide[1]:
        # The first answer of all has shown how wrong our clock is.
        book = whole_book(client, span)
    return [
        _found(book, _span(client, *one), _span(client, 0.0, client.clock())[1], compared, listed_before)
        for one in spans
    ]


def _found(
    book: list[Deal],
    span: tuple[float, float],
    latest: float,
    compared: tuple[Compared, ...],
    listed_before: frozenset[str],
) -> Search:
    """Return the orders of a book that were made within a span of the server's clock."""
    found = Search()
    for group_id, deals, is_one in _orders(book):
        standings = [
            _standing(deal, span, latest, compared)
            for deal in deals
            if not (deal.order_id and deal.order_id in listed_before)
        ]
        if not is_one:
            # Whose order it is, its big deal cannot tell.
            standings = [
                (Match.CANNOT_TELL, (*names, "BigDealId")) for v, names in standings if v is not Match.OF_ANOTHER
            ]
        if any(verdict is Match.MATCHES for verdict, _ in standings):
            found.matching.append(_candidate(group_id, deals))
        elif unclear := unique(name for verdict, names in standings if verdict is Match.CANNOT_TELL for name in names):
            found.unclear.append(_candidate(group_id, deals, unclear))
    return found


def _orders(book: list[Deal]) -> Iterator[tuple[str, list[Deal], bool]]:
    """
    Yield each order with its sub-orders, and whether its big deal can be one order.

    Sub-orders that were made at different moments, or do different things, were not sent by one request. Each of them
    is an order of its own then.
    """
    groups: dict[str, list[Deal]] = defaultdict(list)
    for number, deal in enumerate(book):
        groups[deal.big_deal_id or deal.order_id or f"without a number, {number}"].append(deal)
    for group_id, deals in groups.items():
        if len(deals) == 1 or can_be_one(deals):
            yield group_id, deals, True
            continue
        alone: dict[str, list[Deal]] = defaultdict(list)
        for number, deal in enumerate(deals):
            alone[deal.order_id or f"{group_id}, {number}"].append(deal)
        yield from ((order_id, rows, False) for order_id, rows in alone.items())


def _span(client: BillingClient, since: float, until: float) -> tuple[float, float]:
    """Return what two moments of a worker's clock may be on the server's: ours is known to be off, the worker's not."""
    offs = (0.0, client.clock_offset, client.server_ahead)
    return since + min(offs) - CLOCK_MARGIN, until + max(offs) + CLOCK_MARGIN


def order_numbered(client: BillingClient, number: str) -> Candidate | None:
    """
    Return the order that a number names, be it of a sub-order or of a big deal; ``None`` if none is listed.

    :raises TcBillingError: The order book could not be read, so nothing is known.
    """
    mine = [deal for deal in client.describe_deals(order_id=number) if deal.order_id == number]
    group = big_deal_of(number, mine) or number
    deals = [deal for deal in client.describe_deals(big_deal_id=group) if deal.big_deal_id == group] or mine
    if not deals:
        return None
    found = _candidate(group, deals)
    return replace(found, order_id=found.order_id or group)


def whole_book(
    client: BillingClient, span: tuple[float, float] | None = None, *, resource_id: str | None = None
) -> list[Deal]:
    """
    Return every row of the order book within a span; a row that differs from page to page is kept in each form.

    :param span: In epoch seconds; the last 89 days if not given.
    :param resource_id: Only the orders of this instance.

    If the server lists fewer orders a page than the limit, the next pages have that smaller limit.

    :raises OutcomeUnknown: The pages do not hold as many orders as the book says that there are.
    """
    limit, total, rows = DEALS_PER_PAGE, 0, dict[tuple[str, int], Deal]()
    for page in range(MAX_PAGES):
        deals = client.describe_deals(span=span, resource_id=resource_id, page=page, limit=limit)
        total = max(total, deals.total)
        if page == 0 and 0 < len(deals) < min(limit, deals.total):
            limit = len(deals)
            deals = client.describe_deals(span=span, resource_id=resource_id, page=0, limit=limit)
        total = max(total, deals.total)
        of_page = Counter[str]()
        for deal in deals:
            row = repr(deal.shown)
            rows[row, of_page[row]] = deal
            of_page[row] += 1
        count = len({deal.order_id or row for row, deal in rows.items()})
        if count == total:
            return list(rows.values())
        if not deals or count > total:
            raise OutcomeUnknown(
                f"The order book contradicts itself: it says that there are {total} orders, and lists {count}."
            )
    raise OutcomeUnknown(f"The order book lists more than {MAX_PAGES} pages of orders of these hours.")


def _standing(deal: Deal, span: tuple[float, float], latest: float, compared: tuple[Compared, ...]) -> Standing:
    verdict, unclear = match(deal.shown, compared)
    if verdict is Match.OF_ANOTHER:
        return verdict, ()
    is_new = _is_new(deal.created_at, span, latest)
    if is_new is False:
        return Match.OF_ANOTHER, ()
    if is_new is None:
        return Match.CANNOT_TELL, (*unclear, "CreateTime")
    return verdict, unclear


def _is_new(local_time: str, span: tuple[float, float], latest: float) -> bool | None:
    """
    Whether a time without zone lies in a span, in one of the zones that it may be of.

    ``None`` if it is no time, or a date alone, or so far outside of what was asked for, or in the future, that the
    server contradicts itself.

    :param latest: Epoch seconds after which nothing can have been made yet.
    """
    try:
        moments = readings(local_time)
    except ValueError:
        return None
    if any(span[0] <= moment <= span[1] for moment in moments):
        return True
    if local_time.endswith(_MIDNIGHT) or min(moments) > latest:
        return None
    return False if any(span[0] - DAY <= moment <= span[1] + DAY for moment in moments) else None


def _candidate(number: str, deals: list[Deal], unclear: tuple[str, ...] = ()) -> Candidate:
    order_id = deals[0].order_id if len({deal.order_id for deal in deals}) == 1 else number
    states = ", ".join(unique(deal.status_words for deal in deals))
    instances = ", ".join(unique(i for deal in deals for i in deal.resource_ids)) or "no instance yet"
    paid = total_of({deal.order_id: deal.paid_cents for deal in deals}.values())
    currency, made = deals[0].currency, with_zone(deals[0].created_at)
    summary = f"order {order_id}, {states}, {instances}, {amount(paid, currency)}, made {made}"
    if unclear:
        fields = "; ".join(
            f"{name} {[deal.shown.get(name) for deal in deals]}" for names in unclear for name in names.split("/")
        )
        summary = f"{summary}, which cannot be compared: {fields}"
    ids = [number, *(deal.order_id for deal in deals)]
    return Candidate(order_id, frozenset(filter(None, ids)), harmless(summary), paid, currency)
