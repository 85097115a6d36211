"""SharedWatch: one look at the order book for all that wait in this process, instead of one for each."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import statistics
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook, client_of
from airflow_provider_tcbilling.triggers.base import pause

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.hooks.connection import Settings
    from airflow_provider_tcbilling.waiting.watchlist import Key, Queries, Query

SHORTEST_INTERVAL = 5.0
"""Seconds between two rounds at least, unless a task asks for less."""

PART_OF_THE_USUAL = 0.1
"""A round comes after this part of the time that orders have been taking."""

HURRIED_REQUESTS = 1.0
"""Requests a second that may be spent on being earlier than *poll_interval*: a twentieth of what the server allows."""

REMEMBERED = 100
"""Orders that tell how long one takes."""

PATIENCE = 5
"""
Rounds in a row that may fail for good, as with a key that is just being changed, before the tasks are told. A process
that has never seen the connection waits for none of them: ``dag.test()`` runs triggers where only the environment's
connections are known, and the woken task reads the others.
"""

CONNECTION_SECONDS = 300.0
"""How long a connection is used until it is read again."""

HEED_CLOCK_SECONDS = 60.0
"""A deadline is compared with the wall clock at least so often, since that can be set, and a line is logged."""

TICK = 1.0

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Waiter:
    """
    A task that waits for an order.

    :param outcome: Set, in words, when it is worth the task's looking.
    """

    key: Key
    poll_interval: float
    began_at: float
    outcome: asyncio.Future[str]


class SharedWatch:
    """
    Watches the orders of one connection for all triggers of an event loop. It only reads.

    It begins with the first who waits and ends with the last. What goes wrong is told to those who wait, in words, and
    ends nothing but their waiting.

    :param tcbilling_conn_id: The Airflow connection. Two connections have two watches, even to the same account.
    """

    _watches: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedWatch]]] = WeakKeyDictionary()

    def __init__(self, tcbilling_conn_id: str) -> None:
        from airflow_provider_tcbilling.waiting.watchlist import Watchlist

        self._hook = TcBillingHook(tcbilling_conn_id)
        self._orders = Watchlist()
        self._placed: dict[Key, float | None] = {}
        self._waiters: dict[Key, list[Waiter]] = {}
        self._usual: deque[float] = deque(maxlen=REMEMBERED)
        self._requests = 0
        self._failures = 0
        self._settings: Settings | None = None
        self._client: BillingClient | None = None
        self._connected_at = -math.inf
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, tcbilling_conn_id: str) -> SharedWatch:
        """Return the watch of a connection in the running event loop."""
        watches = cls._watches.setdefault(asyncio.get_running_loop(), {})
        if tcbilling_conn_id not in watches:
            watches[tcbilling_conn_id] = cls(tcbilling_conn_id)
        return watches[tcbilling_conn_id]

    async def settled(self, key: Key, *, placed_at: float | None, poll_interval: float, deadline: float) -> str:
        """
        Wait until an order has come to its end, or until the deadline.

        :param placed_at: Epoch seconds at which it was placed, or some hours before; ``None`` if that is not known.
        :return: Why the waiting ended, in words.
        """
        from airflow_provider_tcbilling.task.next_steps import moment

        outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waiter = Waiter(key, poll_interval, time.monotonic(), outcome)
        self._join(waiter, placed_at)
        try:
            while not outcome.done() and (left := deadline - time.time()) > 0:
                await asyncio.wait([outcome], timeout=min(left, HEED_CLOCK_SECONDS))
                if not outcome.done():
                    log.info("Order %s is open, or not listed yet; waiting until %s.", key[0], moment(deadline))
        finally:
            self._leave(waiter)
        return outcome.result() if outcome.done() else "its deadline has passed"

    @property
    def interval(self) -> float:
        """Seconds from one round to the next."""
        longest = min((w.poll_interval for waiters in self._waiters.values() for w in waiters), default=TICK)
        return interval_of(longest, self._usual, self._requests)

    def _join(self, waiter: Waiter, placed_at: float | None) -> None:
        self._waiters.setdefault(waiter.key, []).append(waiter)
        self._placed.setdefault(waiter.key, placed_at)
        if self._task is None:
            # In a context of its own: what it logs belongs to no task's log.
            self._task = contextvars.Context().run(asyncio.get_running_loop().create_task, self._run())

    def _leave(self, waiter: Waiter) -> None:
        waiters = self._waiters[waiter.key]
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[waiter.key], self._placed[waiter.key]
        if not self._waiters and self._task:
            self._task.cancel()
            # A look may still be under way in its thread: what it uses is left to it.
            self._task, self._client, self._orders = None, None, type(self._orders)()

    async def _run(self) -> None:
        while True:
            await self._round()
            began_at, part = time.monotonic(), pause(1.0)
            while (left := began_at + part * self.interval - time.monotonic()) > 0:
                await asyncio.sleep(min(left, TICK))

    async def _round(self) -> None:
        try:
            await self._look()
            self._failures = 0
        except Exception as error:
            is_passing = isinstance(error, TcBillingError) and error.transient
            is_hopeless = self._client is None and isinstance(error, AirflowNotFoundException)
            self._failures += PATIENCE if is_hopeless else not is_passing
            log.warning("The order book of %s could not be read: %s", self._hook.tcbilling_conn_id, error)
            if not is_passing:
                self._connected_at = -math.inf
            if self._failures >= PATIENCE:
                self._failures = 0
                self._tell(list(self._waiters), f"the order book could not be read: {error}")

    async def _look(self) -> None:
        """Make a round. Its thread has the orders to itself meanwhile, and the event loop is not held up."""
        from airflow_provider_tcbilling.waiting.watchlist import step

        client, looks, requests = await self._connect(), self._orders.round(dict(self._placed)), 0
        look = await asyncio.to_thread(step, looks, None)
        while look:
            look = await asyncio.to_thread(_look_once, client, looks, look)
            requests += 1
            self._tell_settled()
        self._requests = requests

    async def _connect(self) -> BillingClient:
        if self._client is None or time.monotonic() - self._connected_at > CONNECTION_SECONDS:
            settings = await self._hook.aget_settings()
            if settings != self._settings or self._client is None:
                self._settings, self._client = settings, client_of(settings, is_waiting=True)
            self._connected_at = time.monotonic()
        return self._client

    def _tell_settled(self) -> None:
        settled = self._orders.take_ended()
        for key in settled:
            self._usual.extend(time.monotonic() - waiter.began_at for waiter in self._waiters.get(key, ()))
        self._tell(settled, "it has come to its end")

    def _tell(self, keys: list[Key], words: str) -> None:
        for key in keys:
            for waiter in self._waiters.get(key, ()):
                if not waiter.outcome.done():
                    waiter.outcome.set_result(words)


def interval_of(longest: float, usual: Collection[float], requests: int) -> float:
    """
    Return how many seconds lie between two rounds.

    :param longest: What the tasks allow.
    :param usual: How many seconds orders have taken lately.
    :param requests: What the last round took.
    """
    if not usual:
        return longest
    return min(
        longest, max(SHORTEST_INTERVAL, PART_OF_THE_USUAL * statistics.median(usual), requests / HURRIED_REQUESTS)
    )


def _look_once(client: BillingClient, looks: Queries, look: Query) -> Query | None:
    from airflow_provider_tcbilling.waiting.watchlist import step

    return step(looks, client.describe_deals(**look))
