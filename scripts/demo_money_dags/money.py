"""Two DAGs under the rules of their connection: one plans a purchase of firewalls, the other one makes it."""

from __future__ import annotations

import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator

for dag_id, plans in (("tcbilling_money_plan", True), ("tcbilling_money", False)):
    with DAG(
        dag_id=dag_id,
        description=__doc__,
        schedule=None,
        start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
        catchup=False,
        tags=["tcbilling", "money"],
        params={"quantity": 1, "max_cents": 10_000},
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
            dry_run=plans,
        )
