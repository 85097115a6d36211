"""DeliveryTrigger: wakes a task when its order has come to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.triggers.base import WakingTrigger

__all__ = ["DeliveryTrigger"]


class DeliveryTrigger(WakingTrigger):
    """
    Wait until an order has come to its end, good or bad, or until the deadline has passed.

    :param order: ``order_id``, and whatever else the task wants back in the event.
    :param tcbilling_conn_id: The Airflow connection.
    :param poll_interval: The longest time between two queries, in seconds; the first query comes after 10 s.
    :param deadline: Epoch seconds, which unlike a span survive a restart of the triggerer.
    :param action: Name of the action that placed the order.
    :param placed_at: Epoch seconds at which the order was placed, or some hours before; ``None`` if it is not known.
    """

    def __init__(
        self,
        order: Mapping[str, Any],
        tcbilling_conn_id: str,
        poll_interval: float,
        deadline: float,
        action: str = CREATE_INSTANCE.name,
        *,
        placed_at: float | None = None,
    ) -> None:
        super().__init__(
            tcbilling_conn_id, poll_interval, deadline, order=dict(order), action=action, placed_at=placed_at
        )
        self.order = order
        self.action = action
        self.placed_at = placed_at

    @property
    def what(self) -> str:
        """The order, for the log."""
        return f"order {self.order['order_id']}"

    async def wait(self) -> str:
        """Wait together with all other tasks whose orders are of the same connection."""
        from airflow_provider_tcbilling.triggers.shared_watch import SharedWatch

        return await SharedWatch.of(self.tcbilling_conn_id).ended(
            (self.order["order_id"], self.action),
            placed_at=self.placed_at,
            poll_interval=self.poll_interval,
            deadline=self.deadline,
        )
