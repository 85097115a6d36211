"""CreateInstanceOperator: buys an instance, once, and waits until it is delivered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, BaseOperator, conf

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, ORDER_BOOK_DAYS
from airflow_provider_tcbilling.api.errors import (
    DeliveryTimeout,
    InvalidRequest,
    OrderNotRecorded,
    RunRefused,
    TcBillingError,
)
from airflow_provider_tcbilling.api.models import Order, unique
from airflow_provider_tcbilling.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.failures import no_retry_unless_transient
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook, client_of
from airflow_provider_tcbilling.links.console import CONSOLE_LINK, OrderConsoleLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.purchase import Purchase
    from airflow_provider_tcbilling.connection import Settings


def _is_wait(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 < value <= ORDER_BOOK_DAYS * 86400


_A_WAIT = (_is_wait, f"a number of seconds above 0 and within {ORDER_BOOK_DAYS} days")

SETTINGS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "poll_interval": _A_WAIT,
    "delivery_timeout": _A_WAIT,
    "replay_window": _A_WAIT,
    "max_lateness": (
        lambda v: v is None or isinstance(v, timedelta) or _is_wait(v),
        "a timedelta or a number of seconds",
    ),
    "on_unknown_outcome": (("stop", "replay").__contains__, "one of stop, replay"),
    "on_refused_run": (("fail", "skip").__contains__, "one of fail, skip"),
}
"""The provider's own arguments: what each must be, as a rule and in words."""

WAIT_ON = "To wait on without touching the purchase, give this order id to an InstanceDeliverySensor."


