"""DeliveryTrigger: one wake-up call, never a verdict, and never a purchase."""

from __future__ import annotations

import asyncio
import importlib
import itertools
import time

import pytest

from airflow_provider_tcbilling.triggers import base as waking
from airflow_provider_tcbilling.triggers.delivery import DeliveryTrigger
from tests.conftest import ORDER, SECRET_KEY, client_to

pytestmark = pytest.mark.usefixtures("waiting_only_reads")


@pytest.fixture(autouse=True)
def _no_first_pause(monkeypatch):
    monkeypatch.setattr(waking, "FIRST_QUERY_SECONDS", 0.01)


def trigger(order_id, **options):
    options = {"poll_interval": 0.01, "deadline": time.time() + 30, "tcbilling_conn_id": "tcbilling_default", **options}
    return DeliveryTrigger({"order_id": order_id, "request_id": "r"}, **options)


async def events_of(trigger):
    return [event.payload async for event in trigger.run()]


async def test_it_wakes_the_task_once_when_the_order_is_delivered(start_sandbox, connect):
    sandbox = start_sandbox(delivery_looks=3)
    connect(host=sandbox.url)
    order = client_to(sandbox).create_instance(client_token="t", **ORDER)

    (event,) = await events_of(waiting := trigger(order.order_id))

    assert event["order"] == {"order_id": order.order_id, "request_id": "r"}
    assert event["deadline"] == waiting.deadline
    assert sandbox.account.orders()[0].instance_ids
    assert sandbox.requests["CreateInstance"] == 1
    assert SECRET_KEY not in repr(event)


@pytest.mark.parametrize("status", [5, 6, 7])
async def test_it_wakes_the_task_when_the_order_has_died(connection, sandbox, status):
    sandbox.faults.add({"fault": "order-status", "status": status})
    order = client_to(sandbox).create_instance(client_token="t", **ORDER)

    assert len(await events_of(trigger(order.order_id))) == 1


async def test_it_wakes_the_task_at_the_deadline(start_sandbox, connect):
    sandbox = start_sandbox(delivery_looks=1000)
    connect(host=sandbox.url)
    order = client_to(sandbox).create_instance(client_token="t", **ORDER)

    assert len(await events_of(trigger(order.order_id, deadline=time.time() + 0.2, poll_interval=60))) == 1


async def test_it_wakes_the_task_when_it_cannot_look(connect):
    connect(login="")

    assert len(await events_of(trigger("1"))) == 1


async def test_it_goes_on_through_a_passing_failure(connection, sandbox):
    order = client_to(sandbox).create_instance(client_token="t", **ORDER)
    sandbox.faults.add({"fault": "error", "code": "InvalidParameter", "when": "before"})
    sandbox.faults.clear()
    sandbox.faults.add({"fault": "html"})

    assert len(await events_of(trigger(order.order_id))) == 1


async def test_a_slow_answer_does_not_block_the_loop_of_the_other_triggers(connection, sandbox):
    sandbox.faults.add({"fault": "delay", "seconds": 0.5, "times": None})
    ticks = []

    async def tick():
        while True:
            ticks.append(time.monotonic())
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    order_id = "20260101000000000000811"
    await events_of(trigger(order_id, deadline=time.time() + 0.5))
    ticks.append(time.monotonic())
    ticking.cancel()

    assert max(b - a for a, b in itertools.pairwise(ticks)) < 0.4


def test_it_is_rebuilt_from_what_it_stores():
    path, kwargs = trigger("1").serialize()
    module, _, name = path.rpartition(".")

    assert getattr(importlib.import_module(module), name)(**kwargs).serialize() == (path, kwargs)


async def test_being_killed_or_moved_touches_nothing(connection, sandbox):
    await trigger("1").on_kill()

    assert sandbox.requests == {}


def test_its_first_look_comes_after_ten_seconds():
    assert importlib.reload(waking).FIRST_QUERY_SECONDS >= 10
