"""An event wakes a task and decides nothing, and every error after an order was placed names that order."""

from __future__ import annotations

import time

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from airflow_provider_tcbilling.task.errors import no_retry_unless_transient
from airflow_provider_tcbilling.task.failure_message import WORDS, TaskEnd
from tests.conftest import ORDER, TaskState, client_to, context_of
from tests.support.account import DAY, PRODUCT

OF_ANOTHER = "20261128710000000099811"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, passing_time):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)


@pytest.fixture
def slow(start_sandbox, connect, tmp_path):
    """A sandbox that delivers late, and a ledger."""
    sandbox = start_sandbox(delivery_looks=2)
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})
    return sandbox


def buying(sandbox, **arguments):
    return CreateInstanceOperator(task_id="buy", **{**ORDER, "deferrable": True, **arguments})


def renewing(sandbox, **arguments):
    instance = sandbox.account.instances() or [sandbox.account.add_instance(expires_at=time.time() + 3 * DAY)]
    return RenewInstanceOperator(
        task_id="buy", **PRODUCT, instance_id=instance[0].instance_id, deferrable=True, **arguments
    )


def refunding(sandbox, **arguments):
    instance = sandbox.account.instances() or [sandbox.account.add_instance(expires_at=time.time() + 3 * DAY)]
    return RefundInstanceOperator(
        task_id="buy", **PRODUCT, instance_id=instance[0].instance_id, confirm=True, deferrable=True, **arguments
    )


def event_of(task, context):
    with pytest.raises(TaskDeferred) as leaving:
        task.execute(context)
    trigger = leaving.value.trigger
    return {**trigger.facts, "deadline": trigger.deadline}


def naming(event, order_id):
    return {**event, "order": {**event["order"], "order_id": order_id}}


@pytest.mark.parametrize("task_of", [buying, renewing, refunding])
def test_an_event_that_names_another_order_than_the_record_fails_with_both_numbers(slow, context, task_of):
    event = event_of(task_of(slow), context)
    own = context["ti"].xcoms["order_id"]
    context["ti"].xcoms.clear()
    sent = dict(slow.requests)

    with pytest.raises(
        AirflowFailException, match=f"for order {OF_ANOTHER}, and its own order is {own}, as the record"
    ):
        task_of(slow).execute_complete(context, naming(event, OF_ANOTHER))

    assert slow.requests == sent


@pytest.mark.parametrize("task_of", [buying, renewing, refunding])
def test_without_a_record_the_task_s_own_xcom_decides(start_sandbox, connect, context, task_of):
    sandbox = start_sandbox(delivery_looks=1)
    connect(host=sandbox.url)
    event = event_of(task_of(sandbox), context)
    own = context["ti"].xcoms["order_id"]

    with pytest.raises(AirflowFailException, match=f"order {OF_ANOTHER}, and its own order is {own}, as its own XCom"):
        task_of(sandbox).execute_complete(context, naming(event, OF_ANOTHER))

    assert task_of(sandbox).execute_complete(context, event)["order_id"] == own


def test_what_the_event_says_beside_the_number_counts_for_nothing_where_there_is_a_record(slow, context):
    event = event_of(buying(slow), context)
    forged = {**event["order"], "instance_ids": ["ins-forged"], "client_token": "forged", "paid_cents": 1}

    result, deadlines = None, []
    for _ in range(5):
        try:
            result = buying(slow).execute_complete(context, {**event, "order": forged, "deadline": float("inf")})
            break
        except TaskDeferred as again:
            deadlines.append(again.trigger.deadline - time.time())

    (order,) = slow.account.orders()
    assert max(deadlines) <= 3600
    assert (result["instance_ids"], result["client_token"]) == (order.instance_ids, order.client_token)


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        [],
        "woken",
        {"order": None, "deadline": 1.0},
        {"order": {"order_id": 7}, "deadline": 1.0},
        {"order": {"order_id": "2026"}},
        {"order": {"order_id": "2026"}, "deadline": "soon"},
        {"order": {"order_id": "2026"}, "deadline": float("nan")},
    ],
)
def test_an_event_that_cannot_be_read_fails_in_words_that_name_the_order(slow, context, event):
    event_of(buying(slow), context)
    own = context["ti"].xcoms["order_id"]
    if event and "order" in event and (event["order"] or {}).get("order_id") == "2026":
        event = naming(event, own)

    with pytest.raises(
        AirflowFailException, match=rf"^Paid: an amount .*order {own}\.\n(.|\n)*without the trigger's event"
    ):
        buying(slow).execute_complete(context, event)


def test_a_record_that_cannot_be_read_leaves_the_xcom_to_decide(slow, connect, context):
    event = event_of(buying(slow), context)
    connect(host=slow.url, extra={"ledger_uri": "nosuchscheme://bucket/purchases"})

    with pytest.raises(AirflowFailException, match="as its own XCom says"):
        buying(slow).execute_complete(context, naming(event, OF_ANOTHER))


