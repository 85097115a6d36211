"""SpendingOperator: the common part of all tasks that move money."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import conf

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.links.console import OrderConsoleLink
from airflow_provider_tcbilling.operators._approval import answer_of, asking, place_approved
from airflow_provider_tcbilling.operators._execution import Execution
from airflow_provider_tcbilling.task.arguments import SPENDING, literals_of, refuse_literals
from airflow_provider_tcbilling.task.deployment import is_dry_run
from airflow_provider_tcbilling.task.policies import OnRefusedRun, OnUnknownOutcome
from airflow_provider_tcbilling.triggers._task import BillingTask
from airflow_provider_tcbilling.triggers.event import deadline_of, order_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.models import Order
    from airflow_provider_tcbilling.api.schema import Action
    from airflow_provider_tcbilling.hooks.connection import Settings
    from airflow_provider_tcbilling.purchasing.money_action import MoneyAction
    from airflow_provider_tcbilling.purchasing.money_rules import MoneyRules
    from airflow_provider_tcbilling.task.failure_message import TaskEnd

__all__ = ["OnRefusedRun", "OnUnknownOutcome", "SpendingOperator"]


class SpendingOperator(BillingTask):
    """
    Send something that moves money, once, and wait until its order has come to its end.

    With a ledger, or on Airflow 3.3, the intent is recorded before anything is sent. A retry, a clear or a second copy
    of the same attempt queries the order book before it sends the same client token again. If no query can decide what
    an earlier try did, the task stops and names what to look for. Killing the task undoes nothing.

    :param purchase_key: Business name of what is paid. The same key is the same purchase in whatever run. ``None`` lets
        each kind of task derive its own. (templated)
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

    action: ClassVar[Action]
    checks: ClassVar[Mapping[str, Check]] = SPENDING
    template_fields: Sequence[str] = ("purchase_key", "client_token", "tcbilling_conn_id")
    operator_extra_links = (OrderConsoleLink(),)

    def __init__(
        self,
        *,
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
        super().__init__(tcbilling_conn_id=tcbilling_conn_id, **kwargs)
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
        self.console_link = ""
        self._run: Execution | None = None
        refuse_literals(self.task_id, self.checks, literals_of(self, SPENDING))

    def money_rules(self, settings: Settings) -> MoneyRules | None:
        """Return the rules for the price; ``None`` if the task takes no money."""
        return None

    def spending(self, client: BillingClient, fields: Mapping[str, Any]) -> MoneyAction:
        """
        Return the action: what is sent, and the evidence that it was carried out.

        :param fields: The arguments of the action by name, as the user wrote them, without the client token.
        :raises InvalidRequest: An argument breaks a rule of the action. Nothing was sent.
        """
        raise NotImplementedError

    def own_key(self, context: Context, fields: Mapping[str, Any]) -> str:
        """
        Return the key of a purchase that was given none.

        :param fields: The arguments of the action as they were understood.
        """
        raise NotImplementedError

    def has_twins(self, context: Context) -> bool:
        """Whether other tasks may place an order that cannot be distinguished from one of this task."""
        return False

    @property
    def only_plans(self) -> bool:
        """
        Whether the task shows a plan, and sends nothing: its *dry_run* says so, or the deployment.

        :raises InvalidRequest: The value of one of them is no flag. Nothing was sent.
        """
        return is_dry_run() or ("dry_run" in self.checks and self.value_of("dry_run"))

    def plan(self, run: Execution) -> dict[str, Any]:
        """
        Return the plan, and log it. It only reads.

        :param run: The execution, whose clients are open.
        """
        raise InvalidRequest(self.task_id, [f"{self.action.name} has no plan, so nothing is done in a dry run"])

    def planned(self, context: Context, **options: Any) -> dict[str, Any]:
        """
        Return the plan whatever *dry_run* says, by clients that cannot spend. It only reads.

        :param options: Further arguments of the clients, such as ``attempts``.
        :raises TcBillingError: A mistake, or something could not be read.
        """
        for name in ("dry_run",) if "dry_run" in self.checks else ():
            setattr(self, self.held_as.get(name, name), True)
        with self.hook.session(only_reads=True, **options) as tencent:
            return self.plan(Execution(self, context, tencent))

    def is_settled(self, order: Order, fields: Mapping[str, Any]) -> bool:
        """Whether an order need not be waited for: its record names the instances already."""
        return bool(order.instance_ids)

    def result(self, run: Execution, order: Order, order_ids: Sequence[str]) -> dict[str, Any]:
        """
        Return what the task returns.

        :param run: The execution, whose clients are open.
        :param order_ids: All numbers under which the order is listed.
        """
        return order.as_dict()

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Spend, then wait for the order unless *wait_for_delivery* is false; in a dry run, return the plan at once.

        :raises AirflowSkipException: Nothing is needed as things are, or the run may not spend. Nothing was sent.
        :raises AirflowFailException: Another try cannot help: a mistake in the task or its connection (nothing was
            sent), a refusal, or an order that failed.
        :raises TcBillingError: Another try may help; Airflow's retries apply, and send the same client token.
        """
        with self._execution(context) as run:
            if run.only_plans:
                return self.plan(run)
            with run.placing(), asking(run):
                order = run.purchase.place()
            return self._placed(run, order)

    def execute_approved(self, context: Context, event: Any = None, code: str = "") -> dict[str, Any]:
        """
        Go on after a user has answered whether it may be bought.

        The purchase is computed again. It is sent only if the answer approves exactly what it is now.

        :param code: That of the question that was put, for a message. It decides nothing.
        :raises AirflowSkipException: The user refused, or did not answer in time, and *on_refused_run* says ``skip``.
        :raises AirflowFailException: The answer does not approve it. Nothing was sent. Else as in :meth:`execute`.
        """
        with self._execution(context) as run:
            if run.only_plans:
                return self.plan(run)
            with run.placing():
                order = place_approved(run, answer_of(event, code))
            return self._placed(run, order)

    def _placed(self, run: Execution, order: Order) -> dict[str, Any]:
        """Wait for an order unless *wait_for_delivery* is false, and return what the task returns."""
        run.announce(order.order_id)
        if not self.value_of("wait_for_delivery"):
            return run.ended(order, [order.order_id])
        if not self.is_settled(order, run.fields):
            return run.deliver(order, time.time() + self.value_of("delivery_timeout"))
        return run.ended(run.price(order), [order.order_id])

    def execute_complete(self, context: Context, event: dict[str, Any] | None = None) -> dict[str, Any]:
        """
        Query the order after the trigger woke the task: return it, raise its end, or wait on.

        The event is no more than a wake-up call: the record names the task's order, or else its own XCom does.

        :raises AirflowFailException: The task was woken for another order. Else as in :meth:`execute`.
        """
        with self._execution(context) as run:
            order = run.own_order(order_of(event))
            deadline = deadline_of(event, self.value_of("delivery_timeout"))
            if order is None or deadline is None:
                raise InvalidRequest(self.task_id, ["the task was resumed without the trigger's event"])
            return run.deliver(order, deadline)

    def on_kill(self) -> None:
        """Name the order that stays open. It is not cancelled: only a user decides on a paid order."""
        run = self._run
        purchase = run.begun if run else None
        if order_id := (run.order_id if run else "") or (purchase.order_id if purchase else ""):
            self.log.warning("The task was killed. Order %s stays open: killing cancels nothing.", order_id)
        elif purchase and purchase.is_in_doubt:
            self.log.warning(
                "The task was killed while it may have been buying. A later try looks for its order first."
            )

    def mistakes(self) -> list[str]:
        """Return the mistakes in the arguments that Tencent does not see, and in the client token."""
        mistakes = super().mistakes()
        if self.client_token is not None and not self.checks["client_token"].mistake("client_token", self.client_token):
            try:
                self.action.with_token({}, self.client_token)
            except InvalidRequest as error:
                mistakes += error.mistakes
        if self.purchase_key is not None and self.client_token is not None:
            mistakes.append("purchase_key: excludes client_token, which names the purchase already")
        return mistakes

    def end(self, context: Context, *, was_waiting: bool = False) -> TaskEnd:
        """Return the facts for the message of a task that fails: what came of its purchase, too."""
        from airflow_provider_tcbilling.task.failure_facts import end_of

        run = self._run
        if was_waiting:
            with self.hook.session() as tencent:
                run = Execution(self, context, tencent)
                run.own_order(None)
            run.paid = self._run.paid if self._run else ""
            self._run = run
        purchase, facts = (run.begun, {"order_id": run.order_id, "paid": run.paid}) if run else (None, {})
        return end_of(context, self.hook, self.action.name, purchase, **facts)

    def defer_for(self, order: Order, deadline: float, placed_at: float) -> NoReturn:
        """
        Go on waiting for an order in the triggerer.

        :param deadline: Epoch seconds.
        :param placed_at: Epoch seconds at which the order was placed, or some hours before.
        """
        from airflow_provider_tcbilling.triggers.delivery import DeliveryTrigger

        self.log.info("Waiting for order %s in the triggerer.", order.order_id)
        interval, action = self.value_of("poll_interval"), self.action.name
        trigger = DeliveryTrigger(
            order.as_dict(), self.tcbilling_conn_id, interval, deadline, action, placed_at=placed_at
        )
        self._defer(trigger)

    @contextmanager
    def _execution(self, context: Context) -> Iterator[Execution]:
        """Begin anew: a task object can run more than once."""
        self.console_link, self._run = "", None
        with self._reporting(context), self.hook.session() as tencent:
            self._run = Execution(self, context, tencent)
            yield self._run
