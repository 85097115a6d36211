"""One session of clients for each execution: whatever its end, no client stays open."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from airflow.providers.common.compat.sdk import AirflowException, TaskDeferred

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from airflow_provider_tcbilling.triggers import base
from airflow_provider_tcbilling.triggers.delivery import DeliveryTrigger
from airflow_provider_tcbilling.triggers.expiry import ExpiryTrigger
from airflow_provider_tcbilling.triggers.shared_watch import SharedWatch
from tests.conftest import ORDER, client_to, context_of
from tests.support.account import AUTO, DAY, PRODUCT


class Clients:
    """Counts the clients that were made, and knows which of them are open."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.made, self.open = 0, set()
        init, close = BillingClient.__init__, BillingClient.close

        def counted(client, *arguments, **options):
            init(client, *arguments, **options)
            self.made += 1
            self.open.add(client)

        def closed(client):
            close(client)
            self.open.discard(client)

        patch.setattr(BillingClient, "__init__", counted)
        patch.setattr(BillingClient, "close", closed)


@pytest.fixture
def world(request, start_sandbox, connect, monkeypatch, passing_time):
    """A sandbox that delivers after two queries, with an instance that expires soon and an order that is open."""
    sandbox = start_sandbox(delivery_looks=getattr(request, "param", 2))
    connect(host=sandbox.url)
    sandbox.instance_id = sandbox.account.add_instance(expires_at=time.time() + 3 * DAY).instance_id
    sandbox.order_id = client_to(sandbox).create_instance(client_token="another", **ORDER).order_id
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)
    monkeypatch.setattr(base, "FIRST_QUERY_SECONDS", 0.01)
    sandbox.clients = Clients(monkeypatch)
    return sandbox


without_delivery = pytest.mark.parametrize("world", [10_000], indirect=True, ids=["without delivery"])


def about(sandbox):
    return {**PRODUCT, "instance_id": sandbox.instance_id}


def setting(sandbox):
    named = {name: value for name, value in about(sandbox).items() if name != "sub_product_code"}
    return {**named, "renew_flag": AUTO}


TASKS = {
    "buy": (CreateInstanceOperator, lambda sandbox: ORDER, 2),
    "buy and leave": (CreateInstanceOperator, lambda sandbox: {**ORDER, "wait_for_delivery": False}, 1),
    "renew": (RenewInstanceOperator, about, 2),
    "refund": (RefundInstanceOperator, lambda sandbox: {**about(sandbox), "confirm": True}, 2),
    "plan a refund": (RefundInstanceOperator, lambda sandbox: {**about(sandbox), "dry_run": True}, 1),
    "set a renewal": (SetRenewalOperator, setting, 1),
    "list": (ExpiringInstancesOperator, lambda sandbox: {"within": "P14D"}, 1),
    "wait for an order": (
        InstanceDeliverySensor,
        lambda sandbox: {"order_id": sandbox.order_id, "poke_interval": 1},
        3,
    ),
    "wait for an expiry": (InstanceExpirySensor, lambda sandbox: {"within": "P14D"}, 1),
}
"""A class, its arguments, and how many clients one execution makes; a sensor on a worker makes one for each query."""

DEFERRING = [name for name in TASKS if name not in ("buy and leave", "plan a refund", "set a renewal", "list")]


def task_of(name, sandbox, **more):
    kind, arguments, _ = TASKS[name]
    return kind(task_id="task", **{**arguments(sandbox), **more})


@pytest.mark.parametrize("name", TASKS)
def test_an_execution_that_succeeds_leaves_no_client_open(world, name):
    can_defer = {"deferrable": False} if name in DEFERRING else {}

    task_of(name, world, **can_defer).execute(context_of())

    assert (world.clients.made, world.clients.open) == (TASKS[name][2], set())


@pytest.mark.parametrize("name", TASKS)
def test_an_execution_that_fails_leaves_no_client_open(world, name):
    world.faults.add({"fault": "error", "code": "AuthFailure.SignatureFailure", "when": "before", "times": None})

    with pytest.raises(AirflowException):
        task_of(name, world).execute(context_of())

    assert world.clients.made
    assert world.clients.open == set()


