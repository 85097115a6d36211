"""The fields of the connection that keep money under control: limits, the least balance, and approvals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.extra_fields import ExtraField, is_given, mistakes_in
from airflow_provider_tcbilling.purchasing.limits import A_ZONE, DEFAULT_ZONE, Limit, limits_of
from airflow_provider_tcbilling.purchasing.money_rules import DAY, ApprovalRules, MoneyRules
from airflow_provider_tcbilling.task.arguments import is_true
from airflow_provider_tcbilling.task.money_checks import (
    A_VALIDITY,
    AN_AMOUNT,
    APPROVERS,
    approvers_of,
    cents_of,
    valid_for_of,
)

__all__ = ["MONEY_FIELDS", "MoneySettings", "money_mistakes", "money_values"]

ORIGIN = "dag"
"""The name that the origin of a purchase has in a limit of the connection."""


A_SWITCH = Check(is_true, "true or false")

_LIMITS = ExtraField(
    "spending_limits",
    "Spending limits",
    "JSON list of the most that may be spent, such as "
    '[{"name": "fleet", "window": "month", "max_cents": 500000, "currency": "USD"}]. Windows are order, run, day and '
    "month; product and dag narrow a limit. Needs ledger_conn_id.",
    is_long=True,
)
_SIMPLE = (
    ExtraField(
        "limits_zone",
        "Zone of the limits",
        "Time zone in which days and months of the limits begin. Tencent's bills are in Asia/Shanghai.",
        DEFAULT_ZONE,
        check=A_ZONE,
    ),
    ExtraField(
        "min_balance_cents",
        "Least balance",
        "Cents that a purchase must leave in the account, at least. Needs ledger_conn_id.",
        type="number",
        check=AN_AMOUNT,
    ),
    ExtraField(
        "approve_above_cents",
        "Approval above",
        "Cents above which a user must approve a purchase; 0 for each that costs anything. Needs ledger_conn_id.",
        type="number",
        check=AN_AMOUNT,
    ),
    ExtraField(
        "approvers",
        "Approvers",
        "Names of the users who may approve, separated by commas. Left out, each user who can answer may.",
        check=APPROVERS,
    ),
    ExtraField(
        "approval_valid_for",
        "Approval valid for",
        "Time in which an approved purchase may be sent: seconds, or an ISO 8601 duration. A DAG may shorten it.",
        "P1D",
        check=A_VALIDITY,
    ),
    ExtraField(
        "approver_is_not_requester",
        "Approver is not requester",
        "The user who started a run may not approve its purchases.",
        "false",
        type="boolean",
        check=A_SWITCH,
    ),
)
MONEY_FIELDS = (_LIMITS, *_SIMPLE)

IN_FORCE = ("spending_limits", "min_balance_cents", "approve_above_cents")
"""Fields that may refuse a purchase. The others only say how."""


@dataclass(frozen=True)
class MoneySettings:
    """
    The part of a connection that keeps money under control.

    :param spending_limits: The most that may be spent, in one currency.
    :param limits_zone: Time zone in which the days and months of the limits begin.
    :param min_balance_cents: Cents that a purchase must leave in the account; ``None`` if nothing must be left.
    :param approve_above_cents: Cents above which a purchase needs an approval; ``None`` if none needs one.
    :param approvers: The users who may approve; empty lets each who can answer.
    :param approval_valid_for: Seconds in which an approved purchase may be sent.
    :param approver_is_not_requester: The user who started a run may not approve its purchases.
    """

    spending_limits: tuple[Limit, ...]
    limits_zone: str
    min_balance_cents: int | None
    approve_above_cents: int | None
    approvers: tuple[str, ...]
    approval_valid_for: float
    approver_is_not_requester: bool

    def money_rules(
        self,
        *,
        max_cents: int | None = None,
        currency: str = "",
        approve_above_cents: int | None = None,
        approvers: tuple[str, ...] = (),
        approval_valid_for: float | None = None,
        approver_is_not_requester: bool = False,
    ) -> MoneyRules:
        """
        Return the rules for one purchase: those of the connection, which its own arguments make stricter, never looser.

        The parameters are the purchase's own arguments, in cents and seconds.

        :param currency: That of ``max_cents``; if empty, it is that of the limits.
        :raises InvalidRequest: Both sides name approvers, and no user is named by both. Nothing was sent.
        """
        thresholds = [cents for cents in (self.approve_above_cents, approve_above_cents) if cents is not None]
        approval = None
        if thresholds:
            above, seconds = min(thresholds), self.approval_valid_for
            of_connection = ApprovalRules(above, self.approvers, seconds, self.approver_is_not_requester)
            own_seconds = seconds if approval_valid_for is None else approval_valid_for
            approval = of_connection.stricter(ApprovalRules(above, approvers, own_seconds, approver_is_not_requester))
        return MoneyRules(
            limits=self.spending_limits,
            zone=self.limits_zone,
            max_cents=max_cents,
            currency=currency or next((limit.currency for limit in self.spending_limits), ""),
            min_balance_cents=self.min_balance_cents,
            approval=approval,
        )


def money_mistakes(extra: Mapping[str, Any]) -> Iterator[str]:
    """Yield the mistakes in these fields of an extra."""
    if is_given(limits := extra.get("spending_limits")):
        try:
            limits_of(limits, ORIGIN)
        except InvalidRequest as error:
            yield from (f"extra spending_limits: {mistake}" for mistake in error.mistakes)
    yield from mistakes_in(extra, _SIMPLE)
    for name in () if extra.get("ledger_conn_id") else IN_FORCE:
        if is_given(extra.get(name)):
            yield f"extra {name} needs a ledger in a database, which ledger_conn_id names: only that counts money"


def money_values(extra: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of :class:`MoneySettings` from an extra that has no mistake."""
    given = {field.name: extra[field.name] for field in MONEY_FIELDS if is_given(extra.get(field.name))}
    return {
        "spending_limits": limits_of(given["spending_limits"], ORIGIN) if "spending_limits" in given else (),
        "limits_zone": given.get("limits_zone", DEFAULT_ZONE),
        "min_balance_cents": cents_of(given["min_balance_cents"]) if "min_balance_cents" in given else None,
        "approve_above_cents": cents_of(given["approve_above_cents"]) if "approve_above_cents" in given else None,
        "approvers": approvers_of(given["approvers"]) if "approvers" in given else (),
        "approval_valid_for": valid_for_of(given.get("approval_valid_for", DAY)),
        "approver_is_not_requester": is_true(given.get("approver_is_not_requester", False)),
    }
