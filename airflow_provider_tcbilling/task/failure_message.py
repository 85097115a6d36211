"""TaskEnd: the message of a task that has failed. It begins with the money and ends with one next step."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pendulum

from airflow_provider_tcbilling.api import errors
from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, REFUND_INSTANCE, RENEW_INSTANCE
from airflow_provider_tcbilling.api.error_codes import remedy_of
from airflow_provider_tcbilling.api.outcome import Payment
from airflow_provider_tcbilling.api.text import amount, harmless
from airflow_provider_tcbilling.purchasing import errors as purchase_errors
from airflow_provider_tcbilling.purchasing.decision import Finding
from airflow_provider_tcbilling.purchasing.errors import Doubt
from airflow_provider_tcbilling.purchasing.money_errors import LimitReached, MoneyRefused
from airflow_provider_tcbilling.task import next_steps
from airflow_provider_tcbilling.task.next_steps import command_line, moment

UNKNOWN_AMOUNT = amount(None, None)

ABOUT_CONNECTION = (
    errors.ApiError,
    errors.Unreachable,
    errors.AnotherAccount,
    errors.OutcomeUnknown,
    purchase_errors.PurchaseOutcomeUnknown,
)
"""Errors that concern a key or a server, so that their message names the connection."""

BY_THIS_TRY = (
    errors.AnotherAccount,
    purchase_errors.PurchaseChanged,
    purchase_errors.StoreFailed,
    purchase_errors.InvalidRecord,
)
"""Errors that say nothing of an earlier try."""

NOT_LEFT_TO_A_RETRY = (errors.DeliveryTimeout, purchase_errors.OrderNotRecorded)
"""Errors whose step is the same whether or not Airflow tries again by itself."""

TO_CORRECT = (
    errors.ApiError,
    errors.InvalidRequest,
    errors.CredentialsRefused,
    errors.AnotherAccount,
    MoneyRefused,
)
"""Errors that a user must correct before a clear."""


@dataclass(frozen=True)
class Words:
    """
    The words for an action in a message.

    :param nothing: Nothing came of it.
    :param paid: There is an order.
    :param perhaps: There may be one.
    :param acts: The effect of a clear if there is no order.
    :param buys: The order is one that costs money.
    :param orders: It places an order, which a clear looks for first.
    """

    nothing: str = "Nothing was bought"
    paid: str = "Paid: {amount}, order {order_id}."
    perhaps: str = "Perhaps paid, up to {amount}."
    acts: str = "it BUYS"
    buys: bool = True
    orders: bool = True


READS = Words(
    paid="Nothing was bought by this task. Order {order_id} stays as it is.", acts="it looks again", orders=False
)
APPROVES = Words(nothing="Nothing was approved", acts="it asks again", orders=False)
SETS = Words(nothing="Nothing was paid", acts="it sets what differs", orders=False)
WORDS: Mapping[str, Words] = {
    CREATE_INSTANCE.name: Words(),
    RENEW_INSTANCE.name: Words(nothing="Nothing was renewed", acts="it RENEWS"),
    REFUND_INSTANCE.name: Words(
        nothing="Nothing was refunded",
        paid="Refund placed: order {order_id}.",
        perhaps="Perhaps refunded: the instance may be given back.",
        acts="it GIVES THE INSTANCE BACK",
        buys=False,
    ),
}
"""By the name of the action that a task sends."""

PAYMENTS: Mapping[Payment, str] = {
    Payment.PAID: "Paid: {amount}, order {order_id}.",
    Payment.RETURNED: "Paid: {amount}, order {order_id}. The paid part went back to the account.",
    Payment.UNCLEAR: "Perhaps paid, up to {amount}, order {order_id}.",
    Payment.UNPAID: "Nothing was bought: order {order_id} was not paid.",
}
"""The meaning of a failed order for the money."""


@dataclass(frozen=True)
class TaskEnd:
    """
    The facts about a task that fails.

    :param conn_id: The Airflow connection.
    :param key_name: Its SecretId, shortened, or the source of its key; empty if the connection could not be read.
    :param words: Those of the task's action.
    :param order_id: The order that exists; empty if none is known.
    :param paid: The price, such as ``100.00 USD``; empty if that is not known.
    :param in_doubt: A request may have been carried out whose order is not known.
    :param is_unread: An earlier try may have sent a request, and this one failed before it read the record.
    :param keeps_records: There is a record that can be settled.
    :param is_retried: Airflow tries again by itself.
    :param explain: The command that explains the purchase; empty if nothing names it.
    :param settle: The command that settles it, without the decision.
    :param restore: The command that restores its record.
    :param console: Where the account's orders are listed.
    """

    conn_id: str
    key_name: str = ""
    words: Words = READS
    order_id: str = ""
    paid: str = ""
    in_doubt: bool = False
    is_unread: bool = False
    keeps_records: bool = True
    is_retried: bool = False
    explain: str = ""
    settle: str = ""
    restore: str = ""
    console: str = "the console"

    def report(self, error: BaseException) -> list[str]:
        """Return the message line by line: the money, the cause, the next step, the command, the page."""
        return [
            self.money(error),
            *self._cause(error),
            *self._connection(error),
            *f"Next: {self._step(error)}".split("\n"),
            *([f"Explain: {self.explain}"] if self.explain else []),
            f"Page: {next_steps.PAGE}",
        ]

    def money(self, error: BaseException) -> str:
        """Return in one sentence what the error means for the money."""
        order_id = self.order_id or getattr(error, "order_id", "")
        cost = getattr(error, "amount", "") or self.paid or UNKNOWN_AMOUNT
        if isinstance(error, errors.DeliveryFailed) and self.words.buys:
            return PAYMENTS[error.payment].format(amount=cost, order_id=order_id)
        if order_id:
            return self.words.paid.format(amount=cost, order_id=order_id)
        up_to = _doubt_of(error).up_to or UNKNOWN_AMOUNT
        if isinstance(error, purchase_errors.PurchaseCharged):
            return f"Paid: {up_to}, as the server said, and the order is not known."
        if self.in_doubt:
            return self.words.perhaps.format(amount=up_to)
        return f"{self.words.nothing}{' by this try' if self.is_unread or isinstance(error, BY_THIS_TRY) else ''}."

    def _cause(self, error: BaseException) -> Sequence[str]:
        if isinstance(error, errors.InvalidRequest) and (self.in_doubt or (self.order_id and self.words != READS)):
            return [f"{error.subject}: this task cannot go on, because", *(f"  - {m}" for m in error.mistakes)]
        return error.lines() if isinstance(error, errors.TcBillingError) else [_named(error)]

    def _step(self, error: BaseException) -> str:
        step = (
            self._stopped(error) if isinstance(error, purchase_errors.PurchaseOutcomeUnknown) else self.template(error)
        )
        price_key = shlex.quote(str(getattr(error, "price_key", "")))
        return step.format(
            acts=self.words.acts,
            conn_id=self.conn_id,
            console=self.console,
            settle=self.settle,
            restore=self.restore,
            accept=command_line("settle", f"--price-key {price_key} --accept-price", self.conn_id),
            approve=command_line("approve", "--plan FILE", self.conn_id),
            reconcile=command_line("reconcile", f"--month {_month_of(error)}", self.conn_id),
            order_id=self.order_id or getattr(error, "order_id", ""),
            decidable=moment(max(time.time(), _doubt_of(error).not_before)),
        )

    def _stopped(self, error: purchase_errors.PurchaseOutcomeUnknown) -> str:
        state = error.doubt.state if self.keeps_records else next_steps.NO_STORE
        return next_steps.STEPS.get((state, Finding[error.doubt.finding.upper()]), next_steps.CHOOSE)

    def template(self, error: BaseException) -> str:
        """Return the next step for an error that is no stop, its facts not filled in."""
        is_retried = self.is_retried and getattr(error, "transient", True)
        if is_retried and not isinstance(error, NOT_LEFT_TO_A_RETRY):
            return self._retried()
        kind = next((kind for kind in type(error).__mro__ if kind in next_steps.ERROR_STEPS), errors.TcBillingError)
        if kind in next_steps.OF_A_RECORD:
            return next_steps.ERROR_STEPS[kind]
        if self.order_id and kind not in next_steps.OF_AN_ORDER:
            return next_steps.CORRECT_AND_WAIT if issubclass(kind, TO_CORRECT) else next_steps.WAITS_ON
        if not self.order_id and (self.in_doubt or self.is_unread):
            return next_steps.IN_DOUBT.get(kind) or (
                next_steps.CORRECT_AND_LOOK if issubclass(kind, TO_CORRECT) else next_steps.LOOKS_FIRST
            )
        step = next_steps.ERROR_STEPS[kind]
        return step if self.words.orders else next_steps.WITHOUT_ORDERS.get(kind, step)

    def _retried(self) -> str:
        if not self.words.orders:
            return next_steps.RETRIED_WITHOUT_ORDERS
        return next_steps.RETRIED_WITH_ORDER if self.order_id else next_steps.RETRIED

    def _connection(self, error: BaseException) -> Iterator[str]:
        if isinstance(error, ABOUT_CONNECTION):
            key = f", {self.key_name}" if self.key_name else ""
            remedy = remedy_of(error.code) if isinstance(error, errors.ApiError) else ""
            yield f"Connection {self.conn_id}{key}{': ' if remedy else '.'}{remedy}"


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {harmless(error)}"


def _month_of(error: BaseException) -> str:
    """Return the month of now, in the zone of the limit that the error is about."""
    zone = error.zone if isinstance(error, LimitReached) else "UTC"
    return str(pendulum.now(zone).format("YYYY-MM"))


def _doubt_of(error: BaseException) -> Doubt:
    return error.doubt if isinstance(error, purchase_errors.PurchaseOutcomeUnknown) else Doubt()
