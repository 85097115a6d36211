"""Many tasks that wait for one order each, in the triggerer."""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor

ORDERS = os.environ["BENCH_ORDER_IDS"].split(",")

with DAG("wait_for_many", schedule=None, max_active_tasks=len(ORDERS)):
    InstanceDeliverySensor.partial(
        task_id="wait",
        deferrable=True,
        poke_interval=30,
        timeout=24 * 3600,
        retries=2,
        retry_delay=timedelta(seconds=5),
    ).expand(order_id=ORDERS)
