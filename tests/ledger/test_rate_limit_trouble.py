"""A database that is away, stands still, is full, or talks nonsense: no request waits for it beyond its time."""

from __future__ import annotations

import logging
import math
import random
import socket
import threading
import time

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from airflow_provider_tcbilling.api import request_queue
from airflow_provider_tcbilling.api.rate_limit import CUT
from airflow_provider_tcbilling.ledger import rate_limit
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.ledger.database_engine import Database
from airflow_provider_tcbilling.ledger.database_queue import TABLE
from airflow_provider_tcbilling.ledger.rate_limit import AWAY_SECONDS, AWAY_SHARE, Queues
from tests.support.databases import address as address_in
from tests.support.databases import postgresql
from tests.support.fleet_limit import (
    ACTION,
    PER_SECOND,
    address,
    fleet,
    limiter,
    make_table,
    own_folder,
    rows,
    server,
)

__all__ = ["address", "fleet", "own_folder", "server"]

SLACK = 20.0
"""Seconds that stand for no time at all, so that a busy machine fails no test."""

WARNING = "cannot share their rate limit"


@pytest.fixture
def later(monkeypatch):
    """Let time pass on this machine, without waiting."""
    passed = [0.0]
    monotonic = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + passed[0])

    def pass_time(seconds):
        passed[0] += seconds

    return pass_time


@pytest.fixture
def silent():
    """A server that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(100)
        yield Address("postgresql", "ledger", "127.0.0.1", listener.getsockname()[1], "user")


@pytest.fixture
def closed():
    """A port at which no server is."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    return Address("postgresql", "ledger", "127.0.0.1", port, "user")


class Line:
    """A proxy to a database, which a test can hold up: then it takes bytes and passes none on."""

    def __init__(self, address):
        self._target = address
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = Address(
            address.kind, address.database, "127.0.0.1", self._listener.getsockname()[1], address.user, address.password
        )
        self.flows = threading.Event()
        self.flows.set()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.flows.set()
        self._listener.close()

    def _serve(self):
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection((self._target.host, self._target.port))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source, sink):
        try:
            while received := source.recv(65536):
                self.flows.wait()
                sink.sendall(received)
        except OSError:
            pass
        finally:
            source.close()
            sink.close()


@pytest.fixture
def line(server):
    line = Line(server)
    yield line
    line.close()


def queues_at(address):
    database = Database(address)
    return Queues(lambda: database)


def took(work):
    """Return what the work returns, and how long it took."""
    began = time.monotonic()
    return work(), time.monotonic() - began


def test_without_the_database_requests_go_on_at_a_low_rate_with_one_warning(closed, caplog):
    client, slept = limiter(queues_at(closed), 20), []

    assert all(client.wait(ACTION, 60, lambda seconds: (slept.append(seconds), time.sleep(seconds))) for _ in range(4))
    client.note(ACTION, refused=True)

    assert caplog.text.count(WARNING) == 1
    assert "This machine goes on at a low rate" in caplog.text
    assert sum(slept) > 2.5 / (20 * AWAY_SHARE)


def test_while_it_is_away_the_database_is_left_alone_and_then_used_again(closed, server, later, caplog):
    connected = []
    databases = [Database(closed), Database(server)]

    def connect():
        connected.append(1)
        return databases[0]

    client = limiter(Queues(connect), 1e4)
    assert all(client.wait(ACTION, 60, time.sleep) for _ in range(5))
    assert len(connected) == 1

    databases.reverse()
    later(AWAY_SECONDS + 1)
    assert client.wait(ACTION, 60, time.sleep)

    assert len(rows(Queues(connect))) == 1
    assert caplog.text.count(WARNING) == 1


def test_a_second_time_away_is_warned_of_again(closed, server, later, caplog):
    database = [Database(closed)]
    client = limiter(Queues(lambda: database[0]), 1e4)
    for place in (closed, server, closed):
        database[0] = Database(place)
        assert client.wait(ACTION, 60, time.sleep)
        later(AWAY_SECONDS + 1)

    assert caplog.text.count(WARNING) == 2


