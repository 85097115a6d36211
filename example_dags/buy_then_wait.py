"""Buy in one task and wait in another: the task that spends is short, and waiting can be retried by itself."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor

with DAG(
    dag_id="tcbilling_buy_then_wait",
    description=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["tcbilling", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
):
    buy = CreateInstanceOperator(
        task_id="buy",
        product_code="p_cloudfirewall",
        sub_product_code="sp_cloudfirewall_svv1",
        region_code="ap-guangzhou",
        zone_code="ap-guangzhou-6",
        parameter={"pid": 1002147, "sv_cloudfirewall_basic_aeps": 1, "timeSpan": 1, "timeUnit": "m"},
        wait_for_delivery=False,
    )

    # [START howto_sensor_instance_delivery]
    wait = InstanceDeliverySensor(
        task_id="wait",
        order_id="{{ ti.xcom_pull(task_ids='buy', key='order_id') }}",
        mode="reschedule",
        poke_interval=10,
        timeout=1800,
    )
    # [END howto_sensor_instance_delivery]

    @task
    def configure(delivered: dict) -> list[str]:
        """Set the new firewalls up; here it only says their names."""
        print(f"Order {delivered['order_id']} delivered {', '.join(delivered['instance_ids'])}")
        return delivered["instance_ids"]

    buy >> wait
    configure(wait.output)
