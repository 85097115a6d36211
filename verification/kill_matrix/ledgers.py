"""The databases of the cells whose ledger is one: each cell has tables of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from tests.support.databases import PostgreSQL, address, postgresql


@dataclass(frozen=True)
class Ledgers:
    """
    Makes ledgers.

    :param folder: Where the files of SQLite are.
    :param server: Where the databases of PostgreSQL are; ``None`` if no cell has one.
    """

    folder: Path
    server: PostgreSQL | None = None

    def create(self, store: str, name: str) -> dict[str, Any]:
        """Make a ledger, and return the Airflow connection to it."""
        if store == "postgres" and self.server:
            database = self.server.new_database()
            place, connection = address(self.server, database), self.server.connection(database)
        else:
            file = str(self.folder / f"{name}.sqlite")
            place, connection = Address("sqlite", file), {"conn_type": "sqlite", "host": file}
        ledger = DatabaseStore(place)
        ledger.upgrade()
        ledger.database.close()
        return connection


@contextlib.contextmanager
def running_ledgers(folder: Path, stores: Collection[str]) -> Iterator[Ledgers]:
    """Start what the stores of some cells need, and stop it."""
    if "postgres" in stores:
        with postgresql() as server:
            yield Ledgers(folder, server)
    else:
        yield Ledgers(folder)
