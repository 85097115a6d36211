"""Credentials: one refresh for all threads, early, and never a key that is none."""

from __future__ import annotations

import copy
import math
import pickle
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider_tcbilling.api import credentials as module
from airflow_provider_tcbilling.api.credentials import Credentials, FixedKey, Key, credentials_of
from airflow_provider_tcbilling.api.errors import CredentialsRefused, CredentialsUnavailable, Unreachable

LIFE = 7200.0


@dataclass(eq=False)
class Source:
    """Gives a new key each time, and does as it is told in between."""

    clock: Any
    life: float | None = LIFE
    name: str = "tests"
    identity: str = "tests"
    is_lasting: bool = False
    base: Any = None
    fetched: list[Key] = field(default_factory=list)
    within: list[float] = field(default_factory=list)
    error: Exception | None = None
    seconds: float = 0.0

    def fetch(self, within, base=None):
        self.within.append(within)
        time.sleep(self.seconds)
        if self.error:
            raise self.error
        number = len(self.fetched)
        until = None if self.life is None else self.clock() + self.life
        self.fetched.append(Key(f"id-{number}", f"key-{number}", f"token-{number}", until))
        return self.fetched[-1]


class Clock:
    now = 1_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def source(clock):
    return Source(clock)


@pytest.fixture
def credentials(source, clock):
    return Credentials(source, clock=clock)


def test_where_there_never_was_a_key_the_failure_is_one_that_sent_nothing(source, credentials):
    source.error = CredentialsUnavailable("STS is down")

    with pytest.raises(Unreachable, match="STS is down") as failed:
        credentials.key()

    assert (failed.value.transient, failed.value.ambiguous) == (True, False)


def test_an_expired_key_is_never_returned(source, credentials, clock):
    credentials.key()
    clock.now += LIFE
    source.error = CredentialsUnavailable("STS is down")

    with pytest.raises(CredentialsUnavailable):
        credentials.key()


def test_a_failed_refresh_is_a_warning_while_the_key_is_good_and_is_tried_again_after_a_while(
    source, credentials, clock, caplog
):
    good = credentials.key()
    clock.now += LIFE - 500
    source.error = CredentialsUnavailable("STS is down")

    assert [credentials.key() for _ in range(3)] == [good] * 3
    assert len(source.within) == 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    clock.now += module.AGAIN_SECONDS
    source.error = None

    assert credentials.key() is not good


@pytest.mark.parametrize(("life", "early"), [(43_200.0, 600.0), (7200.0, 600.0), (1000.0, 500.0), (60.0, 30.0)])
def test_a_key_is_refreshed_with_ten_minutes_left_or_half_of_a_short_life(source, credentials, clock, life, early):
    source.life = life
    first = credentials.key()
    clock.now += life - early - 1

    assert credentials.key() is first
    clock.now += 1

    assert credentials.key() is not first
    assert len(source.fetched) == 2


def test_a_key_that_names_no_end_is_never_refreshed_by_itself(source, credentials, clock):
    source.life = None
    first = credentials.key()
    clock.now += 1e9

    assert credentials.key() is first


def test_a_key_that_the_server_refuses_is_fetched_anew_and_not_used_again(source, credentials):
    first = credentials.key()
    second = credentials.after(first)

    assert second is not first
    assert credentials.key() is second
    assert credentials.after(first) is second, "another thread has refreshed it in the meantime"
    assert len(source.fetched) == 2


def test_a_refused_key_is_not_used_while_its_source_is_down(source, credentials):
    refused = credentials.key()
    source.error = CredentialsUnavailable("STS is down")
    with pytest.raises(CredentialsUnavailable):
        credentials.after(refused)

    with pytest.raises(CredentialsUnavailable):
        credentials.key()

    source.error = None
    assert credentials.key() not in (refused, None)


def test_a_source_without_another_key_says_so_by_the_same_one():
    credentials = Credentials(FixedKey(Key("id", "key")))

    assert credentials.after(credentials.key()) == credentials.key()


def test_twenty_threads_have_one_refresh_and_whole_keys(source, credentials):
    source.seconds = 0.2
    got = in_threads(20, credentials.key)

    assert len(source.within) == 1
    assert set(map(id, got)) == {id(source.fetched[0])}


