"""
The order book for a report: every sub-order of a span, although orders come and move while it is read.

A query names a page by its number, and a new order shifts all others. So the book is read again, with pages of another
size, until two passes agree on each order that is older than the reading, and a pass lists as many orders as the server
counts. An order that was listed once exists, so the passes are put together: none is missed, and none counts twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from airflow_provider_tcbilling.api.client import DAY, BillingClient
from airflow_provider_tcbilling.api.errors import OutcomeUnknown
from airflow_provider_tcbilling.api.models import Deal

PAGE_SIZES = (1_000, 997)
"""Orders a page, of one pass and of the next, so that the edges of pages are elsewhere. 1,000 is the most."""

MOST_PASSES = 6
MOST_REQUESTS = 2_000
"""Of one piece of the span: as many as a busy account needs whose server lists 100 orders a page."""

PIECE = 89 * DAY
"""Seconds of one query: a span of at most three months is recommended."""

AROUND = DAY
"""Seconds before and after the span that are read as well: an order may be made a while after its intent."""


@dataclass
class Book:
    """
    The content of the order book.

    :param deals: Each sub-order by its number, as it was listed last; of its row only what the package reads.
    :param unnamed: Rows without a number that can be one.
    :param passes: How often it was read.
    :param listed_at: Epoch seconds of the begin of the reading.
    """

    deals: dict[str, Deal] = field(default_factory=dict)
    unnamed: list[Deal] = field(default_factory=list)
    passes: int = 0
    listed_at: float = 0.0


@dataclass
class _Pass:
    """
    One reading of all pages.

    :param total: How many orders there were when it began, as the first page says.
    :param limit: Orders a page that the server really lists.
    """

    deals: dict[str, Deal] = field(default_factory=dict)
    unnamed: list[Deal] = field(default_factory=list)
    total: int = 0
    limit: int = 0

    @property
    def count(self) -> int:
        """How many orders were listed."""
        return len(self.deals) + len(self.unnamed)

    def older(self, than: str) -> set[str]:
        """Return the numbers of the orders that were not made after a time of the server."""
        return {number for number, deal in self.deals.items() if deal.created_at <= than}


def read_book(client: BillingClient, since: float, until: float) -> Book:
    """
    Return every sub-order that was made between two moments, and some before and after.

    :param since: Epoch seconds, as *until*, which may lie ahead.
    :raises OutcomeUnknown: The order book contradicts itself, or never came to rest.
    :raises TcBillingError: It cannot be read.
    """
    book = Book(listed_at=client.clock())
    for start, end in _pieces(since - AROUND, until + AROUND):
        piece = _read_piece(client, (start, end))
        book.deals.update(piece.deals)
        book.unnamed += piece.unnamed
        book.passes = max(book.passes, piece.passes)
    return book


def _pieces(since: float, until: float) -> Iterator[tuple[float, float]]:
    while since < until:
        yield since, min(since + PIECE, until)
        since += PIECE


def _read_piece(client: BillingClient, span: tuple[float, float]) -> Book:
    book, before, newest = Book(), _Pass(), ""
    limits: Sequence[int] = PAGE_SIZES
    for number in range(MOST_PASSES):
        found = _read_pass(client, span, limits[number % len(limits)])
        if found.limit not in limits:
            limits = _other_sizes(found.limit)
        book.deals.update(found.deals)
        book.unnamed = found.unnamed
        book.passes = number + 1
        if number == 0:
            newest = max((deal.created_at for deal in found.deals.values()), default="")
        elif _agree(before, found, newest):
            return book
        before = found
    raise OutcomeUnknown(
        f"The order book did not come to rest: {MOST_PASSES} readings list other orders each time. Try again later."
    )


def _agree(before: _Pass, found: _Pass, newest: str) -> bool:
    """Whether two passes list the same older orders, and the last one all that the server counts."""
    return (
        found.count >= found.total
        and found.older(newest) == before.older(newest)
        and len(found.unnamed) >= len(before.unnamed)
    )


def _other_sizes(limit: int) -> Sequence[int]:
    """Return page sizes for a server that lists fewer orders a page than a query allows."""
    return limit, max(1, limit - 3)


def _read_pass(client: BillingClient, span: tuple[float, float], limit: int) -> _Pass:
    """Read all pages once. If the server lists fewer orders a page, all pages are read with that smaller limit."""
    found = _Pass(limit=limit)
    for page in range(MOST_REQUESTS):
        deals = client.describe_deals(span=span, page=page, limit=found.limit)
        found.total = deals.total if page == 0 else found.total
        if page == 0 and 0 < len(deals) < min(limit, deals.total):
            return _read_pass(client, span, len(deals))
        for deal in deals:
            slim = _slim(deal)
            if slim.order_id:
                found.deals[slim.order_id] = slim
            else:
                found.unnamed.append(slim)
        if not deals or (page + 1) * found.limit >= deals.total:
            return found
    raise OutcomeUnknown(f"The order book lists more than {MOST_REQUESTS} pages of orders.")


def _slim(deal: Deal) -> Deal:
    """Return a row without the fields that the package does not read: they take most of the memory."""
    return replace(deal, shown={name: deal.shown[name] for name in ("ProjectId", "Creator") if name in deal.shown})
