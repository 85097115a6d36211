"""Buy a firewall and hand its id to the next task."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator

with DAG(
    dag_id="tcbilling_buy_and_use",
    description=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["tcbilling", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
):
    # [START howto_operator_create_instance]
    buy = CreateInstanceOperator(
        task_id="buy",
        product_code="p_cloudfirewall",
        sub_product_code="sp_cloudfirewall_svv1",
        region_code="ap-guangzhou",
        zone_code="ap-guangzhou-6",
        period=1,
        period_unit="m",
        renew_flag="NOTIFY_AND_MANUAL_RENEW",
        parameter={
            "pid": 1002147,
            "productCode": "p_cloudfirewall",
            "subProductCode": "sp_cloudfirewall_svv1",
            "sv_cloudfirewall_basic_aeps": 1,
            "sv_cloudfirewall_extended_clasps": 1,
            "goodsNum": 1,
            "timeSpan": 1,
            "timeUnit": "m",
        },
        poll_interval=10,
    )
    # [END howto_operator_create_instance]

    # [START howto_use_the_ids]
    @task
    def configure(bought: dict) -> list[str]:
        """Set the new firewalls up; here it only says their names."""
        for instance_id in bought["instance_ids"]:
            print(f"{instance_id} was bought with order {bought['order_id']}")
        return bought["instance_ids"]

    configure(buy.output)
    # [END howto_use_the_ids]
