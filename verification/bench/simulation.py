"""Up to a million waiting orders and several triggerers, in time that passes only when all wait. The watchlist, the
limiter and the interval are the package's own; the server, the network and the clock are played.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import random
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy

from airflow_provider_tcbilling.api import rate_limit
from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, REQUESTS_PER_SECOND, SENT_PER_SECOND
from airflow_provider_tcbilling.api.caller import BACKOFF_BASE, BACKOFF_CAP, THROTTLED
from airflow_provider_tcbilling.api.client import DEALS_PER_PAGE
from airflow_provider_tcbilling.api.models import Deal, Deals, DealStatus
from airflow_provider_tcbilling.api.rate_limit import WAITING_SHARE, QueueLimiter
from airflow_provider_tcbilling.api.request_queue import LocalQueue
from airflow_provider_tcbilling.api.server_time import in_zone
from airflow_provider_tcbilling.triggers.shared_watch import REMEMBERED, interval_of
from airflow_provider_tcbilling.waiting.watchlist import Watchlist, step
from verification.bench.figures import Part, Table, Target, percentile

START = 1_800_000_000.0
PLACED, DELIVERED = 600.0, 3600.0
"""Seconds in which the orders were placed before the start, and in which they are delivered after it."""

LATENCY = 0.15
"""Seconds that an answer takes."""

INTERVAL = 30.0
AT_MOST = 6 * 3600.0

Steps = Generator[float, None, None]


@dataclass
class World:
    """
    The server with its orders, and the time.

    :param due: When each order is delivered.
    """

    orders: int
    seed: int = 0
    now: float = START
    requests: int = 0
    refused: int = 0
    late: list[float] = field(default_factory=list)
    last_round: float = 0.0

    def __post_init__(self) -> None:
        chance = numpy.random.default_rng(self.seed)
        self.due = START + 10 + chance.random(self.orders) * DELIVERED
        self.placed = START - PLACED + numpy.arange(self.orders) * PLACED / self.orders
        texts = {second: in_zone(second, "Asia/Shanghai") for second in set(self.placed.astype(int).tolist())}
        self.texts = [texts[second] for second in self.placed.astype(int).tolist()]
        self.random = random.Random(self.seed)
        self._recent: deque[float] = deque()
        self._lists: dict[int, list[int]] = {}
        self._deals: dict[tuple[int, bool], Deal] = {}

    def clock(self) -> float:
        return self.now

    def is_refused(self) -> bool:
        """Count a request, as the sandbox does: also one that is refused."""
        self.requests += 1
        while self._recent and self.now - self._recent[0] >= 1:
            self._recent.popleft()
        self._recent.append(self.now)
        is_too_many = len(self._recent) > REQUESTS_PER_SECOND
        self.refused += is_too_many
        return is_too_many

    def answer(self, who: int, query: Mapping[str, Any]) -> Deals:
        """Return a page. A list does not move while one triggerer reads it."""
        if number := query.get("order_id") or query.get("big_deal_id"):
            return Deals([self.deal(int(number))], 1)
        page = query["page"]
        if page == 0:
            is_finished = DealStatus.DELIVERING not in query["statuses"]
            found = numpy.flatnonzero(self.due <= self.now) if is_finished else numpy.arange(self.orders)
            self._lists[who] = found[::-1].tolist()
        listed = self._lists[who]
        return Deals(map(self.deal, listed[page * DEALS_PER_PAGE : (page + 1) * DEALS_PER_PAGE]), len(listed))

    def deal(self, number: int) -> Deal:
        is_done = bool(self.due[number] <= self.now)
        if (number, is_done) not in self._deals:
            self._deals[number, is_done] = self._written(number, is_done)
        return self._deals[number, is_done]

    def _written(self, number: int, is_done: bool) -> Deal:
        return Deal(
            str(number), str(number), 4 if is_done else 3, "purchase", ("ins",) if is_done else (), self.texts[number],
            100, 0, "USD",
        )  # fmt: skip


def triggerer(world: World, who: int, numbers: range) -> Steps:
    """Wait for orders as a triggerer does; yield each time how many seconds pass."""
    watchlist, usual = Watchlist(), deque[float](maxlen=REMEMBERED)
    limiter = QueueLimiter(LocalQueue(), SENT_PER_SECOND * WAITING_SHARE, world.clock)
    wanted = {(str(number), CREATE_INSTANCE.name): float(world.placed[number]) for number in numbers}
    yield world.random.uniform(0, INTERVAL)
    while wanted:
        began_at, requests = world.now, 0
        looks, deals = watchlist.round(wanted), None
        while query := step(looks, deals):
            requests += 1
            yield from request(world, limiter)
            deals = world.answer(who, query)
            for key in watchlist.take_ended():
                found(world, wanted, key, usual)
        for key in watchlist.take_ended():
            found(world, wanted, key, usual)
        world.last_round = max(world.last_round, world.now - began_at)
        yield world.random.uniform(0.8, 1.0) * interval_of(INTERVAL, usual, requests)


def found(world: World, wanted: dict[Any, float], key: tuple[str, str], usual: deque[float]) -> None:
    del wanted[key]
    number = int(key[0])
    world.late.append(world.now - float(world.due[number]))
    usual.append(world.now - START)


def request(world: World, limiter: QueueLimiter) -> Steps:
    """Send one request when it is its turn, and again if it was refused."""
    for attempt in itertools.count(1):
        ticket, seconds = limiter.draw(within=1e9)
        while seconds > 0:
            yield seconds
            seconds = limiter.seconds_until(ticket)
        is_refused = world.is_refused()
        yield LATENCY
        if not is_refused:
            return
        limiter.was_refused()
        yield world.random.uniform(0, min(BACKOFF_CAP * THROTTLED, BACKOFF_BASE * 2**attempt))


def simulate(orders: int, triggerers: int) -> World:
    """Let all triggerers wait until every order is found."""
    world = World(orders)
    shares = [range(who, orders, triggerers) for who in range(triggerers)]
    running: list[tuple[float, int, Steps]] = [
        (START, who, triggerer(world, who, share)) for who, share in enumerate(shares)
    ]
    while running and world.now < START + AT_MOST:
        world.now, who, steps = heapq.heappop(running)
        if (seconds := next(steps, None)) is not None:
            heapq.heappush(running, (world.now + seconds, who, steps))
    return world


COLUMNS = (
    "", "triggerers", "requests an hour", "% of a poll for each", "refused %", "found late, s p50", "p99",
    "longest round, s", "not found",
)  # fmt: skip

NOTE = (
    f"Orders that were placed within {PLACED / 60:.0f} minutes and are delivered within the next hour, each at a "
    f"moment of its own; poll_interval {INTERVAL:.0f} s; an answer takes {LATENCY} s; each triggerer is a machine of "
    f"its own, and the server refuses more than {REQUESTS_PER_SECOND} requests a second."
)


def measure(quick: bool) -> Part:
    """Simulate more and more orders."""
    counts = (1000, 10_000, 100_000) if quick else (1000, 10_000, 100_000, 1_000_000)
    logging.getLogger(rate_limit.__name__).setLevel(logging.WARNING)
    cases = [(count, machines) for count in counts for machines in (1, 4)]
    rows: list[list[Any]] = []
    for count, machines in cases:
        world = simulate(count, machines)
        hours = (world.now - START) / 3600
        # Each order is asked for until it is found: on average for half of the time in which they are delivered.
        polls = count * (DELIVERED / 2 + 10) / INTERVAL
        rows.append(
            [
                f"{count:,} orders", machines, world.requests / hours, 100 * world.requests / polls,
                100 * world.refused / world.requests, percentile(world.late, 50), percentile(world.late, 99),
                world.last_round, count - len(world.late),
            ]
        )  # fmt: skip
    unfound = Target.at_most("Simulated orders that were not found", sum(row[-1] for row in rows), 0)
    late = {
        f"{machines} triggerer{'s' * (machines > 1)}": [
            (float(count), float(row[6])) for (count, m), row in zip(cases, rows, strict=True) if m == machines
        ]
        for machines in (1, 4)
    }
    return Part(
        [Table("A simulation to a million orders", NOTE, COLUMNS, rows)], [unfound], {"Found late, s p99": late}
    )
