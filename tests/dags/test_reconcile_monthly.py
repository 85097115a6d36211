"""The example that reconciles a month: it fails when the books differ, and only then."""

from __future__ import annotations

import json
import re
import time

import pytest

from airflow_provider_tcbilling.ledger.reports_span import ZONE, day_of, last_month
from airflow_provider_tcbilling.sandbox.other_orders import add_orders
from tests.support.dag_runs import ROOT, run

DAG = ROOT / "example_dags" / "reconcile_monthly.py"
BUYS = ROOT / "example_dags" / "buy_then_wait.py"


@pytest.fixture(params=["a database", "a folder"])
def ledger(request, tmp_path):
    """A ledger of each kind."""
    return str(tmp_path / "ledger.db") if request.param == "a database" else f"file://{tmp_path}"


def options(tmp_path, **params):
    return ("--conf", json.dumps({"folder": str(tmp_path), "month": day_of(time.time(), ZONE)[:7], **params}))


def test_it_fails_when_an_order_is_owned_by_nobody(airflow_home, sandbox, tmp_path, ledger):
    run(airflow_home, sandbox, BUYS, ledger_uri=ledger)
    add_orders(sandbox.account, {"cents": 33_300, "days_ago": 0})

    printed = run(airflow_home, sandbox, DAG, "failed", ledger, options(tmp_path))

    assert "The books do NOT agree" in printed
    assert re.search(r"owned by nobody +1 ", printed)
    (page,) = tmp_path.glob("tencent-cloud-*.html")
    assert "333.00 USD" in page.read_text(encoding="utf-8")


def test_it_succeeds_when_the_books_agree_and_spends_nothing(airflow_home, sandbox, tmp_path, ledger):
    run(airflow_home, sandbox, BUYS, ledger_uri=ledger)
    balance = sandbox.account.balance_cents

    printed = run(airflow_home, sandbox, DAG, "success", ledger, options(tmp_path))

    assert "The books agree" in printed
    assert sandbox.requests["CreateInstance"] == 1
    assert sandbox.account.balance_cents == balance


def test_without_a_month_it_takes_the_one_before(airflow_home, sandbox, tmp_path):
    printed = run(airflow_home, sandbox, DAG, "success", f"file://{tmp_path}", options(tmp_path, month=None))

    assert f"The books agree: {last_month(time.time(), ZONE)}, 0 lines." in printed


@pytest.mark.parametrize("params", [{"month": "../../etc"}, {"month": "2026-13"}])
def test_a_month_that_is_none_fails_and_writes_no_page(airflow_home, sandbox, tmp_path, params):
    run(airflow_home, sandbox, DAG, "failed", f"file://{tmp_path}", options(tmp_path, **params))

    assert [*tmp_path.glob("*.html")] == []


def test_without_a_ledger_it_fails(airflow_home, sandbox, tmp_path):
    printed = run(airflow_home, sandbox, DAG, "failed", options=options(tmp_path))

    assert "names no ledger" in printed
