"""A ledger in a database has a clock of its own, and a user must not settle by another one."""

from __future__ import annotations

import json
import time

import pytest

from airflow_provider_tcbilling.cli import commands
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from tests.conftest import ORDER, client_to
from tests.support.crash import dying_at

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]


@pytest.mark.parametrize("ahead", [0.0, -900.0, 900.0])
def test_a_purchase_that_is_under_way_is_not_settled_as_not_bought(
    sandbox, connect, tmp_path, monkeypatch, passing_time, capsys, ahead
):
    path = str(tmp_path / "ledger.db")
    monkeypatch.setenv("AIRFLOW_CONN_BOOKS", json.dumps({"conn_type": "sqlite", "host": path}))
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    connect(host=sandbox.url, extra={"ledger_conn_id": "books", "order_book_lag": 10.0})
    monkeypatch.setattr(DatabaseStore, "now", lambda store: time.time() + ahead)
    ledger = DatabaseStore(Address("sqlite", path))
    with dying_at("sending"):
        Purchase("k", NewInstance(client_to(sandbox), ORDER), ledger, Rules(lag=10.0, request_seconds=60.0)).place()
    passing_time.sleep(5)

    code = commands.main(["settle", "--key", "k", "--not-bought"])
    out = capsys.readouterr()

    assert json.loads(ledger.text("k"))["state"] == "intended", out
    assert code != 0
