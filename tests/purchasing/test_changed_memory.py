"""A purchase whose first try was remembered elsewhere, or by a ledger whose clock is behind, is queried first."""

from __future__ import annotations

import time

import pytest

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support.crash import dying_before_the_answer_is_read
from tests.support.ledgers import with_the_time_of_the_test
from tests.support.purchases import orders, purchase


def database(tmp_path):
    return DatabaseStore(Address("sqlite", str(tmp_path / "ledger.db")))


def an_older_ledger_in_a_database(sandbox, tmp_path, monkeypatch, clock):
    ledger = database(tmp_path)
    purchase(sandbox, ledger, key="older", placed_by={"dag_id": "another"}).place()
    clock.sleep(10_000)
    return lambda: ledger


def a_new_ledger_whose_clock_is_behind(sandbox, tmp_path, monkeypatch, clock):
    def made() -> DatabaseStore:
        import sqlite3

        monkeypatch.setattr(DatabaseStore, "now", lambda store: time.time() - 150)
        database(tmp_path).upgrade()
        with sqlite3.connect(tmp_path / "ledger.db") as connection:
            connection.execute("update tcbilling_identity set created_at = ?", (time.time() - 150,))
        return database(tmp_path)

    return made


@pytest.mark.parametrize("other", [an_older_ledger_in_a_database, a_new_ledger_whose_clock_is_behind])
@pytest.mark.parametrize("server", ["ignore", "honour"])
def test_a_retry_that_another_ledger_remembers_does_not_buy_again(
    start_sandbox, tmp_path, monkeypatch, passing_time, other, server
):
    with_the_time_of_the_test(monkeypatch)
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    ledger = other(sandbox, tmp_path, monkeypatch, passing_time)
    (tmp_path / "folder").mkdir()
    began = time.time()
    with dying_before_the_answer_is_read():
        purchase(sandbox, ObjectStore((tmp_path / "folder").as_uri()), key="one").place()
    bought = orders(sandbox)
    passing_time.sleep(100)

    purchase(sandbox, ledger(), key="one", presumed_since=began, placed_by={"dag_id": "shop"}).place()

    assert orders(sandbox) == bought


def test_a_retry_of_a_dag_that_the_ledger_has_known_for_long_needs_no_query(
    start_sandbox, tmp_path, monkeypatch, passing_time
):
    with_the_time_of_the_test(monkeypatch)
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    purchase(sandbox, database(tmp_path), key="older", placed_by={"dag_id": "shop"}).place()
    passing_time.sleep(10_000)
    client_to(sandbox).create_instance(client_token="somebody's", **ORDER)

    retried = purchase(
        sandbox, database(tmp_path), key="one", presumed_since=time.time() - 60, placed_by={"dag_id": "shop"}
    )

    assert retried.place().order_id == orders(sandbox)[-1]
    assert len(orders(sandbox)) == 3
