"""InstanceDeliverySensor in every mode: same result, same endings, and no wait for an order that cannot arrive."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_tcbilling.api.models import ENDINGS
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from tests.conftest import ORDER, PRICE, client_to

pytestmark = pytest.mark.usefixtures("waiting_only_reads")

MODES = [
    pytest.param({"mode": "poke"}, id="poke"),
    pytest.param({"deferrable": True}, id="deferrable"),
]


@pytest.fixture
def slow(start_sandbox, connect):
    """A sandbox that shows an order under way twice, and its connection."""
    sandbox = start_sandbox(delivery_looks=2)
    connect(host=sandbox.url)
    return sandbox


def bought(sandbox):
    return client_to(sandbox).create_instance(client_token="t", **ORDER).order_id


def sensor(order_id, **arguments):
    options = {"poke_interval": 0.01, "timeout": 30, "deferrable": False, **arguments}
    return InstanceDeliverySensor(task_id="wait", order_id=order_id, **options)


def resume(task, leaving, context, **changes):
    """Resume a deferred task as Airflow does."""
    event = {"order": dict(leaving.trigger.order), "deadline": leaving.trigger.deadline, **changes}
    return task.resume_execution(leaving.method_name, {"event": event}, context)


def run(task, context):
    """Run a sensor to its end, through as many deferrals as it wants."""
    try:
        return task.execute(context)
    except TaskDeferred as first:
        leaving = first
    for _ in range(20):
        try:
            return resume(task, leaving, context)
        except TaskDeferred as again:
            leaving = again
    raise AssertionError("it never ends")


@pytest.mark.parametrize("mode", MODES)
def test_delayed_instances_arrive(slow, context, mode):
    order_id = bought(slow)

    result = run(sensor(order_id, **mode), context)

    assert result == {
        "order_id": order_id,
        "instance_ids": slow.account.orders()[0].instance_ids,
        "client_token": None,
        "request_id": None,
        "paid_cents": PRICE,
        "currency": "USD",
    }
    assert slow.requests["CreateInstance"] == 1


def test_reschedule_mode_gives_the_worker_back_between_looks(slow, context):
    order_id = bought(slow)
    looks = [sensor(order_id, mode="reschedule").poke(context) for _ in range(3)]

    assert [look.is_done for look in looks] == [False, False, True]
    assert looks[-1].xcom_value["instance_ids"]


def test_it_looks_once_before_it_defers(connection, sandbox, context):
    order_id = bought(sandbox)

    assert sensor(order_id, deferrable=True).execute(context)["order_id"] == order_id


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", sorted(ENDINGS))
def test_an_order_that_died_ends_the_wait_at_once(start_sandbox, connect, context, mode, status):
    sandbox = start_sandbox(delivery_looks=1)
    connect(host=sandbox.url)
    sandbox.faults.add({"fault": "order-status", "status": int(status)})
    order_id = bought(sandbox)

    with pytest.raises(AirflowFailException, match="has failed"):
        run(sensor(order_id, timeout=3600, **mode), context)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("looks", [0, 1])
def test_soft_fail_skips_for_an_order_that_died(start_sandbox, connect, context, mode, looks):
    sandbox = start_sandbox(delivery_looks=looks)
    connect(host=sandbox.url)
    sandbox.faults.add({"fault": "order-status", "status": 7})
    order_id = bought(sandbox)

    with pytest.raises(AirflowSkipException):
        run(sensor(order_id, soft_fail=True, **mode), context)


def test_a_deferred_wait_that_takes_too_long_is_a_sensor_timeout(slow, context):
    task = sensor(bought(slow), deferrable=True)
    with pytest.raises(TaskDeferred) as leaving:
        task.execute(context)

    with pytest.raises(AirflowSensorTimeout, match="stays open"):
        resume(task, leaving.value, context, deadline=0)


def test_soft_fail_skips_for_a_deferred_timeout(slow, context):
    task = sensor(bought(slow), deferrable=True, soft_fail=True)
    with pytest.raises(TaskDeferred) as leaving:
        task.execute(context)

    with pytest.raises(AirflowSkipException):
        resume(task, leaving.value, context, deadline=0)


@pytest.mark.parametrize(("soft_fail", "raised"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)])
def test_a_poke_that_takes_too_long_is_a_sensor_timeout(start_sandbox, connect, context, soft_fail, raised):
    sandbox = start_sandbox(delivery_looks=1000)
    connect(host=sandbox.url)

    with pytest.raises(raised):
        sensor(bought(sandbox), timeout=0.05, soft_fail=soft_fail).execute(context)


@pytest.mark.parametrize("order_id", ["", " ", "None", None])
@pytest.mark.parametrize("mode", MODES)
def test_an_order_id_that_rendered_to_nothing_fails_at_once(connection, sandbox, context, order_id, mode):
    with pytest.raises(AirflowFailException, match="order_id: given, but its template rendered to"):
        sensor(order_id, **mode).execute(context)

    assert sandbox.requests == {}


def test_an_order_that_does_not_exist_is_waited_for_until_the_timeout(connection, context):
    with pytest.raises(AirflowSensorTimeout):
        sensor("20260101000000000000811", timeout=0.05).execute(context)


def test_the_deferral_holds_ids_only(slow, context):
    with pytest.raises(TaskDeferred) as leaving:
        sensor(bought(slow), deferrable=True, timeout=600).execute(context)

    _, kwargs = leaving.value.trigger.serialize()
    assert set(kwargs) == {"order", "tcbilling_conn_id", "poll_interval", "deadline", "action", "placed_at"}
    assert set(kwargs["order"]) == {"order_id"}
    assert leaving.value.timeout.total_seconds() > 600
