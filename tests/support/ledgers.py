"""Ledgers in databases, for tests: each in a new database, with the time of the test."""

from __future__ import annotations

import time
from typing import Any

import pytest

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from tests.support.databases import address

KINDS = ("SQLite", "PostgreSQL", "MariaDB")
FIXTURES = {"PostgreSQL": "postgres", "MariaDB": "mariadb"}


def new_address(kind: str, request: pytest.FixtureRequest, folder: Any) -> Address:
    """Return the address of a new and empty database."""
    if kind == "SQLite":
        return Address("sqlite", str(folder / "ledger.db"))
    server = request.getfixturevalue(FIXTURES[kind])
    return address(server, server.new_database())


def new_ledger(kind: str, request: pytest.FixtureRequest, folder: Any) -> DatabaseStore:
    """Return a ledger that has its tables and nothing more."""
    store = DatabaseStore(new_address(kind, request, folder))
    store.upgrade()
    return store


def with_the_time_of_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ledger's clock be that of the test, which goes on only while somebody sleeps."""
    monkeypatch.setattr(DatabaseStore, "now", lambda store: time.time())
