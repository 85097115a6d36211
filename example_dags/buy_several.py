"""Buy one firewall for each zone of a list. Each purchase has a name, so the order of the list does not matter."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator

with DAG(
    dag_id="tcbilling_buy_several",
    description=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["tcbilling", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
):
    # [START howto_operator_create_instance_mapped]
    zones = ["ap-guangzhou-6", "ap-guangzhou-7", "ap-singapore-1"]

    buy = CreateInstanceOperator.partial(
        task_id="buy",
        product_code="p_cloudfirewall",
        sub_product_code="sp_cloudfirewall_svv1",
        parameter={"pid": 1002147, "sv_cloudfirewall_basic_aeps": 1, "timeSpan": 1, "timeUnit": "m"},
        poll_interval=10,
        max_active_tis_per_dag=4,
    ).expand_kwargs(
        [
            {
                "zone_code": zone,
                "region_code": zone.rpartition("-")[0],
                "purchase_key": f"edge-firewall/{zone}/{{{{ run_id }}}}",
            }
            for zone in zones
        ]
    )
    # [END howto_operator_create_instance_mapped]

    @task
    def configure(all_bought: list[dict]) -> list[str]:
        """Set the new firewalls up; here it only says their names."""
        instance_ids = [instance_id for bought in all_bought for instance_id in bought["instance_ids"]]
        print(f"{len(all_bought)} orders delivered {', '.join(instance_ids)}")
        return instance_ids

    configure(buy.output)
