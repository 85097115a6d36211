"""RefundInstanceOperator: gives one instance back, once, and only when a person has said so."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_tcbilling.api.actions import REFUND_INSTANCE
from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.operators.base import SpendingOperator
from airflow_provider_tcbilling.task.arguments import A_FLAG, A_YES, Check
from airflow_provider_tcbilling.task.errors import no_retry_unless_transient, unguarded

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.models import Order
    from airflow_provider_tcbilling.purchasing.purchase import Purchase
    from airflow_provider_tcbilling.purchasing.refund import Refund


class RefundInstanceOperator(SpendingOperator):
    """
    Give one prepaid instance back, once, and return what came back.

    **It cannot be undone**: the instance is gone with its data, only a part of what was really paid may come back, and
    what vouchers paid is lost. No other task of this package refunds anything. With ``dry_run=True`` the task shows
    what is known of the instance, its orders and the published rules, and sends nothing; the amount is known only when
    the money is back, since no action of the API quotes a refund.

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
    :param dry_run: Show the plan and send nothing; needs no *confirm*. (templated)
    :param purchase_key: Business name of the refund. Left out, it is the instance, which is given back once in
        whatever run. (templated)

    The other parameters are those of :class:`SpendingOperator`.
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
    # An operator's dry_run is a method of Airflow's.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.product_code = product_code
        self.sub_product_code = sub_product_code
        self.region_code = region_code
        self.instance_id = instance_id
        self.confirm = confirm
        self.plan_only = dry_run

    def execute(self, context: Context) -> dict[str, Any]:
        """Give it back, or show the plan; errors as in :meth:`SpendingOperator.execute`."""
        with no_retry_unless_transient(lambda: self._end(context)):
            fields = self._fields()
            if not self._read("dry_run"):
                done: dict[str, Any] = unguarded(SpendingOperator.execute)(self, context)
                return done
            plan = self.spending(self._hook.get_conn(), fields).plan(time.time())
            self.log.info("Nothing was sent. What is known of this refund:\n%s", json.dumps(plan, indent=2))
            return plan

    def needed(self) -> Mapping[str, Check]:
        """Return the checks that count: a refund must be confirmed, a plan need not be."""
        is_plan = not A_FLAG.mistake("dry_run", self.plan_only) and self._read("dry_run")
        return {name: check for name, check in self.checks.items() if not (is_plan and name == "confirm")}

    def spending(self, client: BillingClient, fields: Mapping[str, Any]) -> Refund:
        """Return the refund."""
        from airflow_provider_tcbilling.purchasing.refund import Refund

        return Refund(client, fields)

    def own_key(self, context: Context, fields: Mapping[str, Any]) -> str:
        """Return a key for the instance: it can be given back once."""
        return json.dumps(["refund", fields["instance_id"]])

    def is_settled(self, order: Order, fields: Mapping[str, Any]) -> bool:
        """No refund is: what comes back is known when it has come."""
        return False

    def result(self, order: Order, order_ids: Sequence[str], purchase: Purchase | None) -> dict[str, Any]:
        """Return the order, the money that came back, and the vouchers that did not."""
        from airflow_provider_tcbilling.purchasing.refund import vouchers_of

        lost = None
        try:
            lost = vouchers_of(self.spending(self._hook.get_conn(), self._fields()).orders())
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
