"""A deferred wait lasts longer than many keys: no task is woken for a key, and all tasks share each one."""

from __future__ import annotations

import asyncio
import time

import pytest

from airflow_provider_tcbilling.triggers import base as waking
from airflow_provider_tcbilling.triggers import waiting_client
from airflow_provider_tcbilling.triggers.delivery import DeliveryTrigger
from airflow_provider_tcbilling.triggers.expiry import ExpiryTrigger
from airflow_provider_tcbilling.triggers.shared_watch import SharedWatch
from airflow_provider_tcbilling.triggers.waiting_client import PATIENCE
from tests.conftest import ORDER, client_to
from tests.support.account import DAY
from tests.support.sources import SERVED, source

__all__ = ["source"]
pytestmark = pytest.mark.usefixtures("_no_first_pause")

LIFE, LIVES, KEYS = 7200, 6, 3

STEP = 3305
"""Twice that, a key has less than ten minutes left."""

QUERIES, INSTANCES = "DescribeDealsByCond", "DescribeRenewInstances"


@pytest.fixture
def _no_first_pause(monkeypatch):
    monkeypatch.setattr(waking, "FIRST_QUERY_SECONDS", 0.01)
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)


class Clock:
    """The clock of this machine and of the sandbox, which a test moves forward."""

    def __init__(self, patch):
        real, self.ahead = time.time, 0.0
        patch.setattr(time, "time", lambda: real() + self.ahead)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def bought(sandbox, count):
    client = client_to(sandbox)
    return [client.create_instance(client_token=f"{sandbox.url}-{n}", **ORDER).order_id for n in range(count)]


async def woken(trigger):
    (event,) = [event.payload async for event in trigger.run()]
    return event


def waits_for(orders, **options):
    """Wait for orders as the triggerer does."""
    options = {"poll_interval": 0.02, "placed_at": time.time(), "deadline": time.time() + 100 * DAY, **options}
    triggers = [DeliveryTrigger({"order_id": order}, "tcbilling_default", **options) for order in orders]
    return [asyncio.create_task(woken(trigger)) for trigger in triggers]


async def until(sandbox, action, more=1):
    """Wait until so many more requests of an action were answered."""
    wanted = sandbox.requests.get(action, 0) + more
    began_at = time.monotonic()
    while sandbox.requests.get(action, 0) < wanted:
        assert time.monotonic() < began_at + 60, f"{action} was not queried any more"
        await asyncio.sleep(0.01)


def outcomes(sandbox, action):
    """Return the outcomes of the requests that were answered."""
    return [entry.outcome for entry in sandbox.journal if entry.action == action and entry.outcome]


@pytest.mark.parametrize(("name", "count"), [("role", 1000), ("cvm_role", 5), ("tke_oidc", 5)])
async def test_a_wait_over_six_lives_of_a_key_takes_one_key_a_life_for_all_and_no_query_is_refused(
    start_sandbox, source, clock, name, count
):
    sandbox = start_sandbox(delivery_seconds=LIVES * LIFE, balance_cents=10**9, key_seconds=LIFE)
    orders = bought(sandbox, count)
    source(name, sandbox)
    waiting = waits_for(orders)

    for _ in range(2 * LIVES):
        await until(sandbox, QUERIES, 2)
        assert not any(task.done() for task in waiting)
        clock.ahead += STEP
    await until(sandbox, QUERIES, 2)
    clock.ahead = LIVES * LIFE
    events = await asyncio.wait_for(asyncio.gather(*waiting), 120)

    assert [event["order"]["order_id"] for event in events] == orders
    assert "AuthFailure.TokenFailure" not in outcomes(sandbox, QUERIES)
    assert outcomes(sandbox, SERVED[name]).count("ok") == 1 + LIVES


@pytest.mark.parametrize("name", SERVED)
async def test_a_key_that_ends_early_on_the_servers_clock_costs_one_refused_query_and_wakes_nobody(
    start_sandbox, source, name
):
    sandbox = start_sandbox(delivery_looks=10**6)
    orders = bought(sandbox, 3)
    source(name, sandbox)
    waiting = waits_for(orders)

    for _ in range(KEYS):
        await until(sandbox, QUERIES, 4)
        sandbox.keys.expire()
    await until(sandbox, QUERIES, 4)

    assert not any(task.done() for task in waiting)
    assert sandbox.requests[SERVED[name]] == KEYS + 1
    assert outcomes(sandbox, QUERIES).count("AuthFailure.TokenFailure") == KEYS
    await stopped(waiting)


