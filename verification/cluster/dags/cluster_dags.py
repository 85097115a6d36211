"""The DAGs of the cluster: mapped purchases, whose number and connection are in the conf of the run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from verification.cluster.holds import arm

ORDER = {
    "product_code": "p_cloudfirewall",
    "sub_product_code": "sp_cloudfirewall_svv1",
    "region_code": "ap-guangzhou",
    "zone_code": "ap-guangzhou-6",
}
RETRIES: dict[str, dict[str, Any]] = {
    "quick": {"retries": 8, "retry_delay": timedelta(seconds=10)},
    "default": {"retries": 3},
}
"""Retries that come soon, and those of somebody who sets nothing but their number."""


def build(name: str, *, deferrable: bool, retries: dict[str, Any], **more: Any) -> DAG:
    """Return a DAG with one task that makes the list, and one that buys each item of it."""
    with DAG(
        name,
        schedule=None,
        start_date=datetime(2026, 1, 1),
        catchup=False,
        max_active_runs=100,
        max_active_tasks=2000,
    ) as dag:

        @task(task_id="items", **RETRIES["quick"])
        def items(dag_run: Any = None) -> list[dict[str, Any]]:
            """Return the specifications: all alike, or each its own."""
            conf = dag_run.conf
            pids = [1] * conf["wanted"] if conf["are_alike"] else range(1, conf["wanted"] + 1)
            return [{"parameter": {"pid": pid, "timeSpan": 1, "timeUnit": "m"}} for pid in pids]

        CreateInstanceOperator.partial(
            task_id="buy",
            tcbilling_conn_id="{{ dag_run.conf['trial'] }}",
            poll_interval=2.0,
            delivery_timeout=3600.0,
            deferrable=deferrable,
            pre_execute=arm,
            **ORDER,
            **retries,
            **more,
        ).expand_kwargs(items())
    return dag


buy = build("buy", deferrable=False, retries=RETRIES["quick"])
buy_deferred = build("buy-deferred", deferrable=True, retries=RETRIES["quick"])
buy_default = build("buy-default", deferrable=False, retries=RETRIES["default"])
buy_limited = build("buy-limited", deferrable=False, retries=RETRIES["quick"], max_cents=10_000, currency="USD")
