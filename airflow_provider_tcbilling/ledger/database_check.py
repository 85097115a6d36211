"""The self-test of a ledger in a database: whether its rules hold, and whether a crash of its server keeps them."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from airflow_provider_tcbilling.ledger.database_rows import columns_of
from airflow_provider_tcbilling.ledger.database_tables import purchases

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from airflow_provider_tcbilling.ledger.database_engine import Database

UNSAFE = {
    "postgresql": (("SHOW fsync", "off"), ("SHOW full_page_writes", "off")),
    "mysql": (("SELECT @@innodb_flush_log_at_trx_commit", "0"), ("SELECT @@innodb_flush_log_at_trx_commit", "2")),
    "sqlite": (),
}
"""Settings of a server with which a crash of its machine may lose an intent that was stored."""


class _Tested(Exception):
    """It ends a transaction that shall change nothing."""


def flaws(database: Database) -> list[str]:
    """
    Try the rules of the tables in a transaction that is rolled back; return each that does not hold.

    :raises StoreFailed: The database cannot be reached, or its role may not write.
    """
    found: list[str] = []

    def test(connection: Connection) -> None:
        found[:] = [*_broken_rules(connection)]
        raise _Tested

    with contextlib.suppress(_Tested):
        database.changing(test)
    return found


def _broken_rules(connection: Connection) -> Iterator[str]:
    row: dict[str, Any] = {**columns_of({}), "id": str(uuid.uuid4()), "key": "a test", "book": 0}
    new = insert(purchases).values(**row, version=1, record=b"")
    connection.execute(new)
    try:
        with connection.begin_nested():
            connection.execute(new)
        yield "a record can be created twice: tcbilling_purchases has no primary key"
    except IntegrityError:
        pass
    next_version = update(purchases).where(purchases.c.id == row["id"], purchases.c.version == 1).values(version=2)
    counts = [connection.execute(next_version).rowcount for _ in range(2)]
    if counts != [1, 0]:
        yield f"a replacement does not compare: {counts} rows were changed, instead of [1, 0]"


def durability_flaws(database: Database) -> list[str]:
    """Return the settings of the server with which a crash of its machine may lose what was stored."""

    def read(connection: Connection) -> list[str]:
        settings = [(query, value, connection.exec_driver_sql(query).scalar()) for query, value in UNSAFE[kind]]
        return [f"{query} is {value}" for query, value, found in settings if str(found) == value]

    kind = database.address.kind
    return database.reading(read)
