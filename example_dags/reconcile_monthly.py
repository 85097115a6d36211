"""
Compare the ledger with Tencent's order book for the month before, write the page for finance, and fail if they differ.

A failed run is what tells somebody: Airflow's own alerts do the rest. The task never spends. It adds prices that the
ledger misses, and releases purchases that surely bought nothing. It runs on the second day of a month, when the orders
of the last day are delivered.
"""

from __future__ import annotations

import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pendulum
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, Param, task

from airflow_provider_tcbilling.cli.reconcile import reconcile, report_zone
from airflow_provider_tcbilling.cli.reconcile_page import page_of
from airflow_provider_tcbilling.cli.reconcile_text import as_text, verdict
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.ledger.reports_span import Span, last_month

with DAG(
    dag_id="tcbilling_reconcile_monthly",
    description="Compare the ledger with the order book for the month before, and fail if they differ",
    schedule="0 9 2 * *",
    start_date=pendulum.datetime(2026, 1, 1, tz="Asia/Shanghai"),
    catchup=False,
    max_active_runs=1,
    is_paused_upon_creation=True,
    tags=["tcbilling", "example"],
    default_args={"retries": 2, "retry_delay": timedelta(minutes=10)},
    params={
        "month": Param(None, type=["null", "string"], description="Such as 2026-11; else the month before this one"),
        "folder": Param(None, type=["null", "string"], description="Where the page goes; else to temporary files"),
    },
):
    # [START howto_reconcile_monthly]
    @task
    def reconcile_month(*, params: Any = None, ti: Any = None) -> dict[str, int]:
        """Compare the books, write the page, and return how many lines there are of each kind."""
        with TcBillingHook().session() as tencent:
            zone = report_zone(tencent.settings)
            month = params["month"] or last_month(time.time(), zone)
            report = reconcile(tencent, Span.of_month(month, zone))

        page = Path(params["folder"] or tempfile.gettempdir()) / f"tencent-cloud-{month}.html"
        page.write_text(page_of(report), encoding="utf-8")
        ti.xcom_push(key="page", value=str(page))
        print(as_text(report, None))
        if not report.agrees:
            raise AirflowFailException(f"{verdict(report)} The page for finance: {page}")
        return {kind.value: count for kind, count in report.counts.items()}

    reconcile_month()
    # [END howto_reconcile_monthly]
