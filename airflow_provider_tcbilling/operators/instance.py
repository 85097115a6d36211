"""CreateInstanceOperator: buys an instance, once, and waits until it is delivered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.operators._buying import Buying
from airflow_provider_tcbilling.operators.base import SpendingOperator
from airflow_provider_tcbilling.task.masker import mask_in_airflow
from airflow_provider_tcbilling.task.policies import OnRefusedRun, OnUnknownOutcome

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.purchasing.money_action import MoneyAction

__all__ = ["CreateInstanceOperator", "OnRefusedRun", "OnUnknownOutcome"]


class CreateInstanceOperator(Buying, SpendingOperator):
    """
    Buy a prepaid instance from the account balance, and return its ids when it is delivered.

    **Money moves when this task runs**, once: with a ledger, or on Airflow 3.3, the intent is recorded before anything
    is sent, and a retry, a clear or a second copy of the same attempt queries the order book before it sends the same
    client token again. If no query can decide what an earlier try did, it stops and names what to look for. An order is
    never refunded by itself, and killing the task does not undo it.

    Returns a dict: ``order_id``, ``instance_ids``, ``client_token``, ``request_id``, and, where the order book was
    read, ``paid_cents`` and ``currency``. The XCom ``order_id`` is there as soon as the order is.

    .. seealso:: :ref:`howto/operator:CreateInstanceOperator`,
        https://www.tencentcloud.com/document/api/555/77176

    :param product_code: Layer-1 product code, such as ``p_cloudfirewall``. (templated)
    :param sub_product_code: Layer-2 product code, such as ``sp_cloudfirewall_svv1``. (templated)
    :param region_code: Region of the instance, such as ``ap-guangzhou``. (templated)
    :param zone_code: Zone of the instance; needed even for products without zones. (templated)
    :param parameter: The product's specification: a mapping, or a JSON object as text. Where it repeats the period, the
        quantity or the product codes it must agree with them. (templated)
    :param pay_mode: ``PrePay``, the only mode there is. (templated)
    :param quantity: How many to buy; left out, the server assumes 1. (templated)
    :param project_id: Project that the cost is booked on; left out, the server assumes 0. (templated)
    :param period: Length of the subscription in *period_unit*, 1 to 36; left out, the server assumes 1. (templated)
    :param period_unit: ``m`` months or ``y`` years; left out, the server assumes months. (templated)
    :param renew_flag: The action at the end of the subscription, such as ``NOTIFY_AND_AUTO_RENEW``; left out, the
        server assumes ``NOTIFY_AND_MANUAL_RENEW``. (templated)
    :param dry_run: Show what would be bought, its worst case, the limits and the approval, and send nothing that pays.
        ``[tcbilling] dry_run = True`` does it for a deployment. (templated)
    :param max_cents: The most that it may cost, vouchers included, in 1/100 of *currency*. ``None`` takes the highest
        price that the ledger remembers for the same. (templated)
    :param currency: Of *max_cents*, such as ``USD``. ``None`` is that of the connection's limits. (templated)
    :param approve_above_cents: Cents above which a user must approve the purchase; 0 for each that costs anything.
        Where the connection has a number too, the lower one counts. (templated)
    :param approvers: Names of the users who may approve, of those that the connection allows: a list, or a text with
        commas. ``None`` is all of them. (templated)
    :param approval_valid_for: Time to answer, and time from the answer on within which it may be sent: seconds, a
        timedelta, or an ISO 8601 duration such as ``PT8H``. ``None`` is that of the connection. (templated)
    :param approver_is_not_requester: The user who started the run may not approve. (templated)
    :param purchase_key: Business name of the purchase, such as ``edge-firewall-2026-12``. The same key is the same
        purchase in whatever run. Left out, each run of the task is a purchase of its own. (templated)
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

    action = CREATE_INSTANCE
    template_fields: Sequence[str] = (
        "product_code",
        "sub_product_code",
        "region_code",
        "zone_code",
        "parameter",
        "pay_mode",
        "quantity",
        "project_id",
        "period",
        "period_unit",
        "renew_flag",
        *Buying.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameter": "json"}
    ui_color = "#d6eaff"

    def __init__(
        self,
        *,
        product_code: str,
        sub_product_code: str,
        region_code: str,
        zone_code: str,
        parameter: Mapping[str, Any] | str,
        pay_mode: str = "PrePay",
        quantity: int | str | None = None,
        project_id: int | str | None = None,
        period: int | str | None = None,
        period_unit: str | None = None,
        renew_flag: str | None = None,
        dry_run: bool | str = False,
        max_cents: int | str | None = None,
        currency: str | None = None,
        approve_above_cents: int | str | None = None,
        approvers: Sequence[str] | str | None = None,
        approval_valid_for: timedelta | float | str | None = None,
        approver_is_not_requester: bool | str = False,
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
        self.zone_code = zone_code
        self.parameter = parameter
        self.pay_mode = pay_mode
        self.quantity = quantity
        self.project_id = project_id
        self.period = period
        self.period_unit = period_unit
        self.renew_flag = renew_flag
        self.plan_only = dry_run
        self.max_cents = max_cents
        self.currency = currency
        self.approve_above_cents = approve_above_cents
        self.approvers = approvers
        self.approval_valid_for = approval_valid_for
        self.approver_is_not_requester = approver_is_not_requester

    def _do_render_template_fields(self, *args: Any, **kwargs: Any) -> None:
        """Render, and have Airflow mask the secrets of the parameter before it stores the rendered fields."""
        super()._do_render_template_fields(*args, **kwargs)
        mask_in_airflow(self.parameter)

    def mistakes(self) -> list[str]:
        """Return the mistakes in the arguments; no message about them shows a secret of the parameter."""
        mask_in_airflow(self.parameter)
        return super().mistakes()

    def spending(self, client: BillingClient, fields: Mapping[str, Any]) -> MoneyAction:
        """Return the purchase of a new instance."""
        from airflow_provider_tcbilling.purchasing.new_instance import NewInstance

        return NewInstance(client, fields)

    def own_key(self, context: Context, fields: Mapping[str, Any]) -> str:
        """Return the key of a purchase that happens once in each run of the task."""
        from airflow_provider_tcbilling.task.dag_run import run_key

        return run_key(context)

    def has_twins(self, context: Context) -> bool:
        """Whether other tasks of the DAG may place an order that cannot be distinguished from one of this task."""
        from airflow_provider_tcbilling.task.twins import may_have_twins

        return may_have_twins(self, context, CreateInstanceOperator)

    def is_settled(self, order: Order, fields: Mapping[str, Any]) -> bool:
        """Whether all instances are named already."""
        return len(order.instance_ids) >= int(fields.get("quantity", CREATE_INSTANCE.field("quantity").default))
