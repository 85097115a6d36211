"""The password of a ledger's database is in no error, whatever the driver cannot encode."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.ledger import database_engine
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.purchasing.errors import StoreFailed


@pytest.mark.parametrize("kind", ["mysql", "postgresql"])
@pytest.mark.parametrize("password", ["geheim€4711", "geheim\0-4711", "geheim\ud8004711"])
@pytest.mark.parametrize("use", [lambda store: store.text("k"), lambda store: store.now()], ids=["read", "now"])
def test_a_password_that_cannot_be_encoded_is_not_shown(monkeypatch, kind, password, use):
    pytest.importorskip({"mysql": "pymysql", "postgresql": "psycopg2"}[kind])
    monkeypatch.setattr(database_engine, "AWAY_SECONDS", 0.0)
    store = DatabaseStore(Address(kind, "books", host="127.0.0.1", port=1, user="u", password=password))

    with pytest.raises(StoreFailed) as failed:
        use(store)

    assert "geheim" not in str(failed.value)
