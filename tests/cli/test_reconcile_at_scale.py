"""A month of 10,000 orders: how many requests a reconciliation sends, and how much memory it takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

from airflow_provider_tcbilling.ledger.reports_span import ZONE, day_of
from airflow_provider_tcbilling.sandbox.other_orders import add_orders
from tests.conftest import SECRET_ID, SECRET_KEY
from tests.support.dag_runs import ROOT
from tests.support.database_shop import database_shop

pytestmark = pytest.mark.airflow

ORDERS = 10_000
OWNED = 50
MOST_REQUESTS = 60
MOST_MEGABYTES = 200

MEASURED = """
import json, sys, tracemalloc
from airflow_provider_tcbilling.cli import commands, reconcile, reconcile_page, reconcile_text, export
from airflow_provider_tcbilling.ledger import database, database_books, reports_summary
tracemalloc.start()
code = commands.main(sys.argv[1:])
print(json.dumps({"code": code, "peak": tracemalloc.get_traced_memory()[1]}), file=sys.stderr)
"""
"""Runs a command, and says how much memory it has taken beside that of the imported modules."""


@pytest.fixture
def shop(request, sandbox, connect, tmp_path, passing_time, monkeypatch):
    """A shop with 10,000 orders in its order book, of which some are its own."""
    shop = database_shop("sqlite", request, sandbox, connect, tmp_path / "ledger", passing_time, monkeypatch)
    sandbox.account.balance_cents = 10**15
    for number in range(OWNED):
        shop.ordered(f"purchase {number}")
    for number in range(ORDERS - OWNED):
        add_orders(sandbox.account, {"cents": 100 + number % 7, "days_ago": 0.1 + 20 * number / ORDERS})
    return shop


def test_a_month_of_10_000_orders_takes_few_requests_and_little_memory(shop, tmp_path):
    connection = {"conn_type": "tcbilling", "host": shop.sandbox.url, "login": SECRET_ID, "password": SECRET_KEY}
    connection["extra"] = {"ledger_conn_id": "ledger", "requests_per_second": 1000}
    before, page = Counter(shop.sandbox.requests), tmp_path / "page.html"
    now = shop.sandbox.account.clock.now()
    first, last = (day_of(now + days * 86_400, ZONE) for days in (-25, 1))

    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "reconcile", "--from", first, "--to", last, "--html", str(page), "--json"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_CONN_TCBILLING_DEFAULT": json.dumps(connection),
            "AIRFLOW_CONN_LEDGER": json.dumps(shop.connection),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    report = json.loads(done.stdout)
    measured = json.loads(done.stderr.strip().splitlines()[-1])
    sent = Counter(shop.sandbox.requests) - before
    assert measured["code"] == 1
    assert report["counts"] == {"owned by nobody": ORDERS - OWNED, "settled now": OWNED}
    assert sum(sent.values()) <= MOST_REQUESTS, sent
    assert measured["peak"] < MOST_MEGABYTES * 2**20, measured
    assert page.stat().st_size < 4 * 2**20
