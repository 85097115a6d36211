"""
Compare what happens at the end of each subscription with what should, and set it right if told so.

It pays nothing, but an instance that is set to renew itself is paid by the vendor from the account when it expires. The
Dag is paused until you switch it on, and writes nothing unless its parameter ``fix`` is true.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, Param, task

from airflow_provider_tcbilling.api.instance_list import renewable
from airflow_provider_tcbilling.api.models import RenewableInstance
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.operators.renewal import SetRenewalOperator
from airflow_provider_tcbilling.waiting.filters import like

# [START howto_wanted_flags]
WANTED = [
    # product and name, with * and ?, and what should happen at the end. The first line that matches counts; an
    # instance that matches none is left alone.
    ("p_cloudfirewall", "prod-*", "NOTIFY_AND_AUTO_RENEW"),
    ("p_cloudfirewall", "test-*", "NOTIFY_AND_MANUAL_RENEW"),
    ("*", "tmp-*", "DISABLE_NOTIFY_AND_MANUAL_RENEW"),
]
# [END howto_wanted_flags]

MOST_AT_ONCE = 200
"""The rest is set by the next run. Airflow maps over at most [core] max_map_length items."""


def wanted_flag(instance: RenewableInstance) -> str | None:
    """Return the flag that the table wants; ``None`` if no line fits."""
    for product, name, flag in WANTED:
        if like(instance.product_code, product) and like(instance.instance_name, name):
            return flag
    return None


def verdict(instance: RenewableInstance) -> str:
    """Return in a word how an instance compares with the table."""
    wanted = wanted_flag(instance)
    if wanted is None:
        return "in no line of the table"
    if instance.renews_by_itself is None:
        return "flag not known, left alone"
    if instance.status not in ("", "NORMAL"):
        return f"{instance.status}, left alone"
    return "as it should be" if instance.renew_flag == wanted else "drift"


with DAG(
    dag_id="tcbilling_renew_flag_hygiene",
    description="Compare what happens at the end of each subscription with what should, and set it right if told so",
    schedule="0 8 * * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Shanghai"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["tcbilling", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    params={"fix": Param(False, type="boolean", description="Write the flags; else only report")},
):
    # [START howto_find_drift]
    @task
    def compare() -> list[dict[str, str]]:
        """Report how all instances compare with the table, and return what would be set."""
        verdicts = [(verdict(instance), instance) for instance in renewable(TcBillingHook().get_conn())]
        for words, count in Counter(words for words, _ in verdicts).most_common():
            print(f"{count} {words}")
        for words, i in verdicts:
            if words not in ("as it should be", "in no line of the table"):
                flags = f"is {i.renew_flag!r}, should be {wanted_flag(i)!r}"
                print(f"{i.instance_id} {i.instance_name}: {words}; {flags}; expires {i.expire_time or 'never'}")
        return [
            {
                "product_code": instance.product_code,
                "region_code": instance.region_code,
                "instance_id": instance.instance_id,
                "renew_flag": wanted_flag(instance) or "",
            }
            for words, instance in verdicts
            if words == "drift"
        ]

    @task
    def to_fix(drift: list[dict[str, str]], *, params: Any = None) -> list[dict[str, str]]:
        """Hand the differences on, unless the run only reports."""
        if not params["fix"]:
            raise AirflowSkipException(f"{len(drift)} differ. Nothing is written; the parameter fix would.")
        return drift[:MOST_AT_ONCE]

    # [END howto_find_drift]

    # [START howto_operator_set_renewal]
    SetRenewalOperator.partial(
        task_id="set",
        max_active_tis_per_dag=4,
        map_index_template="{{ task.instance_id }} {{ task.renew_flag }}",
    ).expand_kwargs(to_fix(compare()))
    # [END howto_operator_set_renewal]
