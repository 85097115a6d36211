"""A wait on a worker outlives its keys too; one that cannot go on says what to correct, and the order stays paid."""

from __future__ import annotations

import time

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout, TaskDeferred

from airflow_provider_tcbilling.api.sts_codes import remedy_of
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator
from airflow_provider_tcbilling.sandbox.faults import PLACING_ORDERS
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from airflow_provider_tcbilling.waiting.patience import PAUSE_SECONDS, REFUSALS
from tests.conftest import ORDER, client_to
from tests.support.account import PRODUCT
from tests.support.renewals import subscribed
from tests.support.sources import SERVED, source

__all__ = ["source"]
pytestmark = pytest.mark.usefixtures("passing_time")

QUERIES, EXPIRED = "DescribeDealsByCond", "AuthFailure.TokenFailure"
MODES = [{"mode": "poke"}, {"deferrable": True}]


def bought(sandbox):
    return client_to(sandbox).create_instance(client_token="t", **ORDER).order_id


def sensor(order_id, **arguments):
    options = {"poke_interval": 60, "timeout": 3600, "deferrable": False, **arguments}
    return InstanceDeliverySensor(task_id="wait", order_id=order_id, **options)


def outcomes(sandbox, action=QUERIES):
    return [entry.outcome for entry in sandbox.journal if entry.action == action]


