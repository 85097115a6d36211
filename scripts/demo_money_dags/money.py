"""Buy firewalls under the rules of the connection: within the limit, over it, and with an approval."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator

with DAG(
    dag_id="tcbilling_money",
    description=__doc__,
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    tags=["tcbilling", "money"],
    params={"quantity": 1, "max_cents": 10_000, "dry_run": False},
):
    CreateInstanceOperator(
        task_id="buy",
        product_code="p_cloudfirewall",
        sub_product_code="sp_cloudfirewall_svv1",
        region_code="ap-guangzhou",
        zone_code="ap-guangzhou-6",
        parameter={"pid": 1002147},
        quantity="{{ params.quantity }}",
        max_cents="{{ params.max_cents }}",
        currency="USD",
        dry_run="{{ params.dry_run }}",
    )
