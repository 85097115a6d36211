"""
The errors of money under control: a purchase that is not within what somebody has set. Nothing (more) was sent.

::

    TcBillingError
    └── MoneyRefused                what somebody has set does not allow the purchase
        ├── PriceUnknown            neither max_cents nor an earlier order tells the price
        ├── PriceTooHigh            an earlier order cost more than max_cents
        ├── PriceBlocked            an earlier order cost more than was reserved for it, and nobody has accepted that
        ├── MixedCurrencies         the amounts to compare have different currencies
        ├── LimitReached            settled + reserved + this purchase would exceed a limit
        ├── BalanceTooLow           the account would fall below min_balance_cents
        ├── ApprovalNeeded          nobody has approved exactly this purchase at this price
        ├── ApprovalRefused         the answer to the question does not approve it
        ├── QuestionOutdated        the question that is shown is not that of the purchase as it is now
        └── NobodyAsked             nobody can be asked here
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pendulum

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.text import amount, harmless

if TYPE_CHECKING:
    from airflow_provider_tcbilling.purchasing.approval import Question
    from airflow_provider_tcbilling.purchasing.limits import Limit

MOST_NAMED = 5
"""Purchases that a message names."""


class MoneyRefused(TcBillingError):
    """A rule that somebody has set does not allow the purchase, so this try sent nothing for it."""


class PriceUnknown(MoneyRefused):
    """Neither ``max_cents`` nor an earlier order of the same price key tells what the purchase may cost."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def lines(self) -> Sequence[str]:
        """Return the message."""
        return [
            f"Nothing was sent: {self.why}, and its price is not known. The API tells no price before a purchase, no "
            "order of the same is remembered, and there is no max_cents."
        ]


class PriceTooHigh(MoneyRefused):
    """
    The highest remembered price is above ``max_cents``.

    :param remembered: The price, such as ``100.00 USD``.
    :param most: The value of ``max_cents``, likewise.
    """

    def __init__(self, remembered: str, most: str) -> None:
        super().__init__(remembered, most)
        self.remembered, self.most = remembered, most

    def lines(self) -> Sequence[str]:
        """Return the message."""
        return [f"Nothing was sent: the same has cost {self.remembered}, and max_cents allows {self.most}."]


class PriceBlocked(MoneyRefused):
    """
    An earlier order of the same price key cost more than was reserved for it, and no user has accepted that price.

    :param paid: The price that was paid, such as ``100.00 USD``.
    :param price_key: The price key to accept.
    """

    def __init__(self, paid: str, price_key: str) -> None:
        super().__init__(paid, price_key)
        self.paid, self.price_key = paid, price_key

    def lines(self) -> Sequence[str]:
        """Return the message."""
        return [
            f"Nothing was sent: the last order of the same cost {self.paid}, more than was reserved for it, and nobody "
            f"has accepted that price (price key {self.price_key})."
        ]


class MixedCurrencies(MoneyRefused):
    """Amounts of different currencies would have to be compared."""


class LimitReached(MoneyRefused):
    """
    Settled, reserved and this purchase together would exceed a limit.

    :param limit: The limit.
    :param settled: Cents of the purchases in its window whose price is known.
    :param reserved: Cents that are reserved by purchases in its window whose price is not known yet.
    :param needed: Cents that this purchase would need.
    :param by: The purchases that it counts, each in a few words.
    :param ends: Epoch seconds at which the window ends; ``None`` if it does not end.
    :param zone: The time zone of the window.
    """

    def __init__(
        self,
        limit: Limit,
        settled: int,
        reserved: int,
        needed: int,
        *,
        by: Sequence[str] = (),
        ends: float | None = None,
        zone: str = "UTC",
    ) -> None:
        super().__init__(limit, settled, reserved, needed)
        self.limit, self.settled, self.reserved, self.needed = limit, settled, reserved, needed
        self.by, self.ends, self.zone = tuple(by), ends, zone

    def lines(self) -> Sequence[str]:
        """Return the message."""
        limit = self.limit
        settled, reserved, needed, most = (
            amount(cents, limit.currency) for cents in (self.settled, self.reserved, self.needed, limit.max_cents)
        )
        name = harmless(limit.name)
        return [
            f"Nothing was sent: limit {name!r} ({limit.window.value}) allows {most}. Settled: {settled}. Reserved: "
            f"{reserved}. This purchase would need {needed}.",
            *(f"  - {purchase}" for purchase in self.by[:MOST_NAMED]),
            *([f"  - and {len(self.by) - MOST_NAMED} more"] if len(self.by) > MOST_NAMED else []),
            *([f"The window ends at {_moment(self.ends, self.zone)}."] if self.ends is not None else []),
        ]


