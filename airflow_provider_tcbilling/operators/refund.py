"""RefundInstanceOperator: gives one instance back, once, and only when a user has confirmed it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow.providers.common.compat.sdk import conf

from airflow_provider_tcbilling.api.actions import REFUND_INSTANCE
from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.operators.base import SpendingOperator
from airflow_provider_tcbilling.task.arguments import A_FLAG, A_YES
from airflow_provider_tcbilling.task.policies import OnRefusedRun, OnUnknownOutcome

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.models import Order
    from airflow_provider_tcbilling.operators._execution import Execution
    from airflow_provider_tcbilling.purchasing.refund import Refund

__all__ = ["OnRefusedRun", "OnUnknownOutcome", "RefundInstanceOperator"]


class RefundInstanceOperator(SpendingOperator):
    """
    Give one prepaid instance back, once, and return what came back.

    **It cannot be undone**: the instance is gone with its data, only a part of the amount that was paid in money may
    come back, and the part that vouchers paid is lost. No other task of this provider refunds anything. With
    ``dry_run=True`` the task shows the instance, its orders and the published rules, and sends nothing; the amount is
    known only when the money is back, since no action of the API quotes a refund.

    Returns a dict: ``order_id``, ``order_ids``, ``instance_id``, ``refunded_cents``, ``voucher_cents_lost``,
    ``currency``, ``client_token`` and ``request_id``; with *dry_run* the plan, whose fields are those of
    :meth:`~airflow_provider_tcbilling.purchasing.refund.Refund.plan`.

    .. seealso:: :ref:`howto/operator:RefundInstanceOperator`,
        https://www.tencentcloud.com/document/api/555/77180

    :param product_code: Layer-1 product code, such as ``p_cloudfirewall``. (templated)
    :param sub_product_code: Layer-2 product code, such as ``sp_cloudfirewall_svv1``. (templated)
    :param region_code: Region of the instance, such as ``ap-guangzhou``. (templated)
    :param instance_id: The instance, exactly one. (templated)
    :param confirm: Must be true, or nothing is sent. (templated)
    :param dry_run: Show the plan and send nothing; needs no *confirm*. ``[tcbilling] dry_run = True`` does it for a
        deployment. (templated)
    :param purchase_key: Business name of the refund. Left out, it is the instance, which is given back once in
        whatever run. (templated)
    :param client_token: The idempotency key, at most 64 ASCII characters. ``None`` derives it from the purchase's key.
        Excludes *purchase_key*. (templated)
    :param on_unknown_outcome: The policy when the request may have been carried out and no query shows whether it was:
        ``stop`` fails the task and names what to look for, ``replay`` trusts the client token and sends it again.
    :param replay_window: Time after the first request within which the same token may be sent again while the order
        book shows no order: seconds, a timedelta, or an ISO 8601 duration such as ``PT5M``. ``None`` is as long
        as the next try after a lost machine needs: Airflow's heartbeat time-out and the retry delay count.
    :param allow_backfill: Whether a run that a backfill made may spend.
    :param max_lateness: Time after its schedule at which a run may still spend: seconds, a timedelta, or an ISO 8601
        duration such as ``P1D``. ``None`` is without limit.
    :param on_refused_run: ``fail`` or ``skip`` the task when its run may not spend.
    :param wait_for_delivery: Return when the order has come to its end. ``False`` returns as soon as it is placed.
    :param deferrable: Wait in the triggerer and not on a worker. The default is Airflow's ``default_deferrable``.
    :param poll_interval: Time between two queries: seconds, a timedelta, or an ISO 8601 duration. In the triggerer it
        is the longest time.
    :param delivery_timeout: Time to wait for the order's end, written likewise; at most 89 days. Afterwards the task
        fails without a retry. The order stays as it is, and a cleared task goes on waiting for it.
    :param tcbilling_conn_id: The Airflow connection. (templated)
    """

    action = REFUND_INSTANCE
    template_fields: Sequence[str] = (
        "product_code",
        "sub_product_code",
        "region_code",
        "instance_id",
        "confirm",
        "plan_only",
        *SpendingOperator.template_fields,
    )
    checks: ClassVar[Mapping[str, Check]] = {**SpendingOperator.checks, "confirm": A_YES, "dry_run": A_FLAG}
    # ``dry_run`` of an operator is a method of Airflow's.
    held_as: ClassVar[Mapping[str, str]] = {"dry_run": "plan_only"}
    ui_color = "#fbdcdc"

    def __init__(
        self,
        *,
        product_code: str,
        sub_product_code: str,
        region_code: str,
        instance_id: str,
        confirm: bool | str = False,
        dry_run: bool | str = False,
        purchase_key: str | None = None,
        client_token: str | None = None,
        on_unknown_outcome: OnUnknownOutcome | str = OnUnknownOutcome.STOP,
        replay_window: timedelta | float | str | None = None,
        allow_backfill: bool | str = False,
        max_lateness: timedelta | float | str | None = None,
        on_refused_run: OnRefusedRun | str = OnRefusedRun.FAIL,
        wait_for_delivery: bool | str = True,
        deferrable: bool | str = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: timedelta | float | str = 30.0,
        delivery_timeout: timedelta | float | str = 3600.0,
        tcbilling_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            purchase_key=purchase_key,
            client_token=client_token,
            on_unknown_outcome=on_unknown_outcome,
            replay_window=replay_window,
            allow_backfill=allow_backfill,
            max_lateness=max_lateness,
            on_refused_run=on_refused_run,
            wait_for_delivery=wait_for_delivery,
            deferrable=deferrable,
            poll_interval=poll_interval,
            delivery_timeout=delivery_timeout,
            tcbilling_conn_id=tcbilling_conn_id,
            **kwargs,
        )
        self.product_code = product_code
        self.sub_product_code = sub_product_code
        self.region_code = region_code
        self.instance_id = instance_id
        self.confirm = confirm
        self.plan_only = dry_run

    def plan(self, run: Execution) -> dict[str, Any]:
        """Return what is known of the refund, and log it. It only reads."""
        plan = cast("Refund", run.action).plan(time.time())
        self.log.info("Nothing was sent. What is known of this refund:\n%s", json.dumps(plan, indent=2))
        return plan

    def needed(self) -> Mapping[str, Check]:
        """Return the checks that count: a refund must be confirmed, a plan need not be."""
        is_plan = not A_FLAG.mistake("dry_run", self.plan_only) and self.only_plans
        return {name: check for name, check in self.checks.items() if not (is_plan and name == "confirm")}

    def spending(self, client: BillingClient, fields: Mapping[str, Any]) -> Refund:
        """Return the refund."""
        from airflow_provider_tcbilling.purchasing.refund import Refund

        return Refund(client, fields)

    def own_key(self, context: Context, fields: Mapping[str, Any]) -> str:
        """Return a key for the instance: it can be given back once."""
        return json.dumps(["refund", fields["instance_id"]])

    def is_settled(self, order: Order, fields: Mapping[str, Any]) -> bool:
        """Return False: the amount of a refund is known only when the money is back."""
        return False

    def result(self, run: Execution, order: Order, order_ids: Sequence[str]) -> dict[str, Any]:
        """Return the order, the money that came back, and the vouchers that did not."""
        from airflow_provider_tcbilling.purchasing.refund import vouchers_of

        lost = None
        try:
            lost = vouchers_of(cast("Refund", run.action).orders())
        except TcBillingError as error:
            self.log.warning("Order %s is placed, and the vouchers could not be read: %s", order.order_id, error)
        # Whether the order book writes what came back with a minus is not documented.
        refunded = None if order.paid_cents is None else abs(order.paid_cents)
        return {
            "order_id": order.order_id,
            "order_ids": list(order_ids),
            "instance_id": self.instance_id.strip(),
            "refunded_cents": refunded,
            "voucher_cents_lost": lost,
            "currency": order.currency,
            "client_token": order.client_token,
            "request_id": order.request_id,
        }
