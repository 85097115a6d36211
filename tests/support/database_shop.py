"""A shop whose ledger is in a database."""

from __future__ import annotations

import contextlib
import json
import time

from sqlalchemy import text

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_engine import database_of
from airflow_provider_tcbilling.ledger.database_rows import id_of
from airflow_provider_tcbilling.task.ledger_connection import address_of
from tests.support.shop import LAG, Shop


class DatabaseShop(Shop):
    """
    A shop whose ledger is in a database, which the connection ``ledger`` names.

    :param ledger_connection: The fields of that connection.
    """

    def __init__(self, sandbox, folder, clock, patch, ledger_connection):
        super().__init__(sandbox, folder, clock)
        self.patch = patch
        self.use(**ledger_connection)

    def use(self, **ledger_connection):
        """Let the connection ``ledger`` have other fields."""
        self.connection = ledger_connection
        self.patch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(ledger_connection))

    @property
    def ledger(self):
        return DatabaseStore(address_of("ledger"))

    @property
    def database(self):
        return database_of(address_of("ledger"))

    def execute(self, statement, **values):
        """Change the database behind the back of the ledger."""
        self.database.changing(lambda connection: connection.execute(text(statement), values))
        self.database.facts.clear()

    def rows(self, statement):
        return [
            tuple(row) for row in self.database.reading(lambda connection: connection.execute(text(statement)).all())
        ]

    def files(self):
        """Return all that is remembered of purchases."""
        with contextlib.suppress(Exception):
            tables = ("purchases", "events", "orders", "totals")
            return {table: sorted(map(_plain, self.rows(f"SELECT * FROM tcbilling_{table}"))) for table in tables}
        return {}

    def damaged(self, key="broken"):
        self.ordered(key)
        damage = "UPDATE tcbilling_purchases SET record = :record, state = '' WHERE id = :id"
        self.execute(damage, record=b"half of a record", id=id_of(key))


def _plain(row):
    return repr([bytes(value) if isinstance(value, memoryview) else value for value in row])


def database_shop(kind, request, sandbox, connect, folder, clock, patch):
    """
    Return a shop with a database of a kind, which has its tables.

    :param kind: ``sqlite`` or ``postgres``.
    """
    fields = {"conn_type": "sqlite", "host": str(folder.parent / "ledger.db")}
    if kind == "postgres":
        server = request.getfixturevalue("postgres")
        fields = server.connection(server.new_database())
        # The time of these tests goes on only while somebody sleeps, and a server has its own.
        patch.setattr(DatabaseStore, "now", lambda store: time.time())
    shop = DatabaseShop(sandbox, folder, clock, patch, fields)
    connect(host=sandbox.url, extra={"ledger_conn_id": "ledger", "order_book_lag": LAG})
    shop.ledger.upgrade()
    return shop
