"""Buying: the common part of the tasks that take money, which a price, limits and an approval control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.operators.base import SpendingOperator
from airflow_provider_tcbilling.task.money_arguments import MONEY

if TYPE_CHECKING:
    from airflow_provider_tcbilling.hooks.connection import Settings
    from airflow_provider_tcbilling.operators._execution import Execution
    from airflow_provider_tcbilling.purchasing.money_rules import MoneyRules


class Buying(SpendingOperator if TYPE_CHECKING else object):  # type: ignore[misc]
    """
    The arguments of a task that keep its money under control, for a class of tasks that inherits it first.

    A DAG can only be stricter than its connection.
    """

    template_fields: Sequence[str] = (
        "max_cents",
        "currency",
        "approve_above_cents",
        "approvers",
        "approval_valid_for",
        "approver_is_not_requester",
        "plan_only",
        *SpendingOperator.template_fields,
    )
    checks: ClassVar[Mapping[str, Check]] = {**SpendingOperator.checks, **MONEY}
    # ``dry_run`` of an operator is a method of Airflow's.
    held_as: ClassVar[Mapping[str, str]] = {"dry_run": "plan_only"}

    def plan(self, run: Execution) -> dict[str, Any]:
        """Return the plan of the purchase, and log it. It only reads."""
        from airflow_provider_tcbilling.purchasing.plan_text import text_of

        plan = run.plan()
        self.log.info("Nothing was sent: this is a dry run.\n%s", text_of(plan))
        return plan

    def money_rules(self, settings: Settings) -> MoneyRules:
        """Return the rules of the connection, made stricter by the task's own."""
        own = {name: self.value_of(name) for name in MONEY if name != "dry_run"}
        return settings.money_rules(**{**own, "currency": own["currency"] or "", "approvers": own["approvers"] or ()})
