"""
Race: two connections that create, or replace, the same row at the same moment, for the self-test of a ledger.

The rules of the tables hold on one connection in any case. Behind a cluster of servers, each of which takes changes,
they may not hold for two. The row is one of the table of rate limits, and no purchase reads it.
"""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from airflow_provider_tcbilling.ledger.database_tables import rate_limits

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from airflow_provider_tcbilling.ledger.database_engine import Database

START_SECONDS = 10.0
"""How long one of two racers waits for the other to begin."""

PREFIX = "a test of the ledger "
"""How the name of the row begins."""


class _Lost(Exception):
    """The other racer was first. It ends the transaction."""


def creation_flaw(database: Database) -> str:
    """
    Create a row twice at once; return what is wrong with the outcome, empty if exactly one creation succeeded.

    :raises StoreFailed: The database cannot be reached or written.
    """
    with _name(database) as name:
        return _flaw("creations", _raced(database, lambda connection, _: _created(connection, name)))


def replacement_flaw(database: Database) -> str:
    """
    Replace a row twice at once, each time only if nothing has changed; return what is wrong, as above.

    :raises StoreFailed: The database cannot be reached or written.
    """
    with _name(database) as name:
        database.changing(lambda connection: _created(connection, name))
        return _flaw("replacements", _raced(database, lambda connection, number: _replaced(connection, name, number)))


def queue_flaw(database: Database) -> str:
    """
    Make a row of the rate limit, and read it; return what is wrong, empty if nothing is.

    :raises StoreFailed: The database cannot be reached or written.
    """
    with _name(database) as name:
        database.changing(lambda connection: _created(connection, name))
        wanted = select(rate_limits.c.rate).where(rate_limits.c.name == name)
        rate = database.reading(lambda connection: connection.execute(wanted).scalar())
    return "" if rate == 1.0 else f"the rate of a new row is {rate}, instead of 1.0"


def _flaw(tries: str, won: list[bool]) -> str:
    return "" if sum(won) == 1 else f"of {len(won)} {tries} at the same moment {sum(won)} succeeded, instead of one"


@contextlib.contextmanager
def _name(database: Database) -> Iterator[str]:
    """Yield the name of a new row, and delete it."""
    name = f"{PREFIX}{uuid.uuid4()}"
    try:
        yield name
    finally:
        database.changing(lambda connection: connection.execute(delete(rate_limits).where(rate_limits.c.name == name)))


def _raced(database: Database, work: Callable[[Connection, int], None]) -> list[bool]:
    start = threading.Barrier(2, timeout=START_SECONDS)

    def race(number: int) -> bool:
        start.wait()
        try:
            database.changing(lambda connection: work(connection, number))
        except _Lost:
            return False
        return True

    with ThreadPoolExecutor(2) as racers:
        return [*racers.map(race, (1, 2))]


def _created(connection: Connection, name: str) -> None:
    row: dict[str, Any] = {"name": name, "next_at": 0.0, "rate": 1.0, "refused_at": 0.0, "changed_at": 0.0}
    try:
        connection.execute(insert(rate_limits).values(row))
    except IntegrityError:
        raise _Lost from None


def _replaced(connection: Connection, name: str, number: int) -> None:
    unchanged = (rate_limits.c.name == name, rate_limits.c.changed_at == 0.0)
    if connection.execute(update(rate_limits).where(*unchanged).values(changed_at=float(number))).rowcount != 1:
        raise _Lost