@without_delivery
@pytest.mark.parametrize("name", [name for name in DEFERRING if name != "wait for an expiry"])
def test_an_execution_that_defers_leaves_no_client_open_nor_does_the_one_that_resumes(world, name):
    task = task_of(name, world, deferrable=True)
    with pytest.raises(TaskDeferred) as leaving:
        task.execute(context_of())
    assert world.clients.made
    assert world.clients.open == set()

    event = {**leaving.value.trigger.facts, "deadline": leaving.value.trigger.deadline}
    with pytest.raises(TaskDeferred):
        task.resume_execution(leaving.value.method_name, {"event": event}, context_of())

    assert world.clients.open == set()


def test_a_task_that_airflow_only_resumes_to_fail_leaves_no_client_open(world):
    with pytest.raises(Exception, match="Airflow ended the wait"):
        task_of("buy", world).resume_execution("__fail__", {"error": "Trigger timeout"}, context_of())

    assert world.clients.open == set()


def test_the_hook_closes_what_it_opens(world):
    assert TcBillingHook().expiring_instances("P14D")
    assert TcBillingHook().test_connection()[0]

    assert (world.clients.made, world.clients.open) == (2, set())


def test_a_client_that_is_not_needed_is_not_made_and_each_is_made_once(world):
    with TcBillingHook().session() as tencent:
        assert world.clients.made == 0
        assert tencent.buying is tencent.buying is not tencent.waiting
        assert world.clients.open == {tencent.buying, tencent.waiting}

    assert (world.clients.made, world.clients.open) == (2, set())


def waiting_for(sandbox, **options):
    options = {"poll_interval": 0.05, "deadline": time.time() + 60, **options}
    return DeliveryTrigger({"order_id": sandbox.order_id}, "tcbilling_default", **options)


async def ended(trigger):
    return [event async for event in trigger.run()]


@without_delivery
async def test_the_shared_client_is_closed_when_the_last_waiting_task_has_left(world):
    waiting = [asyncio.create_task(ended(waiting_for(world))) for _ in range(3)]
    while not SharedWatch.of("tcbilling_default")._requests:
        await asyncio.sleep(0.01)
    for task in waiting[:2]:
        task.cancel()
    await asyncio.gather(*waiting[:2], return_exceptions=True)
    assert len(world.clients.open) == 1

    waiting[2].cancel()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert (world.clients.made, world.clients.open) == (1, set())


@without_delivery
async def test_a_client_of_a_key_that_was_changed_is_closed(world, connect, monkeypatch):
    monkeypatch.setattr("airflow_provider_tcbilling.triggers.waiting_client.CONNECTION_SECONDS", 0.0)
    waiting = asyncio.create_task(ended(waiting_for(world)))
    while not SharedWatch.of("tcbilling_default")._requests:
        await asyncio.sleep(0.01)
    connect(host=world.url, extra={"read_timeout": 50})
    while world.clients.made < 2:
        await asyncio.sleep(0.01)

    assert len(world.clients.open) == 1
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert world.clients.open == set()


@pytest.mark.parametrize("within", [3600.0, 14 * DAY], ids=["until the deadline", "until something expires"])
async def test_the_trigger_of_an_expiry_closes_its_client(world, within):
    trigger = ExpiryTrigger({"within": within, "filters": {}}, "tcbilling_default", 0.05, time.time() + 2e-5)

    assert await ended(trigger)

    assert (world.clients.made, world.clients.open) == (1, set())


async def test_a_query_that_outlives_its_wait_ends_before_its_client_is_closed_for_the_last_time(world):
    """A cancelled wait leaves its query to its thread, which may open the connections again."""
    begun, go_on, closed = threading.Event(), threading.Event(), asyncio.Event()
    client = TcBillingHook().get_conn()

    def query():
        begun.set()
        go_on.wait(30)
        world.clients.open.add(client)
        raise OSError("which nobody reads")

    real = client.close
    client.close = lambda: (real(), closed.set())
    waiting = asyncio.create_task(base.in_thread(client, query))
    await asyncio.to_thread(begun.wait, 30)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not closed.is_set()

    go_on.set()
    await asyncio.wait_for(closed.wait(), 30)

    assert world.clients.open == set()
