"""The arguments of a task that keep its money under control: one check for each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.purchasing.limits import A_CURRENCY
from airflow_provider_tcbilling.task.arguments import A_FLAG, optional
from airflow_provider_tcbilling.task.money_checks import A_VALIDITY, AN_AMOUNT, APPROVERS

MONEY: Mapping[str, Check] = MappingProxyType(
    {
        "dry_run": A_FLAG,
        "max_cents": optional(AN_AMOUNT),
        "currency": optional(A_CURRENCY),
        "approve_above_cents": optional(AN_AMOUNT),
        "approvers": optional(APPROVERS),
        "approval_valid_for": optional(A_VALIDITY),
        "approver_is_not_requester": A_FLAG,
    }
)
