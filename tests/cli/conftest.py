"""What the tests of the commands share: a shop whose ledger is in a database."""

from __future__ import annotations

import pytest

from tests.support.database_shop import KINDS, database_shop


@pytest.fixture(params=KINDS)
def in_database(request, sandbox, connect, tmp_path, passing_time, monkeypatch):
    """A shop whose ledger is in a database, of each kind that runs here."""
    return database_shop(request.param, request, sandbox, connect, tmp_path / "ledger", passing_time, monkeypatch)