class AmountUnknown(LimitReached):
    """A purchase in the window of a limit has no known price, so nobody can say whether there is room yet."""

    transient = True

    def lines(self) -> Sequence[str]:
        """Return the message."""
        return [
            f"Nothing was sent: nobody can say whether limit {harmless(self.limit.name)!r} has room, since the price "
            "of a purchase in its window is not known.",
            *(f"  - {purchase}" for purchase in self.by[:MOST_NAMED]),
        ]


class BalanceTooLow(MoneyRefused):
    """
    The account could fall below ``min_balance_cents``.

    :param balance: The balance less the purchases under way, as a text such as ``100.00``.
    :param needed: The worst case of this purchase.
    :param least: The amount that must stay.
    :param has_unknown: A purchase is under way whose price is not known.
    """

    def __init__(self, balance: str, needed: str, least: str, *, has_unknown: bool = False) -> None:
        super().__init__(balance, needed, least)
        self.balance, self.needed, self.least, self.has_unknown = balance, needed, least, has_unknown

    def lines(self) -> Sequence[str]:
        """Return the message."""
        unknown = ", and one of an unknown price," if self.has_unknown else ""
        return [
            f"Nothing was sent: the account can spend {self.balance} beside the purchases under way{unknown} this "
            f"purchase may cost {self.needed}, and min_balance_cents keeps {self.least}."
        ]


class ApprovalNeeded(MoneyRefused):
    """
    Nobody has approved exactly this purchase at this price.

    :param question: The purchase to be approved.
    :param why: Why an approval that there is does not count; empty if there is none.
    """

    def __init__(self, question: Question, why: str = "") -> None:
        super().__init__(question, why)
        self.question, self.why = question, why

    def lines(self) -> Sequence[str]:
        """Return the message."""
        most = amount(self.question.max_cents, self.question.currency)
        why = f" An approval does not count: {self.why}." if self.why else ""
        return [
            f"Nothing was sent: a purchase of up to {most} must be approved, code {self.question.code}.{why}",
        ]


class ApprovalRefused(MoneyRefused):
    """
    The answer to the question does not approve the purchase.

    :param code: The code of the question.
    :param why: The reason why the answer does not count.
    """

    def __init__(self, code: str, why: str) -> None:
        super().__init__(code, why)
        self.code, self.why = code, why

    def lines(self) -> Sequence[str]:
        """Return the message."""
        return [f"Nothing was sent: the purchase was not approved, {harmless(self.why)} (code {self.code})."]


class QuestionOutdated(MoneyRefused):
    """
    The question that is shown, or was answered, is not that of the purchase as it is now.

    :param code: The code of the question as it is now.
    :param kept: The options of the other question, or the one that was chosen.
    """

    def __init__(self, code: str, kept: str) -> None:
        super().__init__(code, kept)
        self.code, self.kept = code, kept

    def lines(self) -> Sequence[str]:
        """Return the message."""
        return [
            f"Nothing was sent: the purchase or its price is not that of the question any more. The question says: "
            f"{harmless(self.kept)}. It would have to say {self.code}."
        ]


class NobodyAsked(MoneyRefused):
    """
    Nobody could be asked, so nobody has approved it yet.

    :param code: The code to approve.
    """

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code

    def lines(self) -> Sequence[str]:
        """Return the message."""
        return [f"Nothing was sent: the purchase must be approved, and nobody could be asked (code {self.code})."]


def _moment(seconds: float, zone: str) -> str:
    return str(pendulum.from_timestamp(seconds, tz=zone).to_iso8601_string())