def test_the_order_of_a_person_s_decision_is_the_one_that_counts(slow, context):
    state = TaskState()
    event = event_of(buying(slow), context_of(state=state))
    own = slow.account.orders()[0].order_id

    with pytest.raises(AirflowFailException, match=f"its own order is {own}, as the record says"):
        buying(slow).execute_complete(context_of(state=state), naming(event, OF_ANOTHER))


# Sensors


def test_a_sensor_that_is_woken_for_another_order_than_its_own_fails(slow):
    order_id = client_to(slow).create_instance(client_token="t", **ORDER).order_id
    task = InstanceDeliverySensor(task_id="wait", order_id=order_id, deferrable=True)
    event = event_of(task, {})

    with pytest.raises(
        AirflowFailException, match=f"order {OF_ANOTHER}, and its own order is {order_id}, as its own arg"
    ):
        task.execute_complete({}, naming(event, OF_ANOTHER))
    with pytest.raises(TaskDeferred) as again:
        task.execute_complete({}, {**event, "deadline": float("inf")})
    assert again.value.trigger.deadline <= time.time() + task.timeout


def test_a_sensor_that_is_woken_for_another_instance_than_its_own_fails(slow):
    instance = slow.account.add_instance(expires_at=time.time() + 3 * DAY).instance_id
    task = InstanceExpirySensor(
        task_id="wait", instance_id=instance, expires_after="2099-01-01 00:00:00", deferrable=True
    )
    event = event_of(task, {})

    with pytest.raises(AirflowFailException, match=f"instance ins-another, and its own instance is {instance}"):
        task.execute_complete({}, {**event, "question": {**event["question"], "instance_id": "ins-another"}})
    with pytest.raises(TaskDeferred):
        task.execute_complete({}, event)


# Every error names the order


CODES = ["AuthFailure.SignatureFailure", "UnauthorizedOperation", "InvalidParameter", "FailedOperation.New"]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("task_of", [buying, renewing, refunding])
def test_a_key_that_may_not_read_the_order_book_fails_with_the_order_s_number(slow, context, task_of, code):
    event = event_of(task_of(slow), context)
    own = context["ti"].xcoms["order_id"]
    slow.faults.add({"fault": "error", "code": code, "action": "DescribeDealsByCond", "times": None})

    with pytest.raises(AirflowFailException, match=rf"^(Paid|Refund placed): .*order {own}\.\n") as failed:
        task_of(slow).execute_complete(context, event)
    assert "then clear the task: it waits on for this order, and buys nothing." in str(failed.value)


def test_the_first_look_of_a_key_that_may_only_buy_names_the_order_too(slow, context):
    slow.faults.add({"fault": "error", "code": "UnauthorizedOperation", "action": "DescribeDealsByCond"})

    with pytest.raises(AirflowFailException) as failed:
        buying(slow).execute(context)

    assert str(failed.value).startswith("Paid: ")
    assert f"order {slow.account.orders()[0].order_id}.\n" in str(failed.value)


def test_a_connection_that_is_gone_by_then_does_not_claim_that_nothing_was_sent(slow, context, monkeypatch):
    event = event_of(buying(slow), context)
    monkeypatch.delenv("AIRFLOW_CONN_TCBILLING_DEFAULT")

    with pytest.raises(AirflowFailException) as failed:
        buying(slow).execute_complete(context, event)

    assert str(failed.value).startswith("Paid: ")
    assert f"order {context['ti'].xcoms['order_id']}.\n" in str(failed.value)
    assert "nothing was sent" not in str(failed.value).lower()


def test_a_sensor_names_the_order_that_it_waits_for(slow):
    order_id = client_to(slow).create_instance(client_token="t", **ORDER).order_id
    slow.faults.add({"fault": "error", "code": "UnauthorizedOperation", "action": "DescribeDealsByCond"})

    with pytest.raises(
        AirflowFailException, match=f"^Nothing was bought by this task. Order {order_id} stays as it is."
    ):
        InstanceDeliverySensor(task_id="wait", order_id=order_id).poke({})


def test_a_passing_error_keeps_its_class_and_names_the_order():
    with (
        pytest.raises(StoreFailed, match=r"order 2026\.\naway") as flown,
        no_retry_unless_transient(lambda: TaskEnd("c", words=WORDS["CreateInstance"], order_id="2026")),
    ):
        raise StoreFailed("away")
    assert (flown.value.transient, isinstance(flown.value, TcBillingError)) == (True, True)


def test_a_run_of_the_same_task_object_does_not_name_the_order_of_the_last_run(slow, context):
    task = buying(slow, deferrable=False, wait_for_delivery=False)
    task.execute(context)
    slow.faults.add({"fault": "error", "code": "FailedOperation.BalanceInsufficient", "when": "before"})

    with pytest.raises(AirflowFailException) as failed:
        task.execute(context_of(run_id="manual__2"))
    assert str(failed.value).startswith("Nothing was bought.\n")
