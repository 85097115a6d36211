"""SharedWatch: one query of the order book for all tasks that wait in this process, instead of one for each."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import statistics
import time
from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from weakref import WeakKeyDictionary

from airflow_provider_tcbilling.triggers.base import in_thread, pause
from airflow_provider_tcbilling.triggers.waiting_client import WaitingClient
from airflow_provider_tcbilling.waiting.watchlist import Watchlist, step

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.waiting.watchlist import Key, Queries, Query

__all__ = ["SharedWatch"]

SHORTEST_INTERVAL = 5.0
"""Seconds between two rounds at least, unless a task asks for less."""

PART_OF_THE_USUAL = 0.1
"""A round comes after this part of the time that orders have been taking."""

HURRIED_REQUESTS = 1.0
"""Requests a second that may be spent on being earlier than *poll_interval*: a twentieth of what the server allows."""

REMEMBERED = 100
"""Finished orders from which the usual duration is taken."""

HEED_CLOCK_SECONDS = 60.0
"""A deadline is compared with the wall clock at least this often, since a clock can be set, and a line is logged."""

TICK = 1.0

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Waiter:
    """
    A task that waits for an order.

    :param outcome: Set to the reason when there is something for the task to do.
    """

    key: Key
    poll_interval: float
    began_at: float
    outcome: asyncio.Future[str]


class SharedWatch:
    """
    Watches the orders of one connection for all triggers of an event loop. It only reads.

    It begins with the first waiting task and ends with the last, which closes its client. An error wakes the waiting
    tasks, and ends nothing but their wait.

    :param tcbilling_conn_id: The Airflow connection. Two connections have two watches, even to the same account.
    """

    _watches: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, SharedWatch]]] = WeakKeyDictionary()

    def __init__(self, tcbilling_conn_id: str) -> None:
        self._conn_id = tcbilling_conn_id
        self._client = WaitingClient(tcbilling_conn_id)
        self._orders = Watchlist()
        self._placed: dict[Key, float | None] = {}
        self._waiters: dict[Key, list[Waiter]] = {}
        self._usual: deque[float] = deque(maxlen=REMEMBERED)
        self._requests = 0
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, tcbilling_conn_id: str) -> SharedWatch:
        """Return the watch of a connection in the running event loop."""
        watches = cls._watches.setdefault(asyncio.get_running_loop(), {})
        if tcbilling_conn_id not in watches:
            watches[tcbilling_conn_id] = cls(tcbilling_conn_id)
        return watches[tcbilling_conn_id]

    async def ended(self, key: Key, *, placed_at: float | None, poll_interval: float, deadline: float) -> str:
        """
        Wait until an order has come to its end, or until the deadline.

        :param placed_at: Epoch seconds at which it was placed, or some hours before; ``None`` if that is not known.
        :return: The reason why the wait ended, for the log.
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
            self._client.close()
            # A query may still run in a worker thread, so these objects are replaced, not changed.
            self._task, self._orders = None, Watchlist()

    async def _run(self) -> None:
        while True:
            await self._round()
            began_at, part = time.monotonic(), pause(1.0)
            while (left := began_at + part * self.interval - time.monotonic()) > 0:
                await asyncio.sleep(min(left, TICK))

    async def _round(self) -> None:
        try:
            await self._query()
            self._client.note_success()
        except Exception as error:
            log.warning("The order book of %s could not be read: %s", self._conn_id, error)
            if self._client.is_given_up_after(error):
                self._wake(list(self._waiters), f"the order book could not be read: {error}")

    async def _query(self) -> None:
        """Make a round. Its thread has the orders to itself meanwhile, and the event loop is not held up."""
        client, queries, requests = await self._client.get(), self._orders.round(dict(self._placed)), 0
        query = await in_thread(client, step, queries, None)
        while query:
            query = await in_thread(client, _query_once, client, queries, query)
            requests += 1
            self._wake_settled()
        self._requests = requests

    def _wake_settled(self) -> None:
        settled = self._orders.take_ended()
        for key in settled:
            self._usual.extend(time.monotonic() - waiter.began_at for waiter in self._waiters.get(key, ()))
        self._wake(settled, "it has come to its end")

    def _wake(self, keys: list[Key], reason: str) -> None:
        for key in keys:
            for waiter in self._waiters.get(key, ()):
                if not waiter.outcome.done():
                    waiter.outcome.set_result(reason)


def interval_of(longest: float, usual: Collection[float], requests: int) -> float:
    """
    Return how many seconds lie between two rounds.

    :param longest: The longest interval that the tasks allow, in seconds.
    :param usual: The seconds that the last orders have taken.
    :param requests: The requests of the last round.
    """
    if not usual:
        return longest
    return min(
        longest, max(SHORTEST_INTERVAL, PART_OF_THE_USUAL * statistics.median(usual), requests / HURRIED_REQUESTS)
    )


def _query_once(client: BillingClient, queries: Queries, query: Query) -> Query | None:
    return step(queries, client.describe_deals(**query))
