"""The operator that buys defers, is woken, and is ended from outside."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from tests.conftest import PRICE, SECRET_KEY, context_of
from tests.support.instance_task import operator, waits


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, passing_time):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)


def deferred(task, context):
    with pytest.raises(TaskDeferred) as caught:
        task.execute(context)
    return caught.value


@waits
def test_it_looks_before_it_defers(connection, sandbox, context):
    sandbox.faults.add({"fault": "null-instances"})

    result = operator(deferrable=True).execute(context)

    assert result["instance_ids"] == sandbox.account.orders()[0].instance_ids


@waits
def test_it_defers_with_ids_only_and_a_timeout_beyond_its_own_deadline(start_sandbox, connect, context):
    sandbox = start_sandbox(delivery_looks=3)
    connect(host=sandbox.url)

    leaving = deferred(operator(deferrable=True, delivery_timeout=600, poll_interval=30), context)

    _, kwargs = leaving.trigger.serialize()
    assert set(kwargs) == {"order", "tcbilling_conn_id", "poll_interval", "deadline", "action", "placed_at"}
    assert set(kwargs["order"]) == {"order_id", "instance_ids", "client_token", "request_id", "paid_cents", "currency"}
    assert SECRET_KEY not in repr(kwargs)
    assert timedelta(seconds=600) < leaving.timeout <= timedelta(seconds=700)
    assert context["ti"].xcoms["order_id"] == sandbox.account.orders()[0].order_id


@waits
def test_a_resumed_task_needs_nothing_but_the_event(start_sandbox, connect, context):
    sandbox = start_sandbox(delivery_looks=1)
    connect(host=sandbox.url)
    trigger = deferred(operator(deferrable=True), context).trigger
    event = {"order": dict(trigger.order), "deadline": trigger.deadline}

    result = operator(deferrable=True).execute_complete(context_of(), event)

    (order,) = sandbox.account.orders()
    assert (result["order_id"], result["instance_ids"]) == (order.order_id, order.instance_ids)
    assert (result["client_token"], result["paid_cents"]) == (order.client_token, PRICE)
    assert sandbox.requests["CreateInstance"] == 1


@waits
def test_a_task_that_is_woken_too_early_waits_on_with_the_same_deadline(start_sandbox, connect, context):
    sandbox = start_sandbox(delivery_looks=9)
    connect(host=sandbox.url)
    trigger = deferred(operator(deferrable=True), context).trigger
    event = {"order": dict(trigger.order), "deadline": trigger.deadline}

    with pytest.raises(TaskDeferred) as caught:
        operator(deferrable=True).execute_complete(context_of(), event)

    assert caught.value.trigger.serialize() == trigger.serialize()


@waits
def test_a_resumed_task_raises_what_the_waiting_path_would_have_raised(start_sandbox, connect, context):
    sandbox = start_sandbox(delivery_looks=9)
    connect(host=sandbox.url)
    trigger = deferred(operator(deferrable=True), context).trigger

    with pytest.raises(AirflowFailException, match="was not carried out in time"):
        operator(deferrable=True).execute_complete(context_of(), {"order": dict(trigger.order), "deadline": 0})


def test_a_resumption_without_an_event_fails_in_words(context):
    with pytest.raises(AirflowFailException, match="without the trigger's event"):
        operator().execute_complete(context)


def test_without_xcom_nothing_is_pushed(connection, context):
    operator(do_xcom_push=False).execute(context)

    assert context["ti"].xcoms == {}


@waits
def test_killing_the_task_cancels_nothing_and_says_what_stays_billed(connection, sandbox, context, logged):
    task = operator()
    task.execute(context)

    task.on_kill()

    assert f"Order {sandbox.account.orders()[0].order_id} stays open" in logged()
    assert sandbox.requests["CreateInstance"] == 1
