"""SpendingOperator: what every task that moves money does alike, whatever it spends it on."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException, BaseOperator, conf

from airflow_provider_tcbilling.api.errors import DeliveryTimeout, InvalidRequest, TcBillingError
from airflow_provider_tcbilling.api.models import Order, unique
from airflow_provider_tcbilling.api.text import amount
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook, client_of
from airflow_provider_tcbilling.links.console import CONSOLE_LINK, OrderConsoleLink
from airflow_provider_tcbilling.purchasing.errors import LeftAlone, OrderNotRecorded, RunRefused
from airflow_provider_tcbilling.task.arguments import (
    SPENDING,
    Check,
    Rendered,
    literals_of,
    mistakes_in,
    refuse_literals,
)
from airflow_provider_tcbilling.task.errors import no_retry_unless_transient, told_if_airflow_ended_the_wait
from airflow_provider_tcbilling.triggers.event import deadline_of, order_of, refuse_another

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.schema import Action
    from airflow_provider_tcbilling.hooks.connection import Settings
    from airflow_provider_tcbilling.purchasing.money_action import MoneyAction
    from airflow_provider_tcbilling.purchasing.purchase import Purchase
    from airflow_provider_tcbilling.task.failure_message import TaskEnd


class SpendingOperator(Rendered, BaseOperator):
    """
    Send something that moves money, once, and wait until its order has come to its end.

    With a ledger, or on Airflow 3.3, the intent is recorded before anything is sent. A retry, a clear or a second copy
    of the same attempt looks for the order before it sends the same client token again. If nothing can decide what an
    earlier try did, it stops and says what to look for. Killing the task undoes nothing.

    :param purchase_key: Business name of what is paid. The same key is the same purchase in whatever run. (templated)
    :param client_token: The idempotency key itself, at most 64 ASCII characters, for those who must choose it;
        excludes *purchase_key*. (templated)
    :param on_unknown_outcome: What to do when it may have been carried out and nothing decides it: ``stop`` fails the
        task and names what to look for, ``replay`` trusts the client token and sends it again.
    :param replay_window: Time since the first request in which the same token may be sent again once the order book
        shows nothing: seconds, a timedelta, or an ISO 8601 duration such as ``PT5M``. ``None`` is five minutes, and as
        much longer as a try needs to take over from another process.
    :param allow_backfill: Whether a run that a backfill made may spend.
    :param max_lateness: How long after its scheduled time a run may still spend: a timedelta, seconds, or an ISO 8601
        duration such as ``P1D``; ``None`` is without limit.
    :param on_refused_run: ``fail`` or ``skip`` the task when the run may not spend.
    :param wait_for_delivery: Return when the order has come to its end; ``False`` returns with the order.
    :param deferrable: Wait in the triggerer and not on a worker.
    :param poll_interval: Time between two looks at the order, written likewise; deferred, the most time.
    :param delivery_timeout: Time to wait for the order's end, written likewise. Afterwards the task fails, without a
        retry; the order stays as it is, and a clear of the task waits on for it.
    :param tcbilling_conn_id: The Airflow connection. (templated)
    """

    action: ClassVar[Action]
    checks: ClassVar[Mapping[str, Check]] = SPENDING
    """The rule for each argument of the provider's own; the action describes the others."""

    held_as: ClassVar[Mapping[str, str]] = {}
    """The attributes that hold arguments under another name."""

    template_fields: Sequence[str] = ("purchase_key", "client_token", "tcbilling_conn_id")
    operator_extra_links = (OrderConsoleLink(),)

    def __init__(
        self,
        *,
        purchase_key: str | None = None,
        client_token: str | None = None,
        on_unknown_outcome: str = "stop",
        replay_window: timedelta | float | str | None = None,
        allow_backfill: bool | str = False,
        max_lateness: timedelta | float | str | None = None,
        on_refused_run: str = "fail",
        wait_for_delivery: bool | str = True,
        deferrable: bool | str = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: timedelta | float | str = 30.0,
        delivery_timeout: timedelta | float | str = 3600.0,
        tcbilling_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
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
        self._purchase_begun: Purchase | None = None
        self._forget()
        refuse_literals(self.task_id, self.checks, literals_of(self, SPENDING))

    # What each kind of spending says for itself

    def spending(self, client: BillingClient, fields: Mapping[str, Any]) -> MoneyAction:
        """Return what is sent, and what shows that it was."""
        raise NotImplementedError

    def own_key(self, context: Context, fields: Mapping[str, Any]) -> str:
        """Return the key of a purchase that was given none."""
        raise NotImplementedError

    def has_twins(self, context: Context) -> bool:
        """Whether other tasks may place an order that cannot be told from one of this task."""
        return False

    def is_settled(self, order: Order, fields: Mapping[str, Any]) -> bool:
        """Whether an order need not be waited for: its record names the instances already."""
        return bool(order.instance_ids)

    def result(self, order: Order, order_ids: Sequence[str], purchase: Purchase | None) -> dict[str, Any]:
        """
        Return what the task returns.

        :param order_ids: All numbers of the order that are known.
        :param purchase: Has the record; ``None`` if the task was edited while it waited, and cannot find it.
        """
        return order.as_dict()

    # The path of a purchase

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Spend, then wait as the task was told to.

        :raises AirflowSkipException: As things are nothing is needed, or the run may not spend. Nothing was sent.
        :raises AirflowFailException: Another try cannot help: a mistake in the task or its connection (nothing was
            sent), a refusal, or an order that died.
        :raises TcBillingError: Another try may help; Airflow's retries apply, and send the same client token.
        """
        from airflow_provider_tcbilling.waiting.delivery import with_price

        self._forget()
        with no_retry_unless_transient(lambda: self._end(context)):
            fields = self._fields()
            settings = self._hook.get_settings()
            try:
                self._purchase_begun = purchase = self._purchase(context, fields, settings)
                order = purchase.place()
            except OrderNotRecorded as error:
                self._announce(error.order_id, settings, context)
                raise
            except LeftAlone as error:
                raise AirflowSkipException(str(error)) from None
            except RunRefused as error:
                if self._read("on_refused_run") == "skip" and not purchase.is_in_doubt:
                    raise AirflowSkipException(str(error)) from None
                raise
            self._announce(order.order_id, settings, context)
            if not self._read("wait_for_delivery"):
                self._log_order(order)
                return self.result(order, [order.order_id], purchase)
            if not self.is_settled(order, fields):
                return self._deliver(context, order, time.time() + self._read("delivery_timeout"), purchase)
            order = with_price(client_of(settings, is_waiting=True, attempts=1), order, self.action.name)
            if order.paid_cents is not None:
                purchase.note_delivery(order)
            self._log_order(order)
            return self.result(order, [order.order_id], purchase)

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """
        Look again after the trigger woke the task: return the settled order, raise its end, or wait on.

        The event is no more than a wake-up call: which order is the task's, its record says, or else its own XCom.

        :raises AirflowFailException: It was woken for another order. Else as in :meth:`execute`.
        """
        self._forget()
        with no_retry_unless_transient(lambda: self._end(context)):
            order = self._own_order(context, order_of(event))
            deadline = deadline_of(event, self._read("delivery_timeout"))
            if order is None or deadline is None:
                raise InvalidRequest(self.task_id, ["the task was resumed without the trigger's event"])
            return self._deliver(context, order, deadline)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a wait in the triggerer."""
        with told_if_airflow_ended_the_wait(next_method, lambda: self._end(context, was_waiting=True)):
            return super().resume_execution(next_method, next_kwargs, context)

    def on_kill(self) -> None:
        """Say which order stays open. It is not cancelled: a paid order is for a person to decide on."""
        if self._placed:
            self.log.warning("The task was killed. Order %s stays open: killing cancels nothing.", self._placed)

    def _forget(self) -> None:
        """Forget the order of an earlier run: a task object can run more than once."""
        self._placed: str | None = None
        self._cost = self.console_link = ""
        self._purchase_begun = None

    def _end(self, context: Context, *, was_waiting: bool = False) -> TaskEnd:
        """Return what is known of the task when it fails, for its message."""
        from airflow_provider_tcbilling.task.failure_facts import end_of

        if was_waiting:
            self._own_order(context, None)
        known = {"order_id": self._placed or "", "paid": self._cost}
        return end_of(context, self._hook, self.action.name, self._purchase_begun, **known)

    def _own_order(self, context: Context, told: Order | None) -> Order | None:
        """
        Return the order of this task: that of the record, or the one that the event names if nothing contradicts it.

        :raises WrongEvent: The event names another one.
        """
        from airflow_provider_tcbilling.task.resuming import announced_order, recorded_order

        recorded = recorded_order(context, self._hook, lambda: self._key(context, self._fields()))
        own, where = (recorded.order_id, "the record") if recorded else (announced_order(context), "its own XCom")
        self._placed = own or (told.order_id if told else None)
        if own and told:
            refuse_another(own, told.order_id, where)
        return (recorded or told) if told else None

    @property
    def _hook(self) -> TcBillingHook:
        return TcBillingHook(self.tcbilling_conn_id)

    def _fields(self) -> dict[str, Any]:
        """
        Return the arguments of the action as they were understood, without the token.

        :raises InvalidRequest: With every mistake at once.
        """
        arguments = {field.arg: getattr(self, field.arg) for field in self.action.fields}
        arguments["client_token"] = "derived" if self.client_token is None else self.client_token
        mistakes = self.mistakes()
        try:
            understood = self.action.named(self.action.payload(arguments))
        except InvalidRequest as error:
            mistakes += error.mistakes
        if mistakes:
            raise InvalidRequest(self.task_id, mistakes)
        del understood["client_token"]
        return understood

    def needed(self) -> Mapping[str, Check]:
        """Return the checks that count for what the task is to do."""
        return self.checks

    def mistakes(self) -> list[str]:
        """Return what is wrong with the arguments that Tencent does not see."""
        mistakes = mistakes_in(self, self.needed(), self.held_as)
        if self.purchase_key is not None and self.client_token is not None:
            mistakes.append("purchase_key: excludes client_token, which names the purchase already")
        return mistakes

    def _read(self, name: str) -> Any:
        """
        Return what an argument means.

        :raises InvalidRequest: It is not what it must be.
        """
        return self.checks[name].of(self.task_id, name, getattr(self, self.held_as.get(name, name)))

    def _purchase(self, context: Context, fields: Mapping[str, Any], settings: Settings) -> Purchase:
        from airflow_provider_tcbilling.purchasing.decision import Rules
        from airflow_provider_tcbilling.purchasing.purchase import Purchase
        from airflow_provider_tcbilling.task.dag_run import (
            TWINS,
            may_have_run_before,
            placed_by,
            refuse_unless_due,
            since_when,
        )
        from airflow_provider_tcbilling.task.store import store_of

        store = store_of(context, settings.ledger_uri)
        key, token = self._key(context, fields), self._token
        if (self._read("purchase_key") or token) and not store.is_shared:
            self.log.warning(
                "Purchase %s is meant to be one in all runs, and %s does not remember it from run to run: between runs "
                "only the server's memory of the client token guards it. Set ledger_uri in the connection.",
                key,
                store.about,
            )
        self.log.info("Purchase %s is remembered by %s.", key, store.about)
        lateness = self._read("max_lateness")
        return Purchase(
            key,
            self.spending(client_of(settings), fields),
            store,
            Rules(
                lag=settings.order_book_lag,
                replay_window=self._read("replay_window"),
                trust_token=self._read("on_unknown_outcome") == "replay",
                request_seconds=settings.connect_timeout + settings.read_timeout,
                clock_margin=settings.clock_margin,
            ),
            client_token=token,
            placed_by=placed_by(context),
            presumed_since=since_when(context) if may_have_run_before(context) else None,
            twins=TWINS if self.has_twins(context) else "",
            check=lambda: refuse_unless_due(
                context,
                allow_backfill=self._read("allow_backfill"),
                max_lateness=None if lateness is None else timedelta(seconds=lateness),
                what=", ".join(f"{name} {value}" for name, value in fields.items() if name != "parameter"),
            ),
        )

    @property
    def _token(self) -> str | None:
        return None if self.client_token is None else str(self.client_token).strip()

    def _key(self, context: Context, fields: Mapping[str, Any]) -> str:
        """Return the key of the purchase, from which its record is found."""
        named = json.dumps(["client_token", self._token]) if self._token else None
        return self._read("purchase_key") or named or self.own_key(context, fields)

    def _announce(self, order_id: str, settings: Settings, context: Context) -> None:
        """Make the order known before anything else is done with it."""
        self._placed, self.console_link = order_id, settings.order_url(order_id)
        self.log.info("Order %s: %s", order_id, self.console_link)
        if self.do_xcom_push:
            ti = context["ti"]
            ti.xcom_push(key="order_id", value=order_id)
            ti.xcom_push(key=CONSOLE_LINK, value=self.console_link)

    def _log_order(self, order: Order) -> None:
        from airflow_provider_tcbilling.task.failure_message import WORDS

        words = WORDS[self.action.name].paid.format(
            amount=amount(order.paid_cents, order.currency), order_id=order.order_id
        )
        self.log.info("%s Instances: %s.", words, ", ".join(order.instance_ids) or "not named")

    def _deliver(
        self, context: Context, order: Order, deadline: float, purchase: Purchase | None = None
    ) -> dict[str, Any]:
        """Look, and wait for the next look: here, or in the triggerer."""
        from airflow_provider_tcbilling.triggers.base import pause
        from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch

        self._placed = order.order_id
        settings = self._hook.get_settings()
        self.console_link = settings.order_url(order.order_id)
        client = client_of(settings, is_waiting=True)
        watch = DeliveryWatch(client, order.order_id, action=self.action.name, deadline=deadline)
        try:
            while (delivery := watch.step()).order is None:
                self._cost = delivery.amount
                if self._read("deferrable"):
                    self._defer(order, deadline, delivery.placed_at or time.time())
                time.sleep(min(pause(self._read("poll_interval")), max(0.0, deadline - time.time())))
        except DeliveryTimeout as error:
            raise AirflowFailException("\n".join(self._end(context).report(error))) from None
        listed, self._cost = delivery.order, delivery.amount
        delivered = replace(
            order,
            instance_ids=unique([*order.instance_ids, *listed.instance_ids]),
            paid_cents=listed.paid_cents,
            currency=listed.currency,
        )
        purchase = self._note_delivery(context, delivered, settings, purchase)
        self._log_order(delivered)
        return self.result(delivered, delivery.order_ids, purchase)

    def _note_delivery(
        self, context: Context, order: Order, settings: Settings, purchase: Purchase | None
    ) -> Purchase | None:
        """Add the delivery to the record. Nothing depends on it: by now the task may have been edited."""
        try:
            purchase = purchase or self._purchase(context, self._fields(), settings)
            purchase.note_delivery(order)
        except TcBillingError as error:
            self.log.warning("The delivery of order %s was not recorded: %s", order.order_id, error)
            return None
        return purchase

    def _defer(self, order: Order, deadline: float, placed_at: float) -> None:
        from airflow_provider_tcbilling.triggers.base import deferral
        from airflow_provider_tcbilling.triggers.delivery import DeliveryTrigger

        self.log.info("Waiting for order %s in the triggerer.", order.order_id)
        trigger = DeliveryTrigger(
            order.as_dict(),
            self.tcbilling_conn_id,
            self._read("poll_interval"),
            deadline,
            self.action.name,
            placed_at=placed_at,
        )
        self.defer(**deferral(trigger))
