"""Operators for what happens at the end of a subscription: renew it once, or set whether it renews itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import conf

from airflow_provider_tcbilling.api.actions import RENEW_INSTANCE, SET_RENEWAL
from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.errors import InvalidRequest, RenewalNotSet, TcBillingError
from airflow_provider_tcbilling.api.schema import Action, whole_number
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.operators._buying import Buying
from airflow_provider_tcbilling.operators.base import SpendingOperator
from airflow_provider_tcbilling.task.arguments import (
    A_CONNECTION,
    A_FLAG,
    A_SERVER_TIME,
    A_SPAN,
    A_TEXT,
    one_of,
    optional,
)
from airflow_provider_tcbilling.task.deployment import is_dry_run
from airflow_provider_tcbilling.task.policies import OnAutoRenew, OnRefusedRun, OnUnknownOutcome
from airflow_provider_tcbilling.triggers._task import BillingTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.models import Order, RenewableInstance
    from airflow_provider_tcbilling.operators._execution import Execution
    from airflow_provider_tcbilling.purchasing.money_action import MoneyAction
    from airflow_provider_tcbilling.task.failure_message import TaskEnd

__all__ = ["OnAutoRenew", "OnRefusedRun", "OnUnknownOutcome", "RenewInstanceOperator", "SetRenewalOperator"]


class RenewInstanceOperator(Buying, SpendingOperator):
    """
    Renew one prepaid instance from the account balance, once, and return its old and new expiry.

    **Money moves when this task runs**, and every renewal adds a period. The instance is queried first. The task is
    skipped, with the reason, if the instance does not expire soon, if Tencent renews it by itself, if it is being
    renewed, or if it has another expiry than the one the renewal was decided on. With a ledger, or on Airflow 3.3, the
    expiry is recorded before anything is sent. After an unknown outcome the order book and the expiry decide: if the
    expiry has moved and no order explains it, the task stops; if it has not moved and there is no order, the same
    request may be sent again.

    Returns a dict: ``order_id``, ``order_ids``, ``instance_id``, ``old_expire_time``, ``new_expire_time``,
    ``client_token``, ``request_id``, ``paid_cents`` and ``currency``.

    .. seealso:: :ref:`howto/operator:RenewInstanceOperator`,
        https://www.tencentcloud.com/document/api/555/77178

    :param product_code: Layer-1 product code, such as ``p_cloudfirewall``. (templated)
    :param sub_product_code: Layer-2 product code, such as ``sp_cloudfirewall_svv1``. (templated)
    :param region_code: Region of the instance, such as ``ap-guangzhou``. (templated)
    :param instance_id: The instance. (templated)
    :param period: Length of the renewal in *period_unit*, 1 to 36; left out, the server assumes 1. (templated)
    :param period_unit: ``m`` months or ``y`` years; left out, the server assumes months. (templated)
    :param expire_time: The expiry that the renewal was decided on, as the list of instances writes it. An instance
        that has another one by now is left alone, and each expiry is renewed once in whatever run. (templated)
    :param renew_within: How soon the instance must expire: a timedelta, seconds, or an ISO 8601 duration such as
        ``P14D``. One that expires later is left alone; ``None`` renews at any time. (templated)
    :param on_auto_renew: What to do with an instance that Tencent will renew by itself: ``skip``, ``fail`` or
        ``renew`` it as well. (templated)
    :param renew_isolated: Renew an instance that has expired and is isolated, too. The start of its new period is not
        documented. (templated)
    :param instance_name: Shown to readers; Tencent does not see it. It may be the server's text, so it is no template.
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
    :param purchase_key: Business name of the renewal. Left out, it is the instance and its *expire_time*, or without
        one the run of the task. (templated)
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

    action = RENEW_INSTANCE
    template_fields: Sequence[str] = (
        "product_code",
        "sub_product_code",
        "region_code",
        "instance_id",
        "period",
        "period_unit",
        "expire_time",
        "renew_within",
        "on_auto_renew",
        "renew_isolated",
        *Buying.template_fields,
    )
    checks: ClassVar[Mapping[str, Check]] = {
        **Buying.checks,
        "expire_time": optional(A_SERVER_TIME),
        "renew_within": optional(A_SPAN),
        "on_auto_renew": one_of(OnAutoRenew),
        "renew_isolated": A_FLAG,
        "instance_name": A_TEXT,
    }
    ui_color = "#d6eaff"

    def __init__(
        self,
        *,
        product_code: str,
        sub_product_code: str,
        region_code: str,
        instance_id: str,
        period: int | str | None = None,
        period_unit: str | None = None,
        expire_time: str | None = None,
        renew_within: timedelta | float | str | None = None,
        on_auto_renew: OnAutoRenew | str = OnAutoRenew.SKIP,
        renew_isolated: bool | str = False,
        instance_name: str = "",
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
        self.instance_id = instance_id
        self.period = period
        self.period_unit = period_unit
        self.expire_time = expire_time
        self.renew_within = renew_within
        self.on_auto_renew = on_auto_renew
        self.renew_isolated = renew_isolated
        self.instance_name = instance_name
        self.plan_only = dry_run
        self.max_cents = max_cents
        self.currency = currency
        self.approve_above_cents = approve_above_cents
        self.approvers = approvers
        self.approval_valid_for = approval_valid_for
        self.approver_is_not_requester = approver_is_not_requester

    def spending(self, client: BillingClient, fields: Mapping[str, Any]) -> MoneyAction:
        """Return the renewal."""
        from airflow_provider_tcbilling.purchasing.renewal import Renewal, Terms

        terms = Terms(
            within=self.value_of("renew_within"),
            expire_time=self.value_of("expire_time") or "",
            on_auto_renew=self.value_of("on_auto_renew"),
            isolated=self.value_of("renew_isolated"),
        )
        return Renewal(client, fields, terms)

    def own_key(self, context: Context, fields: Mapping[str, Any]) -> str:
        """Return a key for the expiry that is renewed, or for the run of the task if nobody has named it."""
        from airflow_provider_tcbilling.task.dag_run import run_key

        if expire_time := self.value_of("expire_time"):
            return json.dumps(["renew", fields["instance_id"], expire_time])
        return run_key(context)

    def has_twins(self, context: Context) -> bool:
        """Whether another iteration of a loop may place a renewal of the same instance."""
        from airflow_provider_tcbilling.ledger.task_state import loop_index_of

        return self.expire_time is None and loop_index_of(context) is not None

    def is_settled(self, order: Order, fields: Mapping[str, Any]) -> bool:
        """Return False: the answer to a renewal does not name the instance's new expiry."""
        return False

    def result(self, run: Execution, order: Order, order_ids: Sequence[str]) -> dict[str, Any]:
        """Return the order, and the expiry before and after it."""
        shown, instance_id = order.as_dict(), self.instance_id.strip()
        del shown["instance_ids"]
        old, new = self.value_of("expire_time"), None
        try:
            old = (run.begun and run.begun.observed().get("expire_time")) or old
            new = _expire_time(run.tencent.buying, instance_id)
        except TcBillingError as error:
            self.log.warning("Order %s is placed, and the expiry could not be read: %s", order.order_id, error)
        if old and new == old and self.value_of("wait_for_delivery"):
            self.log.warning(
                "Order %s is delivered, and %s is still listed to expire at %s.", order.order_id, instance_id, new
            )
        return {
            **shown,
            "order_ids": list(order_ids),
            "instance_id": instance_id,
            "old_expire_time": old,
            "new_expire_time": new,
        }


class SetRenewalOperator(BillingTask):
    """
    Set what happens when the subscription of one instance ends.

    The instance is read first, and only a difference is written, so the task can run as often as you like. Nothing is
    paid by it; with ``NOTIFY_AND_AUTO_RENEW`` the vendor will pay from the account when the subscription ends.

    Returns a dict: ``instance_id``, ``changed`` (whether anything was written), ``before`` and ``after``. Where the
    deployment says ``[tcbilling] dry_run = True`` nothing is written, and ``after`` is what it would be.

    .. seealso:: :ref:`howto/operator:SetRenewalOperator`,
        https://www.tencentcloud.com/document/api/555/78444

    :param product_code: Layer-1 product code, such as ``p_cloudfirewall``. (templated)
    :param region_code: Region of the instance, such as ``ap-guangzhou``. (templated)
    :param instance_id: The instance. (templated)
    :param renew_flag: ``NOTIFY_AND_AUTO_RENEW``, ``NOTIFY_AND_MANUAL_RENEW`` or
        ``DISABLE_NOTIFY_AND_MANUAL_RENEW``. (templated)
    :param renew_period: Length of each automatic renewal in *renew_period_unit*: 1 to 11 months or 1 to 5 years; left
        out, it stays as it is. (templated)
    :param renew_period_unit: ``m`` months or ``y`` years; left out, it stays as it is. (templated)
    :param tcbilling_conn_id: The Airflow connection. (templated)
    """

    action: ClassVar[Action] = SET_RENEWAL
    checks: ClassVar[Mapping[str, Check]] = {"tcbilling_conn_id": A_CONNECTION}
    template_fields: Sequence[str] = (*(field.arg for field in SET_RENEWAL.fields), "tcbilling_conn_id")
    ui_color = "#fdf3d6"

    def __init__(
        self,
        *,
        product_code: str,
        region_code: str,
        instance_id: str,
        renew_flag: str,
        renew_period: int | str | None = None,
        renew_period_unit: str | None = None,
        tcbilling_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(tcbilling_conn_id=tcbilling_conn_id, **kwargs)
        self.product_code = product_code
        self.region_code = region_code
        self.instance_id = instance_id
        self.renew_flag = renew_flag
        self.renew_period = renew_period
        self.renew_period_unit = renew_period_unit

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Read, and write a difference.

        :raises AirflowFailException: A mistake, no such instance, a refusal, or the server says that it failed.
        :raises TcBillingError: Another try may help, and is safe.
        """
        with self._reporting(context), self.hook.session() as tencent:
            arguments = {field.arg: getattr(self, field.arg) for field in SET_RENEWAL.fields}
            with suppress(ValueError):
                # On the wire it is text.
                arguments["renew_period"] = str(whole_number(self.renew_period))
            self._refuse_mistakes()
            wanted = SET_RENEWAL.named(SET_RENEWAL.payload(arguments))
            instance = _instance(tencent.buying, wanted)
            before = {
                "renew_flag": instance.renew_flag,
                "renew_period": str(instance.renew_period),
                "renew_period_unit": instance.renew_period_unit,
            }
            after = {**before, **{name: wanted[name] for name in before if name in wanted}}
            if is_plan := is_dry_run():
                self.log.info("Nothing was sent: this is a dry run. It would be %s, and is %s.", after, before)
            if changed := after != before and not is_plan:
                if failures := tencent.buying.set_renewal(**wanted):
                    raise RenewalNotSet([", ".join(map(str, failure.values())) for failure in failures])
                self.log.info("%s: %s, and was %s.", instance.instance_id, after, before)
            elif after == before:
                self.log.info("%s is as it should be: %s. Nothing was sent.", instance.instance_id, before)
            return {"instance_id": instance.instance_id, "changed": changed, "before": before, "after": after}

    def end(self, context: Context, *, was_waiting: bool = False) -> TaskEnd:
        """Return the facts for the message of a task that fails: it pays nothing."""
        from airflow_provider_tcbilling.task.failure_facts import end_of
        from airflow_provider_tcbilling.task.failure_message import SETS

        return end_of(context, self.hook, words=SETS)


def _instance(client: BillingClient, wanted: Mapping[str, Any]) -> RenewableInstance:
    from airflow_provider_tcbilling.api.instance_list import existing_instance, mismatches

    instance = existing_instance(client, wanted["instance_id"])
    if mistakes := mismatches(instance, wanted):
        raise InvalidRequest(wanted["instance_id"], mistakes)
    return instance


def _expire_time(client: BillingClient, instance_id: str) -> str | None:
    from airflow_provider_tcbilling.api.instance_list import instance_named

    instance = instance_named(client, instance_id)
    return instance.expire_time if instance else None
