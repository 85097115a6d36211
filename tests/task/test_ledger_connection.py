"""From the extra ledger_conn_id to a ledger in a database, and what is said where it leads to none."""

from __future__ import annotations

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.connection import Settings
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_search import Query
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from airflow_provider_tcbilling.task.ledger_connection import address_of
from airflow_provider_tcbilling.task.store import open_ledger, store_of
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY

pytestmark = pytest.mark.airflow


@pytest.fixture
def ledger(monkeypatch):
    """Define the Airflow connection of the ledger, by its fields or its URI."""

    def define(uri=None, **fields):
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", uri or json.dumps(fields))

    return define


def settings(**extra):
    fields = {"conn_id": "c", "host": None, "port": None, "login": SECRET_ID, "password": SECRET_KEY}
    return Settings.read(SimpleNamespace(**fields, extra_dejson=extra))


def test_a_connection_names_one_ledger():
    with pytest.raises(InvalidRequest, match="name two ledgers"):
        settings(ledger_uri="file:///mnt/ledger", ledger_conn_id="ledger")

    assert (settings().ledger, settings(ledger_uri="file:///mnt").ledger) == ("", "file:///mnt")
    assert settings(ledger_conn_id="ledger").ledger == "connection ledger"


@pytest.mark.parametrize("conn_type", ["postgres", "postgresql", "mysql"])
def test_a_database_is_opened_with_what_the_connection_says(ledger, conn_type):
    extra = {"sslmode": "require", "ssl": {"ca": "/ca.pem"}, "cursor": "dictcursor", "service": "x"}
    ledger(conn_type=conn_type, host="db", port=1234, login="u", password="p/4711@", schema="books", extra=extra)

    address = address_of("ledger")

    assert (address.host, address.port, address.user, address.password) == ("db", 1234, "u", "p/4711@")
    assert dict(address.options) == ({"ssl_ca": "/ca.pem"} if conn_type == "mysql" else {"sslmode": "require"})
    store = open_ledger(settings(ledger_conn_id="ledger"))
    assert isinstance(store, DatabaseStore)
    assert store.about.endswith("ql://db:1234/books")
    assert "4711" not in f"{store.about} {store.location('k')} {address!r} {vars(store)}"


@pytest.mark.parametrize("form", ["uri", "host", "schema"])
def test_a_sqlite_file_is_opened_at_its_path(ledger, tmp_path, form):
    path = str(tmp_path / "ledger.db")
    ledger(f"sqlite:///{path}") if form == "uri" else ledger(conn_type="sqlite", **{form: path})

    store = open_ledger(settings(ledger_conn_id="ledger"))

    assert store.create("k", {})
    assert (tmp_path / "ledger.db").is_file()


REFUSED = {
    "another type": ({"conn_type": "aws", "host": "x"}, "connection of type aws, and a ledger is in a database"),
    "no database": ({"conn_type": "postgres", "host": "db", "password": "4711"}, "names no database"),
    "a relative path": ({"uri": "sqlite:///ledger.db"}, "absolute path"),
    "memory": ({"conn_type": "sqlite", "host": ":memory:"}, "absolute path"),
}


@pytest.mark.parametrize(("fields", "named"), REFUSED.values(), ids=REFUSED)
def test_a_connection_that_is_no_ledger_sends_nothing_and_is_named(ledger, fields, named):
    ledger(**fields)

    with pytest.raises(StoreFailed, match=named) as refused:
        open_ledger(settings(ledger_conn_id="ledger"))

    assert "so nothing was sent" in str(refused.value)
    assert "4711" not in str(refused.value)


def test_a_connection_that_does_not_exist_sends_nothing_and_is_named(connect, sandbox, context):
    connect(host=sandbox.url, extra={"ledger_conn_id": "no_such_ledger"})

    with pytest.raises(
        Exception, match="no connection no_such_ledger, which ledger_conn_id names, so nothing was sent"
    ):
        CreateInstanceOperator(task_id="buy", **ORDER).execute(context)

    assert sandbox.requests["CreateInstance"] == 0


def test_a_task_buys_once_with_a_ledger_in_a_file(connect, ledger, sandbox, context, tmp_path, passing_time):
    ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    connect(host=sandbox.url, extra={"ledger_conn_id": "ledger"})

    bought = [CreateInstanceOperator(task_id="buy", **ORDER).execute(context)["order_id"] for _ in range(2)]

    store = store_of(context, TcBillingHook().get_settings())
    ((_, record),) = store.all()
    assert bought == [record["order_id"]] * 2
    assert sandbox.requests["CreateInstance"] == 1
    assert [event["kind"] for event in store.events_of(record["key"])] == ["intended", "placed", "delivered"]
    assert [row["dag_id"] for row in store.search(Query()).rows] == ["shop"]


def test_a_folder_is_opened_as_before(tmp_path):
    assert isinstance(open_ledger(settings(ledger_uri=tmp_path.as_uri())), ObjectStore)


def test_a_worker_without_a_ledger_in_a_database_imports_no_sqlalchemy_of_ours():
    code = (
        "import sys\n"
        "import airflow_provider_tcbilling.operators.instance, airflow_provider_tcbilling.task.store\n"
        "assert not [name for name in sys.modules if name.startswith('airflow_provider_tcbilling.ledger.database')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
