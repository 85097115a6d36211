"""One watch for all that wait in a process: nobody is forgotten, nobody is failed by another, nothing is mixed up."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import time

import pytest

from airflow_provider_tcbilling.api import rate_limit
from airflow_provider_tcbilling.sandbox.orders import Fate
from airflow_provider_tcbilling.triggers import base as waking
from airflow_provider_tcbilling.triggers import shared_watch as sharing
from airflow_provider_tcbilling.triggers import waiting_client
from airflow_provider_tcbilling.triggers.delivery import DeliveryTrigger
from airflow_provider_tcbilling.triggers.shared_watch import SharedWatch
from airflow_provider_tcbilling.triggers.waiting_client import PATIENCE
from tests.conftest import ORDER, client_to

LOOKS = "DescribeDealsByCond"
pytestmark = pytest.mark.usefixtures("waiting_only_reads")


@pytest.fixture(autouse=True)
def _no_first_pause(monkeypatch):
    monkeypatch.setattr(waking, "FIRST_QUERY_SECONDS", 0.01)


def bought(sandbox, count=1):
    client = client_to(sandbox)
    return [client.create_instance(client_token=f"{sandbox.url}-{n}", **ORDER).order_id for n in range(count)]


SECONDS = 120.0
"""How long a task waits here before it is woken by its deadline, which is a failure of most tests."""


async def woken(order_id, conn_id="tcbilling_default", seconds=SECONDS, **options):
    """Wait for an order as the triggerer does; return the event and how long it took."""
    began_at = time.monotonic()
    options = {"poll_interval": 0.05, "placed_at": time.time(), **options}
    trigger = DeliveryTrigger({"order_id": order_id}, conn_id, deadline=time.time() + seconds, **options)
    (event,) = [event.payload async for event in trigger.run()]
    return event, time.monotonic() - began_at


async def test_three_hundred_orders_are_watched_with_a_look_for_all(start_sandbox, connect):
    sandbox = start_sandbox(delivery_seconds=1.5, balance_cents=10**9)
    connect(host=sandbox.url)
    orders = bought(sandbox, 300)

    events = await asyncio.gather(*(woken(order, poll_interval=0.3) for order in orders))

    assert [event["order"]["order_id"] for event, _ in events] == orders
    assert max(took for _, took in events) < SECONDS
    assert sandbox.requests[LOOKS] < 150


async def test_the_last_who_waits_ends_it(start_sandbox, connect):
    sandbox = start_sandbox(delivery_looks=1000)
    connect(host=sandbox.url)
    (order,) = bought(sandbox)

    waiting = [asyncio.create_task(woken(order)) for _ in range(3)]
    await asyncio.sleep(0.5)
    watching = SharedWatch.of("tcbilling_default")._task
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await asyncio.sleep(0.2)
    looks = sandbox.requests[LOOKS]
    await asyncio.sleep(0.5)

    assert looks > 0
    assert watching.cancelled()
    assert sandbox.requests[LOOKS] == looks
    assert SharedWatch.of("tcbilling_default")._task is None


async def test_it_begins_again_with_the_next_who_waits(connection, sandbox):
    for order in bought(sandbox, 3):
        await woken(order)

    assert len(SharedWatch.of("tcbilling_default")._usual) == 3


async def test_who_comes_later_is_served_within_an_interval(start_sandbox, connect):
    sandbox = start_sandbox(delivery_looks=2)
    connect(host=sandbox.url)
    sandbox.faults.add({"fault": "order-status", "status": 3, "times": None})
    slow, late = bought(sandbox, 2)
    sandbox.account.orders()[1].fate = Fate()
    first = asyncio.create_task(woken(slow, poll_interval=10 * SECONDS, seconds=10 * SECONDS))
    await asyncio.sleep(0.5)

    _, took = await woken(late, poll_interval=0.2)

    assert took < SECONDS
    assert not first.done()
    first.cancel()


async def test_two_tasks_that_wait_for_one_order_are_both_woken(start_sandbox, connect):
    sandbox = start_sandbox(delivery_looks=2)
    connect(host=sandbox.url)
    (order,) = bought(sandbox)

    assert len(await asyncio.gather(woken(order), woken(order))) == 2


async def test_one_order_that_died_wakes_only_its_task(sandbox, connection):
    sandbox.faults.add({"fault": "order-status", "status": 5, "times": None})
    (died,) = bought(sandbox)
    sandbox.faults.clear()
    sandbox.faults.add({"fault": "order-status", "status": 3})
    alive = client_to(sandbox).create_instance(client_token="alive", **ORDER).order_id

    others = asyncio.create_task(woken(alive))
    _, took = await woken(died)

    assert took < SECONDS
    await asyncio.sleep(0.5)
    assert not others.done()
    others.cancel()


async def test_a_failure_that_passes_wakes_nobody(start_sandbox, connect, monkeypatch):
    sandbox = start_sandbox(delivery_seconds=2.5)
    connect(host=sandbox.url)
    orders = bought(sandbox, 20)
    sandbox.faults.add({"fault": "error", "code": "AuthFailure", "when": "before", "times": PATIENCE - 1})

    events = await asyncio.gather(*(woken(order) for order in orders))

    assert min(took for _, took in events) > 1


async def test_a_failure_that_stays_is_told_to_all_and_fails_nobodys_trigger(start_sandbox, connect, logged):
    sandbox = start_sandbox(delivery_looks=1000)
    connect(host=sandbox.url)
    orders = bought(sandbox, 20)
    sandbox.faults.add({"fault": "error", "code": "AuthFailure.SignatureFailure", "when": "before", "times": None})

    events = await asyncio.gather(*(woken(order) for order in orders))

    assert len(events) == 20
    assert sandbox.requests[LOOKS] == PATIENCE
    assert f"Waiting for order {orders[-1]} ended: the order book could not be read" in logged()


async def test_a_key_that_was_changed_meanwhile_is_used(start_sandbox, connect):
    sandbox = start_sandbox(delivery_seconds=1.0)
    connect(host=sandbox.url, password="old-key")
    (order,) = bought(sandbox)
    waiting = asyncio.create_task(woken(order))
    await asyncio.sleep(0.1)
    connect(host=sandbox.url)

    assert (await waiting)[1] > 0.8
    assert sandbox.journal[-1].outcome == "ok"


async def test_two_accounts_are_never_mixed(start_sandbox, connect):
    accounts = {f"account_{n}": start_sandbox(delivery_seconds=1.0, secret_id=f"AKIDaccount{n}") for n in (1, 2)}
    orders = {}
    for conn_id, sandbox in accounts.items():
        connect(host=sandbox.url, conn_id=conn_id, login=sandbox.options.secret_id)
        client = client_to(sandbox, secret_id=sandbox.options.secret_id)
        orders[conn_id] = [
            client.create_instance(client_token=str(n), **ORDER).order_id for n in range(5 + len(orders))
        ]

    events = await asyncio.gather(*(woken(order, conn_id) for conn_id, own in orders.items() for order in own))

    assert max(took for _, took in events) < SECONDS
    assert all(entry.outcome == "ok" for sandbox in accounts.values() for entry in sandbox.journal)


async def test_two_connections_of_one_account_have_two_watches_and_one_rate_limit(start_sandbox, connect, monkeypatch):
    sandbox = start_sandbox(delivery_looks=6)
    for conn_id in ("one", "two"):
        connect(host=sandbox.url, conn_id=conn_id)
    (order,) = bought(sandbox)
    noted = []
    original = rate_limit.queue_of
    monkeypatch.setattr(rate_limit, "queue_of", lambda name: (noted.append(name), original(name))[1])

    await asyncio.gather(woken(order, "one"), woken(order, "two"))

    assert SharedWatch.of("one") is not SharedWatch.of("two")
    assert len(noted) == 2 * len(set(noted)) == 4


async def test_a_wall_clock_that_is_set_forward_ends_the_wait_at_its_deadline(start_sandbox, connect, monkeypatch):
    sandbox = start_sandbox(delivery_looks=10_000)
    connect(host=sandbox.url)
    (order,) = bought(sandbox)
    monkeypatch.setattr(sharing, "HEED_CLOCK_SECONDS", 0.2)
    monkeypatch.setattr(
        waiting_client, "PATIENCE", 10**6
    )  # The server's clock stays, so it refuses the task's signatures.
    waiting = asyncio.create_task(woken(order, seconds=3600))
    await asyncio.sleep(0.3)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 7200)

    await asyncio.wait_for(waiting, 5)


async def test_a_wall_clock_that_is_set_back_does_not_stop_the_looking(start_sandbox, connect, monkeypatch):
    sandbox = start_sandbox(delivery_seconds=1.0)
    connect(host=sandbox.url)
    (order,) = bought(sandbox)
    real = time.time
    waiting = asyncio.create_task(woken(order))
    await asyncio.sleep(0.2)
    monkeypatch.setattr(time, "time", lambda: real() - 100)
    sandbox.account.clock.offset += 100

    await asyncio.wait_for(waiting, 5)


async def test_what_it_logs_belongs_to_no_task(sandbox, connection, caplog):
    task_of_log = contextvars.ContextVar("task_of_log", default="none")
    seen = []

    class Keep(logging.Handler):
        def emit(self, record):
            seen.append(task_of_log.get())

    handler = Keep()
    sharing.log.addHandler(handler)
    task_of_log.set("the first to wait")
    (order,) = bought(sandbox)
    sandbox.faults.add({"fault": "error", "code": "AuthFailure", "when": "before"})
    await woken(order)
    sharing.log.removeHandler(handler)

    assert seen == ["none"]


@pytest.mark.parametrize(
    ("usual", "requests", "expected"),
    [([], 1, 60), ([1000], 1, 60), ([200], 1, 20), ([20], 1, 5), ([20], 30, 30), ([20], 500, 60)],
)
async def test_the_interval_follows_how_long_orders_take_and_stays_below_what_was_asked_for(usual, requests, expected):
    watch = SharedWatch("c")
    watch._usual.extend(usual)
    watch._requests = requests
    future = asyncio.get_running_loop().create_future()
    for number, interval in enumerate((300, 60)):
        watch._waiters[str(number), "CreateInstance"] = [sharing.Waiter(("", ""), interval, 0.0, future)]

    assert watch.interval == expected


async def test_a_connection_that_this_process_has_never_seen_wakes_the_task_at_once(start_sandbox, caplog):
    (order,) = bought(start_sandbox(delivery_looks=1000))

    event, took = await woken(order, "only_in_the_database", seconds=600, poll_interval=300)

    assert took < 60
    assert event["order"] == {"order_id": order}
    assert len([record for record in caplog.records if "could not be read" in record.getMessage()]) <= 2


async def test_a_long_wait_logs_a_line_a_minute(start_sandbox, connect, caplog, monkeypatch):
    monkeypatch.setattr(sharing, "HEED_CLOCK_SECONDS", 0.2)
    caplog.set_level(logging.INFO)
    sandbox = start_sandbox(delivery_looks=1000)
    connect(host=sandbox.url)
    (order,) = bought(sandbox)

    await woken(order, seconds=1.5)

    assert f"Order {order} is open, or not listed yet; waiting until 20" in caplog.text
