"""Buy with a key that expires while the order is under way; four mapped purchases wait in the triggerer."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator

with DAG(
    dag_id="rotating_keys",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    default_args={"retries": 0},
):
    CreateInstanceOperator.partial(
        task_id="buy",
        product_code="p_cloudfirewall",
        sub_product_code="sp_cloudfirewall_svv1",
        region_code="ap-guangzhou",
        zone_code="ap-guangzhou-6",
        deferrable=True,
        poll_interval=timedelta(seconds=2),
        delivery_timeout=3600,
    ).expand(parameter=[{"pid": 1002147, "timeSpan": 1, "timeUnit": "m", "number": n} for n in range(4)])
