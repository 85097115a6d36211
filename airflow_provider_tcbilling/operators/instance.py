"""CreateInstanceOperator: buys an instance, once, and waits until it is delivered."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, BaseOperator, conf

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, ORDER_BOOK_DAYS
from airflow_provider_tcbilling.api.errors import DeliveryTimeout, InvalidRequest
from airflow_provider_tcbilling.api.models import Order, unique
from airflow_provider_tcbilling.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.failures import no_retry_unless_transient
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook, client_of
from airflow_provider_tcbilling.links.console import CONSOLE_LINK, OrderConsoleLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.purchase import Purchase

WAIT_ON = "To wait on without touching the purchase, give this order id to an InstanceDeliverySensor."


class CreateInstanceOperator(BaseOperator):
    """
    Buy a prepaid instance from the account balance, and return its ids when it is delivered.

    **Money moves when this task runs.** A retry, a clear or a second copy of the same attempt sends the same client
    token, so it buys nothing more as long as Tencent honours tokens. An order is never refunded by itself, and
    killing the task does not undo it.

    Returns a dict: ``order_id``, ``instance_ids``, ``client_token``, ``request_id``, and, where the order book was
    read, ``paid_cents`` and ``currency``. The XCom ``order_id`` is there as soon as the order is.

    .. seealso:: :ref:`howto/operator:CreateInstanceOperator`,
        https://www.tencentcloud.com/document/api/555/77176

    :param product_code: Layer-1 product code, such as ``p_cloudfirewall``. (templated)
    :param sub_product_code: Layer-2 product code, such as ``sp_cloudfirewall_svv1``. (templated)
    :param region_code: Region of the instance, such as ``ap-guangzhou``. (templated)
    :param zone_code: Zone of the instance; needed even for products without zones. (templated)
    :param parameter: What exactly is bought: a mapping, or a JSON object as text. Where it repeats the period, the
        quantity or the product codes it must agree with them. (templated)
    :param pay_mode: ``PrePay``, the only mode there is. (templated)
    :param quantity: How many to buy; left out, the server assumes 1. (templated)
    :param project_id: Project that the cost is booked on; left out, the server assumes 0. (templated)
    :param period: Length of the subscription in *period_unit*, 1 to 36; left out, the server assumes 1. (templated)
    :param period_unit: ``m`` months or ``y`` years; left out, the server assumes months. (templated)
    :param renew_flag: What happens at the end, such as ``NOTIFY_AND_AUTO_RENEW``; left out, the server assumes
        ``NOTIFY_AND_MANUAL_RENEW``. (templated)
    :param purchase_key: Business name of the purchase, such as ``edge-firewall-2026-12``. The same key is the same
        purchase in whatever run. Left out, each run of the task is a purchase of its own. (templated)
    :param client_token: The idempotency key itself, at most 64 ASCII characters, for those who must choose it;
        excludes *purchase_key*. (templated)
    :param wait_for_delivery: Return when the instances are there; ``False`` returns with the order.
    :param deferrable: Wait in the triggerer and not on a worker.
    :param poll_interval: Seconds between two looks at the order.
    :param delivery_timeout: Seconds to wait for delivery. Afterwards the task fails, without a retry; the order stays
        paid, and an :class:`InstanceDeliverySensor` can wait on for it.
    :param tcbilling_conn_id: The Airflow connection. (templated)
    """

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
        "purchase_key",
        "client_token",
        "tcbilling_conn_id",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"parameter": "json"}
    operator_extra_links = (OrderConsoleLink(),)
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
        purchase_key: str | None = None,
        client_token: str | None = None,
        wait_for_delivery: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: float = 30.0,
        delivery_timeout: float = 3600.0,
        tcbilling_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
        self.purchase_key = purchase_key
        self.client_token = client_token
        self.wait_for_delivery = wait_for_delivery
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.delivery_timeout = delivery_timeout
        self.tcbilling_conn_id = tcbilling_conn_id
        self._placed: str | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Buy, then wait as the task was told to.

        :raises AirflowFailException: Another try cannot help: a mistake in the task or its connection (nothing was
            sent), a refusal, or an order that died.
        :raises TcBillingError: Another try may help; Airflow's retries apply, and send the same client token.
        """
        with no_retry_unless_transient():
            purchase = self._purchase(context)
            wanted = purchase.fields.get("quantity", 1)
            settings = self._hook.get_settings()
            client = client_of(settings)
            order = purchase.place(client)
            self._announce(order, settings.order_url(order.order_id), context)
            if not self.wait_for_delivery or len(order.instance_ids) >= wanted:
                return order.as_dict()
            return self._deliver(client, order, time.time() + self.delivery_timeout)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look again after the trigger woke the task: return the delivered order, raise its end, or wait on."""
        with no_retry_unless_transient():
            if not event:
                raise InvalidRequest(self.task_id, ["the task was resumed without the trigger's event"])
            return self._deliver(self._hook.get_conn(), Order(**event["order"]), event["deadline"])

    def on_kill(self) -> None:
        """Say what stays billed. Nothing is cancelled: a paid order is for a person to decide on."""
        if self._placed:
            self.log.warning("The task was killed. Order %s stays paid and may still be delivered.", self._placed)

    @property
    def _hook(self) -> TcBillingHook:
        return TcBillingHook(self.tcbilling_conn_id)

    def _purchase(self, context: Context) -> Purchase:
        from airflow_provider_tcbilling.api.purchase import Purchase, client_token_for, task_run_key

        ti = context["ti"]
        key = str(self.purchase_key or "").strip() or task_run_key(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        arguments = {field.arg: getattr(self, field.arg) for field in CREATE_INSTANCE.fields}
        arguments["client_token"] = self.client_token or client_token_for(key)
        mistakes = self._mistakes()
        try:
            understood = CREATE_INSTANCE.named(CREATE_INSTANCE.payload(arguments))
        except InvalidRequest as error:
            mistakes += error.mistakes
        if mistakes:
            raise InvalidRequest(self.task_id, mistakes)
        return Purchase(understood.pop("client_token"), understood)

    def _mistakes(self) -> list[str]:
        """Return what is wrong with the arguments that Tencent does not see."""
        mistakes = []
        for name in ("purchase_key", "client_token"):
            value = getattr(self, name)
            if value is not None and str(value).strip() in ("", "None"):
                mistakes.append(f"{name}: given, but its template rendered to {value!r}")
        if self.purchase_key and self.client_token:
            mistakes.append("purchase_key: excludes client_token, which names the purchase already")
        for name in ("poll_interval", "delivery_timeout"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 < value <= ORDER_BOOK_DAYS * 86400:
                mistakes.append(
                    f"{name}: {value!r} is not a number of seconds above 0 and within {ORDER_BOOK_DAYS} days"
                )
        return mistakes

    def _announce(self, order: Order, order_url: str, context: Context) -> None:
        """Make the order known before anything else is done with it."""
        self._placed = order.order_id
        self.log.info(
            "Bought: order %s, client token %s, request %s.", order.order_id, order.client_token, order.request_id
        )
        if self.do_xcom_push:
            ti = context["ti"]
            ti.xcom_push(key="order_id", value=order.order_id)
            ti.xcom_push(key=CONSOLE_LINK, value=order_url)

    def _deliver(self, client: BillingClient, order: Order, deadline: float) -> dict[str, Any]:
        """Look, and wait for the next look: here, or in the triggerer."""
        from airflow_provider_tcbilling.api.delivery import DeliveryWatch

        self._placed = order.order_id
        watch = DeliveryWatch(client, order.order_id, deadline=deadline)
        try:
            while (delivered := watch.step()) is None:
                if self.deferrable:
                    self._defer(order, deadline)
                time.sleep(min(self.poll_interval, max(0.0, deadline - time.time())))
        except DeliveryTimeout as error:
            # A retry would begin with the purchase, and send a token that is as old as this wait.
            raise AirflowFailException(f"{error} {WAIT_ON}") from error
        return replace(
            order,
            instance_ids=unique([*order.instance_ids, *delivered.instance_ids]),
            paid_cents=delivered.paid_cents,
            currency=delivered.currency,
        ).as_dict()

    def _defer(self, order: Order, deadline: float) -> None:
        from airflow_provider_tcbilling.triggers.delivery import deferral

        self.log.info("Waiting for order %s in the triggerer.", order.order_id)
        self.defer(**deferral(order.as_dict(), self.tcbilling_conn_id, self.poll_interval, deadline))
