"""The connections of a process to the database of a ledger: few, short, and its own after a fork."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest
from sqlalchemy import event

from airflow_provider_tcbilling.ledger import database_engine
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_dialect import PostgreSQL, Trouble
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from tests.support import ledgers
from tests.support.databases import PASSWORD, address, free_port

COUNT = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'tcbilling ledger' AND datname = '{}'"

FORKS = """
import os
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address

ledger = DatabaseStore(Address(**{fields!r}))
ledger.upgrade()
ledger.create("before", {{"number": 0}})
text = ledger.text("before")
begin, start = os.pipe()
pids = []
for number in range(20):
    pid = os.fork()
    if pid == 0:
        os.close(start)
        os.read(begin, 1)
        created = ledger.create("k", {{"number": number}})
        taken = ledger.replace("before", {{"number": number}}, text)
        print(f"{{created}} {{taken}} {{number}}\\n", end="", flush=True)
        os._exit(0)
    pids.append(pid)
os.close(start)
ends = [os.waitpid(pid, 0)[1] for pid in pids]
assert ends == [0] * 20, ends
print("parent", ledger.read("k")["number"], ledger.read("before")["number"], ledger.verify_chain(), flush=True)
"""


@pytest.mark.parametrize("kind", ledgers.KINDS)
def test_of_20_processes_of_one_parent_one_creates_one_takes_over_and_the_parent_goes_on(kind, request, tmp_path):
    fields = vars(ledgers.new_address(kind, request, tmp_path))
    code = FORKS.format(fields=fields)

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    *children, parent = sorted(done.stdout.splitlines(), key=lambda line: line.startswith("parent"))
    created = [line.split()[2] for line in children if line.split()[0] == "True"]
    taken = [line.split()[2] for line in children if line.split()[1] == "True"]
    assert (len(children), len(created), len(taken)) == (20, 1, 1)
    assert parent == f"parent {created[0]} {taken[0]} []"


def test_a_purchase_sends_few_messages_to_postgresql(postgres):
    ledger = DatabaseStore(address(postgres, postgres.new_database()))
    ledger.upgrade()
    ledger.create("first", {})
    sent = []
    for name in ("commit", "rollback"):
        event.listen(ledger._database._engine, name, lambda connection: sent.append(connection.info.get("began")))
    event.listen(ledger._database._engine, "before_cursor_execute", lambda *args: sent.append(True))

    assert ledger.text("k") is None
    ledger.create("k", {"state": "intended"})
    ledger.replace("k", {"state": "ordered", "order_id": "1"})

    assert sum(map(bool, sent)) <= 7


def test_no_connection_is_open_soon_after_its_use(postgres):
    database = postgres.new_database()
    ledger = DatabaseStore(address(postgres, database))
    ledger.upgrade()
    assert ledger.database.reading(lambda connection: postgres.execute(COUNT.format(database))) == [(1,)]

    assert database_engine.IDLE_SECONDS <= 2.5
    until = time.monotonic() + 60.0
    while postgres.execute(COUNT.format(database)) != [(0,)]:
        assert time.monotonic() < until, "a connection stays open"
        time.sleep(0.1)

    assert ledger.create("k", {})


def test_a_connection_in_use_is_not_closed(postgres, monkeypatch):
    monkeypatch.setattr(database_engine, "IDLE_SECONDS", 0.1)
    ledger = DatabaseStore(address(postgres, postgres.new_database()))
    ledger.upgrade()

    def slow(connection):
        return connection.exec_driver_sql("SELECT pg_sleep(1), 7").first()[1]

    assert ledger.database.reading(slow) == 7


def test_many_threads_share_few_connections(postgres):
    database = postgres.new_database()
    ledger = DatabaseStore(address(postgres, database))
    ledger.upgrade()
    made = []
    threads = [threading.Thread(target=lambda n=n: made.append(ledger.create(f"k{n}", {}))) for n in range(30)]
    for thread in threads:
        thread.start()
    most = postgres.execute(COUNT.format(database))[0][0]
    for thread in threads:
        thread.join()

    assert made == [True] * 30
    assert most <= database_engine.POOL + database_engine.OVERFLOW
    assert ledger.verify_chain() == []


def test_a_server_without_a_free_connection_is_waited_for(postgres):
    import psycopg2

    database = postgres.new_database()
    ledger = DatabaseStore(address(postgres, database))
    ledger.upgrade()
    ledger._database.close()
    postgres.execute(f"CREATE ROLE {database} LOGIN PASSWORD '{PASSWORD}' CONNECTION LIMIT 1 IN ROLE pg_write_all_data")
    postgres.execute(f"GRANT pg_read_all_data TO {database}")
    fields = {"host": "127.0.0.1", "port": postgres.port, "user": database, "password": PASSWORD}
    busy = psycopg2.connect(dbname=database, **fields)
    threading.Timer(1.0, busy.close).start()

    assert DatabaseStore(address(postgres, database, user=database)).create("k", {})


def test_a_server_that_is_away_is_given_up_after_a_while(monkeypatch):
    monkeypatch.setattr(database_engine, "AWAY_SECONDS", 1.0)
    began = time.monotonic()

    with pytest.raises(StoreFailed, match=r"ledger postgresql://127\.0\.0\.1.* cannot be reached"):
        DatabaseStore(ledgers.Address("postgresql", "Ledger", "127.0.0.1", free_port())).read("k")

    assert 1.0 <= time.monotonic() - began < 60.0


@pytest.mark.parametrize("other", [{"password": "wrong-4711"}, {"user": "nobody"}, {"database": "missing"}])
def test_a_wrong_password_or_name_is_not_tried_again_and_no_password_is_shown(postgres, other, caplog):
    other = dict(other)
    ledger = DatabaseStore(address(postgres, other.pop("database", "postgres"), **other))
    began = time.monotonic()

    with pytest.raises(StoreFailed, match="cannot be reached") as failed:
        ledger.read("k")

    assert time.monotonic() - began < database_engine.AWAY_SECONDS
    shown = (
        f"{failed.value!r} {failed.value} {failed.value.__cause__!r} {ledger.about} {ledger.address!r} {caplog.text}"
    )
    assert PASSWORD not in shown
    assert "wrong-4711" not in shown


def test_the_clock_of_the_ledger_is_that_of_its_server(postgres, monkeypatch):
    true = PostgreSQL.clock
    monkeypatch.setattr(PostgreSQL, "clock", f"{true} + 300")
    ledger = DatabaseStore(address(postgres, postgres.new_database()))
    ledger.upgrade()

    assert ledger.clock_difference() == pytest.approx(300.0, abs=10.0)
    assert ledger.now() - time.time() == pytest.approx(300.0, abs=10.0)


def test_the_clock_goes_on_without_a_statement_and_while_the_server_is_away(postgres, monkeypatch):
    ledger = DatabaseStore(address(postgres, postgres.new_database()))
    ledger.upgrade()
    began = ledger.now()
    monkeypatch.setattr(ledger._database, "_carried_out", None)
    assert 0.0 <= ledger.now() - began < 30.0

    def away(*args, **kwargs):
        raise StoreFailed("away")

    monkeypatch.setattr(ledger._database, "_carried_out", away)
    monkeypatch.setattr(database_engine, "CLOCK_SECONDS", 0.0)
    assert 0.0 <= ledger.now() - began < 60.0


def test_what_an_error_means_for_another_try():
    class Refused(Exception):
        pgcode = "42501"

    assert PostgreSQL().trouble(Refused()) is Trouble.READ_ONLY
    assert PostgreSQL().trouble(Exception("FATAL: sorry, too many clients already")) is Trouble.FULL
    assert PostgreSQL().trouble(Exception("Connection refused")) is Trouble.OTHER


def test_a_driver_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(PostgreSQL, "drivers", {})

    with pytest.raises(StoreFailed, match=r"airflow-provider-tcbilling\[postgres\]"):
        DatabaseStore(ledgers.Address("postgresql", "ledger", "nowhere")).read("k")
