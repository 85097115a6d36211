"""
What can go wrong, and the two questions that every failure answers.

::

    TcBillingError
    ├── InvalidRequest (also ValueError)        nothing was sent
    ├── RunRefused                              a guard forbids this run to spend; nothing was sent
    ├── LeftAlone                               it is not needed as things are; nothing was sent
    ├── RenewalNotSet                           the server kept the renew flag as it was
    ├── InvalidRecord                           the record of the purchase is not usable; nothing was sent
    ├── PurchaseChanged                         the record is of something else; nothing was sent
    ├── StoreFailed                        T    the record could not be read or written; nothing more was sent
    ├── OrderNotRecorded                   T    bought, the order is known, its record could not be written
    ├── Unreachable                        T    no connection; nothing was sent
    ├── OutcomeUnknown                     T A  sent, no usable answer
    ├── PurchaseOutcomeUnknown               A  stopped on purpose: a person must look
    │   └── PurchaseCharged                  A  the server said that it was paid, and no order is known
    ├── ApiError  .code .message .request_id .action
    │   ├── AuthError                           key, signature, permission
    │   ├── InsufficientBalance                 nothing was bought
    │   ├── RateLimited                    T    stopped before it reached the billing system
    │   ├── ServerFault                    T A  the server failed; it may have happened
    │   └── PaidButNotDelivered              A  money spent; a person must call the vendor
    ├── DeliveryFailed                          the order ended without an instance
    ├── DeliveryTimeout                    T    still open when waiting stopped
    ├── WaitEnded                               a task that only waits has waited long enough; nothing was sent
    └── WrongEvent                              woken for another order than the task's own; nothing was sent

    T  transient: another try may help         A  ambiguous: it may have happened

The classes pickle, and no message holds a SecretKey, a session token or a signature.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from airflow_provider_tcbilling.api.error_codes import MEANINGS, NOT_REFUNDED, PERHAPS_DONE, REFUSALS
from airflow_provider_tcbilling.api.outcome import Doubt, Payment
from airflow_provider_tcbilling.api.text import harmless

__all__ = ["MEANINGS", "NOT_REFUNDED", "PERHAPS_DONE", "REFUSALS"]

MAX_LINE = 2000
"""Characters of a line of a message: a command to copy can be long."""

MAX_ID = 128
"""Characters of an error code or a request id."""

CODE = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
"""What an error code looks like."""


class TcBillingError(Exception):
    """Anything that goes wrong in the billing API; ask *transient* and *ambiguous*, not the class name."""

    transient = False
    """Another try, later, may succeed."""

    ambiguous = False
    """The request may have been carried out: money may have moved."""

    report: Sequence[str] = ()
    """The whole message of the task that it ended, line by line: the money, the cause, the next step."""

    def lines(self) -> Sequence[str]:
        """Return the message, line by line. Only these line breaks are obeyed: the rest may be the server's text."""
        return [super().__str__()]

    def __str__(self) -> str:
        return "\n".join(harmless(line, MAX_LINE) for line in self.report or self.lines())


class InvalidRequest(TcBillingError, ValueError):
    """The request breaks the rules of the API or of this package. Nothing was sent, nothing was bought."""

    def __init__(self, subject: str, mistakes: Sequence[str]) -> None:
        super().__init__(subject, mistakes)
        self.subject = subject
        self.mistakes = tuple(mistakes)

    def lines(self) -> Sequence[str]:
        return [f"{self.subject}: nothing was sent, because", *(f"  - {m}" for m in self.mistakes)]


class RunRefused(TcBillingError):
    """The run may not spend: it is a backfill, or too late. It sent nothing."""


class LeftAlone(TcBillingError):
    """
    As things are, the instance needs nothing, so nothing was sent.

    :param instance_id: The instance.
    :param reason: Why it was left alone.
    """

    def __init__(self, instance_id: str, reason: str) -> None:
        super().__init__(instance_id, reason)
        self.instance_id = instance_id
        self.reason = reason

    def lines(self) -> Sequence[str]:
        return [f"{self.instance_id} was left alone, and nothing was sent: {self.reason}."]


