"""InstanceDeliverySensor: waits for the delayed instance ids of an order placed elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_tcbilling.api.errors import DeliveryTimeout, InvalidRequest
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook, client_of
from airflow_provider_tcbilling.task.arguments import (
    A_CONNECTION,
    A_FLAG,
    AN_ORDER,
    WAITING,
    Check,
    Rendered,
    is_true,
    literals_of,
    mistakes_in,
    number_of,
    refuse_literals,
    seconds_for_airflow,
)
from airflow_provider_tcbilling.task.errors import (
    no_retry_unless_transient,
    told_if_airflow_ended_the_wait,
    unguarded,
)
from airflow_provider_tcbilling.triggers.event import deadline_of, order_of, refuse_another

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.task.failure_message import TaskEnd
    from airflow_provider_tcbilling.waiting.delivery import Delivery, DeliveryWatch


class InstanceDeliverySensor(Rendered, BaseSensorOperator):
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
    :param poke_interval: Time between two looks: a timedelta, seconds, or an ISO 8601 duration such as ``PT30S``;
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
    """The rule for each argument."""

    ui_color = "#e6f5e9"

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
        times = seconds_for_airflow(kwargs.get("task_id", ""), {"poke_interval": poke_interval, "timeout": timeout})
        super().__init__(**times, **kwargs)
        self.order_id = order_id
        self.deferrable = deferrable
        self.tcbilling_conn_id = tcbilling_conn_id
        refuse_literals(self.task_id, self.checks, literals_of(self, self.checks))

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once; in deferrable mode, leave the worker if there is nothing yet."""
        watch = self._watch(context)
        delivery = self._query(watch, context)
        if delivery.order is None and is_true(self.deferrable):
            self._defer(watch, delivery, time.time() + self.timeout)
        return PokeReturnValue(delivery.order is not None, delivery.order.as_dict() if delivery.order else None)

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
            delivery = self._query(watch, context)
        except DeliveryTimeout as error:
            raise AirflowSensorTimeout(str(error)) from None
        if delivery.order is None:
            self._defer(watch, delivery, deadline)
        return delivery.order.as_dict() if delivery.order else {}

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a wait in the triggerer."""
        with told_if_airflow_ended_the_wait(next_method, lambda: self._end(context)):
            return super().resume_execution(next_method, next_kwargs, context)

    def execute(self, context: Context) -> Any:
        """Wait; a time-out says what it means for the order."""
        try:
            with no_retry_unless_transient(lambda: self._end(context)):
                return unguarded(BaseSensorOperator.execute)(self, context)
        except AirflowSensorTimeout as error:
            ended = DeliveryTimeout(str(self.order_id), harmless(error))
            raise AirflowSensorTimeout("\n".join(self._end(context).report(ended))) from None

    def _watch(self, context: Context, deadline: float = math.inf) -> DeliveryWatch:
        from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch

        with no_retry_unless_transient(lambda: self._end(context)):
            if mistakes := mistakes_in(self, self.checks):
                raise InvalidRequest(self.task_id, mistakes)
            client = client_of(TcBillingHook(self.tcbilling_conn_id).get_settings(), is_waiting=True)
            return DeliveryWatch(client, number_of(self.order_id), deadline=deadline)

    def _query(self, watch: DeliveryWatch, context: Context) -> Delivery:
        with no_retry_unless_transient(lambda: self._end(context)):
            return watch.step()

    def _end(self, context: Context) -> TaskEnd:
        from airflow_provider_tcbilling.task.failure_facts import end_of

        is_known = not AN_ORDER.mistake("order_id", self.order_id)
        order_id = number_of(self.order_id) if is_known else ""
        return end_of(context, TcBillingHook(self.tcbilling_conn_id), order_id=order_id)

    def _defer(self, watch: DeliveryWatch, delivery: Delivery, deadline: float) -> None:
        from airflow_provider_tcbilling.triggers.base import deferral
        from airflow_provider_tcbilling.triggers.delivery import DeliveryTrigger

        placed_at = delivery.placed_at or time.time()
        order = {"order_id": watch.order_id}
        trigger = DeliveryTrigger(
            order, self.tcbilling_conn_id, float(self.poke_interval), deadline, placed_at=placed_at
        )
        self.defer(**deferral(trigger))
