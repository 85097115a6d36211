"""Execution: one run of ``execute`` of a task that spends, from its arguments to the end of its order."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_tcbilling.api.errors import DeliveryTimeout, InvalidRequest, TcBillingError
from airflow_provider_tcbilling.api.models import Order, unique
from airflow_provider_tcbilling.api.text import amount, visible
from airflow_provider_tcbilling.links.console import CONSOLE_LINK
from airflow_provider_tcbilling.purchasing.errors import LeftAlone, OrderNotRecorded, RunRefused
from airflow_provider_tcbilling.purchasing.money_errors import ApprovalRefused
from airflow_provider_tcbilling.task.policies import OnRefusedRun, OnUnknownOutcome
from airflow_provider_tcbilling.triggers.event import refuse_another

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.schema import Action
    from airflow_provider_tcbilling.hooks.session import Session
    from airflow_provider_tcbilling.operators.base import SpendingOperator
    from airflow_provider_tcbilling.purchasing.money_action import MoneyAction
    from airflow_provider_tcbilling.purchasing.purchase import Purchase

P = TypeVar("P", bound="Purchase")


class Execution:
    """
    The inputs of one execution, and its results so far.

    :param task: The task, its templates rendered.
    :param tencent: The clients of its connection.
    """

    def __init__(self, task: SpendingOperator, context: Context, tencent: Session) -> None:
        self.task = task
        self.context = context
        self.tencent = tencent
        self.begun: Purchase | None = None
        """The purchase, once it was needed."""
        self.order_id = ""
        """The order, as soon as there is one."""
        self.paid = ""
        """Its price, such as ``100.00 USD``, as soon as the order book shows it."""

    @cached_property
    def action(self) -> MoneyAction:
        """
        The action that is sent. Its payload is computed here, once.

        :raises InvalidRequest: With every mistake at once. Nothing was sent.
        """
        task = self.task
        arguments = {field.arg: getattr(task, field.arg) for field in task.action.fields if field.arg != "client_token"}
        if mistakes := task.mistakes():
            raise InvalidRequest(task.task_id, [*mistakes, *_mistakes_in(task.action, arguments)])
        client = self.tencent.buying
        try:
            return task.spending(client, arguments)
        except InvalidRequest as error:
            raise InvalidRequest(task.task_id, error.mistakes) from None

    @cached_property
    def fields(self) -> Mapping[str, Any]:
        """The arguments of the action as they were understood, without the token."""
        return self.action.action.named(self.action.payload)

    @property
    def key(self) -> str:
        """The key of the purchase, which names its record."""
        own = self.task.own_key(self.context, self.fields)
        named = json.dumps(["client_token", self._token]) if self._token else None
        return self.task.value_of("purchase_key") or named or own

    @property
    def purchase(self) -> Purchase:
        """The purchase, of which nothing was sent yet by this execution."""
        from airflow_provider_tcbilling.purchasing.purchase import Purchase

        if self.begun is None:
            self.begun = self._begin(Purchase)
        return self.begun

    @property
    def only_plans(self) -> bool:
        """Whether the task shows a plan, and sends nothing; errors as in :attr:`action`, with every mistake at once."""
        return bool(self.action) and self.task.only_plans

    def plan(self) -> dict[str, Any]:
        """Return the plan of the purchase, as plain JSON. Nothing that spends is sent, and nothing is written."""
        from airflow_provider_tcbilling.purchasing.plan import PlannedPurchase

        return self._begin(PlannedPurchase).plan()

    @contextmanager
    def placing(self) -> Iterator[None]:
        """Announce an order that could not be recorded; skip the task if nothing is needed or its run may not spend."""
        try:
            yield
        except OrderNotRecorded as error:
            try:
                self.announce(error.order_id)
            except Exception as failed:
                self.task.log.warning("Order %s could not be pushed to XCom: %r", error.order_id, failed)
            raise
        except LeftAlone as error:
            raise AirflowSkipException(str(error)) from None
        except (RunRefused, ApprovalRefused) as error:
            if self.task.value_of("on_refused_run") is OnRefusedRun.SKIP and not self.purchase.is_in_doubt:
                raise AirflowSkipException(str(error)) from None
            raise

    def announce(self, order_id: str) -> None:
        """Make the order known before anything else is done with it."""
        self._link(order_id)
        self.task.log.info("Order %s: %s", order_id, self.task.console_link)
        if self.task.do_xcom_push:
            ti = self.context["ti"]
            ti.xcom_push(key="order_id", value=order_id)
            ti.xcom_push(key=CONSOLE_LINK, value=self.task.console_link)

    def own_order(self, named: Order | None) -> Order | None:
        """
        Return the order of this task: that of the record, or the one that the event names if nothing contradicts it.

        :param named: The order that the event names.
        :raises WrongEvent: The event names another order.
        """
        from airflow_provider_tcbilling.task.resuming import announced_order, recorded_order

        recorded = recorded_order(self.context, self.task.hook, lambda: self.key)
        own, where = (recorded.order_id, "the record") if recorded else (announced_order(self.context), "its own XCom")
        self.order_id = own or (named.order_id if named else "")
        if own and named:
            refuse_another(own, named.order_id, where)
        return (recorded or named) if named else None

    def deliver(self, order: Order, deadline: float) -> dict[str, Any]:
        """
        Wait for the end of the order, here or in the triggerer, and return what the task returns.

        :param deadline: Epoch seconds.
        """
        from airflow_provider_tcbilling.triggers.base import pause
        from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch, priced_as
        from airflow_provider_tcbilling.waiting.patience import patiently

        task = self.task
        self._link(order.order_id)
        watch = DeliveryWatch(self.tencent.waiting, order.order_id, action=task.action.name, deadline=deadline)
        try:
            while (delivery := patiently(self.tencent.waiting, watch.step)).order is None:
                self.paid = delivery.amount
                if task.value_of("deferrable"):
                    task.defer_for(order, deadline, delivery.placed_at or time.time())
                time.sleep(min(pause(task.value_of("poll_interval")), max(0.0, deadline - time.time())))
        except DeliveryTimeout as error:
            raise AirflowFailException("\n".join(task.end(self.context).report(error))) from None
        listed, self.paid = delivery.order, delivery.amount
        ids = unique([*order.instance_ids, *listed.instance_ids])
        delivered = replace(priced_as(order, listed), instance_ids=ids)
        self.note_delivery(delivered)
        return self.ended(delivered, delivery.order_ids)

    def price(self, order: Order) -> Order:
        """
        Return an order that is delivered already with what was paid, if the order book shows it within moments.

        Where limits count the price, the order book gets its lag to show it.
        """
        from airflow_provider_tcbilling.waiting.delivery import with_price

        rules, lag = self.task.money_rules(self.tencent.settings), self.tencent.settings.order_book_lag
        patience = lag if rules and rules.is_in_force else 0.0
        priced = with_price(self.tencent.waiting, order, self.task.action.name, patience)
        if priced.paid_cents is not None:
            self.purchase.note_delivery(priced)
        return priced

    def note_delivery(self, order: Order) -> None:
        """Add the delivery to the record. Nothing depends on it: by now the task may have been edited."""
        try:
            self.purchase.note_delivery(order)
        except TcBillingError as error:
            self.task.log.warning("The delivery of order %s was not recorded: %s", order.order_id, error)

    def ended(self, order: Order, order_ids: Sequence[str]) -> dict[str, Any]:
        """Log what was paid, and return what the task returns."""
        from airflow_provider_tcbilling.task.failure_message import WORDS

        paid = WORDS[self.task.action.name].paid
        summary = paid.format(amount=amount(order.paid_cents, order.currency), order_id=order.order_id)
        self.task.log.info("%s Instances: %s.", summary, ", ".join(order.instance_ids) or "not named")
        return self.task.result(self, order, order_ids)

    @property
    def _token(self) -> str | None:
        return None if self.task.client_token is None else str(self.task.client_token).strip()

    def _link(self, order_id: str) -> None:
        self.order_id, self.task.console_link = order_id, self.tencent.settings.order_url(order_id)

    def _begin(self, kind: type[P]) -> P:
        from airflow_provider_tcbilling.purchasing.authorization import Authorization
        from airflow_provider_tcbilling.purchasing.decision import Rules
        from airflow_provider_tcbilling.task.dag_run import (
            may_have_run_before,
            placed_by,
            refuse_unless_due,
            requester_of,
            since_when,
        )
        from airflow_provider_tcbilling.task.replay_window import retry_seconds
        from airflow_provider_tcbilling.task.store import store_of
        from airflow_provider_tcbilling.task.twins import TWINS

        task, context, action, settings = self.task, self.context, self.action, self.tencent.settings
        store = store_of(context, settings)
        key = self.key
        if (task.value_of("purchase_key") or self._token) and not store.is_shared:
            task.log.warning(
                "Purchase %s is meant to be one in all runs, and %s does not remember it from run to run: between runs "
                "only the server's memory of the client token guards it. Set ledger_conn_id or ledger_uri in the "
                "connection.",
                visible(key),
                store.about,
            )
        task.log.info("Purchase %s is remembered by %s.", visible(key), store.about)
        lateness = task.value_of("max_lateness")
        return kind(
            key,
            action,
            store,
            Rules(
                lag=settings.order_book_lag,
                replay_window=task.value_of("replay_window"),
                trust_token=task.value_of("on_unknown_outcome") is OnUnknownOutcome.REPLAY,
                request_seconds=settings.connect_timeout + settings.read_timeout,
                clock_margin=settings.clock_margin,
                retry_seconds=retry_seconds(task, context["ti"].try_number),
            ),
            client_token=self._token,
            placed_by=placed_by(context),
            authorization=Authorization(store, action, task.money_rules(settings), requester_of(context)),
            presumed_since=since_when(context) if may_have_run_before(context) else None,
            twins=TWINS if task.has_twins(context) else "",
            check=lambda: refuse_unless_due(
                context,
                allow_backfill=task.value_of("allow_backfill"),
                max_lateness=None if lateness is None else timedelta(seconds=lateness),
                what=", ".join(f"{name} {value}" for name, value in self.fields.items() if name != "parameter"),
            ),
        )


def _mistakes_in(action: Action, arguments: Mapping[str, Any]) -> Sequence[str]:
    try:
        action.payload_without_token(arguments)
    except InvalidRequest as error:
        return error.mistakes
    return ()