class InvalidRecord(TcBillingError):
    """
    The record of the purchase is damaged, foreign, or from a newer version, so nothing was sent.

    Whether an earlier try bought something is not known: a person must look.

    :param where: Where the record is.
    :param reason: What is wrong with it.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(where, reason)
        self.where = where
        self.reason = reason

    def lines(self) -> Sequence[str]:
        return [
            f"Nothing was sent: the record of the purchase cannot be used, {self.reason}. The record: {self.where}."
        ]


class PurchaseChanged(TcBillingError):
    """
    What is to be bought differs from what the record of this purchase says, so nothing was sent.

    :param where: Where the record is.
    :param differences: What differs, in words.
    """

    def __init__(self, where: str, differences: Sequence[str]) -> None:
        super().__init__(where, differences)
        self.where = where
        self.differences = tuple(differences)

    def lines(self) -> Sequence[str]:
        return [
            "Nothing was sent: this purchase was begun already, and its record says something else.",
            *(f"  - {difference}" for difference in self.differences),
            f"The record: {self.where}. To buy this as well, give it a purchase_key of its own, or a new run.",
        ]


class StoreFailed(TcBillingError):
    """The record of the purchase could not be read or written, so nothing (more) was sent. Another try is safe."""

    transient = True


class OrderNotRecorded(TcBillingError):
    """
    The order was placed and its record could not be written. The money moved; the order is known and is not lost.

    Another try finds it in the order book, as long as it is listed there.

    :param order_id: The order.
    :param where: Where its record belongs.
    """

    transient = True

    def __init__(self, order_id: str, where: str) -> None:
        super().__init__(order_id, where)
        self.order_id = order_id
        self.where = where

    def lines(self) -> Sequence[str]:
        return [
            f"Order {self.order_id} was placed and paid, but its record could not be written ({self.where}). Another "
            "try looks for the order before it sends anything. Or restore the record: save the JSON that the log tells "
            "after 'The record to restore:' in a file, and run python -m airflow_provider_tcbilling settle --restore "
            "FILE, with the task's --conn-id."
        ]


class Unreachable(TcBillingError):
    """No connection could be made in time, so nothing was sent and nothing was bought."""

    transient = True


class OutcomeUnknown(TcBillingError):
    """
    The request was sent and no usable answer came back: it may have been carried out.

    For a purchase that means: the account may have been charged. Only the same client token is safe to send again.
    """

    transient = True
    ambiguous = True


class PurchaseOutcomeUnknown(TcBillingError):
    """
    Stopped on purpose: it may have been bought, and nothing that a machine can see decides it. A person must look.

    :param reason: Why it was stopped.
    :param candidates: The orders that may be this purchase, each in words; empty if none is listed.
    :param record: Where the record of the purchase is, and its name.
    :param doubt: The state of the record, the result of the query, the highest amount, and the earliest time to settle.
    """

    ambiguous = True
    headline = ""

    def __init__(self, reason: str, candidates: Sequence[str], record: str, doubt: Doubt | None = None) -> None:
        super().__init__(reason, candidates, record, doubt)
        self.reason = reason
        self.candidates = tuple(candidates)
        self.record = record
        self.doubt = doubt or Doubt()

    def lines(self) -> Sequence[str]:
        found = [f"  - {candidate}" for candidate in self.candidates] or ["  - none"]
        head = f"{self.headline}Stopped, and nothing more was sent: {self.reason}."
        return [head, "Orders that may be this purchase:", *found, f"Record: {self.record}"]


class PurchaseCharged(PurchaseOutcomeUnknown):
    """
    The server said that the money was taken and nothing was delivered, and no order is known. It is never sent again.

    Tencent's support can name the order, by the request id in the reason.
    """

    headline = "PAID, not delivered. "


class ApiError(TcBillingError):
    """
    The server understood the request and answered with an error code.

    :param action: The API operation that was refused.
    :param code: Tencent's error code, for example ``FailedOperation.BalanceInsufficient``. Compare this.
    :param message: The server's words. They change with language and time: show them, never parse them.
    :param request_id: What Tencent's support desk asks for; empty when the server sent none.
    """

    def __init__(self, action: str, code: str, message: str, request_id: str) -> None:
        super().__init__(action, code, message, request_id)
        self.action = action
        self.code = code
        self.message = message
        self.request_id = request_id

    def lines(self) -> Sequence[str]:
        return [f"{self.action} failed: {self.message} [{self.code}, request {self.request_id or 'without id'}]"]


class AuthError(ApiError):
    """The key, the signature or the permission was refused. Nothing was bought."""


class InsufficientBalance(ApiError):
    """The account cannot pay. Nothing was bought, but an unpaid order may stand in the console."""


class RateLimited(ApiError):
    """Too many requests in this second; the request was stopped before it reached the billing system."""

    transient = True


class ServerFault(ApiError):
    """The server failed while it worked on the request: it may have been carried out."""

    transient = True
    ambiguous = True


class PaidButNotDelivered(ApiError):
    """The money was taken and the delivery failed. Another try would pay again: call Tencent's support."""

    ambiguous = True


