"""The order book as evidence: which of its orders may be a purchase whose answer was lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pendulum

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.client import DEALS_PER_PAGE, SERVER_ZONES, BillingClient
from airflow_provider_tcbilling.api.errors import OutcomeUnknown
from airflow_provider_tcbilling.api.models import Deal, Order, unique
from airflow_provider_tcbilling.api.record import CLOCK_MARGIN

MAX_PAGES = 50
"""10,000 orders within hours are not searched for one: whoever has so many needs a ledger."""

MONTHS = {"m": 1, "y": 12}


@dataclass(frozen=True)
class Candidate:
    """
    One order that may be the purchase: a big deal, with all of its sub-orders.

    :param order_ids: All numbers by which it may be known.
    :param words: What the order book says of it, for people.
    """

    order_id: str
    order_ids: frozenset[str]
    words: str


class NewInstance:
    """
    What a purchase needs to know of CreateInstance: how it is sent, and what shows that it was carried out.

    :param fields: The arguments of :meth:`BillingClient.create_instance`, but for the token.
    """

    action = CREATE_INSTANCE

    def __init__(self, client: BillingClient, fields: Mapping[str, Any]) -> None:
        self._client = client
        self._fields = dict(fields)
        payload = CREATE_INSTANCE.payload({"pay_mode": "PrePay", **self._fields, "client_token": "-"})
        self.payload = {name: value for name, value in payload.items() if name != "ClientToken"}

    @property
    def endpoint(self) -> str:
        """The API that is asked."""
        return self._client.endpoint

    def send(self, client_token: str, send_by: float) -> Order:
        """**Money moves in this call**; errors as in :meth:`BillingClient.create_instance`."""
        return self._client.create_instance(client_token=client_token, send_by=send_by, **self._fields)

    def look(self, since: float, until: float) -> list[Candidate]:
        """
        Return the orders that may be this purchase. Looking never costs anything.

        :param since: Epoch seconds from when on it may have been carried out.
        :param until: And until when.
        :raises TcBillingError: The order book could not be read, so nothing is known.
        """
        off = self._client.clock_offset
        span = since + off - CLOCK_MARGIN, until + off + CLOCK_MARGIN
        # A page that moved while it was read shows an order twice.
        deals = sorted({deal.order_id: deal for deal in self._deals(span)}.values(), key=_group)
        groups = [(number, list(group)) for number, group in groupby(deals, key=_group)]
        return [_candidate(number, group) for number, group in groups if any(self._fits(d, span) for d in group)]

    def looks_like(self, payload: Mapping[str, Any]) -> bool:
        """Whether an order of *payload* could not be told from an order of this."""
        return _visible(payload) == _visible(self.payload)

    def _deals(self, span: tuple[float, float]) -> Iterator[Deal]:
        for page in range(MAX_PAGES):
            deals = self._client.describe_deals(span=span, page=page)
            yield from deals
            if len(deals) < DEALS_PER_PAGE:
                return
        raise OutcomeUnknown(f"The order book lists more than {MAX_PAGES * DEALS_PER_PAGE} orders of these hours.")

    def _fits(self, deal: Deal, span: tuple[float, float]) -> bool:
        """Whether nothing that the order book shows speaks against it; what it leaves out does not."""
        pairs = zip(_shown(deal), _visible(self.payload), strict=True)
        is_like = all(not shown or shown == sent for shown, sent in pairs)
        return is_like and deal.action in ("", "purchase") and _is_within(deal.created_at, span)


def order_numbered(client: BillingClient, number: str) -> Candidate | None:
    """
    Return the order that a number names, be it of a sub-order or of a big deal; ``None`` if none is listed.

    :raises TcBillingError: The order book could not be read, so nothing is known.
    """
    mine = [deal for deal in client.describe_deals(order_id=number) if deal.order_id == number]
    group = _group(mine[0]) if mine else number
    deals = [deal for deal in client.describe_deals(big_deal_id=group) if deal.big_deal_id == group] or mine
    return _candidate(group, deals) if deals else None


def _visible(payload: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what an order of *payload* shows of it in the order book."""
    return (
        payload.get("ProductCode"),
        payload.get("SubProductCode"),
        payload.get("ZoneCode"),
        payload.get("ProjectId", 0),
        _months(payload.get("Period", 1), payload.get("PeriodUnit", "m")),
    )


def _shown(deal: Deal) -> tuple[Any, ...]:
    """Return the same of a deal."""
    months = _months(deal.time_span, deal.time_unit)
    return deal.product_code, deal.sub_product_code, deal.zone_code, deal.project_id, months


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
        moments = [pendulum.from_format(local_time, "YYYY-MM-DD HH:mm:ss", tz=z).timestamp() for z in SERVER_ZONES]
    except ValueError:
        return True
    return any(span[0] <= moment <= span[1] for moment in moments)


def _months(length: float, unit: str) -> float:
    """Return a subscription's length in months; 0 if it is not told, or in a unit that nobody has described."""
    return length * MONTHS.get(unit.lower(), 0)
