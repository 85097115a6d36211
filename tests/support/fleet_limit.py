"""What tests of the fleet's rate limit share: databases with the table, and a clock that the database reads."""

from __future__ import annotations

import contextlib
from functools import partial
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from airflow_provider_tcbilling.api import rate_limit as machine
from airflow_provider_tcbilling.api import request_queue
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
from airflow_provider_tcbilling.ledger import database_queue, rate_limit
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.ledger.database_engine import Database
from airflow_provider_tcbilling.ledger.database_queue import TABLE
from airflow_provider_tcbilling.ledger.database_tables import rate_limits
from airflow_provider_tcbilling.ledger.rate_limit import FleetLimiter, Queues
from tests.support.databases import address as address_in

ACTION = "CreateInstance"
PER_SECOND = 18.5


class Clock:
    """The database's clock, as a number in the statement."""

    BEGIN = 1_800_000_000.0

    def __init__(self):
        self.now = self.BEGIN

    @property
    def passed(self):
        """Seconds since the test began."""
        return self.now - self.BEGIN

    def __format__(self, spec):
        return f"{self.now!r}e0"


@pytest.fixture
def server(postgres):
    """The address of a database in PostgreSQL that has the table, without rows."""
    address = address_in(postgres, postgres.new_database())
    make_table(address)
    return address


@pytest.fixture(params=["sqlite", "postgresql", "mysql"])
def address(request, tmp_path):
    """The address of a database that has the table, without rows."""
    if request.param == "postgresql":
        return request.getfixturevalue("server")
    if request.param == "mysql":
        mariadb = request.getfixturevalue("mariadb")
        address = address_in(mariadb, mariadb.new_database())
        make_table(address)
        return address
    address = Address("sqlite", f"{tmp_path}/ledger.db")
    make_table(address)
    return address


def make_table(address):
    """Make the table anew, without rows."""

    def make(connection):
        rate_limits.drop(connection, checkfirst=True)
        rate_limits.create(connection)

    database = Database(address)
    database.changing(make)
    database.close()


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Keep the files of the machine apart from those of other tests."""
    monkeypatch.setattr(request_queue, "tempfile", SimpleNamespace(gettempdir=lambda: str(tmp_path)))
    monkeypatch.setattr(machine, "_QUEUES", {})


@pytest.fixture
def fleet(address):
    """Make machines of the fleet: each with connections of its own."""
    with contextlib.ExitStack() as stack:

        def machine_of():
            database = Database(address)
            stack.callback(database.close)
            return Queues(lambda: database)

        yield machine_of


@pytest.fixture
def clock(monkeypatch):
    """The clock of the database. A busy machine is not taken for a database that is away."""
    clock = Clock()
    monkeypatch.setattr(rate_limit, "SILENCE", 60.0)
    monkeypatch.setattr(database_queue, "NOW", dict.fromkeys(database_queue.NOW, clock))
    return clock


def limiter(queues, per_second=PER_SECOND, *, secret_id="id", **options):
    """The rate limiter of a client on a machine of the fleet."""
    return RateLimiter("e", secret_id, per_second, limiter_of=partial(FleetLimiter, queues), **options)


def rows(queues):
    """The table, by name."""
    query = text(f"SELECT name, next_at, rate, refused_at, changed_at FROM {TABLE} ORDER BY name")
    return queues._connect().reading(lambda connection: {row[0]: tuple(row[1:]) for row in connection.execute(query)})


def set_row(queues, **values):
    """Write values into all rows, as somebody who edits the table does."""
    change = text(f"UPDATE {TABLE} SET " + ", ".join(f"{name} = :{name}" for name in values))
    queues._connect().changing(lambda connection: connection.execute(change, values))


def moments_of(limiters, clock, count, within=1e6):
    """
    Let clients draw tickets in turn, all at the same moment of the database; return the seconds until each may send.

    A client that sleeps is not slept for: its ticket is drawn, and nothing more is asked of the database.
    """
    moments = []
    for number in range(count):
        slept = []
        assert limiters[number % len(limiters)].wait(ACTION, within, slept.append)
        moments.append(clock.passed + sum(slept))
    return moments


def moments_while_time_passes(limiters, clock, count):
    """Let clients send in turn, each after the one before; return after how many seconds they sent."""

    def sleep(seconds):
        clock.now += seconds

    moments = []
    for number in range(count):
        assert limiters[number % len(limiters)].wait(ACTION, 1e6, sleep)
        moments.append(clock.passed)
    return moments


def at(*seconds):
    """Return moments to compare with: epoch seconds are exact to less than a microsecond."""
    return pytest.approx(list(seconds), abs=1e-4, rel=0)
