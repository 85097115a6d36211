"""
Buy firewalls until there are as many as wanted. What exists and what is under way counts, so a run that is repeated
buys nothing.

Needs a ledger (``ledger_conn_id`` or ``ledger_uri`` of the connection). The Dag is paused until you switch it on.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Param, task

from airflow_provider_tcbilling.api.instance_list import renewable
from airflow_provider_tcbilling.api.models import DealStatus
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator

PRODUCT = {"product_code": "p_cloudfirewall", "sub_product_code": "sp_cloudfirewall_svv1"}
PLACE = {"region_code": "ap-guangzhou", "zone_code": "ap-guangzhou-6"}

UNDER_WAY = [
    DealStatus.UNPAID,
    DealStatus.PAID,
    DealStatus.DELIVERING,
    DealStatus.PAYMENT_IN_PROCESS,
    DealStatus.DELIVERY_FAILED,
]
"""An order whose delivery failed is paid, and may still be delivered: it counts until a person has settled it."""

# [START howto_count_capacity]


def capacity() -> tuple[int, int]:
    """Return how many firewalls the region has, whoever bought them, and how many orders for more are under way."""
    client = TcBillingHook().get_conn()
    kind = (PRODUCT["product_code"], PRODUCT["sub_product_code"])
    there = sum(
        (instance.product_code, instance.sub_product_code, instance.region_code) == (*kind, PLACE["region_code"])
        for instance in renewable(client)
    )
    open_deals = client.describe_deals(statuses=UNDER_WAY)
    if len(open_deals) >= 200:
        raise AirflowFailException("200 orders are under way: that is more than can be counted, so nothing is bought.")
    coming = sum(
        deal.action == "purchase" and (deal.shown.get("ProductCode"), deal.shown.get("SubProductCode")) == kind
        for deal in open_deals
    )
    return there, coming


# [END howto_count_capacity]

with DAG(
    dag_id="tcbilling_expand_on_schedule",
    description="Buy firewalls until there are as many as wanted",
    schedule="0 6 * * 1",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Shanghai"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["tcbilling", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={
        "wanted": Param(2, type="integer", minimum=0, description="How many firewalls there should be"),
        "max_new": Param(2, type="integer", minimum=0, description="More than so many are not bought in one run"),
        "generation": Param(1, type="integer", minimum=1, description="Raise it when a slot must be bought anew"),
    },
):
    # [START howto_plan_slots]
    @task
    def plan(*, params: Any = None) -> list[dict[str, str]]:
        """Name the slots that are empty: the fifth firewall is slot 05, and each slot is bought once ever."""
        if not TcBillingHook().get_settings().ledger:
            raise AirflowFailException("Only a ledger keeps a slot from being bought by two runs: set ledger_conn_id.")
        there, coming = capacity()
        empty = range(there + coming + 1, params["wanted"] + 1)
        print(f"{there} exist, {coming} are under way, {params['wanted']} are wanted, {len(empty)} are to be bought")
        if len(empty) > params["max_new"]:
            raise AirflowFailException(f"{len(empty)} would be bought, and max_new is {params['max_new']}: none was.")
        return [{"purchase_key": f"edge-firewall-slot-{n:02}-generation-{params['generation']}"} for n in empty]

    # [END howto_plan_slots]

    # [START howto_buy_slots]
    buy = CreateInstanceOperator.partial(
        task_id="buy",
        **PRODUCT,
        **PLACE,
        parameter={"pid": 1002147, "sv_cloudfirewall_basic_aeps": 1, "timeSpan": 1, "timeUnit": "m"},
        deferrable=True,
        poll_interval=10,
        max_lateness="P2D",
        max_active_tis_per_dag=2,
        map_index_template="{{ task.purchase_key }}",
    ).expand_kwargs(plan())
    # [END howto_buy_slots]

    # [START howto_check_capacity]
    @task
    def hand_over(all_bought: list[dict], *, params: Any = None) -> list[str]:
        """Count again, and hand the new ids on."""
        there, coming = capacity()
        if there < params["wanted"]:
            raise RuntimeError(
                f"{there} exist, {coming} are under way, {params['wanted']} are wanted. If the list of instances is "
                "only late, a retry will see them. If a slot was bought before and its instance is gone, its key buys "
                "nothing any more: start a run with a higher generation."
            )
        ids = [instance_id for bought in all_bought for instance_id in bought["instance_ids"]]
        print(f"New: {', '.join(ids)}")
        return ids

    hand_over(buy.output)
    # [END howto_check_capacity]
