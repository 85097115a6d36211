"""
The errors of a purchase: what stops it before anything is sent, and what leaves its outcome open.

::

    TcBillingError
    ├── RunRefused                              a guard forbids this run to spend; nothing was sent
    ├── LeftAlone                               it is not needed as things are; nothing was sent
    ├── InvalidRecord                           the record of the purchase is not usable; nothing was sent
    ├── PurchaseChanged                         the record is of something else; nothing was sent
    │   └── AccountChanged                      the record is of another account; nothing was sent
    ├── StoreFailed                        T    the record could not be read or written; nothing more was sent
    │   └── OrderIsAnothers                     the order belongs to another purchase; the record is as it was
    ├── OrderNotRecorded                   T    bought, the order is known, its record could not be written
    └── PurchaseOutcomeUnknown               A  stopped on purpose: a user must decide
        └── PurchaseCharged                  A  the server said that it was paid, and no order is known

    T  transient: another try may help         A  ambiguous: it may have happened
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_tcbilling.api.errors import TcBillingError


@dataclass(frozen=True)
class Doubt:
    """
    The facts about a purchase that may have been carried out.

    :param state: That of its record.
    :param finding: The result of the query of the order book: the name of a
        :class:`~airflow_provider_tcbilling.purchasing.decision.Finding`, in lower case.
    :param up_to: The most that may have been paid, such as ``100.00 USD``; empty if no listed order tells.
    :param not_before: Epoch seconds before which nobody can say that nothing was bought.
    """

    state: str = "intended"
    finding: str = "none"
    up_to: str = ""
    not_before: float = 0.0


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

    Whether an earlier try bought something is not known: a user must check the orders.

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
    The request differs from the record of this purchase, so nothing was sent.

    :param where: Where the record is.
    :param differences: Each difference, as a line.
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


class AccountChanged(PurchaseChanged):
    """The purchase was begun in another account than that of the key, so nothing was sent."""

    def lines(self) -> Sequence[str]:
        return [
            "Nothing was sent: this purchase was begun in another account than that of the key.",
            *(f"  - {difference}" for difference in self.differences),
            f"The record: {self.where}.",
        ]


class StoreFailed(TcBillingError):
    """The record of the purchase could not be read or written, so nothing (more) was sent. Another try is safe."""

    transient = True


class OrderIsAnothers(StoreFailed):
    """
    The ledger has assigned the order to another purchase, for ever, so this record stays as it was.

    :param order_id: The order.
    :param where: The record of the purchase that has it.
    """

    transient = False

    def __init__(self, order_id: str, where: str) -> None:
        super().__init__(order_id, where)
        self.order_id = order_id
        self.where = where

    def lines(self) -> Sequence[str]:
        return [f"Order {self.order_id} belongs to another purchase, whose record is {self.where}."]


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
            "FILE, with the --conn-id of the purchase."
        ]


class PurchaseOutcomeUnknown(TcBillingError):
    """
    Stopped on purpose: it may have been bought, and no query decides it. A user must decide.

    :param reason: Why it was stopped.
    :param candidates: The orders that may be this purchase, each as a line; empty if none is listed.
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
