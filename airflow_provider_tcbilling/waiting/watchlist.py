"""
Watchlist: all orders that are waited for, and the fewest requests that show which of them have ended.

It sends nothing itself. A round yields queries and receives their results, so that an event loop and a simulation can
use it alike::

    queries, deals = watchlist.round(wanted), None
    while query := step(queries, deals):
        deals = client.describe_deals(**query)
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from itertools import count
from typing import Any

from airflow_provider_tcbilling.api.client import DAY, DEALS_PER_PAGE
from airflow_provider_tcbilling.api.models import Deal, Deals, DealStatus
from airflow_provider_tcbilling.api.order_book import big_deal_of
from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN, earliest
from airflow_provider_tcbilling.waiting.order_end import ORDER_ENDS

FEW = 10
"""Up to this many orders are always queried one by one."""

BY_NUMBER = 200
"""The most orders that are queried one by one in one round. They take turns."""

FINISHED = tuple(sorted({end for ends in ORDER_ENDS.values() for end in (ends.done, *ends.endings)}))
"""The statuses that end an order of some action."""

EVERY = tuple(DealStatus)

Key = tuple[str, str]
"""The number of an order, and the name of the action that placed it."""

Query = Mapping[str, Any]
"""Arguments of :meth:`~airflow_provider_tcbilling.api.client.BillingClient.describe_deals`."""

Queries = Generator[Query, Deals, None]


def step(queries: Queries, deals: Deals | None) -> Query | None:
    """Hand in the result of the last query, ``None`` at first, and return the next query; ``None`` after the last."""
    try:
        return next(queries) if deals is None else queries.send(deals)
    except StopIteration:
        return None


@dataclass(slots=True)
class AwaitedOrder:
    """
    An order that is waited for.

    :param since: Epoch seconds at which it was placed, or some hours before; ``None`` if that is not known.
    :param group: The number under which all its sub-orders are listed; empty until they were listed.
    :param numbers: Its sub-orders, likewise.
    :param queried: How often it was queried by its number, so that all take turns.
    """

    key: Key
    since: float | None
    group: str = ""
    numbers: tuple[str, ...] = ()
    queried: int = 0

    def has_ended(self, deals: Mapping[str, Deal]) -> bool:
        """Whether rows of the order book show that it has come to an end, good or bad."""
        ends = ORDER_ENDS[self.key[1]]
        mine = [deals[number] for number in self.numbers if number in deals]
        if any(deal.status in ends.endings for deal in mine):
            return True
        return len(mine) == len(self.numbers) > 0 and all(map(ends.is_done, mine))

    def learn(self, deals: Sequence[Deal]) -> None:
        """Remember its sub-orders."""
        if deals:
            self.group = deals[0].big_deal_id
            self.numbers = tuple(deal.order_id for deal in deals)
            placed_at = min(earliest(deal.created_at) for deal in deals)
            self.since = placed_at if placed_at < math.inf else self.since


class Watchlist:
    """
    The orders of one account that are waited for.

    An order that is not listed, that is listed twice, or that is not waited for changes nothing. The result of a round
    is no verdict: the code that is woken queries the order again.
    """

    def __init__(self) -> None:
        self._waiting: dict[Key, AwaitedOrder] = {}
        self._ended: list[Key] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def take_ended(self) -> list[Key]:
        """Return the orders whose end was found since the last call. They are waited for no more."""
        ended, self._ended = self._ended, []
        return ended

    def round(self, wanted: Mapping[Key, float | None]) -> Queries:
        """
        Query each order once; first the orders that may have ended.

        :param wanted: The orders that are waited for now, and the epoch seconds at which each was placed, or some hours
            before; ``None`` if that is not known.
        """
        self._waiting = {key: self._waiting.get(key) or AwaitedOrder(key, since) for key, since in wanted.items()}
        listed = [order for order in self._waiting.values() if order.numbers]
        new = [order for order in self._waiting.values() if not order.numbers]
        for statuses, orders in ((FINISHED, listed), (EVERY, new)):
            for day, placed in _by_day(orders).items():
                yield from self._query(placed, statuses, is_listable=day is not None and len(placed) > FEW)

    def _query(self, orders: Sequence[AwaitedOrder], statuses: Iterable[int], *, is_listable: bool) -> Queries:
        """Query a list, or each order where the list costs more or does not show it."""
        left, at_most = orders, BY_NUMBER
        if is_listable and (listed := (yield from self._list(orders, statuses))) is not None:
            self._judge(orders, listed)
            left, at_most = [order for order in orders if not order.numbers], FEW
        for order in nsmallest(at_most, left, key=lambda order: order.queried):
            yield from self._query_by_number(order)

    @staticmethod
    def _list(
        orders: Sequence[AwaitedOrder], statuses: Iterable[int]
    ) -> Generator[Query, Deals, dict[str, Deal] | None]:
        """Return the orders of a day by number; ``None`` if single queries cost less, or if the pages are none."""
        times = [order.since for order in orders if order.since is not None]
        span = min(times) - CLOCK_MARGIN, max(times) + DAY
        listed: dict[str, Deal] = {}
        for page in count():
            deals = yield {"span": span, "statuses": statuses, "page": page}
            before = len(listed)
            listed.update((deal.order_id, deal) for deal in deals)
            if len(deals) < DEALS_PER_PAGE:
                break
            is_dear = max(deals.total, len(listed)) > len(orders) * DEALS_PER_PAGE
            is_page = len(listed) - before > DEALS_PER_PAGE / 2
            if is_dear or not is_page:
                return None
        return listed

    def _query_by_number(self, order: AwaitedOrder) -> Queries:
        order.queried += 1
        number = order.key[0]
        if not order.numbers:
            mine = [deal for deal in (yield {"order_id": number}) if deal.order_id == number]
            group = big_deal_of(number, mine)
            deals = [deal for deal in (yield {"big_deal_id": group}) if deal.big_deal_id == group] if group else []
            deals = deals or mine
            order.learn(deals)
        else:
            deals = yield {"big_deal_id": order.group} if order.group else {"order_id": number}
        self._judge([order], {deal.order_id: deal for deal in deals})

    def _judge(self, orders: Iterable[AwaitedOrder], deals: Mapping[str, Deal]) -> None:
        groups: dict[str, list[Deal]] = defaultdict(list)
        for deal in deals.values():
            groups[deal.big_deal_id].append(deal)
        for order in orders:
            if not order.numbers:
                number = order.key[0]
                mine = [deals[number]] if number in deals else []
                group = big_deal_of(number, mine)
                order.learn(groups.get(group, []) if group else mine)
            if order.has_ended(deals) and order.key in self._waiting:
                del self._waiting[order.key]
                self._ended.append(order.key)


def _by_day(orders: Iterable[AwaitedOrder]) -> Mapping[int | None, list[AwaitedOrder]]:
    """Group orders by the day on which they were placed, so that one old order does not make the list long."""
    days: dict[int | None, list[AwaitedOrder]] = defaultdict(list)
    for order in orders:
        days[None if order.since is None else int(order.since // DAY)].append(order)
    return days