async def stopped(waiting):
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.parametrize("name", ["connection", "profile"])
async def test_a_key_that_something_else_replaces_is_read_again_and_wakes_nobody(start_sandbox, source, name):
    sandbox = start_sandbox(delivery_looks=10**6)
    orders = bought(sandbox, 1)
    replaced = source(name, sandbox)
    waiting = waits_for(orders)

    for _ in range(KEYS):
        await until(sandbox, QUERIES, 4)
        replaced.replace_key()
        for key in sandbox.keys.issued[:-1]:
            key.expires_at = 0
    await until(sandbox, QUERIES, 4)

    assert not any(task.done() for task in waiting)
    assert outcomes(sandbox, QUERIES).count("AuthFailure.TokenFailure") == KEYS
    await stopped(waiting)


async def test_a_key_that_is_replaced_in_time_is_used_before_the_old_one_ends(start_sandbox, source, monkeypatch):
    monkeypatch.setattr(waiting_client, "CONNECTION_SECONDS", 0.0)
    sandbox = start_sandbox(delivery_looks=10**6)
    orders = bought(sandbox, 2)
    replaced = source("connection", sandbox)
    waiting = waits_for(orders)

    for _ in range(KEYS):
        await until(sandbox, QUERIES, 3)
        replaced.replace_key()
        await until(sandbox, QUERIES, 4)
        sandbox.keys.issued[-2].expires_at = 0
    await until(sandbox, QUERIES, 3)

    assert not any(task.done() for task in waiting)
    assert set(outcomes(sandbox, QUERIES)) == {"ok"}
    await stopped(waiting)


async def test_a_secrets_backend_that_is_away_ends_no_wait_while_the_key_is_good(
    start_sandbox, source, monkeypatch, logged
):
    monkeypatch.setattr(waiting_client, "CONNECTION_SECONDS", 0.0)
    sandbox = start_sandbox(delivery_looks=10**6)
    orders = bought(sandbox, 2)
    source("connection", sandbox)
    waiting = waits_for(orders)
    await until(sandbox, QUERIES, 2)
    monkeypatch.delenv("AIRFLOW_CONN_TCBILLING_DEFAULT")

    await until(sandbox, QUERIES, 6 * PATIENCE)

    assert not any(task.done() for task in waiting)
    assert set(outcomes(sandbox, QUERIES)) == {"ok"}
    assert "Connection tcbilling_default could not be read again, so it is used as it was" in logged()
    await stopped(waiting)


@pytest.mark.parametrize("fault", [{"fault": "http", "status": 500}, {"fault": "drop"}, {"fault": "html"}], ids=str)
@pytest.mark.parametrize("name", SERVED)
async def test_a_source_that_fails_for_long_wakes_nobody_and_the_wait_goes_on(start_sandbox, source, name, fault):
    sandbox = start_sandbox(delivery_looks=10**6)
    orders = bought(sandbox, 2)
    source(name, sandbox)
    waiting = waits_for(orders)
    await until(sandbox, QUERIES, 2)
    sandbox.faults.add({**fault, "action": SERVED[name], "times": None})
    sandbox.keys.expire()

    await until(sandbox, SERVED[name], 6 * PATIENCE)
    assert not any(task.done() for task in waiting)
    sandbox.faults.clear()
    await until(sandbox, QUERIES, 4)

    assert not any(task.done() for task in waiting)
    assert outcomes(sandbox, QUERIES)[-3:] == ["ok"] * 3
    await stopped(waiting)


async def test_a_source_that_fails_until_the_deadline_wakes_the_task_at_the_deadline(start_sandbox, source):
    sandbox = start_sandbox(delivery_looks=10**6)
    orders = bought(sandbox, 2)
    sandbox.faults.add({"fault": "http", "status": 500, "action": "AssumeRole", "times": None})
    source("role", sandbox)

    waiting = waits_for(orders, deadline=time.time() + 1.0)
    events = await asyncio.wait_for(asyncio.gather(*waiting), 60)

    assert [event["order"]["order_id"] for event in events] == orders
    assert QUERIES not in sandbox.requests


