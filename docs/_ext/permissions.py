"""Permissions: the actions that each task calls, and what the key needs for them, from the table of actions."""

from __future__ import annotations

from collections.abc import Iterable

from arguments import table

from airflow_provider_tcbilling.api.actions import ACTIONS, DESCRIBE_ACCOUNT_BALANCE
from airflow_provider_tcbilling.api.sts_actions import GET_CALLER_IDENTITY, STS_ACTIONS

THE_TEST = ""
"""The test of a connection, among the tasks."""

CALLS: dict[str, tuple[str, ...]] = {
    "CreateInstanceOperator": ("CreateInstance", "DescribeDealsByCond"),
    "RenewInstanceOperator": ("RenewInstance", "DescribeDealsByCond", "DescribeRenewInstances"),
    "RefundInstanceOperator": ("RefundInstance", "DescribeDealsByCond", "DescribeRenewInstances"),
    "SetRenewalOperator": ("SetRenewal", "DescribeRenewInstances"),
    "ExpiringInstancesOperator": ("DescribeRenewInstances",),
    "ApproveSpendingOperator": (DESCRIBE_ACCOUNT_BALANCE.name,),
    "InstanceExpirySensor": ("DescribeRenewInstances",),
    "InstanceDeliverySensor": ("DescribeDealsByCond",),
    THE_TEST: (DESCRIBE_ACCOUNT_BALANCE.name, GET_CALLER_IDENTITY.name),
}
"""The actions of each task. tests/docs/test_permissions.py compares them with those of a run."""


def permission_of(action: str) -> str:
    """Return the permission of an action without the remark about it; empty if it needs none."""
    if action == GET_CALLER_IDENTITY.name:
        return ""
    return f"`{ACTIONS[action].permission.partition(' ')[0]}`"


def linked(action: str) -> str:
    """Return a link to the reference of an action, or to its own page at Tencent's."""
    if action in STS_ACTIONS:
        return f"[{action}]({STS_ACTIONS[action].url})"
    return f"[{action}](actions.md#{action.lower()})"


def permissions_by_task() -> str:
    """Return a line for each task: what it calls, and what it needs."""
    rows = [
        (
            f"`{task}`" if task else "The [connection test](#test-it)",
            ", ".join(map(linked, calls)),
            ", ".join(dict.fromkeys(filter(None, map(permission_of, calls)))),
        )
        for task, calls in CALLS.items()
    ]
    return table(("Task", "Calls", "Permissions"), rows)


def permissions_of(task: str) -> str:
    """Return a line for each action of a task; one that moves money may ask for the number of the account, too."""
    calls: Iterable[str] = CALLS[task]
    rows = [(linked(action), ACTIONS[action].about, permission_of(action)) for action in calls]
    if any(ACTIONS[action].moves_money for action in calls):
        balance = DESCRIBE_ACCOUNT_BALANCE.name
        about = "Names the account. Only with a temporary key, or after a change of the key."
        rows.append((linked(balance), about, permission_of(balance)))
    return table(("Action", "Effect", "Permission"), rows)
