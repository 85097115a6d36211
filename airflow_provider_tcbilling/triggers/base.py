"""WakingTrigger: what every trigger of this provider does alike, whatever it waits for."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.triggers.base import BaseTrigger, TriggerEvent

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.client import BillingClient

__all__ = ["WakingTrigger"]

T = TypeVar("T")

FIRST_QUERY_SECONDS = 10.0
"""A trigger that fires sooner can meet a race in Airflow's scheduler, which then fails a task that went well."""

GRACE_SECONDS = 60.0
"""How much longer than the deadline Airflow's own time-out is, so that the clear ending comes first."""

EVENNESS = 0.8
"""Pauses are drawn from this part of the interval up to the whole, so that waiting tasks do not query in step."""


def pause(interval: float) -> float:
    """Return how many seconds to wait until the next query."""
    return random.uniform(EVENNESS, 1.0) * interval


async def in_thread(client: BillingClient, query: Callable[..., T], *arguments: Any) -> T:
    """
    Run a query in a thread, so that the event loop is not held up.

    :param client: The client that the query uses. If the wait is cancelled the query still runs to its end, so the
        client is closed after that, too.
    """
    running = asyncio.ensure_future(asyncio.to_thread(query, *arguments))

    def ended(query: asyncio.Future[T]) -> None:
        if not query.cancelled():
            query.exception()  # Read, so that asyncio does not log it as lost.
        client.close()

    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        running.add_done_callback(ended)
        raise


class WakingTrigger(BaseTrigger):
    """
    Query until there is something for the task to do, or until the deadline, and wake the task.

    It only reads, so it may run twice or be moved to another triggerer. Its event is a wake-up call and no verdict:
    the task queries again and decides.

    :param tcbilling_conn_id: The Airflow connection.
    :param poll_interval: The longest time between two queries, in seconds; the first query comes after 10 s.
    :param deadline: Epoch seconds, which unlike a span survive a restart of the triggerer.
    :param facts: What is waited for, and whatever else the task wants back in the event. It is stored and logged in the
        clear, so it holds ids only.
    """

    def __init__(self, tcbilling_conn_id: str, poll_interval: float, deadline: float, **facts: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tcbilling_conn_id = tcbilling_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.facts = facts

    async def wait(self) -> str:
        """Wait until there is something for the task to do, and return why. An exception wakes it, too."""
        raise NotImplementedError

    @property
    def what(self) -> str:
        """The thing that is waited for, for the log."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores, in the clear: ids, and never a key."""
        waiting = {name: getattr(self, name) for name in ("tcbilling_conn_id", "poll_interval", "deadline")}
        return f"{type(self).__module__}.{type(self).__qualname__}", {**self.facts, **waiting}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, when there is something for the task to do."""
        try:
            await asyncio.sleep(FIRST_QUERY_SECONDS)
            self.log.info("Waiting for %s ended: %s.", self.what, await self.wait())
        except Exception as error:
            # The task meets the same error when it queries, and knows what it means for the money.
            self.log.warning("Waiting for %s ended: %s", self.what, error)
        yield TriggerEvent({**self.facts, "deadline": self.deadline})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Log that the wait has ended. Nothing is cancelled: Airflow also calls this when it moves the trigger."""
        self.log.warning("No longer waiting for %s. Nothing was cancelled.", self.what)


def deferral(trigger: WakingTrigger) -> dict[str, Any]:
    """Return the arguments with which a task defers: Airflow's own time-out is the later one."""
    left = max(0.0, trigger.deadline - time.time())
    return {
        "trigger": trigger,
        "method_name": "execute_complete",
        "timeout": timedelta(seconds=left + trigger.poll_interval + GRACE_SECONDS),
    }
