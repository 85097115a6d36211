"""BillingSensor: the common part of the sensors. They only read."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowSensorTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_tcbilling.api.errors import DeliveryTimeout, TcBillingError
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.task.arguments import is_true, seconds_for_airflow
from airflow_provider_tcbilling.task.errors import unguarded
from airflow_provider_tcbilling.triggers._task import BillingTask
from airflow_provider_tcbilling.triggers.event import deadline_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.triggers.base import WakingTrigger

TriggerOf = Callable[[float], "WakingTrigger"]
"""Makes the trigger that goes on with the wait until a deadline, in epoch seconds."""


class BillingSensor(BillingTask, BaseSensorOperator):
    """Wait for something that a query shows: on a worker, or in the triggerer after the first query."""

    ui_color = "#e6f5e9"

    def __init__(
        self,
        *,
        deferrable: bool | str = conf.getboolean("operators", "default_deferrable", fallback=False),
        tcbilling_conn_id: str = DEFAULT_CONN_ID,
        poke_interval: timedelta | float | str | None = None,
        timeout: timedelta | float | str | None = None,
        **kwargs: Any,
    ) -> None:
        times = seconds_for_airflow(kwargs.get("task_id", ""), {"poke_interval": poke_interval, "timeout": timeout})
        super().__init__(tcbilling_conn_id=tcbilling_conn_id, **times, **kwargs)
        self.deferrable = deferrable

    @abstractmethod
    def query(self, client: BillingClient, deadline: float) -> tuple[Any, TriggerOf]:
        """
        Query once; return what was found, nothing while it is waited for, and the trigger for going on.

        :param deadline: Epoch seconds after which nothing is waited for any more.
        :raises DeliveryTimeout: An order is still open at the deadline.
        :raises TcBillingError: The wait cannot end well.
        """

    @abstractmethod
    def refuse_another(self, event: Any) -> None:
        """
        Raise if the event names something else than the task's own arguments.

        :raises WrongEvent: It does. Nothing was sent.
        """

    @abstractmethod
    def timed_out(self, reason: str) -> TcBillingError:
        """
        Return the error of a wait that took too long.

        :param reason: Airflow's message; empty if the task itself noticed.
        """

    def shown(self, found: Any) -> Any:
        """Return what was found as the task returns it."""
        return found

    def poke(self, context: Context) -> PokeReturnValue:
        """Query once; in deferrable mode, leave the worker if there is nothing yet."""
        with self._reporting(context):
            found, trigger_of = self._query(math.inf)
            if not found and is_true(self.deferrable):
                self._defer(trigger_of(time.time() + self.timeout))
        return PokeReturnValue(bool(found), self.shown(found))

    def execute(self, context: Context) -> Any:
        """Wait; a time-out says what it means."""
        try:
            with self._reporting(context):
                return unguarded(BaseSensorOperator.execute)(self, context)
        except AirflowSensorTimeout as error:
            raise self._airflow_timeout(context, self.timed_out(harmless(error))) from None

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> Any:
        """
        Query again after the trigger woke the task: return what was waited for, raise its end, or wait on.

        The sensor's own arguments say what is waited for. Of the event only the deadline counts.

        :raises AirflowFailException: The task was woken for something else. Else as in :meth:`poke`.
        :raises AirflowSensorTimeout: The deadline has passed.
        """
        read = deadline_of(event, self.timeout)
        deadline = time.time() if read is None else read
        try:
            with self._reporting(context):
                self._refuse_mistakes()
                self.refuse_another(event)
                found, trigger_of = self._query(deadline)
                if found:
                    return self.shown(found)
                if time.time() >= deadline:
                    raise self._airflow_timeout(context, self.timed_out(""))
                self._defer(trigger_of(deadline))
        except DeliveryTimeout as error:
            raise AirflowSensorTimeout(str(error)) from None

    def _query(self, deadline: float) -> tuple[Any, TriggerOf]:
        from airflow_provider_tcbilling.waiting.patience import patiently

        self._refuse_mistakes()
        with self.hook.session() as tencent:
            return patiently(tencent.waiting, lambda: self.query(tencent.waiting, deadline))

    def _airflow_timeout(self, context: Context, ended: TcBillingError) -> AirflowSensorTimeout:
        return AirflowSensorTimeout("\n".join(self.end(context).report(ended)))
