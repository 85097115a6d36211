"""What the tests of the commands share: shops whose ledgers are in a database."""

from __future__ import annotations

import pytest

from tests.support.database_shop import database_shop


@pytest.fixture
def in_sqlite(request, sandbox, connect, tmp_path, passing_time, monkeypatch):
    """A shop whose ledger is in SQLite."""
    return database_shop("sqlite", request, sandbox, connect, tmp_path / "ledger", passing_time, monkeypatch)


@pytest.fixture
def in_postgres(request, sandbox, connect, tmp_path, passing_time, monkeypatch):
    """A shop whose ledger is in PostgreSQL."""
    return database_shop("postgres", request, sandbox, connect, tmp_path / "ledger", passing_time, monkeypatch)
