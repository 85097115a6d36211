"""
Calls as a user writes them, for the type checker only: ``make check`` reads this file, nothing runs it.

Each ignored error is one that an editor must show. If the signature of a class stopped to say what it takes, the
comment would be unused, which is an error.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator, OnRefusedRun, OnUnknownOutcome
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import OnAutoRenew, RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor


def right() -> None:
    """Every argument in one of its forms; none is an error."""
    CreateInstanceOperator(
        task_id="buy",
        product_code="p_cloudfirewall",
        sub_product_code="sp_cloudfirewall_svv1",
        region_code="ap-guangzhou",
        zone_code="ap-guangzhou-6",
        parameter={"pid": 1002147},
        quantity="{{ params.quantity }}",
        purchase_key="edge-firewall-2026-12",
        on_unknown_outcome=OnUnknownOutcome.REPLAY,
        on_refused_run="skip",
        replay_window="PT5M",
        max_lateness=timedelta(days=1),
        poll_interval=30,
        deferrable=True,
        retries=3,
    )
    RenewInstanceOperator(
        task_id="renew",
        product_code="p",
        sub_product_code="s",
        region_code="r",
        instance_id="i",
        on_auto_renew=OnAutoRenew.FAIL,
        on_refused_run=OnRefusedRun.SKIP,
        delivery_timeout="PT2H",
    )
    InstanceDeliverySensor(task_id="wait", order_id="20261125", poke_interval="PT30S", timeout=600, soft_fail=True)


def wrong() -> None:
    """One wrong type each: own arguments, and those of the base classes."""
    about = {"product_code": "p", "sub_product_code": "s", "region_code": "r"}
    CreateInstanceOperator(task_id="buy", zone_code="z", parameter=7, **about)  # type: ignore[arg-type]
    CreateInstanceOperator(task_id="buy", zone_code="z", parameter={}, purchase_key=7, **about)  # type: ignore[arg-type]
    CreateInstanceOperator(task_id="buy", zone_code="z", parameter={}, poll_interval=[30], **about)  # type: ignore[arg-type]
    RenewInstanceOperator(task_id="renew", instance_id="i", on_auto_renew=True, **about)  # type: ignore[arg-type]
    RenewInstanceOperator(task_id="renew", instance_id="i", tcbilling_conn_id=None, **about)  # type: ignore[arg-type]
    RefundInstanceOperator(task_id="refund", instance_id="i", confirm=None, **about)  # type: ignore[arg-type]
    RefundInstanceOperator(task_id="refund", instance_id="i", max_lateness=b"P1D", **about)  # type: ignore[arg-type]
    SetRenewalOperator(task_id="set", product_code="p", region_code="r", instance_id="i", renew_flag=1)  # type: ignore[arg-type]
    SetRenewalOperator(task_id="set", product_code="p", region_code="r", instance_id="i")  # type: ignore[call-arg]
    ExpiringInstancesOperator(task_id="list", within=None)  # type: ignore[arg-type]
    ExpiringInstancesOperator(task_id="list", within="P14D", limit=1.5)  # type: ignore[arg-type]
    InstanceDeliverySensor(task_id="wait", order_id=20261125)  # type: ignore[arg-type]
    InstanceDeliverySensor(task_id="wait", order_id="20261125", timeout=[600])  # type: ignore[arg-type]
    InstanceExpirySensor(task_id="wait", within="P14D", renew_flags=7)  # type: ignore[arg-type]
    InstanceExpirySensor(task_id="wait", within="P14D", deferrable=1.5)  # type: ignore[arg-type]
