"""Purchases that must be approved. A Variable holds the arguments, so that a test can edit them after the question."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator

ORDER = {
    "product_code": "p_cloudfirewall",
    "sub_product_code": "sp_cloudfirewall_svv1",
    "region_code": "ap-guangzhou",
    "zone_code": "ap-guangzhou-6",
    "parameter": {"pid": 1002147, "timeSpan": 1, "timeUnit": "m"},
}


def argument(name: str) -> str:
    """Return the template of an argument that the Variable of the run holds."""
    return f"{{{{ var.json.get(dag_run.conf['name']).{name} }}}}"


def dag(dag_id: str) -> DAG:
    return DAG(dag_id=dag_id, schedule=None, start_date=pendulum.datetime(2026, 1, 1), catchup=False)


for dag_id, is_not_requester in (("approved", False), ("paused", False), ("not_requester", True)):
    with dag(dag_id) as defined:
        CreateInstanceOperator(
            task_id="buy",
            **ORDER,
            project_id=argument("project_id"),
            max_cents=argument("max_cents"),
            currency="USD",
            approve_above_cents=0,
            approvers="alice, bob, requester",
            approval_valid_for=argument("valid_for"),
            approver_is_not_requester=is_not_requester,
            deferrable=dag_id == "approved",
            poll_interval=1,
            retries=1,
            retry_delay=timedelta(seconds=1),
        )
    globals()[dag_id] = defined
