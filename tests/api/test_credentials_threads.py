"""Keys under stress: one refresh for all threads, no key whose parts are of two, and no fork that hangs."""

from __future__ import annotations

import itertools
import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_tcbilling.api.credentials import Credentials, Key, credentials_of
from airflow_provider_tcbilling.api.errors import CredentialsUnavailable
from airflow_provider_tcbilling.api.signing import Tc3Auth

THREADS = 20
PATIENCE = 120.0
"""Seconds in which a busy machine does what takes none."""

BODY = b"{}"


class Source:
    """A source of numbered keys, which counts the threads that are in it at once."""

    name = identity = "numbered"
    base = None
    is_lasting = False

    def __init__(self, life=None, clock=time.time, seconds=0.0):
        self.life, self.clock, self.seconds = life, clock, seconds
        self.issued, self.most_at_once = [], 0
        self.began, self.may_end = threading.Event(), threading.Event()
        self.may_end.set()
        self.failure = None
        self._inside = threading.Semaphore(1)

    def fetch(self, within, base=None):
        if not self._inside.acquire(blocking=False):
            self.most_at_once = 2
            raise AssertionError("two refreshes at once")
        self.most_at_once = max(self.most_at_once, 1)
        try:
            self.began.set()
            assert self.may_end.wait(min(within, PATIENCE))
            time.sleep(self.seconds)
            number = len(self.issued)
            self.issued.append(number)
            if self.failure:
                raise self.failure
            return numbered(number, self.life and self.clock() + self.life)
        finally:
            self._inside.release()


class Ticking:
    """A clock that goes on whenever somebody reads it."""

    def __init__(self, tick):
        self._ticks, self._tick = itertools.count(1), tick
        self.skipped = 0.0

    def __call__(self):
        return 1e9 + self.skipped + next(self._ticks) * self._tick


def numbered(number, expires_at=None):
    return Key(f"id-{number}", f"key-{number}", f"token-{number}", expires_at)


def number_of(key):
    return [int(part.partition("-")[2]) for part in (key.secret_id, key.secret_key, key.token)]


def in_threads(work):
    """Let all threads begin at once, and return the results."""
    start = threading.Barrier(THREADS)

    def begun(number):
        start.wait(PATIENCE)
        return work(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(begun, range(THREADS), timeout=PATIENCE))


def test_while_one_thread_refreshes_a_good_key_twenty_others_use_it_at_once():
    clock = Ticking(0.0)
    source = Source(life=1000.0, clock=clock)
    credentials = Credentials(source, clock=clock)
    first = credentials.key()
    clock.skipped = 600.0
    source.may_end.clear()
    source.began.clear()

    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(credentials.key, PATIENCE)
        assert source.began.wait(PATIENCE)
        end = threading.Timer(10.0, source.may_end.set)
        end.start()
        others = in_threads(lambda number: credentials.key(PATIENCE))
        is_under_way = not refreshed.done()
        end.cancel()
        source.may_end.set()
        newer = refreshed.result(PATIENCE)

    assert is_under_way
    assert {id(key) for key in others} == {id(first)}
    assert newer is not first
    assert source.issued == [0, 1]


def test_twenty_threads_whose_key_was_refused_fetch_one():
    source = Source(seconds=0.2)
    credentials = Credentials(source)
    refused = credentials.key()

    keys = in_threads(lambda number: credentials.after(refused, PATIENCE))

    assert source.issued == [0, 1]
    assert {key.secret_id for key in keys} == {"id-1"}


def test_twenty_threads_hear_of_one_failure_and_the_next_call_tries_again():
    source = Source(seconds=0.2)
    source.failure = CredentialsUnavailable("the service is away")
    credentials = Credentials(source)

    def attempt(number):
        with pytest.raises(CredentialsUnavailable, match="the service is away") as caught:
            credentials.key(PATIENCE)
        return caught.value

    errors = in_threads(attempt)
    failed = len(source.issued)
    source.failure = None

    assert failed == 1
    assert len({id(error) for error in errors}) == THREADS, "an error that two threads raise has the frames of both"
    assert credentials.key(PATIENCE).secret_id == "id-1"


def test_no_thread_gets_a_torn_key_while_keys_expire_every_fifty_milliseconds():
    clock = Ticking(0.001)
    source = Source(life=0.05, clock=clock)
    credentials = Credentials(source, clock=clock)

    def loop(number):
        return [number_of(credentials.key(PATIENCE)) for _ in range(300)]

    numbers = [one for of_thread in in_threads(loop) for one in of_thread]

    assert [parts for parts in numbers if len(set(parts)) > 1] == []
    assert {parts[0] for parts in numbers} <= {*source.issued}
    assert (len(source.issued) > 50, source.most_at_once) == (True, 1)


def test_no_signature_is_of_another_key_than_its_headers_while_keys_change():
    clock = Ticking(0.001)
    credentials = Credentials(Source(life=0.05, clock=clock), clock=clock)
    moment = 1_767_225_600.0
    shared = Tc3Auth("", "", "billing", clock=lambda: moment)

    def loop(number):
        signed = []
        for _ in range(100):
            shared.key = credentials.key(PATIENCE)
            signed.append(shared.headers("host", "application/json", BODY, "CreateInstance"))
        return signed

    wrong = []
    for headers in (one for of_thread in in_threads(loop) for one in of_thread):
        number = int(headers["X-TC-Token"].partition("-")[2])
        alone = Tc3Auth(f"id-{number}", f"key-{number}", "billing", token=f"token-{number}", clock=lambda: moment)
        if alone.headers("host", "application/json", BODY, "CreateInstance") != headers:
            wrong.append(number)
    assert wrong == []


def test_a_source_is_shared_by_all_threads_of_a_process():
    source = Source(seconds=0.1)

    keys = in_threads(lambda number: credentials_of(source).key(PATIENCE))

    assert source.issued == [0]
    assert len({id(key) for key in keys}) == 1


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("is_held", "is_shared"),
    [(False, True), (True, True), (True, False)],
    ids=["the source", "the keys that it had before", "keys that are not shared"],
)
def test_a_process_that_is_forked_while_a_key_is_refreshed_does_not_hang(is_held, is_shared):
    source = Source()
    source.may_end.clear()
    credentials = credentials_of(source) if is_shared else Credentials(source)
    fork = multiprocessing.get_context("fork")
    ours, theirs = fork.Pipe()

    def child():
        source.__init__()
        theirs.send((credentials if is_held else credentials_of(source)).key(5.0).secret_id)

    with ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(credentials.key, PATIENCE)
        assert source.began.wait(PATIENCE)
        process = fork.Process(target=child)
        process.start()
        theirs.close()
        try:
            assert ours.poll(PATIENCE), "the child hangs"
            assert ours.recv() == "id-0"
        finally:
            source.may_end.set()
            process.kill()
            process.join()
        assert refreshed.result(PATIENCE).secret_id == "id-0"


def test_a_time_out_of_the_task_as_soon_as_the_lock_is_taken_leaves_none_behind():
    class TimeOut(BaseException):
        """As Airflow raises it, in any line."""

    class Struck:
        """A lock that is taken when the time-out strikes."""

        def __init__(self, lock):
            self.acquired, self.release = lock.acquire, lock.release

        def acquire(self, **options):
            assert self.acquired(**options)
            raise TimeOut

    credentials = Credentials(Source())
    lock = credentials._lock
    credentials._lock = Struck(lock)
    with pytest.raises(TimeOut):
        credentials.key(PATIENCE)
    credentials._lock = lock

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(credentials.key, 1.0).result(PATIENCE).secret_id == "id-0"
