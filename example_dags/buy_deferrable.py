"""Buy a firewall and wait for its delivery in the triggerer, without holding a worker."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator

with DAG(
    dag_id="tcbilling_buy_deferrable",
    description=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["tcbilling", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
):
    # [START howto_operator_create_instance_deferrable]
    buy = CreateInstanceOperator(
        task_id="buy",
        product_code="p_cloudfirewall",
        sub_product_code="sp_cloudfirewall_svv1",
        region_code="ap-guangzhou",
        zone_code="ap-guangzhou-6",
        parameter={"pid": 1002147, "sv_cloudfirewall_basic_aeps": 1, "timeSpan": 1, "timeUnit": "m"},
        deferrable=True,
        poll_interval=10,
        delivery_timeout=1800,
    )
    # [END howto_operator_create_instance_deferrable]

    @task
    def configure(bought: dict) -> list[str]:
        """Set the new firewalls up; here it only says their names."""
        print(f"Order {bought['order_id']} delivered {', '.join(bought['instance_ids'])}")
        return bought["instance_ids"]

    configure(buy.output)
