"""How many requests are sent, and who goes first: on a clock of the test, and at the limit of a sandbox."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from airflow_provider_tcbilling.api import rate_limit
from airflow_provider_tcbilling.api.actions import SENT_PER_SECOND
from airflow_provider_tcbilling.api.errors import Unreachable
from airflow_provider_tcbilling.api.rate_limit import UNLIMITED, QueueLimiter, RateLimiter
from airflow_provider_tcbilling.api.request_queue import BURST, LocalQueue
from tests.conftest import ORDER, client_to

ACTION = "DescribeDealsByCond"


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep the queues of each test apart."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(rate_limit, "_QUEUES", {})
    return tmp_path / f"airflow-provider-tcbilling-{os.getuid()}"


def moments_of(limiter, clock, count):
    """Let so many requests go, one after the other as fast as they may; return when they went."""
    moments = []
    for _ in range(count):
        ticket, seconds = limiter.draw(within=1e9)
        while seconds > 0:
            clock.now += seconds
            seconds = limiter.seconds_until(ticket)
        moments.append(clock.now - 1000.0)
    return moments


def most_within_a_second(moments):
    return max(sum(start <= moment < start + 1 for moment in moments) for start in moments)


@pytest.mark.parametrize("per_second", [0.5, 5, 19])
def test_no_second_holds_more_than_the_limit_and_one(clock, per_second):
    moments = moments_of(QueueLimiter(LocalQueue(), per_second, clock), clock, 200)

    assert most_within_a_second(moments) <= max(per_second + 1, BURST)
    assert moments[-1] == pytest.approx((200 - BURST) / per_second)


def test_a_pause_saves_up_for_a_small_burst_only(clock):
    limiter = QueueLimiter(LocalQueue(), 19, clock)
    moments_of(limiter, clock, 50)
    clock.now += 3600

    later = moments_of(limiter, clock, 60)

    assert most_within_a_second(later) <= 20


def test_tickets_go_in_the_order_in_which_they_were_drawn(clock):
    limiter = QueueLimiter(LocalQueue(), 10, clock)
    tickets = [limiter.draw(within=60)[0] for _ in range(BURST + 10)]

    waits = [limiter.seconds_until(ticket) for ticket in tickets]

    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(1.0)


def test_who_would_wait_for_too_long_takes_no_place(clock):
    limiter = QueueLimiter(LocalQueue(), 1, clock)
    for _ in range(BURST + 3):
        limiter.draw(within=60)

    assert limiter.draw(within=1)[1] > 1
    assert limiter.draw(within=1)[1] > 1
    assert limiter.draw(within=60)[1] == pytest.approx(4)


def test_a_refusal_slows_down_also_those_who_wait_already(clock):
    limiter = QueueLimiter(LocalQueue(), 10, clock)
    ticket = [limiter.draw(within=60)[0] for _ in range(22)][-1]
    before = limiter.seconds_until(ticket)

    limiter.was_refused()

    assert limiter.seconds_until(ticket) == pytest.approx(before / rate_limit.CUT)


def test_refusals_of_the_same_second_count_once(clock):
    limiter = QueueLimiter(LocalQueue(), 16, clock)
    for _ in range(5):
        limiter.was_refused()
    assert limiter._queue.state.rate == pytest.approx(16 * rate_limit.CUT)

    clock.now += 1.1
    limiter.was_refused()

    assert limiter._queue.state.rate == pytest.approx(16 * rate_limit.CUT**2)


def test_it_speeds_up_again_with_what_is_sent_and_not_beyond_the_limit(clock):
    limiter = QueueLimiter(LocalQueue(), 10, clock)
    limiter.was_refused()
    slowed = limiter._queue.state.rate
    moments_of(limiter, clock, 10)
    assert slowed < limiter._queue.state.rate < 10

    moments_of(limiter, clock, 1000)

    assert limiter._queue.state.rate == 10


def test_however_often_it_is_refused_it_goes_on(clock):
    limiter = QueueLimiter(LocalQueue(), 10, clock)
    for _ in range(100):
        clock.now += 2
        limiter.was_refused()

    assert moments_of(limiter, clock, BURST + 1)[-1] - 200 <= 1 / rate_limit.SLOWEST + 0.01


def test_a_queue_of_before_the_machine_was_started_is_begun_anew(clock):
    limiter = QueueLimiter(LocalQueue(), 10, clock)
    moments_of(limiter, clock, 90)
    limiter.draw(within=60)
    clock.now = 5.0

    assert limiter.draw(within=60)[1] == 0
    assert limiter.draw(within=60)[1] == pytest.approx(0.1)


def test_a_ticket_of_a_queue_that_was_begun_anew_goes_and_counts(clock):
    queue = LocalQueue()
    limiter = QueueLimiter(queue, 1, clock)
    ticket = [limiter.draw(within=60)[0] for _ in range(20)][-1]
    queue.state = queue.state.__class__()
    assert limiter.draw(within=60)[1] == 0

    assert limiter.seconds_until(ticket) == 0
    assert limiter.draw(within=60)[1] == pytest.approx(2)


def test_a_wall_clock_that_is_set_disturbs_nothing(monkeypatch):
    limiter = RateLimiter("e", "id", 50)
    slept = []
    limiter.wait(ACTION, 60, slept.append)
    for jump in (-86_400, 86_400):
        monkeypatch.setattr(time, "time", lambda jump=jump: 1.8e9 + jump)
        limiter.wait(ACTION, 60, lambda seconds: (slept.append(seconds), time.sleep(seconds)))

    assert all(seconds < 0.1 for seconds in slept)


@pytest.mark.parametrize("per_second", [0, -1, float("nan")])
def test_a_limit_of_zero_or_below_is_refused(per_second):
    with pytest.raises(ValueError, match="not above 0"):
        RateLimiter("e", "id", per_second)


def test_without_limit_nothing_is_noted(folder):
    assert UNLIMITED.wait(ACTION, 60, time.sleep)
    assert not folder.exists()


SEND = """
import sys, time
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
limiter = RateLimiter("e", "id", 40)
print("ready", flush=True)
sys.stdin.readline()
for _ in range(15):
    limiter.wait("DescribeDealsByCond", 60, time.sleep)
    print(time.monotonic())