def test_a_server_that_never_answers_holds_up_a_request_once_and_for_a_moment(silent, caplog):
    client = limiter(queues_at(silent), 1e4)

    may, seconds = took(lambda: client.wait(ACTION, math.inf, time.sleep))

    assert may
    assert seconds < rate_limit.SILENCE + SLACK
    assert took(lambda: client.wait(ACTION, 60, time.sleep))[1] < SLACK
    assert "did not answer within 3.0 s" in caplog.text


def test_a_server_that_stands_still_in_the_middle_holds_up_a_request_once_and_goes_on_later(line, later, caplog):
    client = limiter(queues_at(line.address), 1e4)
    assert client.wait(ACTION, 60, time.sleep)
    line.flows.clear()

    may, seconds = took(lambda: client.wait(ACTION, 60, time.sleep))

    assert may
    assert seconds < rate_limit.SILENCE + SLACK
    assert caplog.text.count(WARNING) == 1
    line.flows.set()
    later(AWAY_SECONDS + 1)
    caplog.clear()
    assert client.wait(ACTION, 60, time.sleep)
    assert caplog.text == ""


def test_a_refusal_that_cannot_be_written_slows_this_machine_down_at_once(silent):
    client = limiter(queues_at(silent), 1e4)
    client.wait(ACTION, 60, time.sleep)

    _, seconds = took(lambda: client.note(ACTION, refused=True))

    assert seconds < SLACK
    (only,) = client._of(ACTION)
    assert only._alone._change(lambda state: state.rate, 1) == pytest.approx(1e4 * AWAY_SHARE * CUT)


@pytest.mark.parametrize("within", [0, 0.01, 0.5, 2])
def test_a_request_with_little_time_leaves_half_of_it_to_the_purchase(silent, within, caplog):
    client = limiter(queues_at(silent), 1e4)
    waited = []
    original = rate_limit.in_a_thread
    try:
        rate_limit.in_a_thread = lambda work, seconds, what: (waited.append(seconds), original(work, seconds, what))[1]
        client.wait(ACTION, within, time.sleep)
    finally:
        rate_limit.in_a_thread = original

    assert sum(waited) <= max(request_queue.GRACE, within / 2)
    # So short a time says nothing about the database.
    assert WARNING not in caplog.text


@pytest.fixture
def small(postgres):
    """The address of a database on a server that no other test needs: this one takes all of its connections."""
    with postgresql() as own:
        place = address_in(own, own.new_database())
        make_table(place)
        yield place


def test_a_database_that_is_full_is_tried_again_until_a_connection_is_free(small, caplog):
    held = [Database(small) for _ in range(120)]
    holding, opened = threading.Event(), []

    def hold(database):
        def keep(connection):
            opened.append(1)
            holding.wait(120)

        try:
            database.once(keep)
        except OperationalError:
            opened.append(0)

    threads = [threading.Thread(target=hold, args=(database,), daemon=True) for database in held]
    for thread in threads:
        thread.start()
    while len(opened) < len(held):
        time.sleep(0.01)
    assert 0 in opened
    client, answers = limiter(queues_at(small), 1e4), []
    asking = threading.Thread(target=lambda: answers.append(client.wait(ACTION, 240, time.sleep)), daemon=True)
    asking.start()
    asking.join(1)
    assert answers == []
    holding.set()
    asking.join(120)
    for thread, database in zip(threads, held, strict=True):
        thread.join(60)
        database.close()

    assert answers == [True]
    assert caplog.text == ""
    assert len(rows(queues_at(small))) == 1


@pytest.mark.parametrize(
    "change",
    [f"DROP TABLE {TABLE}", f"ALTER TABLE {TABLE} RENAME TO other", f"ALTER TABLE {TABLE} RENAME COLUMN rate TO r"],
)
def test_a_table_that_is_not_what_it_should_be_holds_up_nobody(fleet, change, caplog):
    queues = fleet()
    queues._connect().changing(lambda connection: connection.execute(text(change)))
    if "RENAME TO" in change:
        queues._connect().changing(lambda connection: connection.execute(text("DROP TABLE other")))

    may, seconds = took(lambda: limiter(queues, 1e4).wait(ACTION, 60, time.sleep))

    assert (may, seconds < SLACK) == (True, True)
    assert caplog.text.count(WARNING) == 1


