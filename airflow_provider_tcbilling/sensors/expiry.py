"""InstanceExpirySensor: waits until something expires soon, or until somebody has renewed an instance."""

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

from airflow_provider_tcbilling.api.errors import InvalidRequest, WaitEnded
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.task.arguments import (
    A_CONNECTION,
    A_FLAG,
    A_MOMENT,
    A_SPAN,
    AN_INSTANCE,
    FILTERS,
    WAITING,
    Check,
    Rendered,
    is_true,
    literals_of,
    mistakes_in,
    optional,
    refuse_literals,
    seconds_for_airflow,
    seconds_of,
)
from airflow_provider_tcbilling.task.errors import (
    no_retry_unless_transient,
    told_if_airflow_ended_the_wait,
    unguarded,
)
from airflow_provider_tcbilling.triggers.event import deadline_of, instance_of, refuse_another
from airflow_provider_tcbilling.waiting.filters import ALL, Wanted

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.task.failure_message import TaskEnd


class InstanceExpirySensor(Rendered, BaseSensorOperator):
    """
    Wait until something expires within a span, or until the expiry of one instance passes a moment.

    The second is how to wait for a renewal that somebody else makes. It only reads. An instance that is not listed, or
    that has no expiry, ends the task at once, since waiting for it would never end.

    Returns a list of dicts as
    :class:`~airflow_provider_tcbilling.operators.expiry.ExpiringInstancesOperator` does.

    .. seealso:: :ref:`howto/sensor:InstanceExpirySensor`,
        https://www.tencentcloud.com/document/api/555/78424

    :param within: How soon something expires: a timedelta, seconds, or an ISO 8601 duration such as ``P14D``; excludes
        *instance_id*. (templated)
    :param product_codes: Only these layer-1 product codes: a code or a list of codes, also as text. ``*`` is all; an
        empty list, or nothing, is a mistake. (templated)
    :param sub_product_codes: Only these layer-2 product codes, written likewise. (templated)
    :param region_codes: Only these regions, written likewise. (templated)
    :param renew_flags: Only these renew flags, written likewise. (templated)
    :param name: Pattern of the instance's name, in which only ``*`` and ``?`` mean more than themselves; upper and
        lower case differ. (templated)
    :param instance_id: The instance whose expiry must pass *expires_after*. (templated)
    :param expires_after: A time as the list of instances writes it, of the same unknown zone, or an ISO 8601 time with
        its zone. (templated)
    :param deferrable: Wait in the triggerer and not on a worker. It looks once before it defers.
    :param tcbilling_conn_id: The Airflow connection. (templated)
    :param poke_interval: Time between two looks: a timedelta, seconds, or an ISO 8601 duration such as ``PT5M``;
        ``None`` is Airflow's default, as for *timeout*.
    :param timeout: Time until the task fails for good, or is skipped with ``soft_fail``; written likewise.
    """

    template_fields: Sequence[str] = ("within", *FILTERS, "instance_id", "expires_after", "tcbilling_conn_id")
    checks: ClassVar[Mapping[str, Check]] = {
        "within": optional(A_SPAN),
        **FILTERS,
        "instance_id": optional(AN_INSTANCE),
        "expires_after": optional(A_MOMENT),
        "deferrable": A_FLAG,
        "tcbilling_conn_id": A_CONNECTION,
        **WAITING,
    }
    """The rule for each argument."""

    ui_color = "#e6f5e9"

    def __init__(
        self,
        *,
        within: timedelta | float | str | None = None,
        product_codes: Sequence[str] | str = ALL,
        sub_product_codes: Sequence[str] | str = ALL,
        region_codes: Sequence[str] | str = ALL,
        renew_flags: Sequence[str] | str = ALL,
        name: str = ALL,
        instance_id: str | None = None,
        expires_after: str | None = None,
        deferrable: bool | str = conf.getboolean("operators", "default_deferrable", fallback=False),
        tcbilling_conn_id: str = DEFAULT_CONN_ID,
        poke_interval: timedelta | float | str | None = None,
        timeout: timedelta | float | str | None = None,
        **kwargs: Any,
    ) -> None:
        times = seconds_for_airflow(kwargs.get("task_id", ""), {"poke_interval": poke_interval, "timeout": timeout})
        super().__init__(**times, **kwargs)
        self.within = within
        self.product_codes = product_codes
        self.sub_product_codes = sub_product_codes
        self.region_codes = region_codes
        self.renew_flags = renew_flags
        self.name = name
        self.instance_id = instance_id
        self.expires_after = expires_after
        self.deferrable = deferrable
        self.tcbilling_conn_id = tcbilling_conn_id
        refuse_literals(self.task_id, self.checks, literals_of(self, self.checks))

    def poke(self, context: Context) -> PokeReturnValue:
        """Look once; in deferrable mode, leave the worker if there is nothing yet."""
        found = self._look(context)
        if not found and is_true(self.deferrable):
            self._defer(time.time() + self.timeout)
        return PokeReturnValue(bool(found), found)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> list[dict[str, str]]:
        """
        Look again after the trigger woke the task: return what was waited for, or wait on.

        What is waited for, the sensor's own arguments say, and nothing of the event but its deadline counts.

        :raises AirflowFailException: It was woken for another instance than its own. Else as in :meth:`poke`.
        """
        told = deadline_of(event, self.timeout)
        deadline = -math.inf if told is None else told
        with no_retry_unless_transient(lambda: self._end(context)):
            own = self._question().get("instance_id")
            if own and (instance := instance_of(event)):
                refuse_another(own, instance.strip(), "its own argument", "instance")
        found = self._look(context)
        if not found and time.time() >= deadline:
            raise self._timed_out(context)
        if not found:
            self._defer(deadline)
        return found

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a wait in the triggerer."""
        with told_if_airflow_ended_the_wait(next_method, lambda: self._end(context)):
            return super().resume_execution(next_method, next_kwargs, context)

    def execute(self, context: Context) -> Any:
        """Wait; a time-out says what it means."""
        try:
            with no_retry_unless_transient(lambda: self._end(context)):
                return unguarded(BaseSensorOperator.execute)(self, context)
        except AirflowSensorTimeout:
            raise self._timed_out(context) from None

    def _timed_out(self, context: Context) -> AirflowSensorTimeout:
        error = WaitEnded(f"Nothing matched within {self.timeout:g} seconds: {self._question()}.")
        return AirflowSensorTimeout("\n".join(self._end(context).report(error)))

    def _end(self, context: Context) -> TaskEnd:
        from airflow_provider_tcbilling.task.failure_facts import end_of

        return end_of(context, TcBillingHook(self.tcbilling_conn_id))

    def _look(self, context: Context) -> list[dict[str, str]]:
        from airflow_provider_tcbilling.triggers.expiry import asked
        from airflow_provider_tcbilling.waiting.expiry import query

        with no_retry_unless_transient(lambda: self._end(context)):
            question = asked(self._question())
            found = query(TcBillingHook(self.tcbilling_conn_id).get_conn(), question, time.time())
        self.log.info("%d instances are as asked (%s).", len(found), self._question())
        return [instance.renewal_arguments() for instance in found]

    def _defer(self, deadline: float) -> None:
        from airflow_provider_tcbilling.triggers.base import deferral
        from airflow_provider_tcbilling.triggers.expiry import ExpiryTrigger

        self.defer(
            **deferral(ExpiryTrigger(self._question(), self.tcbilling_conn_id, float(self.poke_interval), deadline))
        )

    def _question(self) -> dict[str, Any]:
        """
        Return what is waited for, as JSON types.

        :raises InvalidRequest: With every mistake at once.
        """
        mistakes = mistakes_in(self, self.checks)
        if (self.within is None) == (self.instance_id is None):
            mistakes.append("within: say either how soon something expires, or which instance_id expires_after when")
        if (self.instance_id is None) != (self.expires_after is None):
            mistakes.append("expires_after: goes together with instance_id")
        if self.within is None:
            given = [name for name in FILTERS if getattr(self, name) != ALL]
            mistakes += [f"{name}: goes together with within, and not with instance_id" for name in given]
        if mistakes:
            raise InvalidRequest(self.task_id, mistakes)
        if self.within is None:
            names = ("instance_id", "expires_after")
            return {name: self.checks[name].read(getattr(self, name)) for name in names}
        filters = Wanted.read({name: getattr(self, name) for name in FILTERS})
        return {"within": seconds_of(self.within), "filters": filters.as_json()}
