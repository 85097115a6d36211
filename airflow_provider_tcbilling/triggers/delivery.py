"""DeliveryTrigger: wakes a task when its order is settled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.triggers.waking import WakingTrigger, deferral_with

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.client import BillingClient


class DeliveryTrigger(WakingTrigger):
    """
    Wait until an order is settled, one way or the other, or the deadline has passed.

    :param order: ``order_id``, and whatever else the task wants back in the event.
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
        super().__init__(tcbilling_conn_id, poll_interval, deadline, order=dict(order), action=action)
        self.order = order
        self.action = action

    @property
    def what(self) -> str:
        """The order, for the log."""
        return f"order {self.order['order_id']}"

    def looker(self, client: BillingClient) -> Callable[[], bool]:
        """Return what looks whether the order has come to its end."""
        from airflow_provider_tcbilling.api.delivery import DeliveryWatch

        watch = DeliveryWatch(client, self.order["order_id"], action=self.action, deadline=self.deadline)
        return lambda: watch.step() is not None


def deferral(
    order: Mapping[str, Any],
    tcbilling_conn_id: str,
    poll_interval: float,
    deadline: float,
    action: str = CREATE_INSTANCE.name,
) -> dict[str, Any]:
    """Return the arguments with which a task defers until its order is settled."""
    return deferral_with(DeliveryTrigger(order, tcbilling_conn_id, poll_interval, deadline, action))
