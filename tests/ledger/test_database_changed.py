"""A ledger in a database that is damaged, or that another one has taken the place of."""

from __future__ import annotations

import os
import sqlite3

import pytest

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, StoreFailed

RECORD = {"format": "airflow-provider-tcbilling purchase", "state": "intended"}


def test_a_process_notices_that_another_ledger_has_taken_the_place(tmp_path):
    place, other = tmp_path / "ledger.db", tmp_path / "other.db"
    ledger = DatabaseStore(Address("sqlite", str(place)))
    assert ledger.create("one", RECORD)
    DatabaseStore(Address("sqlite", str(other))).upgrade()
    ledger.database.close()
    for name in (f"{place}-wal", f"{place}-shm"):
        if os.path.exists(name):
            os.unlink(name)
    os.replace(other, place)

    with pytest.raises(StoreFailed, match="another ledger than a moment ago"):
        ledger.create("two", RECORD)


def test_a_damaged_row_is_a_record_that_cannot_be_used(tmp_path):
    place = tmp_path / "ledger.db"
    ledger = DatabaseStore(Address("sqlite", str(place)))
    ledger.create("one", RECORD)
    with sqlite3.connect(place) as connection:
        connection.execute("update tcbilling_purchases set record = x'00ff17'")

    with pytest.raises(InvalidRecord):
        ledger.read("one")
