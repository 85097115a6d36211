"""
The errors of the API, of requests and of waiting, and the two questions that each of them answers.

::

    TcBillingError
    ├── InvalidRequest (also ValueError)        nothing was sent
    ├── RenewalNotSet                           the server kept the renew flag as it was
    ├── Unreachable                        T    no connection; nothing was sent
    │   └── CredentialsUnavailable         T    no key now; nothing was sent
    │       └── CredentialsRefused              no key, and another try gives none; nothing was sent
    ├── AnotherAccount                          the key is of another account; nothing was sent
    ├── OutcomeUnknown                     T A  sent, no usable answer
    ├── ApiError  .code .message .request_id .action
    │   ├── AuthError                           key, signature, permission
    │   ├── InsufficientBalance                 nothing was bought
    │   ├── RateLimited                    T    stopped before it reached the billing system
    │   ├── ServerFault                    T A  the server failed; it may have happened
    │   └── PaidButNotDelivered              A  money spent; call the vendor
    ├── DeliveryFailed                          the order ended without an instance
    ├── DeliveryTimeout                    T    still open when waiting stopped
    ├── WaitEnded                               the wait was long enough; nothing was sent
    └── WrongEvent                              woken for another order than its own; nothing was sent

    T  transient: another try may help         A  ambiguous: it may have happened

The classes pickle, and no message holds a SecretKey, a session token or a signature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_tcbilling._moved import forward
from airflow_provider_tcbilling.api.error_codes import EXPIRED_CODES, is_refusal, row_of
from airflow_provider_tcbilling.api.outcome import Payment
from airflow_provider_tcbilling.api.text import harmless

MAX_LINE = 2000
"""Characters of a line of a message: a command to copy can be long."""

MAX_ID = 128
"""Characters of an error code or a request id."""


class TcBillingError(Exception):
    """Any failure of this package; read *transient* and *ambiguous*, not the class name."""

    transient = False
    """Another try, later, may succeed."""

    ambiguous = False
    """The request may have been carried out: money may have moved."""

    uses_token_up = False
    """The billing system has refused the client token. A request with an expired key never gets so far."""

    report: Sequence[str] = ()
    """The whole message of the work that it ended, line by line: the money, the cause, the next step."""

    def lines(self) -> Sequence[str]:
        """Return the message, line by line. Only these line breaks are kept: the rest may be the server's text."""
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


class Unreachable(TcBillingError):
    """No connection could be made in time, so nothing was sent and nothing was bought."""

    transient = True


class CredentialsUnavailable(Unreachable):
    """
    No key is good, and the source of keys gives none now: the metadata service or STS does not answer, or answers with
    a fault. Nothing was sent, so nothing was bought.
    """


class CredentialsRefused(CredentialsUnavailable):
    """
    The source of keys says no, such as for a role that does not exist, or cannot be read, such as a profile without
    the section. Nothing was sent, and another try gives no key until somebody corrects it.
    """

    transient = False


class AnotherAccount(TcBillingError):
    """
    The key is of another account than the request is for. Nothing was sent with it, so that account has paid nothing.

    :param action: The API operation that was not sent.
    :param account: The number of the key's account; empty if nothing tells it.
    :param wanted: The number of the account that the connection or the record names; empty if the key has changed, and
        nothing tells the account of either one. A purchase that was not begun yet may begin with the new key.
    """

    def __init__(self, action: str, account: str, wanted: str) -> None:
        super().__init__(action, account, wanted)
        self.action = action
        self.account = account
        self.wanted = wanted
        self.transient = not wanted

    def lines(self) -> Sequence[str]:
        is_of = f"account {self.account}" if self.account else "an account that nothing tells"
        is_for = f"account {self.wanted}" if self.wanted else "that of the key before, which nothing tells either"
        return [f"{self.action}: nothing was sent, because the key is of {is_of}, and it is for {is_for}."]


class OutcomeUnknown(TcBillingError):
    """
    The request was sent and no usable answer came back: it may have been carried out.

    For a purchase that means: the account may have been charged. Only the same client token is safe to send again.
    """

    transient = True
    ambiguous = True


class ApiError(TcBillingError):
    """
    The server understood the request and answered with an error code.

    :param action: The API operation that was refused.
    :param code: Tencent's error code, for example ``FailedOperation.BalanceInsufficient``. Compare this.
    :param message: The server's text. It changes with language and time: show it, never parse it.
    :param request_id: The number that Tencent's support desk needs; empty when the server sent none.
    """

    def __init__(self, action: str, code: str, message: str, request_id: str) -> None:
        super().__init__(action, code, message, request_id)
        self.action = action
        self.code = code
        self.message = message
        self.request_id = request_id
        self.uses_token_up = not self.transient and code not in EXPIRED_CODES

    def lines(self) -> Sequence[str]:
        return [f"{self.action} failed: {self.message} [{self.code}, request {self.request_id or 'without id'}]"]


class AuthError(ApiError):
    """The key, the signature or the permission was refused. Nothing was bought."""


def is_of_key(error: BaseException) -> bool:
    """Whether the server calls the key expired, or its source has none: it may be about to be replaced."""
    return isinstance(error, CredentialsRefused) or (isinstance(error, AuthError) and error.code in EXPIRED_CODES)


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

    :param failures: Each instance with the server's code and message.
    """

    def __init__(self, failures: Sequence[str]) -> None:
        super().__init__(failures)
        self.failures = tuple(failures)

    def lines(self) -> Sequence[str]:
        return ["SetRenewal changed nothing for", *(f"  - {failure}" for failure in self.failures)]


class DeliveryFailed(TcBillingError):
    """
    The order ended without (all of) its instances. It is not bought again and not refunded by itself.

    :param order_id: The order that failed.
    :param reason: Its status, and the meaning of that for the money.
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
    """The wait has lasted for as long as it may. Nothing was sent, and nothing has changed."""


class WrongEvent(TcBillingError):
    """The wait was woken for another order than its own. Nothing was sent, and its own order stays as it is."""


_KINDS = (ApiError, AuthError, InsufficientBalance, RateLimited, ServerFault, PaidButNotDelivered)
_CLASSES: Mapping[str, type[ApiError]] = {kind.__name__: kind for kind in _KINDS}


def api_error(action: str, error: Mapping[str, Any], request_id: str) -> ApiError:
    """
    Make the error that belongs to the ``Error`` object of an answer.

    Only a code that is documented as a refusal says that nothing happened. Any other code leaves it open, and so does
    a text that does not look like a code.
    """
    code = harmless(error.get("Code", ""), MAX_ID)
    message, request_id = harmless(error.get("Message", "")), harmless(request_id, MAX_ID)
    made = error_class(code)(action, code, message, request_id)
    made.ambiguous = made.ambiguous or not is_refusal(code)
    return made


def error_class(code: str) -> type[ApiError]:
    """Return the class of an error code; a code that is not described is an :class:`ApiError`."""
    return _CLASSES[row_of(code).error]


__getattr__ = forward(__name__, "purchasing.errors")
