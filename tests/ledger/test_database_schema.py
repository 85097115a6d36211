"""The tables of a ledger in a database: how they come to be, and what is said where they are others."""

from __future__ import annotations

import time

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.ledger.database_tables import VERSION_TABLE, metadata
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from tests.ledger.test_database import execute, record
from tests.support import ledgers
from tests.support.databases import address


@pytest.fixture(params=ledgers.KINDS)
def ledger(request, tmp_path):
    return ledgers.new_ledger(request.param, request, tmp_path)


@pytest.fixture
def sqlite(request, tmp_path):
    return ledgers.new_ledger("SQLite", request, tmp_path)


def test_the_migrations_make_the_tables_of_the_code(ledger):
    def compare(connection):
        options = {"version_table": VERSION_TABLE, "compare_type": False}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert ledger.database.reading(compare) == []


def test_a_ledger_keeps_its_identity_and_its_records_when_it_is_upgraded_again(ledger):
    ledger.create("k", record())
    identity = ledger.identity

    ledger.upgrade()

    assert ledger.identity == identity
    assert ledger.read("k") == record()
    assert 0 <= ledger.now() - (ledger.complete_since - CLOCK_MARGIN) < 600


@pytest.mark.parametrize("kind", ["postgresql", "mysql", "sqlite"])
def test_the_sql_of_an_upgrade_is_printed_without_a_server(kind):
    ledger = DatabaseStore(Address(kind, "/nowhere/ledger.db", "nowhere", password="a password 4711"))

    printed = ledger.upgrade_sql()

    assert all(f"CREATE TABLE {table}" in printed for table in metadata.tables)
    assert "INSERT INTO tcbilling_identity" in printed
    assert "4711" not in printed


@pytest.mark.parametrize("kind", ["PostgreSQL", "MariaDB"])
def test_a_worker_makes_no_tables_and_says_what_does(kind, request, tmp_path):
    ledger = DatabaseStore(ledgers.new_address(kind, request, tmp_path))

    for use in (lambda: ledger.read("k"), lambda: ledger.create("k", {}), lambda: ledger.complete_since):
        with pytest.raises(StoreFailed, match=r"no tables yet, so nothing was sent.*ledger upgrade.*--sql"):
            use()

    ledger.upgrade()
    assert ledger.create("k", {})


def test_the_printed_sql_makes_a_ledger(postgres):
    ledger = DatabaseStore(address(postgres, database := postgres.new_database()))
    postgres.execute(ledger.upgrade_sql(), database)

    assert ledger.create("k", record())


@pytest.mark.parametrize(("revision", "advice"), [("0000", "Update airflow-provider"), ("9999", "newer version")])
def test_a_schema_of_another_version_stops_everything_and_is_named(ledger, revision, advice):
    execute(ledger, f"UPDATE {VERSION_TABLE} SET version_num = :revision", revision=revision)
    ledger.database.facts.clear()

    with pytest.raises(StoreFailed, match=advice):
        ledger.read("k")
    with pytest.raises(StoreFailed, match=advice):
        ledger.upgrade()


def test_an_older_schema_names_the_upgrade(ledger, monkeypatch):
    if ledger.address.kind == "sqlite":
        pytest.skip("a SQLite file is upgraded where it is used")
    monkeypatch.setattr("airflow_provider_tcbilling.ledger.database_schema.REVISIONS", ("0001", "0002", "9999"))
    ledger._database.facts.clear()

    with pytest.raises(StoreFailed, match=r"older schema \(0002\), so nothing was sent.*ledger upgrade"):
        ledger.read("k")


def test_a_role_that_may_only_read_is_named(postgres):
    database = postgres.new_database()
    ledger = DatabaseStore(address(postgres, database))
    ledger.upgrade()
    ledger.create("k", record())
    reader = f"reader_{database}"
    postgres.execute(f"CREATE ROLE {reader} LOGIN PASSWORD 'reader'; GRANT pg_read_all_data TO {reader}", database)
    readers = DatabaseStore(address(postgres, database, user=reader, password="reader"))

    assert readers.read("k") == record()
    for use in (lambda: readers.create("new", record()), lambda: readers.replace("k", record()), readers.self_test):
        with pytest.raises(StoreFailed, match="may not be written by its role: permission denied"):
            use()


def test_a_self_test_passes_and_leaves_nothing(ledger):
    assert ledger.self_test() == []
    assert [*ledger.all()] == []
    assert ledger.verify_chain() == []


def test_a_self_test_names_a_table_that_creates_twice(postgres):
    ledger = DatabaseStore(address(postgres, database := postgres.new_database()))
    ledger.upgrade()
    postgres.execute("ALTER TABLE tcbilling_purchases DROP CONSTRAINT tcbilling_purchases_pkey", database)

    assert any("created twice" in flaw for flaw in ledger.self_test())


def test_tables_beside_those_of_airflow_are_noticed(postgres):
    ledger = DatabaseStore(address(postgres, database := postgres.new_database()))
    ledger.upgrade()
    assert not ledger.shares_a_schema_with_airflow()

    postgres.execute("CREATE TABLE dag_run (id int)", database)

    assert ledger.shares_a_schema_with_airflow()


def test_a_server_that_may_forget_what_it_stored_is_noticed(postgres):
    ledger = DatabaseStore(address(postgres, postgres.new_database()))

    assert ledger.durability_flaws() == ["SHOW fsync is off"]


def test_a_purchase_is_stored_although_the_server_is_set_to_answer_before(postgres):
    database = postgres.new_database()
    postgres.execute(f"ALTER DATABASE {database} SET synchronous_commit = off")
    ledger = DatabaseStore(address(postgres, database))
    ledger.upgrade()

    setting = ledger.database.changing(
        lambda connection: connection.exec_driver_sql("SHOW synchronous_commit").scalar()
    )

    assert setting == "on"


@pytest.mark.parametrize("path", ["ledger.db", ":memory:", "", "./ledger.db"])
def test_a_sqlite_file_without_an_absolute_path_is_refused(path):
    with pytest.raises(ValueError, match=r"absolute path|names no database"):
        Address("sqlite", path)


def test_a_sqlite_file_in_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreFailed, match="unable to open"):
        DatabaseStore(Address("sqlite", str(tmp_path / "missing" / "ledger.db"))).read("k")


def test_the_time_of_a_sqlite_file_is_that_of_the_machine(sqlite, passing_time):
    began = sqlite.now()
    time.sleep(1000.0)

    assert sqlite.now() - began == pytest.approx(1000.0, abs=1.0)