def at_each_sleep(monkeypatch, act):
    """Do something each time a task sleeps."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: (sleep(seconds), act(seconds)))


@pytest.mark.parametrize("name", SERVED)
def test_a_source_that_is_away_for_minutes_ends_no_poke(start_sandbox, source, context, name):
    sandbox = start_sandbox(delivery_looks=2)
    order_id = bought(sandbox)
    source(name, sandbox)
    sandbox.faults.add({"fault": "http", "status": 500, "action": SERVED[name], "times": 20})

    result = sensor(order_id).execute(context)

    assert result["order_id"] == order_id
    assert set(outcomes(sandbox)) == {"ok"}


def test_a_source_that_is_away_until_the_timeout_is_a_time_out_that_names_the_reason(start_sandbox, source, context):
    sandbox = start_sandbox(delivery_looks=2)
    order_id = bought(sandbox)
    source("role", sandbox)
    sandbox.faults.add({"fault": "http", "status": 500, "action": "AssumeRole", "times": None})

    with pytest.raises(AirflowSensorTimeout) as ended:
        sensor(order_id, poke_interval=0.01, timeout=1).execute(context)

    assert f"Order {order_id} was not carried out in time" in str(ended.value)
    assert "nothing was cancelled" in str(ended.value)
    assert "STS gave no usable answer" in str(ended.value)
    assert QUERIES not in sandbox.requests


def test_an_operator_that_waits_while_its_source_is_away_ends_with_the_reason_at_its_deadline(
    start_sandbox, source, context
):
    sandbox = start_sandbox(delivery_looks=10**6)
    source("role", sandbox)
    sandbox.faults.add({"fault": "null-instances"})
    task = CreateInstanceOperator(task_id="buy", **ORDER, deferrable=False, poll_interval=60, delivery_timeout=3600)
    place = task._placed

    def placed(run, order):
        sandbox.keys.expire()
        sandbox.faults.add({"fault": "http", "status": 500, "action": "AssumeRole", "times": None})
        return place(run, order)

    task._placed = placed

    with pytest.raises(AirflowFailException) as ended:
        task.execute(context)

    order_id = sandbox.account.orders()[0].order_id
    assert order_id in str(ended.value)
    assert "STS gave no usable answer" in str(ended.value)
    assert sandbox.requests["CreateInstance"] == 1


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_key_that_is_replaced_a_little_late_ends_no_wait(start_sandbox, source, context, monkeypatch, mode):
    sandbox = start_sandbox(delivery_looks=1)
    order_id = bought(sandbox)
    replaced = source("connection", sandbox)
    sandbox.keys.expire()
    slept = []
    at_each_sleep(monkeypatch, lambda seconds: (slept.append(seconds), len(slept) == 3 and replaced.replace_key()))

    try:
        assert sensor(order_id, **mode).execute(context)["order_id"] == order_id
    except TaskDeferred:
        assert "deferrable" in mode

    assert slept[:3] == [PAUSE_SECONDS] * 3
    assert outcomes(sandbox)[:5] == [EXPIRED] * 4 + ["ok"]


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("kind", ["delivery", "expiry"])
def test_a_role_that_is_gone_for_good_fails_the_wait_after_several_refusals_and_names_the_correction(
    start_sandbox, source, context, mode, kind
):
    sandbox = start_sandbox(delivery_looks=10**6)
    order_id = bought(sandbox)
    source("role", sandbox)
    sandbox.keys.roles = {}
    waiting = sensor(order_id, **mode)
    if kind == "expiry":
        waiting = InstanceExpirySensor(task_id="wait", within="P1D", **{"deferrable": False, **mode})

    with pytest.raises(AirflowFailException) as ended:
        waiting.execute(context)

    assert "ResourceNotFound.RoleNotFound" in str(ended.value)
    assert remedy_of("ResourceNotFound.RoleNotFound") in str(ended.value)
    assert sandbox.requests["AssumeRole"] == REFUSALS


def test_a_permanent_key_that_is_refused_fails_the_wait_at_once(start_sandbox, connect, context, passing_time):
    sandbox = start_sandbox()
    order_id = bought(sandbox)
    connect(host=sandbox.url, login="AKIDunknown")

    with pytest.raises(AirflowFailException, match="AuthFailure"):
        sensor(order_id).execute(context)

    assert len(outcomes(sandbox)) == 1
    assert passing_time.slept == 0


def test_a_missing_permission_of_a_role_fails_the_wait_at_once(start_sandbox, source, context, passing_time):
    sandbox = start_sandbox()
    order_id = bought(sandbox)
    source("role", sandbox)
    sandbox.faults.add(
        {"fault": "error", "code": "AuthFailure.UnauthorizedOperation", "times": None, "action": QUERIES}
    )

    with pytest.raises(AirflowFailException, match="UnauthorizedOperation"):
        sensor(order_id).execute(context)

    assert len(outcomes(sandbox)) == 1
    assert passing_time.slept == 0


PAYING = {
    "buy": (CreateInstanceOperator, lambda instance: ORDER),
    "renew": (RenewInstanceOperator, lambda instance: {**PRODUCT, "instance_id": instance}),
    "refund": (RefundInstanceOperator, lambda instance: {**PRODUCT, "instance_id": instance, "confirm": True}),
}


def paying(kind, sandbox, **options):
    operator, arguments = PAYING[kind]
    options = {"deferrable": False, "poll_interval": 60, "delivery_timeout": 36_000, **options}
    return operator(task_id=kind, **arguments(subscribed(sandbox)), **options)


@pytest.mark.parametrize("kind", PAYING)
@pytest.mark.parametrize("name", ["connection", *SERVED])
def test_a_worker_that_waits_for_an_order_outlives_its_keys_and_pays_once(
    start_sandbox, source, context, monkeypatch, name, kind
):
    sandbox = start_sandbox(delivery_looks=6)
    replaced = source(name, sandbox)

    def end_the_key(seconds):
        sandbox.keys.expire()
        if name == "connection":
            replaced.replace_key()

    at_each_sleep(monkeypatch, end_the_key)

    result = paying(kind, sandbox).execute(context)

    assert result["order_id"] in [order.order_id for order in sandbox.account.orders()]
    assert sum(sandbox.requests.get(action, 0) for action in PLACING_ORDERS) == 1
    assert outcomes(sandbox).count(EXPIRED) >= 4


@pytest.mark.parametrize("kind", PAYING)
def test_a_worker_that_waits_for_an_order_outlives_a_key_that_is_replaced_a_little_late(
    start_sandbox, source, context, monkeypatch, kind
):
    sandbox = start_sandbox(delivery_looks=3)
    replaced = source("connection", sandbox)
    pauses = []

    def end_the_key(seconds):
        if seconds != PAUSE_SECONDS:
            sandbox.keys.expire()
            return
        pauses.append(seconds)
        if len(pauses) % 2 == 0:
            replaced.replace_key()

    at_each_sleep(monkeypatch, end_the_key)

    result = paying(kind, sandbox).execute(context)

    assert result["order_id"] in [order.order_id for order in sandbox.account.orders()]
    assert sum(sandbox.requests.get(action, 0) for action in PLACING_ORDERS) == 1
    assert len(pauses) >= 2


@pytest.mark.parametrize("kind", ["buy"])
def test_a_task_that_is_woken_because_its_role_is_gone_says_that_the_order_is_paid_and_what_to_correct(
    start_sandbox, source, context, tmp_path, kind
):
    sandbox = start_sandbox(delivery_looks=10**6)
    (folder := tmp_path / "ledger").mkdir()
    source("role", sandbox, ledger_uri=folder.as_uri(), order_book_lag=1)
    task = paying(kind, sandbox, deferrable=True)
    with pytest.raises(TaskDeferred) as leaving:
        task.execute(context)
    event = {**leaving.value.trigger.facts, "deadline": leaving.value.trigger.deadline}
    roles, sandbox.keys.roles = sandbox.keys.roles, {}
    sandbox.keys.expire()

    with pytest.raises(AirflowFailException) as ended:
        task.resume_execution(leaving.value.method_name, {"event": event}, context)

    message, order_id = str(ended.value), sandbox.account.orders()[-1].order_id
    assert order_id in message.splitlines()[0]
    assert "RoleNotFound" in message
    assert remedy_of("ResourceNotFound.RoleNotFound") in message
    sandbox.keys.roles = roles
    with pytest.raises(TaskDeferred):
        task.resume_execution(leaving.value.method_name, {"event": event}, context)
    assert sandbox.requests["CreateInstance"] == 1
