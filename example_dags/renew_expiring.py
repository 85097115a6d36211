"""
Renew what expires within two weeks, once a user has approved the list with its prices.

Needs Airflow 3.1 or newer, and a connection with a ledger in a database (``ledger_conn_id``), which remembers what was
approved. The DAG is paused until you switch it on.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, Param, task

from airflow_provider_tcbilling.api.models import RenewableInstance
from airflow_provider_tcbilling.operators.approval import ApproveSpendingOperator
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator

MOST_AT_ONCE = 50
"""The rest is renewed by the runs of the next days. Airflow maps over at most [core] max_map_length items."""

# [START howto_terms]
TERMS: dict[str, Any] = {
    "renew_within": "P14D",
    "period": 1,
    "period_unit": "m",
    "max_cents": "{{ params.max_cents }}",
    "currency": "{{ params.currency }}",
    "approve_above_cents": 0,
    "approval_valid_for": "PT20H",
    "map_index_template": "{{ task.instance_name or task.instance_id }}",
}
"""The terms of each renewal: what is planned and approved, and what is renewed, are the same."""
# [END howto_terms]


def why_not(instance: RenewableInstance) -> str:
    """Return why an instance is left alone; empty if it is to be renewed."""
    if instance.status not in ("", "NORMAL"):
        return f"it is {instance.status}, so a user must decide"
    if instance.renews_by_itself is None:
        return f"what its flag {instance.renew_flag!r} does is not known"
    return "the vendor renews it by itself" if instance.renews_by_itself else ""


with DAG(
    dag_id="tcbilling_renew_expiring",
    description="Renew what expires within two weeks, once a user has approved the list with its prices",
    schedule="0 9 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Shanghai"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["tcbilling", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "max_cents": Param(
            15_000, type="integer", minimum=1, description="The most that one renewal may cost, in cents"
        ),
        "currency": Param("USD", type="string", description="In 1/100 of this currency"),
    },
):
    # [START howto_operator_expiring_instances]
    expiring = ExpiringInstancesOperator(task_id="expiring", within="P14D")
    # [END howto_operator_expiring_instances]

    # [START howto_propose]
    @task
    def propose(instances: list[dict]) -> list[dict[str, str]]:
        """Return what would be renewed; with nothing to renew, nobody is asked."""
        found = [RenewableInstance(**fields) for fields in instances]
        for left in filter(why_not, found):
            print(f"{left.instance_id} {left.instance_name} is left alone: {why_not(left)}")
        soonest_first = [instance for instance in found if not why_not(instance)]
        if not soonest_first:
            raise AirflowSkipException("Nothing is to be renewed.")
        return [instance.renewal_arguments() for instance in soonest_first[:MOST_AT_ONCE]]

    proposal = propose(expiring.output["instances"])

    plan = RenewInstanceOperator.partial(task_id="plan", dry_run=True, **TERMS).expand_kwargs(proposal)
    # [END howto_propose]

    # [START howto_approve]
    approve = ApproveSpendingOperator(
        task_id="approve", plans=plan.output, approval_valid_for="PT20H", on_refused_run="skip"
    )
    # [END howto_approve]

    # [START howto_operator_renew_instance]
    renew = RenewInstanceOperator.partial(
        task_id="renew", max_lateness="P2D", poll_interval=10, max_active_tis_per_dag=4, **TERMS
    ).expand_kwargs(proposal)
    approve >> renew
    # [END howto_operator_renew_instance]

    # [START howto_summary]
    @task(trigger_rule="all_done")
    def summary(renewals: list[dict[str, str]] | None, renewed: Any, *, ti: Any = None) -> list[str]:
        """Say what became of each instance and what was paid; fail if a task failed, so that the run shows it."""
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])[ti.run_id]
        results = {result["instance_id"]: result for result in renewed or ()}
        lines = []
        for index, renewal in enumerate(renewals or ()):
            result, name = results.get(renewal["instance_id"]), f"{renewal['instance_id']} {renewal['instance_name']}"
            state = states.get(f"renew_{index}", "not begun")
            lines.append(
                f"{name}: renewed until {result['new_expire_time']}, order {result['order_id']}"
                if result
                else f"{name}: not renewed, {state}; the log of renew [{index}] says why"
            )
        paid = [result["paid_cents"] for result in results.values()]
        unknown = f", and {paid.count(None)} unknown" if None in paid else ""
        lines.append(f"{len(results)} renewed, {sum(filter(None, paid)) / 100:.2f} paid in all{unknown}")
        print("\n".join(lines))
        if failed := sorted(name for name, state in states.items() if state in ("failed", "upstream_failed")):
            raise AirflowFailException(f"Failed: {', '.join(failed)}")
        return lines

    summary(proposal, renew.output)
    # [END howto_summary]
