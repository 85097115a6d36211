"""What tests of the fleet's rate limit share: databases with the table, and a clock that the database reads."""

from __future__ import annotations

import contextlib
import tempfile
from functools import partial

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_tcbilling.api import rate_limit as machine
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
from airflow_provider_tcbilling.ledger import rate_limit
from airflow_provider_tcbilling.ledger.rate_limit import TABLE, Database, FleetLimiter
from tests.support.postgres import NoPostgres, running_postgres

ACTION = "CreateInstance"
PER_SECOND = 18.5


class Clock:
    """The database's clock, as a number in the statement."""

    def __init__(self):
        self.now = 1_800_000_000.0

    def __format__(self, spec):
        return f"CAST({self.now!r} AS double precision)"


@pytest.fixture(scope="session")
def postgres():
    try:
        with running_postgres() as server:
            yield server
    except NoPostgres as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request, tmp_path):
    """The address of a database that has the table, without rows."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").url
    make_table(url)
    return url


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Keep the files of the machine apart from those of other tests."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(machine, "_QUEUES", {})


@pytest.fixture
def fleet(database_url):
    """Make machines of the fleet: each with an engine of its own."""
    with contextlib.ExitStack() as stack:

        def machine_of():
            engine = create_engine(database_url)
            stack.callback(engine.dispose)
            return Database(lambda: engine)

        yield machine_of


@pytest.fixture
def clock(monkeypatch):
    """The clock of the database, which a test sets."""
    clock = Clock()
    monkeypatch.setattr(rate_limit, "NOW", dict.fromkeys(rate_limit.NOW, clock))
    return clock


def make_table(url):
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"DROP TABLE IF EXISTS {TABLE}"))
        columns = ", ".join(f"{name} double precision" for name in ("next_at", "rate", "refused_at", "changed_at"))
        connection.execute(text(f"CREATE TABLE {TABLE} (name varchar(200) PRIMARY KEY, {columns})"))
    engine.dispose()


def limiter(database, per_second=PER_SECOND, *, secret_id="id", **options):
    """The rate limiter of a client on a machine of the fleet."""
    return RateLimiter("e", secret_id, per_second, limiter_of=partial(FleetLimiter, database), **options)


def rows(database):
    """The table, by name."""
    with database._engine_of().begin() as connection:
        return {row[0]: row[1:] for row in connection.execute(text(f"SELECT * FROM {TABLE} ORDER BY name"))}


def set_row(database, **values):
    """Write numbers into all rows, as somebody who edits the table does."""
    with database._engine_of().begin() as connection:
        changes = ", ".join(f"{name} = :{name}" for name in values)
        connection.execute(text(f"UPDATE {TABLE} SET {changes}"), values)


def moments_of(limiters, clock, count, within=1e6):
    """
    Let clients draw tickets in turn, all at the same moment of the database; return when each may send.

    A client that sleeps is not slept for: its ticket is drawn, and nothing more is asked of the database.
    """
    moments = []
    for number in range(count):
        slept = []
        assert limiters[number % len(limiters)].wait(ACTION, within, slept.append)
        moments.append(clock.now + sum(slept))
    return moments


def moments_while_time_passes(limiters, clock, count):
    """Let clients send in turn, each as soon as it may and after the one before; return when they sent."""

    def sleep(seconds):
        clock.now += seconds

    moments = []
    for number in range(count):
        assert limiters[number % len(limiters)].wait(ACTION, 1e6, sleep)
        moments.append(clock.now)
    return moments
