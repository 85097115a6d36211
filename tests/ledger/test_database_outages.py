"""The server of a ledger is lost: before a purchase, after it, and at each message of it."""

from __future__ import annotations

import contextlib

import pytest

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.ledger import database_engine
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import OrderNotRecorded, StoreFailed
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support import ledgers
from tests.support.cutting import CuttingProxy
from tests.support.databases import address, postgresql, server_or_skip


@pytest.fixture(autouse=True)
def own_time(monkeypatch, passing_time):
    """The time of the ledger is that of the test."""
    monkeypatch.setattr(database_engine, "_pause", lambda most: None)
    ledgers.with_the_time_of_the_test(monkeypatch)


@pytest.fixture
def impatient(monkeypatch):
    """A server that is away is given up at once."""
    monkeypatch.setattr(database_engine, "AWAY_SECONDS", 0.0)


@contextlib.contextmanager
def proxied(server, database, *cut, **options):
    """Yield a ledger behind a proxy, whose schema this process has not read yet."""
    proxy = CuttingProxy(server.port, *cut, **options)
    ledger = DatabaseStore(address(server, database, port=proxy.port))
    try:
        yield proxy, ledger
    finally:
        ledger._database.close()
        proxy.close()


def purchase(sandbox, ledger):
    return Purchase("k", NewInstance(client_to(sandbox), ORDER), ledger, Rules(lag=1.0, request_seconds=5.0))


@pytest.fixture(params=["PostgreSQL", "MariaDB"])
def served(request, tmp_path):
    """A server, and one of its databases that has the tables of a ledger."""
    server = request.getfixturevalue(ledgers.FIXTURES[request.param])
    database = server.new_database()
    DatabaseStore(address(server, database)).upgrade()
    return server, database


@pytest.mark.parametrize("is_away", [False, True], ids=["restarted", "away"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_wherever_the_connection_is_lost_one_order_is_placed_and_the_next_try_ends_it(
    start_sandbox, postgres, monkeypatch, when, is_away
):
    if is_away:
        monkeypatch.setattr(database_engine, "AWAY_SECONDS", 0.0)
    server, database = postgres, postgres.new_database()
    plain = DatabaseStore(address(server, database))
    plain.upgrade()
    at, has_cut, failed = 0, True, []
    while has_cut:
        at += 1
        sandbox = start_sandbox(tokens=Tokens("ignore"))
        with proxied(server, database, at, when, is_away=is_away) as (proxy, ledger):
            order = None
            try:
                order = purchase(sandbox, ledger).place()
            except TcBillingError as error:
                failed.append((at, type(error)))
            proxy.back()
            has_cut = proxy.has_cut

            again = purchase(sandbox, ledger).place()

        assert [placed.order_id for placed in sandbox.account.orders()] == [again.order_id], at
        assert order is None or order.order_id == again.order_id
        assert plain.read("k")["order_id"] == again.order_id
        assert plain.verify_chain() == []
        forget(plain)

    assert at > 9, at
    assert {kind for _, kind in failed} <= {StoreFailed, OrderNotRecorded}
    assert bool(failed) is is_away, failed


def forget(ledger):
    """Remove the record, for the next round of a test."""
    ledger.database.changing(
        lambda connection: [
            connection.exec_driver_sql(f"DELETE FROM tcbilling_{table}") for table in ("purchases", "orders")
        ]
    )


def test_a_ledger_that_is_away_before_a_purchase_sends_nothing(sandbox, served, impatient):
    server, database = served
    with proxied(server, database) as (proxy, ledger):
        proxy.close()

        with pytest.raises(StoreFailed, match="cannot be reached"):
            purchase(sandbox, ledger).place()

    assert sandbox.requests["CreateInstance"] == 0


def test_a_creation_whose_answer_is_lost_is_not_taken_for_that_of_another(served):
    server, database = served
    plain = DatabaseStore(address(server, database))
    created = []
    for at in range(1, 60):
        with proxied(server, database, at, "after") as (proxy, ledger):
            created.append(ledger.create(f"k{at}", {"owner": str(at)}))
            assert plain.read(f"k{at}") == {"owner": str(at)}
            assert [event["kind"] for event in plain.events_of(f"k{at}")] == ["changed"]
            if not proxy.has_cut:
                break

    assert created == [True] * at
    assert at > 8


def test_a_creation_whose_outcome_stays_unknown_says_so(postgres, impatient):
    database = postgres.new_database()
    DatabaseStore(address(postgres, database)).upgrade()
    outcomes = set()
    for at in range(1, 60):
        with proxied(postgres, database, at, "after", is_away=True) as (proxy, ledger):
            try:
                ledger.create(f"k{at}", {})
            except StoreFailed as error:
                outcomes.add("did not answer whether a change was stored" in str(error))
            if not proxy.has_cut:
                break

    assert outcomes == {True, False}


def test_an_assignment_whose_answer_is_lost_is_made_once(postgres):
    database = postgres.new_database()
    plain = DatabaseStore(address(postgres, database))
    plain.upgrade()
    for at in range(1, 60):
        with proxied(postgres, database, at, "after") as (proxy, ledger):
            assert ledger.assign("server", f"order {at}", f"k{at}") == f"k{at}"
            assert len(plain.events_of(f"k{at}")) == 1
            if not proxy.has_cut:
                return


@pytest.fixture
def own_postgres():
    """A PostgreSQL that a test may stop."""
    yield from server_or_skip(postgresql)


def test_a_restart_of_the_server_is_not_noticed_by_what_comes_after_it(own_postgres):
    postgres = own_postgres
    ledger = DatabaseStore(address(postgres, postgres.new_database()))
    ledger.upgrade()
    ledger.create("before", {})

    postgres.stop()
    postgres.start()

    assert ledger.create("after", {})
    assert ledger.read("before") == {}
