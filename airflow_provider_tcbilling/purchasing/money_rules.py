"""Money rules: everything that may refuse a purchase for its price, of a connection and of a purchase together."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.purchasing.limits import DEFAULT_ZONE, Limit

DAY = 86_400.0


@dataclass(frozen=True)
class ApprovalRules:
    """
    When a purchase needs a user's approval, and whose.

    :param above_cents: A purchase that may cost more than so many cents needs one; with 0 each that costs anything.
    :param approvers: The names of the users who may approve; empty lets every user who can answer.
    :param valid_for: Seconds from the approval on in which the purchase may be sent.
    :param not_by_requester: The user who started the purchase may not approve it.
    """

    above_cents: int
    approvers: tuple[str, ...] = ()
    valid_for: float = DAY
    not_by_requester: bool = False

    def stricter(self, other: ApprovalRules) -> ApprovalRules:
        """
        Return the rules that hold if both hold: neither side can loosen the other.

        :raises InvalidRequest: Both name approvers, and no user is named by both, so nobody could approve. Nothing was
            sent.
        """
        return ApprovalRules(
            above_cents=min(self.above_cents, other.above_cents),
            approvers=_both(self.approvers, other.approvers),
            valid_for=min(self.valid_for, other.valid_for),
            not_by_requester=self.not_by_requester or other.not_by_requester,
        )


@dataclass(frozen=True)
class MoneyRules:
    """
    The rules for the price of a purchase.

    :param limits: Those of the connection. A purchase must stay within each that counts it.
    :param zone: The zone of the calendar that the limits count in.
    :param max_cents: The most that this purchase may cost; ``None`` if it names no price.
    :param currency: The currency of the amounts; empty if none is named.
    :param min_balance_cents: The least that must be left in the account; ``None`` if nothing must.
    :param approval: ``None`` if no purchase needs one.
    """

    limits: tuple[Limit, ...] = ()
    zone: str = DEFAULT_ZONE
    max_cents: int | None = None
    currency: str = ""
    min_balance_cents: int | None = None
    approval: ApprovalRules | None = None

    @property
    def is_in_force(self) -> bool:
        """Whether any rule may refuse a purchase."""
        amounts = (self.max_cents, self.min_balance_cents, self.approval)
        return bool(self.limits) or any(rule is not None for rule in amounts)


def stricter(one: ApprovalRules | None, other: ApprovalRules | None) -> ApprovalRules | None:
    """
    Return the approval rules that hold if both hold; ``None`` asks for no approval.

    :raises InvalidRequest: As in :meth:`ApprovalRules.stricter`.
    """
    return one.stricter(other) if one and other else one or other


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """Return the approvers of both sides. An empty result would let every user approve, so it is a mistake."""
    if not (one and other):
        return one or other
    if both := tuple(name for name in one if name in other):
        return both
    raise InvalidRequest("The approvers", [f"nobody is both in {', '.join(one)} and in {', '.join(other)}"])