async def test_a_role_that_is_gone_for_good_wakes_the_tasks_after_several_refusals(start_sandbox, source, logged):
    sandbox = start_sandbox(delivery_looks=10**6)
    orders = bought(sandbox, 2)
    source("role", sandbox)
    waiting = waits_for(orders)
    await until(sandbox, QUERIES, 2)
    before, sandbox.keys.roles = sandbox.requests["AssumeRole"], {}
    sandbox.keys.expire()

    await asyncio.wait_for(asyncio.gather(*waiting), 60)

    assert sandbox.requests["AssumeRole"] - before == PATIENCE
    assert "ResourceNotFound.RoleNotFound" in logged()


async def test_a_role_that_is_made_anew_meanwhile_wakes_nobody(start_sandbox, source, monkeypatch):
    monkeypatch.setattr(waiting_client, "PATIENCE", 12)
    sandbox = start_sandbox(delivery_looks=10**6)
    orders = bought(sandbox, 1)
    source("role", sandbox)
    waiting = waits_for(orders)
    roles = sandbox.keys.roles
    for _ in range(3):
        await until(sandbox, QUERIES, 4)
        sandbox.keys.roles = {}
        sandbox.keys.expire()
        await until(sandbox, "AssumeRole", 5)
        sandbox.keys.roles = roles
    await until(sandbox, QUERIES, 4)

    assert not any(task.done() for task in waiting)
    await stopped(waiting)


async def test_a_key_that_changes_starts_no_second_watch_and_asks_for_no_order_anew(start_sandbox, source, monkeypatch):
    monkeypatch.setattr(waiting_client, "CONNECTION_SECONDS", 0.0)
    sandbox = start_sandbox(delivery_looks=10**6)
    orders = bought(sandbox, 2)
    replaced = source("connection", sandbox)
    waiting = waits_for(orders)
    await until(sandbox, QUERIES, 6)
    watch = SharedWatch.of("tcbilling_default")
    awaited, running = dict(watch._orders._waiting), watch._task

    for _ in range(3):
        replaced.replace_key()
        await until(sandbox, QUERIES, 4)

    assert SharedWatch.of("tcbilling_default") is watch
    assert watch._task is running
    assert watch._orders._waiting == awaited
    await stopped(waiting)


async def expiring(sandbox, **options):
    sandbox.account.add_instance(expires_at=time.time() + 3 * DAY)
    question = {"within": DAY, "filters": {}}
    options = {"poll_interval": 0.02, "deadline": time.time() + 100 * DAY, **options}
    return asyncio.create_task(woken(ExpiryTrigger(question, "tcbilling_default", **options)))


@pytest.mark.parametrize("name", ["connection", *SERVED])
async def test_a_wait_for_an_expiry_outlives_its_keys_and_sees_the_expiry(start_sandbox, source, name):
    sandbox = start_sandbox()
    replaced = source(name, sandbox)
    waiting = await expiring(sandbox)

    for _ in range(KEYS):
        await until(sandbox, INSTANCES, 2)
        if name == "connection":
            replaced.replace_key()
        for key in sandbox.keys.issued[: -1 if name == "connection" else None]:
            key.expires_at = 0
    await until(sandbox, INSTANCES, 3)
    assert not waiting.done()
    sandbox.account.add_instance(expires_at=time.time() + 3600)
    await asyncio.wait_for(waiting, 60)

    assert outcomes(sandbox, INSTANCES)[-1] == "ok"
    assert outcomes(sandbox, INSTANCES).count("AuthFailure.TokenFailure") == KEYS


async def test_a_key_that_stays_refused_wakes_the_task_that_waits_for_an_expiry(start_sandbox, source, logged):
    sandbox = start_sandbox()
    source("connection", sandbox)
    waiting = await expiring(sandbox)
    await until(sandbox, INSTANCES, 2)
    sandbox.keys.expire()

    await asyncio.wait_for(waiting, 60)

    assert outcomes(sandbox, INSTANCES).count("AuthFailure.TokenFailure") == PATIENCE
    assert "Waiting for an expiry" in logged()
