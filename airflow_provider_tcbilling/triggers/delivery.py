"""DeliveryTrigger: wakes a task when its order is settled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook

FIRST_LOOK_SECONDS = 10.0
"""A trigger that fires sooner can meet a race in Airflow's scheduler, which then fails a task that went well."""

GRACE_SECONDS = 60.0
"""How much longer than the deadline Airflow's own timeout is, so that the clear ending comes first."""


class DeliveryTrigger(BaseTrigger):
    """
    Wait until an order is settled, one way or the other, or the deadline has passed.

    It only reads, so it may run twice or be moved to another triggerer. Its event is a wake-up call and no verdict:
    the task looks again and decides.

    :param order: ``order_id``, and whatever else the task wants back in the event. It is stored and logged in the
        clear, so it holds ids only.
    :param tcbilling_conn_id: The Airflow connection.
    :param poll_interval: Seconds between two looks; the first look comes after 10 s.
    :param deadline: Epoch seconds, which unlike a span survive a restart of the triggerer.
    :param action: Name of the action that placed the order.
    """

    def __init__(
        self,
        order: Mapping[str, Any],
        tcbilling_conn_id: str,
        poll_interval: float,
        deadline: float,
        action: str = CREATE_INSTANCE.name,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.order = order
        self.tcbilling_conn_id = tcbilling_conn_id
        self.poll_interval = poll_interval
        self.deadline = deadline
        self.action = action

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores, in the clear: ids, and never a key."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "order": dict(self.order),
                "tcbilling_conn_id": self.tcbilling_conn_id,
                "poll_interval": self.poll_interval,
                "deadline": self.deadline,
                "action": self.action,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event, when it is worth looking."""
        try:
            await self._wait()
        except Exception as error:
            # The task meets the same error when it looks, and knows what it means for the money.
            self.log.warning("Waiting for order %s ended: %s", self.order["order_id"], error)
        yield TriggerEvent({"order": dict(self.order), "deadline": self.deadline})  # type: ignore[no-untyped-call]

    async def _wait(self) -> None:
        from airflow_provider_tcbilling.api.delivery import DeliveryWatch

        await asyncio.sleep(FIRST_LOOK_SECONDS)
        client = await TcBillingHook(self.tcbilling_conn_id).aget_conn()
        watch = DeliveryWatch(client, self.order["order_id"], action=self.action, deadline=self.deadline)
        while await asyncio.to_thread(watch.step) is None:
            await asyncio.sleep(min(self.poll_interval, max(0.0, self.deadline - time.time())))

    async def on_kill(self) -> None:
        """Say what stays billed. Nothing is cancelled: Airflow also calls this when it only moves the trigger."""
        self.log.warning("No longer waiting for order %s. It stays paid.", self.order["order_id"])


def deferral(
    order: Mapping[str, Any],
    tcbilling_conn_id: str,
    poll_interval: float,
    deadline: float,
    action: str = CREATE_INSTANCE.name,
) -> dict[str, Any]:
    """Return the arguments with which a task defers until its order is settled."""
    trigger = DeliveryTrigger(order, tcbilling_conn_id, poll_interval, deadline, action)
    return deferral_with(trigger, poll_interval, deadline)


def deferral_with(trigger: BaseTrigger, poll_interval: float, deadline: float) -> dict[str, Any]:
    """Return the arguments with which a task defers: Airflow's own time-out is the later one."""
    return {
        "trigger": trigger,
        "method_name": "execute_complete",
        "timeout": timedelta(seconds=max(0.0, deadline - time.time()) + poll_interval + GRACE_SECONDS),
    }
