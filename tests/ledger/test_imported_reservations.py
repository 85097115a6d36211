"""What an earlier release wrote counts in the window in which it was bought, and in no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.record import Record
from airflow_provider_tcbilling.purchasing.reservation import Reservation, usage_of
from tests.support import ledgers

WRITTEN = Path(__file__).parent.parent / "purchasing" / "written_before"


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
@pytest.mark.parametrize("name", ["delivered", "intended"])
@pytest.mark.parametrize("window", [Window.DAY, Window.MONTH])
def test_an_imported_record_of_an_earlier_release_counts_in_its_own_window_only(kind, name, window, request, tmp_path):
    ledger = ledgers.new_ledger(kind, request, tmp_path)
    text = (WRITTEN / f"{name}.json").read_text()
    record = Record.from_json(json.loads(text), "here")
    assert ledger.import_text(record.key, text)
    limit = Limit("team", window, 100, "USD")
    reservation = Reservation("another", 1, "USD", (limit,), server=server_name(record.endpoint))
    for now in (record.intended_at, record.intended_at + 70 * 86_400.0):
        ledger.now = lambda now=now: now

        assert ledger.usage(reservation) == usage_of(reservation, [record], now), now
