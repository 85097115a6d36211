"""InstanceExpirySensor: waits until an instance expires soon, or until an instance was renewed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.errors import WaitEnded
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.sensors._base import BillingSensor, TriggerOf
from airflow_provider_tcbilling.task.arguments import (
    A_CONNECTION,
    A_FLAG,
    A_MOMENT,
    A_SPAN,
    AN_INSTANCE,
    FILTERS,
    WAITING,
    literals_of,
    optional,
    refuse_literals,
    seconds_of,
)
from airflow_provider_tcbilling.triggers.event import instance_of, refuse_another
from airflow_provider_tcbilling.waiting.filters import ALL, Wanted

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.models import RenewableInstance
    from airflow_provider_tcbilling.triggers.expiry import ExpiryTrigger

__all__ = ["InstanceExpirySensor"]


class InstanceExpirySensor(BillingSensor):
    """
    Wait until something expires within a span, or until the expiry of one instance passes a moment.

    The second waits for a renewal that another task or a user makes. It only reads. An instance that is not listed, or
    that has no expiry, ends the task at once, since waiting for it would never end.

    Returns a list of dicts as
    :class:`~airflow_provider_tcbilling.operators.expiry.ExpiringInstancesOperator` does.

    .. seealso:: :ref:`howto/sensor:InstanceExpirySensor`,
        https://www.tencentcloud.com/document/api/555/78424

    :param within: The span in which something expires: a timedelta, seconds, or an ISO 8601 duration such as ``P14D``;
        excludes *instance_id*. (templated)
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
    :param deferrable: Wait in the triggerer and not on a worker, after one query on the worker. The default is
        Airflow's ``default_deferrable``.
    :param tcbilling_conn_id: The Airflow connection. (templated)
    :param poke_interval: Time between two queries: a timedelta, seconds, or an ISO 8601 duration such as ``PT5M``;
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
        super().__init__(
            deferrable=deferrable,
            tcbilling_conn_id=tcbilling_conn_id,
            poke_interval=poke_interval,
            timeout=timeout,
            **kwargs,
        )
        self.within = within
        self.product_codes = product_codes
        self.sub_product_codes = sub_product_codes
        self.region_codes = region_codes
        self.renew_flags = renew_flags
        self.name = name
        self.instance_id = instance_id
        self.expires_after = expires_after
        refuse_literals(self.task_id, self.checks, literals_of(self, self.checks))

    def mistakes(self) -> list[str]:
        """Return the mistakes in the arguments, each alone and together."""
        mistakes = super().mistakes()
        if (self.within is None) == (self.instance_id is None):
            mistakes.append("within: say either how soon something expires, or which instance_id expires_after when")
        if (self.instance_id is None) != (self.expires_after is None):
            mistakes.append("expires_after: goes together with instance_id")
        if self.within is None:
            given = [name for name in FILTERS if getattr(self, name) != ALL]
            mistakes += [f"{name}: goes together with within, and not with instance_id" for name in given]
        return mistakes

    def query(self, client: BillingClient, deadline: float) -> tuple[list[RenewableInstance], TriggerOf]:
        """Query the list of instances once."""
        from airflow_provider_tcbilling.triggers.expiry import question_of
        from airflow_provider_tcbilling.waiting.expiry import query

        found = query(client, question_of(self._question()), time.time())
        self.log.info("%d instances match %s.", len(found), self._question())
        return found, self._trigger

    def refuse_another(self, event: Any) -> None:
        """Raise if the task was woken for another instance than its *instance_id*."""
        own = self._question().get("instance_id")
        if own and (instance := instance_of(event)):
            refuse_another(own, instance.strip(), "its own argument", "instance")

    def timed_out(self, reason: str) -> WaitEnded:
        """Return the error of a wait in which nothing matched."""
        return WaitEnded(f"Nothing matched within {self.timeout:g} seconds: {self._question()}.")

    def shown(self, found: list[RenewableInstance]) -> list[dict[str, str]]:
        """Return the arguments of a renewal of each instance."""
        return [instance.renewal_arguments() for instance in found]

    def _trigger(self, deadline: float) -> ExpiryTrigger:
        from airflow_provider_tcbilling.triggers.expiry import ExpiryTrigger

        return ExpiryTrigger(self._question(), self.tcbilling_conn_id, float(self.poke_interval), deadline)

    def _question(self) -> dict[str, Any]:
        """Return what is waited for, as JSON types. The arguments have been checked."""
        if self.within is None:
            names = ("instance_id", "expires_after")
            return {name: self.checks[name].read(getattr(self, name)) for name in names}
        filters = Wanted.read({name: getattr(self, name) for name in FILTERS})
        return {"within": seconds_of(self.within), "filters": filters.as_json()}
