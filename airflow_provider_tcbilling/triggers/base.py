"""WakingTrigger: what every trigger of this package does alike, whatever it looks at."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

FIRST_LOOK_SECONDS = 10.0
"""A trigger that fires sooner can meet a race in Airflow's scheduler, which then fails a task that went well."""

GRACE_SECONDS = 60.0
"""How much longer than the deadline Airflow's own timeout is, so that the clear ending comes first."""


EVENNESS = 0.8
"""Pauses are drawn from this part of the interval up to the whole, so that those who wait do not look in step."""


def pause(interval: float) -> float:
    """Return how many seconds to wait until the next look."""
    return random.uniform(EVENNESS, 1.0) * interval


class WakingTrigger(BaseTrigger):
    """
    Look again and again, and wake the task when it is worth its looking, or at the deadline.

    It only reads, so it may run twice or be moved to another triggerer. Its event is a wake-up call and no verdict:
    the task looks again and decides.

    :param tcbilling_conn_id: The Airflow connection.
    :param poll_interval: The most seconds between two looks; the first look comes after 10 s.
    :param deadline: Epoch seconds, which unlike a span survive a restart of the triggerer.
    :param asked: What is looked at, and whatever else the task wants back in the event. It is stored and logged in the
        clear, so it holds ids only.
    """

    def __init__(self, tcbilling_conn_id: str, poll_interval: float, deadline: float, **asked: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tcbilling_conn_id = tcbilling_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.asked = asked

    async def wait(self) -> str:
        """Wait until it is worth the task's looking, and say why. An exception wakes it, too."""
        raise NotImplementedError

    @property
    def what(self) -> str:
        """What is waited for, for the log."""
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores, in the clear: ids, and never a key."""
        waiting = {name: getattr(self, name) for name in ("tcbilling_conn_id", "poll_interval", "deadline")}
        return f"{type(self).__module__}.{type(self).__qualname__}", {**self.asked, **waiting}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, when it is worth looking."""
        try:
            await asyncio.sleep(FIRST_LOOK_SECONDS)
            self.log.info("Waiting for %s ended: %s.", self.what, await self.wait())
        except Exception as error:
            # The task meets the same error when it looks, and knows what it means for the money.
            self.log.warning("Waiting for %s ended: %s", self.what, error)
        yield TriggerEvent({**self.asked, "deadline": self.deadline})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """Say what is no longer waited for. Nothing is cancelled: Airflow also calls this when it moves the trigger."""
        self.log.warning("No longer waiting for %s. Nothing was cancelled.", self.what)


def deferral(trigger: WakingTrigger) -> dict[str, Any]:
    """Return the arguments with which a task defers: Airflow's own time-out is the later one."""
    left = max(0.0, trigger.deadline - time.time())
    return {
        "trigger": trigger,
        "method_name": "execute_complete",
        "timeout": timedelta(seconds=left + trigger.poll_interval + GRACE_SECONDS),
    }
