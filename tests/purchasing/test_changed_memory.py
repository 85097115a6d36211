"""A purchase whose first try was remembered elsewhere, or by a ledger whose clock is behind, is queried first."""

from __future__ import annotations

import math
import time

import pytest

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.support.crash import dying_before_the_answer_is_read
from tests.support.ledgers import with_the_time_of_the_test
from tests.support.purchases import orders, purchase
from tests.support.shelf import Shelf


def database(tmp_path):
    return DatabaseStore(Address("sqlite", str(tmp_path / "ledger.db")))


def an_older_ledger_in_a_database(sandbox, tmp_path, monkeypatch, clock):
    ledger = database(tmp_path)
    purchase(sandbox, ledger, key="older").place()
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


def the_task_state_store(sandbox, tmp_path, monkeypatch, clock):
    return lambda: Shelf(is_shared=False, complete_since=-math.inf)


@pytest.mark.parametrize(
    "other", [an_older_ledger_in_a_database, a_new_ledger_whose_clock_is_behind, the_task_state_store]
)
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

    purchase(sandbox, ledger(), key="one", presumed_since=began).place()

    assert orders(sandbox) == bought