class CreateInstanceOperator(BaseOperator):
    """
    Buy a prepaid instance from the account balance, and return its ids when it is delivered.

    **Money moves when this task runs**, once: the intent is recorded before anything is sent, and a retry, a clear or
    a second copy of the same attempt looks for the order before it sends the same client token again. If nothing can
    decide what an earlier try did, it stops and says what to look for. An order is never refunded by itself, and
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
    :param on_unknown_outcome: What to do when it may have been bought and nothing decides it: ``stop`` fails the task
        and names what to look for, ``replay`` trusts the client token and sends it again.
    :param replay_window: Seconds since the first request in which the same token may be sent again once the order
        book shows nothing.
    :param allow_backfill: Whether a run that a backfill made may spend.
    :param max_lateness: How long after its scheduled time a run may still spend, as a span or in seconds; ``None``
        is without limit.
    :param on_refused_run: ``fail`` or ``skip`` the task when the run may not spend.
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
        on_unknown_outcome: str = "stop",
        replay_window: float = 300.0,
        allow_backfill: bool = False,
        max_lateness: timedelta | float | None = None,
        on_refused_run: str = "fail",
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
        self.on_unknown_outcome = on_unknown_outcome
        self.replay_window = replay_window
        self.allow_backfill = allow_backfill
        self.max_lateness = max_lateness
        self.on_refused_run = on_refused_run
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
            fields = self._fields()
            settings = self._hook.get_settings()
            try:
                order = self._purchase(context, fields, settings).place()
            except OrderNotRecorded as error:
                self._announce(error.order_id, settings, context)
                raise
            except RunRefused as error:
                if self.on_refused_run == "skip":
                    raise AirflowSkipException(str(error)) from error
                raise
            self._announce(order.order_id, settings, context)
            if not self.wait_for_delivery or len(order.instance_ids) >= fields.get("quantity", 1):
                return order.as_dict()
            return self._deliver(context, order, time.time() + self.delivery_timeout)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look again after the trigger woke the task: return the delivered order, raise its end, or wait on."""
        with no_retry_unless_transient():
            if not event:
                raise InvalidRequest(self.task_id, ["the task was resumed without the trigger's event"])
            return self._deliver(context, Order(**event["order"]), event["deadline"])

    def on_kill(self) -> None:
        """Say what stays billed. Nothing is cancelled: a paid order is for a person to decide on."""
        if self._placed:
            self.log.warning("The task was killed. Order %s stays paid and may still be delivered.", self._placed)

    @property
    def _hook(self) -> TcBillingHook:
        return TcBillingHook(self.tcbilling_conn_id)

    def _fields(self) -> dict[str, Any]:
        """
        Return the arguments of the purchase as they were understood, without the token.

        :raises InvalidRequest: With every mistake at once.
        """
        arguments = {field.arg: getattr(self, field.arg) for field in CREATE_INSTANCE.fields}
        arguments["client_token"] = self.client_token or "derived"
        mistakes = self._mistakes()
        try:
            understood = CREATE_INSTANCE.named(CREATE_INSTANCE.payload(arguments))
        except InvalidRequest as error:
            mistakes += error.mistakes
        if mistakes:
            raise InvalidRequest(self.task_id, mistakes)
        del understood["client_token"]
        return understood

    def _purchase(self, context: Context, fields: Mapping[str, Any], settings: Settings) -> Purchase:
        from airflow_provider_tcbilling.api.instance import NewInstance
        from airflow_provider_tcbilling.api.purchase import Purchase, Rules, task_run_key
        from airflow_provider_tcbilling.api.record import what_to_do
        from airflow_provider_tcbilling.runs import may_have_twins, placed_by, refuse_unless_due, since_when
        from airflow_provider_tcbilling.stores import store_of

        ti = context["ti"]
        store = store_of(context, settings.ledger_uri)
        name = str(self.purchase_key or "").strip()
        token = str(self.client_token).strip() if self.client_token else None
        key = name or (json.dumps(["client_token", token]) if token else "")
        if key and not store.is_shared:
            self.log.warning(
                "Purchase %s is meant to be one in all runs, and %s does not remember it from run to run: between runs "
                "only the server's memory of the client token guards it. Set ledger_uri in the connection.",
                key,
                store.about,
            )
        key = key or task_run_key(ti.dag_id, ti.run_id, ti.task_id, ti.map_index)
        self.log.info("Purchase %s is remembered by %s.", key, store.about)
        lateness = self.max_lateness
        return Purchase(
            key,
            NewInstance(client_of(settings), fields),
            store,
            Rules(
                lag=settings.order_book_lag,
                replay_window=self.replay_window,
                trust_token=self.on_unknown_outcome == "replay",
                request_seconds=settings.connect_timeout + settings.read_timeout,
            ),
            client_token=token,
            placed_by=placed_by(context),
            presumed_since=since_when(context) if ti.try_number > 1 else None,
            has_twins=may_have_twins(self, ti, CreateInstanceOperator),
            check=lambda: refuse_unless_due(
                context,
                allow_backfill=self.allow_backfill,
                max_lateness=timedelta(seconds=lateness) if isinstance(lateness, (int, float)) else lateness,
                what=", ".join(f"{name} {value}" for name, value in fields.items() if name != "parameter"),
            ),
            steps=what_to_do(store, key, settings.console_url.partition("#")[0], self.tcbilling_conn_id),
        )

    def _mistakes(self) -> list[str]:
        """Return what is wrong with the arguments that Tencent does not see."""
        names = {name: getattr(self, name) for name in ("purchase_key", "client_token")}
        mistakes = [
            f"{name}: given, but its template rendered to {value!r}"
            for name, value in names.items()
            if value is not None and str(value).strip() in ("", "None")
        ]
        if all(names.values()):
            mistakes.append("purchase_key: excludes client_token, which names the purchase already")
        return mistakes + [
            f"{name}: {getattr(self, name)!r} is not {wanted}"
            for name, (is_right, wanted) in SETTINGS.items()
            if not is_right(getattr(self, name))
        ]

    def _announce(self, order_id: str, settings: Settings, context: Context) -> None:
        """Make the order known before anything else is done with it."""
        self._placed = order_id
        self.log.info("Order %s: %s", order_id, settings.order_url(order_id))
        if self.do_xcom_push:
            ti = context["ti"]
            ti.xcom_push(key="order_id", value=order_id)
            ti.xcom_push(key=CONSOLE_LINK, value=settings.order_url(order_id))

    def _deliver(self, context: Context, order: Order, deadline: float) -> dict[str, Any]:
        """Look, and wait for the next look: here, or in the triggerer."""
        from airflow_provider_tcbilling.api.delivery import DeliveryWatch

        self._placed = order.order_id
        settings = self._hook.get_settings()
        watch = DeliveryWatch(client_of(settings), order.order_id, deadline=deadline)
        try:
            while (delivered := watch.step()) is None:
                if self.deferrable:
                    self._defer(order, deadline)
                time.sleep(min(self.poll_interval, max(0.0, deadline - time.time())))
        except DeliveryTimeout as error:
            raise AirflowFailException(f"{error} {WAIT_ON}") from error
        delivered = replace(
            order,
            instance_ids=unique([*order.instance_ids, *delivered.instance_ids]),
            paid_cents=delivered.paid_cents,
            currency=delivered.currency,
        )
        self._note_delivery(context, delivered, settings)
        return delivered.as_dict()

    def _note_delivery(self, context: Context, order: Order, settings: Settings) -> None:
        """Add the delivery to the record. Nothing depends on it: by now the task may have been edited."""
        try:
            self._purchase(context, self._fields(), settings).note_delivery(order)
        except TcBillingError as error:
            self.log.warning("The delivery of order %s was not recorded: %s", order.order_id, error)

    def _defer(self, order: Order, deadline: float) -> None:
        from airflow_provider_tcbilling.triggers.delivery import deferral

        self.log.info("Waiting for order %s in the triggerer.", order.order_id)
        self.defer(**deferral(order.as_dict(), self.tcbilling_conn_id, self.poll_interval, deadline))
