"""Which rate limit the clients of a connection share: that of the fleet, if the connection names a database."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

import pytest

from airflow_provider_tcbilling.api.rate_limit import QueueLimiter
from airflow_provider_tcbilling.hooks import session
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.ledger.database_engine import database_of
from airflow_provider_tcbilling.ledger.rate_limit import FleetLimiter, Queues
from airflow_provider_tcbilling.task import ledger_connection
from tests.support.fleet_limit import make_table, own_folder, rows
from tests.support.keys import OTHER_BUYER
from tests.support.sources import OUTSIDE, SOURCES, source

__all__ = ["own_folder", "source"]
pytestmark = pytest.mark.airflow


@pytest.fixture
def queues(tmp_path, monkeypatch):
    """The queues of a ledger in SQLite, which the Airflow connection ``ledger`` names."""
    address = Address("sqlite", f"{tmp_path}/ledger.db")
    make_table(address)
    monkeypatch.setattr(session.LedgerConnection, "_all", {})
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": address.database}))
    yield Queues(lambda: database_of(address))
    database_of(address).close()


def asks(hook):
    with contextlib.closing(hook.get_conn()) as client:
        client.describe_account_balance()


def test_clients_of_a_connection_with_a_database_queue_up_in_it(sandbox, connect, queues):
    connect(host=sandbox.url, extra={"ledger_conn_id": "ledger"})

    asks(TcBillingHook())

    assert [name.split(".", 1)[1] for name in rows(queues)] == ["DescribeAccountBalance.1000.0"]
    assert sandbox.options.secret_id not in str(rows(queues))


def test_clients_of_a_connection_without_a_database_queue_up_on_the_machine(sandbox, connect, queues):
    connect(host=sandbox.url)

    with contextlib.closing(TcBillingHook().get_conn()) as client:
        (limiter,) = client._rate_limiter._of("DescribeAccountBalance")

    assert isinstance(limiter, QueueLimiter)


def test_all_clients_of_a_process_meet_trouble_once(sandbox, connect, queues, caplog):
    connect(host=sandbox.url, extra={"ledger_conn_id": "nowhere"})
    hook = TcBillingHook()

    asks(hook)
    asks(hook)

    assert caplog.text.count("cannot share their rate limit") == 1
    assert "nowhere" in caplog.text


def test_a_trigger_reads_the_ledgers_connection_in_the_event_loop_and_its_queries_read_none(
    sandbox, connect, queues, monkeypatch
):
    connect(host=sandbox.url, extra={"ledger_conn_id": "ledger"})
    client = asyncio.run(TcBillingHook().aget_conn())
    monkeypatch.setattr(ledger_connection, "address_of", pytest.fail)

    with contextlib.closing(client):
        client.describe_account_balance()

    assert all(isinstance(limiter, FleetLimiter) for limiter in client._rate_limiter._of("DescribeAccountBalance"))
    assert any(name.endswith(".waiting") for name in rows(queues))


def test_a_trigger_goes_on_although_the_ledgers_connection_cannot_be_read(sandbox, connect, queues, caplog):
    caplog.set_level(logging.WARNING)
    connect(host=sandbox.url, extra={"ledger_conn_id": "nowhere"})

    with contextlib.closing(asyncio.run(TcBillingHook().aget_conn())) as client:
        client.describe_account_balance()

    assert caplog.text.count("cannot share their rate limit") == 1


@pytest.mark.parametrize("name", SOURCES)
def test_the_keys_that_come_one_after_the_other_from_a_source_queue_up_together(sandbox, source, queues, name):
    made = source(name, sandbox, ledger_conn_id="ledger")

    for _ in range(3):
        asks(TcBillingHook())
        sandbox.keys.expire()
        if name in OUTSIDE:
            made.replace_key()

    assert len({key.secret_id for key in sandbox.keys.issued}) >= 3
    assert [name.split(".", 1)[1] for name in rows(queues)] == ["DescribeAccountBalance.1000.0"]
    assert not any(key.secret_id in str(rows(queues)) for key in sandbox.keys.issued)


def test_two_connections_of_one_role_queue_up_together_and_so_does_a_permanent_key_whose_account_is_named(
    sandbox, source, connect, queues
):
    extra = {"ledger_conn_id": "ledger"}
    for conn_id in ("one", "two"):
        source("role", sandbox, conn_id=conn_id, **extra)
        asks(TcBillingHook(conn_id))
    connect(host=sandbox.url, conn_id="three", extra={**extra, "account_id": "100000000001"})
    asks(TcBillingHook("three"))

    assert len({entry.principal for entry in sandbox.journal}) == 2
    assert len(rows(queues)) == 1


def test_roles_of_two_accounts_do_not_queue_up_together(sandbox, source, queues):
    extra = {"ledger_conn_id": "ledger"}
    source("role", sandbox, conn_id="one", **extra)
    source("role", sandbox, conn_id="two", assume_role_arn=OTHER_BUYER, **extra)
    for conn_id in ("one", "two"):
        asks(TcBillingHook(conn_id))

    assert len(rows(queues)) == 2
