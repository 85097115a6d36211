"""The order book as evidence: which of its orders may be what was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby

from airflow_provider_tcbilling.api.client import DEALS_PER_PAGE, BillingClient
from airflow_provider_tcbilling.api.errors import OutcomeUnknown
from airflow_provider_tcbilling.api.models import Deal, unique
from airflow_provider_tcbilling.api.record import CLOCK_MARGIN
from airflow_provider_tcbilling.api.servertime import readings
from airflow_provider_tcbilling.api.spending import Candidate

MAX_PAGES = 50
"""10,000 orders within hours are not searched for one: whoever has so many needs a ledger."""


def orders_between(client: BillingClient, since: float, until: float, fits: Callable[[Deal], bool]) -> list[Candidate]:
    """
    Return the orders that were made between two moments, as far as clocks can be trusted, and fit. It costs nothing.

    :param since: Epoch seconds.
    :param fits: Whether nothing that the order book shows of a sub-order speaks against it; one is enough.
    :raises TcBillingError: The order book could not be read, so nothing is known.
    """
    off = client.clock_offset
    span = since + off - CLOCK_MARGIN, until + off + CLOCK_MARGIN
    # A page that moved while it was read shows an order twice.
    deals = sorted({deal.order_id: deal for deal in _deals(client, span)}.values(), key=_group)
    groups = [(number, list(group)) for number, group in groupby(deals, key=_group)]
    return [
        _candidate(number, group)
        for number, group in groups
        if any(fits(deal) and _is_within(deal.created_at, span) for deal in group)
    ]


def nameless_between(client: BillingClient, since: float, until: float, what: str, fits: Callable[[Deal], bool]) -> str:
    """
    Return in words the orders that fit and name no instance, so that each may be about any; empty if there are none.

    :param what: What such an order is called.
    """
    found = orders_between(client, since, until, lambda deal: fits(deal) and not deal.resource_ids)
    listed = "; ".join(order.words for order in found)
    return f"a {what} is listed that does not name its instance: {listed}" if found else ""


def order_numbered(client: BillingClient, number: str) -> Candidate | None:
    """
    Return the order that a number names, be it of a sub-order or of a big deal; ``None`` if none is listed.

    :raises TcBillingError: The order book could not be read, so nothing is known.
    """
    mine = [deal for deal in client.describe_deals(order_id=number) if deal.order_id == number]
    group = _group(mine[0]) if mine else number
    deals = [deal for deal in client.describe_deals(big_deal_id=group) if deal.big_deal_id == group] or mine
    return _candidate(group, deals) if deals else None


def _deals(client: BillingClient, span: tuple[float, float]) -> Iterator[Deal]:
    for page in range(MAX_PAGES):
        deals = client.describe_deals(span=span, page=page)
        yield from deals
        if len(deals) < DEALS_PER_PAGE:
            return
    raise OutcomeUnknown(f"The order book lists more than {MAX_PAGES * DEALS_PER_PAGE} orders of these hours.")


def _group(deal: Deal) -> str:
    return deal.big_deal_id or deal.order_id


def _candidate(number: str, deals: list[Deal]) -> Candidate:
    order_id = deals[0].order_id if len(deals) == 1 else number
    states = ", ".join(unique(deal.status_words for deal in deals))
    instances = ", ".join(unique(i for deal in deals for i in deal.resource_ids)) or "no instance yet"
    paid = sum(deal.paid_cents for deal in deals)
    words = f"order {order_id}, {states}, {instances}, {paid} cents {deals[0].currency}, made {deals[0].created_at}"
    return Candidate(order_id, frozenset([number, *(deal.order_id for deal in deals)]), words)


def _is_within(local_time: str, span: tuple[float, float]) -> bool:
    """Whether a time without zone lies in a span, in one of the zones that it may be of. Unreadable, it may."""
    try:
        return any(span[0] <= moment <= span[1] for moment in readings(local_time))
    except ValueError:
        return True
