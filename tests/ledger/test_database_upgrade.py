"""A ledger of the version before limits: what its purchases count after the upgrade."""

from __future__ import annotations

import json
import time

import pytest
from alembic import command
from sqlalchemy import Column, MetaData, Table, insert

from airflow_provider_tcbilling.ledger import database_schema
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_form import compressed
from airflow_provider_tcbilling.ledger.database_rows import columns_of, id_of
from airflow_provider_tcbilling.ledger.database_tables import books, purchases
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.reservation import Counted, Reservation
from tests.ledger.test_database import record
from tests.support import ledgers

NEW = ("run", "price_key", "reserved_cents", "gross_cents", "overrun_cents", "counted_cents", "counted_currency")
LIMIT = Limit("fleet", Window.MONTH, 10_000_000, "USD")


@pytest.fixture(params=ledgers.KINDS)
def older(request, tmp_path):
    """Return a ledger whose tables are those of the version before limits."""
    store = DatabaseStore(ledgers.new_address(request.param, request, tmp_path))
    config = database_schema._config()

    def run(connection):
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    store._database.changing(run)
    store._database.facts.clear()
    return store


def put(store, key, **fields):
    """Store a purchase of this month as that version did."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    stored = record(key, **{"intended_at": now, "changed_at": now, "payload": {"ProductCode": "p_waf"}, **fields})
    known = [column for column in purchases.columns if column.name not in (*NEW, "counted_at")]
    table = Table(purchases.name, MetaData(), *(Column(column.name, column.type) for column in known))
    columns = {name: value for name, value in columns_of(stored).items() if name in table.columns}
    row = {**columns, "id": id_of(key), "key": key, "book": 1, "version": 1, "record": compressed(json.dumps(stored))}
    store._database.changing(lambda connection: connection.execute(insert(table).values(row)))


def test_after_the_upgrade_each_purchase_of_before_counts_what_is_known_of_it(older):
    book = {"id": 1, "server": "http://127.0.0.1", "account": "x", "seq": 0, "hash": id_of("nothing")}
    older._database.changing(lambda connection: connection.execute(insert(books).values(book)))
    put(older, "paid", state="delivered", order_id="1", paid_cents=700, currency="USD")
    put(older, "declined", state="declined")
    put(older, "refund", state="delivered", action="RefundInstance", order_id="2", paid_cents=300, currency="USD")
    put(older, "last year", state="delivered", order_id="3", paid_cents=1, intended_at="2025-01-01T00:00:00Z")
    imported = {"intended_at": None, "changed_at": "2025-01-01T00:00:00Z"}
    put(older, "imported", state="delivered", order_id="4", paid_cents=1, currency="USD", **imported)
    older.upgrade()
    reservation = Reservation("new", 1, "USD", (LIMIT,), server="http://127.0.0.1")

    assert list(older.usage(reservation).counted) == [Counted(LIMIT, settled=700)]
    put(older, "under way")
    counted = "UPDATE tcbilling_purchases SET counted_at = intended_at WHERE counted_at IS NULL"
    older._database.changing(lambda connection: connection.exec_driver_sql(counted))
    assert list(older.usage(reservation).counted) == [Counted(LIMIT, settled=700, unknown=1)]


def test_the_records_of_before_are_read_and_their_next_change_counts(older):
    book = {"id": 1, "server": "http://127.0.0.1", "account": "x", "seq": 0, "hash": id_of("nothing")}
    older._database.changing(lambda connection: connection.execute(insert(books).values(book)))
    put(older, "k")
    older.upgrade()

    assert older.replace("k", {**older.read("k"), "state": "ordered", "order_id": "1"}, older.text("k"))
    delivered = {**older.read("k"), "state": "delivered", "paid_cents": 900, "gross_cents": 900, "currency": "USD"}
    assert older.replace("k", delivered, older.text("k"))

    usage = older.usage(Reservation("new", 1, "USD", (LIMIT,), server="http://127.0.0.1"))
    assert list(usage.counted) == [Counted(LIMIT, settled=900)]