"""


def test_all_processes_of_a_machine_share_one_limit(tmp_path):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    processes = [subprocess.Popen([sys.executable, "-c", SEND], env=env, **pipes) for _ in range(4)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    moments = sorted(float(line) for process in processes for line in process.communicate(timeout=30)[0].split())

    assert len(moments) == 60
    assert moments[-1] - moments[0] > (60 - BURST) / 40 - 0.1


def test_a_forked_process_shares_it_too():
    limiter = RateLimiter("e", "id", 0.1)
    for _ in range(BURST - 1):
        limiter.wait(ACTION, 60, time.sleep)
    child = os.fork()
    if not child:
        os._exit(0 if limiter.wait(ACTION, 0, time.sleep) else 1)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert not limiter.wait(ACTION, 0, time.sleep)


def test_two_accounts_and_two_actions_do_not_wait_for_each_other():
    slept = []
    for endpoint, secret_id, action in [("e", "1", "a"), ("e", "2", "a"), ("f", "1", "a"), ("e", "1", "b")]:
        for _ in range(BURST):
            assert RateLimiter(endpoint, secret_id, 1).wait(action, 60, slept.append)

    assert slept == []


def test_waiting_clients_leave_half_of_the_limit_to_purchases():
    waiting, buying = RateLimiter("e", "id", 40, is_waiting=True), RateLimiter("e", "id", 40)
    sent, stop = [], threading.Event()

    def wait_on():
        while not stop.is_set():
            waiting.wait(ACTION, 60, time.sleep)
            sent.append(1)

    waiters = [threading.Thread(target=wait_on) for _ in range(4)]
    for waiter in waiters:
        waiter.start()
    start = time.monotonic()
    for _ in range(30):
        buying.wait(ACTION, 60, time.sleep)
    took = time.monotonic() - start
    stop.set()
    for waiter in waiters:
        waiter.join()

    assert took < 30 / 40 / (1 - rate_limit.WAITING_SHARE) + 0.5
    assert len(sent) <= took * 40 * rate_limit.WAITING_SHARE + BURST + 4


def test_a_slower_connection_holds_up_nobody_else():
    slow, usual, slept = RateLimiter("e", "id", 0.001), RateLimiter("e", "id"), []
    for _ in range(BURST):
        assert slow.wait(ACTION, 0, slept.append)

    assert not slow.wait(ACTION, 60, slept.append)
    assert all(usual.wait(ACTION, 60, time.sleep) for _ in range(5))
    assert slept == []


def test_a_faster_connection_speeds_up_nobody_else():
    fast, usual = RateLimiter("e", "id", 1e5), RateLimiter("e", "id")
    start = time.monotonic()
    for _ in range(20):
        assert fast.wait(ACTION, 60, time.sleep)
    for _ in range(6):
        usual.wait(ACTION, 60, time.sleep)

    assert time.monotonic() - start > 5 / SENT_PER_SECOND


def test_slower_connections_together_stay_at_the_common_limit():
    crowd, start = [RateLimiter("e", "id", 15.0 + number / 10) for number in range(10)], time.monotonic()
    for limiter in crowd:
        assert limiter.wait(ACTION, 60, time.sleep)

    assert time.monotonic() - start > (10 - BURST) / SENT_PER_SECOND - 0.1


def test_a_refusal_slows_a_slower_connection_and_the_others():
    slow, usual = RateLimiter("e", "id", 5.0), RateLimiter("e", "id")
    slow.wait(ACTION, 60, time.sleep)

    slow.note(ACTION, refused=True)

    own, common = slow._of(ACTION)
    assert own._change(lambda state: state.rate, 1) == pytest.approx(5 * rate_limit.CUT)
    assert common._change(lambda state: state.rate, 1) == pytest.approx(SENT_PER_SECOND * rate_limit.CUT)
    assert usual._of(ACTION)[0]._change(lambda state: state.rate, 1) == pytest.approx(SENT_PER_SECOND * rate_limit.CUT)


def test_the_notes_name_no_key(folder):
    RateLimiter("https://e", "AKIDverysecret").wait(ACTION, 60, time.sleep)

    (file,) = folder.iterdir()
    assert "AKID" not in file.name
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    assert b"AKID" not in file.read_bytes()


def test_a_purchase_whose_turn_comes_too_late_is_not_sent(sandbox):
    slow = RateLimiter(sandbox.url, "id", 0.1)
    client = client_to(sandbox, rate_limiter=slow, sleep=time.sleep)
    for token in "ab":
        client.create_instance(client_token=token, **ORDER)

    with pytest.raises(Unreachable, match="nothing was sent"):
        client.create_instance(client_token="c", send_by=time.time() + 5, **ORDER)

    assert sandbox.requests["CreateInstance"] == 2


def test_a_fleet_of_buyers_stays_at_the_limit_and_is_not_refused(start_sandbox):
    sandbox = start_sandbox(rate_limit=20)

    def buy(buyer):
        client = client_to(sandbox, rate_limiter=RateLimiter(sandbox.url, "id"), sleep=time.sleep)
        for number in range(10):
            client.create_instance(client_token=f"{buyer}-{number}", **ORDER)

    buyers = [threading.Thread(target=buy, args=(buyer,)) for buyer in range(6)]
    for buyer in buyers:
        buyer.start()
    for buyer in buyers:
        buyer.join()

    assert len(sandbox.account.orders()) == 60
    assert sandbox.requests["CreateInstance"] <= 63


def test_who_is_refused_slows_down_until_the_server_lets_it_in(start_sandbox):
    sandbox = start_sandbox(rate_limit=5)
    client = client_to(sandbox, rate_limiter=RateLimiter(sandbox.url, "id", 19), sleep=time.sleep)

    for number in range(30):
        client.create_instance(client_token=str(number), **ORDER)

    assert len(sandbox.account.orders()) == 30
