"""Many processes at the limit of requests: forked ones, stopped ones, hanging disks, and 300 at once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
import time

import pytest

from airflow_provider_tcbilling.api import rate_limit, request_queue
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
from airflow_provider_tcbilling.api.request_queue import QueueState, SharedQueue, packed
from tests.conftest import ORDER, client_to
from tests.support.limiter import ACTION, AT_ONCE, asks, drawn, folder, run, the_file, within_no_time

__all__ = ["folder"]
pytestmark = pytest.mark.usefixtures("folder")


def test_a_process_that_was_forked_meanwhile_keeps_no_lock(folder):
    waits, ends = os.pipe()
    children = []

    def fork(state):
        children.append(os.fork())
        if not children[0]:
            os.close(ends)
            os.read(waits, 1)
            os._exit(0)
        state.rate = 5.0

    shared = SharedQueue("n")
    shared._trusted_until = float("inf")  # So that no thread is between this one and the file.
    shared.change(fork, 1)
    inode = the_file(folder).stat().st_ino
    try:
        rate = within_no_time(lambda: SharedQueue("n").change(lambda state: state.rate, 2))
    finally:
        os.close(ends)
        os.waitpid(children[0], 0)

    assert (rate, the_file(folder).stat().st_ino) == (5.0, inode)


def test_a_thread_that_is_not_in_the_forked_process_is_missed_by_nobody():
    limiter, stop = RateLimiter("e", "id", 1e5), threading.Event()

    def ask_on():
        while not stop.is_set():
            limiter.wait(ACTION, 60, time.sleep)

    threads = [threading.Thread(target=ask_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    children = []
    for _ in range(20):
        child = os.fork()
        if not child:
            signal.alarm(int(AT_ONCE))
            os._exit(0 if all(limiter.wait(ACTION, 60, time.sleep) for _ in range(5)) else 1)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    stop.set()
    for thread in threads:
        thread.join()

    assert ends == [0] * 20


@contextlib.contextmanager
def holder_that_stands_still(file):
    """Let a process lock a file, and stop it."""
    child = os.fork()
    if not child:
        held = os.open(file, os.O_RDWR)
        fcntl.flock(held, fcntl.LOCK_EX)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.write(held, b"\xff" * 44)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    try:
        yield child
    finally:
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_holder_that_stands_still_holds_up_nobody_and_ends_the_sharing_for_a_moment_only(folder):
    assert asks()
    with holder_that_stands_still(the_file(folder)) as holder:
        assert asks()
        assert asks()
        before = drawn(folder)
        os.kill(holder, signal.SIGCONT)
        os.waitpid(holder, 0)

        assert asks()
        assert asks()
        assert drawn(folder) == before + 2


def test_a_holder_that_stands_still_leaves_a_purchase_the_time_that_it_needs(sandbox, folder):
    limiter = RateLimiter(sandbox.url, "id", 1e4)
    client = client_to(sandbox, rate_limiter=limiter)
    client.create_instance(client_token="a", **ORDER)

    with holder_that_stands_still(the_file(folder)):
        second = within_no_time(
            lambda: client.create_instance(client_token="b", send_by=time.time() + request_queue.PATIENCE, **ORDER)
        )

    assert sandbox.account.orders()[1].order_id == second.order_id


def test_a_crowd_in_the_file_is_not_taken_for_a_holder_that_stands_still(folder, monkeypatch):
    assert asks()
    file = the_file(folder)
    inode = file.stat().st_ino

    def is_locked(held):
        """Come too late each time: somebody else has the file, and writes."""
        os.pwrite(held, packed(QueueState(counted_at=time.monotonic())), 0)
        return False

    monkeypatch.setattr(request_queue, "_is_locked", is_locked)
    assert asks()

    assert file.stat().st_ino == inode


@pytest.mark.parametrize("name", ["open", "pwrite", "flock"])
def test_a_file_system_that_hangs_holds_up_nobody(monkeypatch, name):
    module, ended, hung = fcntl if name == "flock" else os, threading.Event(), []
    original = getattr(module, name)

    def hang(*arguments, **options):
        if threading.current_thread().name == "tcbilling-queue":
            hung.append(name)
            ended.wait(120)
        return original(*arguments, **options)

    monkeypatch.setattr(module, name, hang)
    limiter = RateLimiter("e", "id", 1e4)
    try:
        assert within_no_time(lambda: all(limiter.wait(ACTION, 60, time.sleep) for _ in range(5)))
        assert len(hung) == 1
        start = time.monotonic()
        rate_limit._QUEUES.clear()
        RateLimiter("e", "id", 1e4).wait(ACTION, 0.1, time.sleep)
        assert time.monotonic() - start < request_queue.PATIENCE
    finally:
        ended.set()


def test_a_file_system_that_hangs_leaves_a_purchase_the_time_that_it_needs(sandbox, monkeypatch):
    ended = threading.Event()
    client = client_to(sandbox, rate_limiter=RateLimiter(sandbox.url, "id", 1e4))
    monkeypatch.setattr(os, "pread", lambda *arguments: ended.wait(120))
    try:
        within_no_time(lambda: client.create_instance(client_token="a", send_by=time.time() + 2, **ORDER))
    finally:
        ended.set()

    assert len(sandbox.account.orders()) == 1


CROWD = """
import os, struct, sys, time
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
count, buyers, per_second, within = (float(number) for number in sys.argv[1:])
gate, opened = os.pipe()
results, result = os.pipe()
for number in range(int(count)):
    if not os.fork():
        os.close(opened)
        os.read(gate, 1)
        start, is_waiting = time.monotonic(), number >= buyers
        may = RateLimiter("e", "id", per_second, is_waiting=is_waiting).wait("a", within, time.sleep)
        now = time.monotonic()
        os.write(result, struct.pack("dd??", now, now - start, may, is_waiting))
        os._exit(0)
os.close(result)
os.close(opened)
with os.fdopen(results, "rb") as file:
    while line := file.read(18):
        print(*struct.unpack("dd??", line))
"""


def crowd(buyers, waiters, per_second, within):
    """Let many processes ask at once; return when each was answered, after how long, and whether it may send."""
    done = run(CROWD, buyers + waiters, buyers, per_second, within)
    answers = [line.split() for line in done.stdout.splitlines()]
    assert len(answers) == buyers + waiters
    moments = sorted((float(now), float(took), may == "True", waits == "True") for now, took, may, waits in answers)
    return moments, done.stderr


def test_300_processes_at_once_stay_at_the_limit(folder):
    moments, output = crowd(buyers=300, waiters=0, per_second=100, within=200)

    # A process that gets no turn on a busy machine for seconds may go on its own; most of them share.
    assert all(may for _, _, may, _ in moments)
    assert output.count("cannot share") <= 30
    assert drawn(folder) >= 270
    assert moments[-1][0] - moments[0][0] > 270 / 100 * 0.9


def test_300_processes_at_once_are_answered_by_their_deadline():
    moments, _ = crowd(buyers=300, waiters=0, per_second=20, within=3)

    sent = [now for now, _, may, _ in moments if may]
    assert 5 <= len(sent) <= 20 * (sent[-1] - sent[0]) + 40
    assert max(took for _, took, _, _ in moments) < 3 + AT_ONCE


def test_buyers_keep_half_in_a_crowd_of_300():
    moments, _ = crowd(buyers=100, waiters=200, per_second=100, within=200)

    last_buyer = max(place for place, (_, _, _, waits) in enumerate(moments) if not waits)
    waiters_before = sum(waits for _, _, _, waits in moments[:last_buyer])
    assert waiters_before <= 150
