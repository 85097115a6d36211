"""InstanceDeliverySensor: waits for the delayed instance ids of an order placed elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_tcbilling.api.errors import DeliveryTimeout, InvalidRequest
from airflow_provider_tcbilling.api.text import NUMBER, harmless, matching
from airflow_provider_tcbilling.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.events import deadline_of, order_of, refuse_another
from airflow_provider_tcbilling.failures import no_retry_unless_transient
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook, client_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.delivery import DeliveryWatch
    from airflow_provider_tcbilling.api.models import Order
    from airflow_provider_tcbilling.task_end import TaskEnd


class InstanceDeliverySensor(BaseSensorOperator):
    """
    Wait until an order is delivered, and return its instances.

    It only reads. An order that has failed, was closed, has expired or was refunded ends the task at once, with the
    reason; one that is not listed yet is waited for.

    Returns the same dict as :class:`CreateInstanceOperator`; ``client_token`` and ``request_id`` are ``None``, since
    the order was placed elsewhere.

    .. seealso:: :ref:`howto/sensor:InstanceDeliverySensor`,
        https://www.tencentcloud.com/document/api/555/67735

    :param order_id: The order: ``"{{ ti.xcom_pull('buy', key='order_id') }}"``; not older than 89 days. (templated)
    :param deferrable: Wait in the triggerer and not on a worker. It looks once before it defers.
    :param tcbilling_conn_id: The Airflow connection. (templated)
    :param poke_interval: Seconds between two looks.
    :param timeout: Seconds until the task fails for good, or is skipped with ``soft_fail``.
    """

    template_fields: Sequence[str] = ("order_id", "tcbilling_conn_id")
    ui_color = "#e6f5e9"

    def __init__(
        self,
        *,
        order_id: str,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        tcbilling_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.order_id = order_id
        self.deferrable = deferrable
        self.tcbilling_conn_id = tcbilling_conn_id

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once; in deferrable mode, leave the worker if there is nothing yet."""
        watch = self._watch(context)
        order = self._look(watch, context)
        if order is None and self.deferrable:
            self._defer(watch, time.time() + self.timeout)
        return PokeReturnValue(order is not None, order.as_dict() if order else None)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """
        Look again after the trigger woke the task: return the delivered order, raise its end, or wait on.

        :raises AirflowFailException: It was woken for another order than its *order_id*. Else as in :meth:`poke`.
        """
        told, deadline = order_of(event), deadline_of(event, self.timeout)
        deadline = time.time() if deadline is None else deadline
        watch = self._watch(context, deadline)
        with no_retry_unless_transient(lambda: self._end(context)):
            if told:
                refuse_another(watch.order_id, told.order_id, "its own argument")
        try:
            order = self._look(watch, context)
        except DeliveryTimeout as error:
            raise AirflowSensorTimeout(str(error)) from None
        if order is None:
            self._defer(watch, deadline)
        return order.as_dict() if order else {}

    def execute(self, context: Context) -> Any:
        """Wait; a time-out says what it means for the order."""
        try:
            return super().execute(context)
        except AirflowSensorTimeout as error:
            ended = DeliveryTimeout(str(self.order_id), harmless(error))
            raise AirflowSensorTimeout("\n".join(self._end(context).report(ended))) from None

    def _watch(self, context: Context, deadline: float = math.inf) -> DeliveryWatch:
        from airflow_provider_tcbilling.api.delivery import DeliveryWatch

        with no_retry_unless_transient(lambda: self._end(context)):
            order_id = str(self.order_id or "").strip()
            if order_id in ("", "None"):
                raise InvalidRequest(self.task_id, [f"order_id: given, but its template rendered to {order_id!r}"])
            if not matching(order_id, NUMBER):
                raise InvalidRequest(self.task_id, [f"order_id: {order_id!r} is not {NUMBER[1]}"])
            client = client_of(TcBillingHook(self.tcbilling_conn_id).get_settings(), is_waiting=True)
            return DeliveryWatch(client, order_id, deadline=deadline)

    def _look(self, watch: DeliveryWatch, context: Context) -> Order | None:
        with no_retry_unless_transient(lambda: self._end(context)):
            return watch.step()

    def _end(self, context: Context) -> TaskEnd:
        from airflow_provider_tcbilling.ending import end_of

        order_id = matching(str(self.order_id or "").strip(), NUMBER)
        return end_of(context, TcBillingHook(self.tcbilling_conn_id), order_id=order_id)

    def _defer(self, watch: DeliveryWatch, deadline: float) -> None:
        from airflow_provider_tcbilling.triggers.delivery import DeliveryTrigger
        from airflow_provider_tcbilling.triggers.waking import deferral

        placed_at = watch.placed_at or time.time()
        order = {"order_id": watch.order_id}
        trigger = DeliveryTrigger(order, self.tcbilling_conn_id, self.poke_interval, deadline, placed_at=placed_at)
        self.defer(**deferral(trigger))
