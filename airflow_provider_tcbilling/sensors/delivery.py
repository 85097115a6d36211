"""InstanceDeliverySensor: waits for the delayed instance ids of an order placed elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.errors import DeliveryTimeout
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.sensors._base import BillingSensor, TriggerOf
from airflow_provider_tcbilling.task.arguments import (
    A_CONNECTION,
    A_FLAG,
    AN_ORDER,
    WAITING,
    literals_of,
    number_of,
    refuse_literals,
)
from airflow_provider_tcbilling.triggers.event import order_of, refuse_another

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.models import Order
    from airflow_provider_tcbilling.task.failure_message import TaskEnd
    from airflow_provider_tcbilling.triggers.delivery import DeliveryTrigger

__all__ = ["InstanceDeliverySensor"]


class InstanceDeliverySensor(BillingSensor):
    """
    Wait until an order is delivered, and return its instances.

    It only reads. An order that has failed, was closed, has expired or was refunded ends the task at once, with the
    reason; one that is not listed yet is waited for.

    Returns the same dict as :class:`CreateInstanceOperator`; ``client_token`` and ``request_id`` are ``None``, since
    the order was placed elsewhere.

    .. seealso:: :ref:`howto/sensor:InstanceDeliverySensor`,
        https://www.tencentcloud.com/document/api/555/67735

    :param order_id: The order: ``"{{ ti.xcom_pull('buy', key='order_id') }}"``; not older than 89 days. (templated)
    :param deferrable: Wait in the triggerer and not on a worker, after one query on the worker. The default is
        Airflow's ``default_deferrable``.
    :param tcbilling_conn_id: The Airflow connection. (templated)
    :param poke_interval: Time between two queries: a timedelta, seconds, or an ISO 8601 duration such as ``PT30S``;
        ``None`` is Airflow's default, as for *timeout*.
    :param timeout: Time until the task fails for good, or is skipped with ``soft_fail``; written likewise.
    """

    template_fields: Sequence[str] = ("order_id", "tcbilling_conn_id")
    checks: ClassVar[Mapping[str, Check]] = {
        "order_id": AN_ORDER,
        "deferrable": A_FLAG,
        "tcbilling_conn_id": A_CONNECTION,
        **WAITING,
    }

    def __init__(
        self,
        *,
        order_id: str,
        deferrable: bool | str = conf.getboolean("operators", "default_deferrable", fallback=False),
        tcbilling_conn_id: str = DEFAULT_CONN_ID,
        poke_interval: timedelta | float | str | None = None,
        timeout: timedelta | float | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            deferrable=deferrable,
            tcbilling_conn_id=tcbilling_conn_id,
            poke_interval=poke_interval,
            timeout=timeout,
            **kwargs,
        )
        self.order_id = order_id
        self._state = ""
        refuse_literals(self.task_id, self.checks, literals_of(self, self.checks))

    def query(self, client: BillingClient, deadline: float) -> tuple[Order | None, TriggerOf]:
        """Query the order once."""
        from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch

        watch = DeliveryWatch(client, number_of(self.order_id), deadline=deadline)
        delivery = watch.step()
        self._state = delivery.state
        return delivery.order, lambda until: self._trigger(until, delivery.placed_at or time.time())

    def refuse_another(self, event: Any) -> None:
        """Raise if the task was woken for another order than its *order_id*."""
        if named := order_of(event):
            refuse_another(number_of(self.order_id), named.order_id, "its own argument")

    def timed_out(self, reason: str) -> DeliveryTimeout:
        """Return the error of an order that is still open."""
        return DeliveryTimeout(str(self.order_id), "; ".join(filter(None, [self._state, reason])))

    def shown(self, found: Order | None) -> dict[str, Any] | None:
        """Return the order as a dict."""
        return found.as_dict() if found else None

    def end(self, context: Context, *, was_waiting: bool = False) -> TaskEnd:
        """Return the facts for the message of a task that fails: its order, too."""
        from airflow_provider_tcbilling.task.failure_facts import end_of

        order_id = "" if AN_ORDER.mistake("order_id", self.order_id) else number_of(self.order_id)
        return end_of(context, self.hook, order_id=order_id)

    def _trigger(self, deadline: float, placed_at: float) -> DeliveryTrigger:
        from airflow_provider_tcbilling.triggers.delivery import DeliveryTrigger

        order, interval = {"order_id": number_of(self.order_id)}, float(self.poke_interval)
        return DeliveryTrigger(order, self.tcbilling_conn_id, interval, deadline, placed_at=placed_at)
