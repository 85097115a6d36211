"""ExpiringInstancesOperator: lists what expires soon, as the arguments of its renewals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.task.arguments import A_CONNECTION, A_COUNT, A_SPAN, FILTERS, optional
from airflow_provider_tcbilling.triggers._task import BillingTask
from airflow_provider_tcbilling.waiting.filters import ALL

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["ExpiringInstancesOperator"]

LINES_LOGGED = 20


class ExpiringInstancesOperator(BillingTask):
    """
    List the instances that expire within a span, soonest first. It only reads.

    The log shows what each filter left, at level WARNING if that is nothing, or if no instance has one of the codes.

    Those that have expired and can still be renewed are listed too. An expiry whose zone is not known counts as the
    earlier of what it may be, so an instance can come up to eight hours early. Instances without an expiry never come,
    nor do products that the renewal page of the console does not have.

    Returns a list of dicts, each with the arguments of one
    :class:`~airflow_provider_tcbilling.operators.renewal.RenewInstanceOperator`, so its output feeds
    ``.expand_kwargs()``; an empty list skips what is mapped over it. The XCom ``instances`` has everything that the
    server shows of them. Nothing in either can be a template: a name's braces, signs and quotes are underscores there.
    Airflow maps over at most ``[core] max_map_length`` items, 1024 by default: *limit* keeps below it.

    .. seealso:: :ref:`howto/operator:ExpiringInstancesOperator`,
        https://www.tencentcloud.com/document/api/555/78424

    :param within: The span in which they expire: a timedelta, seconds, or an ISO 8601 duration such as ``P14D``.
        (templated)
    :param product_codes: Only these layer-1 product codes: a code or a list of codes, also as text. ``*`` is all; an
        empty list, or nothing, is a mistake. (templated)
    :param sub_product_codes: Only these layer-2 product codes, written likewise. (templated)
    :param region_codes: Only these regions, written likewise. (templated)
    :param renew_flags: Only these renew flags, written likewise. (templated)
    :param name: Pattern of the instance's name, in which only ``*`` and ``?`` mean more than themselves; upper and
        lower case differ. (templated)
    :param limit: The most instances to return, the soonest first; ``None`` returns all. (templated)
    :param tcbilling_conn_id: The Airflow connection. (templated)
    """

    template_fields: Sequence[str] = (
        "within",
        *FILTERS,
        "limit",
        "tcbilling_conn_id",
    )
    checks: ClassVar[Mapping[str, Check]] = {
        "within": A_SPAN,
        **FILTERS,
        "limit": optional(A_COUNT),
        "tcbilling_conn_id": A_CONNECTION,
    }
    ui_color = "#e6f5e9"

    def __init__(
        self,
        *,
        within: timedelta | float | str,
        product_codes: Sequence[str] | str = ALL,
        sub_product_codes: Sequence[str] | str = ALL,
        region_codes: Sequence[str] | str = ALL,
        renew_flags: Sequence[str] | str = ALL,
        name: str = ALL,
        limit: int | str | None = None,
        tcbilling_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(tcbilling_conn_id=tcbilling_conn_id, **kwargs)
        self.within = within
        self.product_codes = product_codes
        self.sub_product_codes = sub_product_codes
        self.region_codes = region_codes
        self.renew_flags = renew_flags
        self.name = name
        self.limit = limit

    def execute(self, context: Context) -> list[dict[str, str]]:
        """
        Read the list, all pages of it.

        :raises AirflowFailException: A mistake in the task or its connection, or a refusal.
        :raises TcBillingError: It could not be read; another try may help.
        """
        with self._reporting(context):
            self._refuse_mistakes()
            found = self.hook.expiring_instances(
                self.within,
                limit=self.limit,
                **{name: getattr(self, name) for name in FILTERS},
            )
        self.log.info("%d instances expire within %s.", len(found), self.within)
        for one in found[:LINES_LOGGED]:
            self.log.info("%s: %s %s, %s", one.expire_time, one.instance_id, one.instance_name, one.renew_flag)
        if self.do_xcom_push:
            context["ti"].xcom_push(key="instances", value=[instance.as_dict() for instance in found])
        return [instance.renewal_arguments() for instance in found]
