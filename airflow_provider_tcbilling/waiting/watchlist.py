"""
Watchlist: all orders that are waited for, and the fewest requests that tell which of them have come to an end.

It sends nothing itself. A round yields the looks that are to be made and is given what they showed, so that it serves
a triggerer's event loop and a simulation alike::

    looks, deals = watchlist.round(wanted), None
    while look := step(looks, deals):
        deals = client.describe_deals(**look)
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
from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN, earliest
from airflow_provider_tcbilling.waiting.order_end import ORDER_ENDS

FEW = 10
"""So many orders are asked for by their numbers without a thought."""

BY_NUMBER = 200
"""The most orders that are asked for by their numbers in one round. They take turns."""

FINISHED = tuple(sorted({end for s in ORDER_ENDS.values() for end in (s.done, *s.endings)}))
"""The statuses that some action takes for an end."""

EVERY = tuple(DealStatus)

Key = tuple[str, str]
"""The number of an order, and the name of the action that placed it."""

Look = Mapping[str, Any]
"""Arguments of :meth:`~airflow_provider_tcbilling.api.client.BillingClient.describe_deals`."""

Looks = Generator[Look, Deals, None]


def step(looks: Looks, deals: Deals | None) -> Look | None:
    """Hand in what the last look showed, ``None`` at first, and return the next look; ``None`` after the last."""
    try:
        return next(looks) if deals is None else looks.send(deals)
    except StopIteration:
        return None


@dataclass(slots=True)
class Waiting:
    """
    An order that is waited for.

    :param since: Epoch seconds at which it was placed, or some hours before; ``None`` if that is not known.
    :param group: The number under which all its sub-orders are listed; empty until they were seen.
    :param numbers: Its sub-orders, likewise.
    :param asked: How often it was asked for by its number, so that all take turns.
    """

    key: Key
    since: float | None
    group: str = ""
    numbers: tuple[str, ...] = ()
    asked: int = 0

    def is_settled(self, deals: Mapping[str, Deal]) -> bool:
        """Whether orders that were listed show that it has come to an end, good or bad."""
        settlement = ORDER_ENDS[self.key[1]]
        mine = [deals[number] for number in self.numbers if number in deals]
        if any(deal.status in settlement.endings for deal in mine):
            return True
        return len(mine) == len(self.numbers) > 0 and all(map(settlement.is_done, mine))

    def learn(self, deals: Sequence[Deal]) -> None:
        """Take note of its sub-orders."""
        if deals:
            self.group = deals[0].big_deal_id
            self.numbers = tuple(deal.order_id for deal in deals)
            placed_at = min(earliest(deal.created_at) for deal in deals)
            self.since = placed_at if placed_at < math.inf else self.since


class Watchlist:
    """
    The orders of one account that are waited for.

    An order that is not listed, that is listed twice, or that nobody waits for changes nothing. What a look shows is
    no verdict: whoever is woken looks again.
    """

    def __init__(self) -> None:
        self._waiting: dict[Key, Waiting] = {}
        self._settled: list[Key] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def take_settled(self) -> list[Key]:
        """Return the orders that were seen to have come to an end since the last call. They are waited for no more."""
        settled, self._settled = self._settled, []
        return settled

    def round(self, wanted: Mapping[Key, float | None]) -> Looks:
        """
        Look once for each order; first for those that may be finished.

        :param wanted: The orders that are waited for now, and the epoch seconds at which each was placed, or some hours
            before; ``None`` if that is not known.
        """
        self._waiting = {key: self._waiting.get(key) or Waiting(key, since) for key, since in wanted.items()}
        seen = [order for order in self._waiting.values() if order.numbers]
        new = [order for order in self._waiting.values() if not order.numbers]
        for statuses, orders in ((FINISHED, seen), (EVERY, new)):
            for day, placed in _by_day(orders).items():
                yield from self._look_for(placed, statuses, is_listable=day is not None and len(placed) > FEW)

    def _look_for(self, orders: Sequence[Waiting], statuses: Iterable[int], *, is_listable: bool) -> Looks:
        """Look by list, or by number where the list is dear or does not tell."""
        left, at_most = orders, BY_NUMBER
        if is_listable and (listed := (yield from self._list(orders, statuses))) is not None:
            self._judge(orders, listed)
            left, at_most = [order for order in orders if not order.numbers], FEW
        for order in nsmallest(at_most, left, key=lambda order: order.asked):
            yield from self._ask_for(order)

    @staticmethod
    def _list(orders: Sequence[Waiting], statuses: Iterable[int]) -> Generator[Look, Deals, dict[str, Deal] | None]:
        """Return the orders of a day by number; ``None`` if to ask for each costs less, or if the pages are none."""
        times = [order.since for order in orders if order.since is not None]
        span = min(times) - CLOCK_MARGIN, max(times) + DAY
        listed: dict[str, Deal] = {}
        for page in count():
            deals = yield {"span": span, "statuses": statuses, "page": page}
            known = len(listed)
            listed.update((deal.order_id, deal) for deal in deals)
            if len(deals) < DEALS_PER_PAGE:
                break
            is_dear = max(deals.total, len(listed)) > len(orders) * DEALS_PER_PAGE
            is_page = len(listed) - known > DEALS_PER_PAGE / 2
            if is_dear or not is_page:
                return None
        return listed

    def _ask_for(self, order: Waiting) -> Looks:
        order.asked += 1
        number = order.key[0]
        if not order.numbers:
            mine = [deal for deal in (yield {"order_id": number}) if deal.order_id == number]
            group = mine[0].big_deal_id if mine else number
            deals = [deal for deal in (yield {"big_deal_id": group}) if deal.big_deal_id == group] if group else []
            deals = deals or mine
            order.learn(deals)
        else:
            deals = yield {"big_deal_id": order.group} if order.group else {"order_id": number}
        self._judge([order], {deal.order_id: deal for deal in deals})

    def _judge(self, orders: Iterable[Waiting], deals: Mapping[str, Deal]) -> None:
        groups: dict[str, list[Deal]] = defaultdict(list)
        for deal in deals.values():
            groups[deal.big_deal_id].append(deal)
        for order in orders:
            if not order.numbers:
                number = order.key[0]
                mine = deals.get(number)
                group = mine.big_deal_id if mine else number
                order.learn(groups.get(group, []) if group else [mine] if mine else [])
            if order.is_settled(deals) and order.key in self._waiting:
                del self._waiting[order.key]
                self._settled.append(order.key)


def _by_day(orders: Iterable[Waiting]) -> Mapping[int | None, list[Waiting]]:
    """Part orders by the day on which they were placed, so that an old one does not make the list of all long."""
    days: dict[int | None, list[Waiting]] = defaultdict(list)
    for order in orders:
        days[None if order.since is None else int(order.since // DAY)].append(order)
    return days