def test_threads_that_waited_for_a_failure_share_it(source, credentials):
    source.seconds, source.error = 0.3, CredentialsRefused("no such role")
    failures = in_threads(20, credentials.key)

    assert len(source.within) < 5
    assert {(type(error), str(error)) for error in failures} == {(CredentialsRefused, "no such role")}


def test_while_one_thread_refreshes_the_others_use_the_key_that_is_good(source, credentials, clock):
    good = credentials.key()
    clock.now += LIFE - 300
    begun, may_end, fetch = threading.Event(), threading.Event(), source.fetch

    def slowly(within, base=None):
        begun.set()
        may_end.wait()
        return fetch(within)

    source.fetch = slowly
    slow = threading.Thread(target=credentials.key)
    slow.start()
    begun.wait()
    got: list[Key] = []
    other = threading.Thread(target=lambda: got.append(credentials.key()))
    other.start()
    # Long enough for a busy machine: a thread that waits for the refresh has no key before it may end.
    other.join(20.0)
    before = list(got)
    may_end.set()
    slow.join()
    other.join()

    assert [one is good for one in before] == [True]
    assert credentials.key() is source.fetched[-1] is not good


def test_a_thread_waits_for_the_refresh_of_another_no_longer_than_it_may(source, credentials):
    source.seconds = 3.0
    slow = threading.Thread(target=credentials.key)
    slow.start()
    while not source.within:
        time.sleep(0.005)

    with pytest.raises(CredentialsUnavailable, match="in time"):
        credentials.key(0.05)

    slow.join()


def test_a_source_is_told_how_long_it_may_take_and_gets_half_while_a_key_is_good(source, credentials, clock):
    credentials.key(8.0)
    clock.now += LIFE - 1
    credentials.key(8.0)

    assert source.within == [pytest.approx(8.0, abs=0.5), pytest.approx(4.0, abs=0.5)]


def test_every_new_key_is_made_known_before_it_is_used_and_once(source, clock):
    known = []
    credentials = Credentials(source, on_new_key=known.append, clock=clock)
    credentials.key()
    credentials.key()
    clock.now += LIFE

    assert credentials.key() is known[-1]
    assert known == source.fetched


def test_equal_sources_have_the_same_keys_in_a_process_and_others_have_not():
    one, same, other = (FixedKey(Key(name, "key")) for name in ("a", "a", "b"))

    assert credentials_of(one) is credentials_of(same)
    assert credentials_of(one) is not credentials_of(other)


def test_a_process_keeps_the_keys_of_so_many_sources_at_most():
    first = credentials_of(FixedKey(Key("first", "key")))
    for number in range(module.MOST_SOURCES):
        credentials_of(FixedKey(Key(str(number), "key")))

    assert credentials_of(FixedKey(Key("first", "key"))) is not first


@pytest.mark.parametrize("copied", [pickle.dumps, copy.copy])
def test_a_key_is_written_nowhere(copied):
    with pytest.raises(TypeError, match="cannot be pickled"):
        copied(Key("id", "key"))


def test_a_key_shows_its_name_only():
    shown = repr([Key("AKIDname", "secret-1", "secret-2", 5.0), FixedKey(Key("AKIDname", "secret-1", "secret-2"))])

    assert "AKIDname" in shown
    assert "secret-" not in shown


def test_the_lasting_secret_is_that_of_the_permanent_key_at_the_beginning(source):
    source.base = FixedKey(Key("id", "base-key"))
    temporary = Source(source.clock, base=FixedKey(Key("id", "base-key", "token")))

    assert Credentials(source).lasting_secret() == "base-key"
    assert Credentials(temporary).lasting_secret() == ""
    assert math.isinf(Credentials(FixedKey(Key("id", "k")))._refresh_at)


def in_threads(count, call):
    """Call at once in many threads; return what each got, be it an error."""
    start, got = threading.Barrier(count), []

    def run():
        start.wait()
        try:
            got.append(call())
        except Exception as error:
            got.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return got


def test_the_same_key_with_another_expiry_is_no_new_key(source, clock):
    known = []
    credentials = Credentials(source, on_new_key=known.append, clock=clock)
    first = credentials.key()

    def again(within, base=None):
        return Key(first.secret_id, first.secret_key, first.token, clock() + LIFE)

    source.fetch = again
    clock.now += LIFE - 1

    assert credentials.after(first) == first
    assert credentials.key().expires_at == clock() + LIFE
    assert known == [first]