def test_a_role_that_may_not_write_holds_up_nobody(server, caplog):
    reader = Address(
        server.kind, server.database, server.host, server.port, server.user, server.password,
        options=(("options", "-c default_transaction_read_only=on"),),
    )  # fmt: skip

    assert limiter(queues_at(reader), 1e4).wait(ACTION, 60, time.sleep)

    assert "read-only" in caplog.text


def test_a_connection_that_cannot_be_read_holds_up_nobody(caplog):
    def connect():
        raise RuntimeError("There is no connection ledger")

    assert limiter(Queues(connect), 1e4).wait(ACTION, 60, time.sleep)
    limiter(Queues(connect), 1e4).note(ACTION, refused=True)

    assert "There is no connection ledger" in caplog.text


def test_no_warning_shows_a_password(closed, caplog):
    secret = Address(closed.kind, closed.database, closed.host, closed.port, "user", "very-secret")

    limiter(queues_at(secret), 1e4).wait(ACTION, 60, time.sleep)

    assert WARNING in caplog.text
    assert "very-secret" not in caplog.text


def test_an_error_of_the_sleep_is_raised(fleet):
    client = limiter(fleet(), 1)
    client.wait(ACTION, 60, time.sleep)

    def interrupt(seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        client.wait(ACTION, 60, interrupt)


class OddConnection:
    """A connection whose statements return what a seed says."""

    class dialect:  # noqa: N801 - the name that SQLAlchemy has
        name = "sqlite"

    def __init__(self, row):
        self._row, self.rowcount = row, row

    def execute(self, *arguments):
        return self

    def first(self):
        return self._row


class Faulty:
    """A database that fails as a seed says."""

    about = "the ledger"

    def __init__(self, dice, closing):
        self._dice, self._closing = dice, closing

    def once(self, work):
        fault = self._dice.choice(FAULTS)
        if isinstance(fault, Exception):
            raise fault
        if fault == "hangs":
            self._closing.wait(120)
        return work(OddConnection(fault))

    def may_pass(self, error):
        if self._dice.random() < 0.1:
            raise RuntimeError("and this fails, too")
        return self._dice.random() < 0.5

    def close(self):
        raise OSError("closed already")


FAULTS = [
    *(OSError(5, "io"), MemoryError(), RuntimeError(), ValueError("x"), KeyError(1), TimeoutError("slow")),
    *(
        "hangs",
        None,
        (),
        (None,),
        ("text",),
        (b"",),
        (math.nan,),
        (math.inf,),
        (-math.inf,),
        (-5.0,),
        (0.01,),
        (1e300,),
    ),
    OperationalError("SELECT", {}, Exception("gone")),
]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_fails_nothing_is_raised_and_no_request_waits_beyond_its_time(seed, monkeypatch, later):
    dice, closing, slept = random.Random(seed), threading.Event(), []
    monkeypatch.setattr(rate_limit, "SILENCE", 0.2)
    monkeypatch.setattr(rate_limit, "PATIENCE", 1.0)
    per_second = dice.choice([5, PER_SECOND, 1e4])
    client = limiter(Queues(lambda: Faulty(dice, closing)), per_second, is_waiting=seed % 2 == 0)

    def sleep(seconds):
        slept.append(seconds)
        later(seconds)

    logging.disable(logging.CRITICAL)
    try:
        for _ in range(5):
            within = dice.choice([-1, 0, 0.1, 0.5, 2, 1e9])
            slept.clear()
            may, seconds = took(lambda within=within: client.wait(ACTION, within, sleep))
            assert may in (True, False)
            assert sum(slept) <= max(0, within)
            assert seconds - sum(slept) < SLACK
            client.note(ACTION, refused=True)
            later(dice.choice([0, AWAY_SECONDS + 1]))
    finally:
        closing.set()
        logging.disable(logging.NOTSET)
