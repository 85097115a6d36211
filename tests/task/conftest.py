"""What the tests of this folder share."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.cli import commands as cli
from tests.support.night import Night


@pytest.fixture
def night(start_sandbox, connect, tmp_path, passing_time, monkeypatch, capsys):
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    (folder := tmp_path / "ledger").mkdir()
    return Night(start_sandbox, connect, folder, passing_time, cli.main)