class RenewalNotSet(TcBillingError):
    """
    The server answered SetRenewal without an error, and lists instances for which it failed. Nothing was paid.

    :param failures: Each instance with the server's code and words.
    """

    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__(failures)
        self.failures = tuple(failures)

    def lines(self) -> Sequence[str]:
        return ["SetRenewal changed nothing for", *(f"  - {failure}" for failure in self.failures)]


class DeliveryFailed(TcBillingError):
    """
    The order ended without (all of) its instances. It is not bought again and not refunded by itself.

    :param order_id: The order that died.
    :param reason: Its status in words, and what that means for the money.
    :param payment: The outcome for the money: one of :class:`Payment`.
    :param amount: The price, such as ``100.00 USD``; empty if the order book does not show it.
    """

    def __init__(self, order_id: str, reason: str, payment: Payment = Payment.PAID, amount: str = "") -> None:
        super().__init__(order_id, reason, payment, amount)
        self.order_id = order_id
        self.reason = reason
        self.payment = payment
        self.amount = amount

    def lines(self) -> Sequence[str]:
        return [f"Order {self.order_id} has failed: {self.reason}"]


class DeliveryTimeout(TcBillingError):
    """
    The order is still open and waiting stopped. Nothing was cancelled; waiting again costs nothing.

    :param order_id: The order that was waited for.
    :param last_seen: The result of the last query of the order book.
    :param amount: The price, such as ``100.00 USD``; empty if the order book did not show it.
    """

    transient = True

    def __init__(self, order_id: str, last_seen: str, amount: str = "") -> None:
        super().__init__(order_id, last_seen, amount)
        self.order_id = order_id
        self.last_seen = last_seen
        self.amount = amount

    def lines(self) -> Sequence[str]:
        return [
            f"Order {self.order_id} was not carried out in time (last seen: {self.last_seen}). "
            "It stays open, nothing was cancelled, and waiting for it again costs nothing."
        ]


class WaitEnded(TcBillingError):
    """A task that only waits has waited for as long as it was told to. Nothing was sent, and nothing has changed."""


class WrongEvent(TcBillingError):
    """The task was woken for another order than its own. Nothing was sent, and its own order stays as it is."""


BY_CODE: Mapping[str, type[ApiError]] = MappingProxyType(
    {
        "AuthFailure": AuthError,
        "UnauthorizedOperation": AuthError,
        "FailedOperation.BalanceInsufficient": InsufficientBalance,
        "FailedOperation.PaySuccDeliverFailed": PaidButNotDelivered,
        "InternalError": ServerFault,
        "ResourceUnavailable": ServerFault,
        "ResponseSizeLimitExceeded": ServerFault,
        "ServiceUnavailable": ServerFault,
        "RequestLimitExceeded": RateLimited,
    }
)
"""Error code, or its part before a dot, to class; the longest entry that fits wins. Other codes stay ApiError."""


def api_error(action: str, error: Mapping[str, Any], request_id: str) -> ApiError:
    """
    Make the error that belongs to the ``Error`` object of an answer.

    Only a code that is documented as a refusal says that nothing happened; any other leaves it open, and so does what
    does not look like a code.
    """
    code = harmless(error.get("Code", ""), MAX_ID)
    message, request_id = harmless(error.get("Message", "")), harmless(request_id, MAX_ID)
    made = error_class(code)(action, code, message, request_id)
    made.ambiguous = made.ambiguous or not is_refusal(code)
    return made


def error_class(code: str) -> type[ApiError]:
    """Return the class of an error code; a code nobody has described is an :class:`ApiError`."""
    while CODE.fullmatch(code):
        if code in BY_CODE:
            return BY_CODE[code]
        code = code.rpartition(".")[0]
    return ApiError


def is_refusal(code: str) -> bool:
    """Whether a code is documented to mean that nothing was carried out."""
    if not CODE.fullmatch(code) or code in PERHAPS_DONE or error_class(code).ambiguous:
        return False
    return code in MEANINGS or code in NOT_REFUNDED or code.partition(".")[0] in REFUSALS
