"""
Renew what expires within two weeks, once a person has said yes.

Needs Airflow 3.1 or newer and apache-airflow-providers-standard 1.14 or newer, for its ApprovalOperator. The Dag is
paused until you switch it on.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, task
from airflow.providers.standard.operators.hitl import ApprovalOperator

from airflow_provider_tcbilling.api.models import DealStatus, RenewableInstance
from airflow_provider_tcbilling.api.text import in_markdown
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator

MOST_AT_ONCE = 50
"""The rest is renewed by the runs of the next days. Airflow maps over at most [core] max_map_length items."""


def why_not(instance: RenewableInstance) -> str:
    """Return why an instance is left alone; empty if it is to be renewed."""
    if instance.status not in ("", "NORMAL"):
        return f"it is {instance.status}, so a person must decide"
    if instance.renews_by_itself is None:
        return f"what its flag {instance.renew_flag!r} does is not known"
    return "the vendor renews it by itself" if instance.renews_by_itself else ""


def last_paid(instance_id: str) -> str:
    """Return what its newest order of the last 89 days cost; unknown if there is none, or it has other instances."""
    deals = TcBillingHook().get_conn().describe_deals(resource_id=instance_id, statuses=[DealStatus.DELIVERED])
    newest = max(
        (deal for deal in deals if instance_id in deal.resource_ids and deal.action in ("purchase", "renew")),
        key=lambda deal: deal.created_at,
        default=None,
    )
    alone = newest is not None and newest.resource_ids == (instance_id,)
    return f"{newest.paid_cents / 100:.2f} {newest.currency}" if newest and alone else "unknown"


def ask_once(context: Any) -> None:
    """Refuse to ask a second time: Airflow would show the first question again, whatever the list is by now."""
    if context["ti"].try_number > 1:
        raise AirflowFailException("A run asks once. Nothing is renewed; start a new run to be asked again.")


with DAG(
    dag_id="tcbilling_renew_expiring",
    description="Renew what expires within two weeks, once a person has said yes",
    schedule="0 9 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Shanghai"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["tcbilling", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
):
    # [START howto_operator_expiring_instances]
    expiring = ExpiringInstancesOperator(task_id="expiring", within="P14D")
    # [END howto_operator_expiring_instances]

    # [START howto_propose]
    @task
    def propose(instances: list[dict]) -> dict[str, Any]:
        """Write down what would be renewed; with nothing to renew, nobody is asked."""
        found = [RenewableInstance(**told) for told in instances]
        for left in filter(why_not, found):
            print(f"{left.instance_id} {left.instance_name} is left alone: {why_not(left)}")
        soonest_first = [instance for instance in found if not why_not(instance)]
        if not soonest_first:
            raise AirflowSkipException("Nothing is to be renewed.")
        wanted = soonest_first[:MOST_AT_ONCE]
        cells = [(i.expire_time, i.instance_id, i.instance_name, last_paid(i.instance_id)) for i in wanted]
        # A name is the server's text: a person approves what the table says, so nothing in it may be more than text.
        rows = [f"| {' | '.join(map(in_markdown, row))} |" for row in cells]
        return {
            "made_at": pendulum.now("UTC").isoformat(),
            "renewals": [instance.renewal_arguments() for instance in wanted],
            "table": "\n".join(["| Expires | Instance | Name | Paid last time |", "| --- | --- | --- | --- |", *rows]),
        }

    proposal = propose(expiring.output["instances"])
    # [END howto_propose]

    # [START howto_approve]
    approve = ApprovalOperator(
        task_id="approve",
        subject="Renew {{ ti.xcom_pull(task_ids='propose')['renewals'] | length }} instances for one month each?",
        body="{{ ti.xcom_pull(task_ids='propose')['table'] }}",
        defaults="Reject",
        response_timeout=timedelta(hours=20),
        pre_execute=ask_once,
        retries=0,
    )
    proposal >> approve

    @task
    def approved(proposed: dict[str, Any], answer: dict[str, Any] | None) -> list[dict]:
        """Hand on what was approved. The renewals come from here, so without an approval there are none."""
        if not answer or list(answer["chosen_options"]) != ["Approve"]:
            raise AirflowSkipException("Not approved.")
        if pendulum.parse(str(answer["responded_at"])) < pendulum.parse(proposed["made_at"]):
            raise AirflowFailException("The list is newer than the answer. Start a new run to be asked again.")
        print(f"Approved by {answer['responded_by_user']}")
        return proposed["renewals"]

    # [END howto_approve]

    # [START howto_operator_renew_instance]
    renew = RenewInstanceOperator.partial(
        task_id="renew",
        renew_within="P14D",
        period=1,
        period_unit="m",
        max_lateness="P2D",
        poll_interval=10,
        max_active_tis_per_dag=4,
        map_index_template="{{ task.instance_name or task.instance_id }}",
    ).expand_kwargs(approved(proposal, approve.output))
    # [END howto_operator_renew_instance]

    # [START howto_summary]
    @task(trigger_rule="all_done")
    def summary(proposed: dict[str, Any] | None, renewed: Any, *, ti: Any = None) -> list[str]:
        """Say what became of each instance and what was paid; fail if a task failed, so that the run shows it."""
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])[ti.run_id]
        results = {result["instance_id"]: result for result in renewed or ()}
        lines = []
        for index, renewal in enumerate((proposed or {}).get("renewals", [])):
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
