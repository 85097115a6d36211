"""CreateInstanceOperator: one purchase whatever Airflow does, and the order known before anything can fail."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
import time
from datetime import datetime, timedelta, timezone
from importlib import import_module
from importlib.util import find_spec

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_provider_tcbilling.api.errors import OutcomeUnknown, Unreachable
from airflow_provider_tcbilling.api.models import ENDINGS
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, PRICE, SECRET_KEY, TaskState, context_of
from tests.support.crash import dying_at, dying_before_the_answer_is_read, dying_in

PACKAGE = "airflow_provider_tcbilling"

HAS_TASK_STATE = find_spec("airflow.sdk") is not None and hasattr(import_module("airflow.sdk"), "NEVER_EXPIRE")
needs_task_state = pytest.mark.skipif(not HAS_TASK_STATE, reason="the task state store came with Airflow 3.3")

waits = pytest.mark.usefixtures("waiting_only_reads")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, passing_time):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)


def operator(**arguments):
    return CreateInstanceOperator(task_id="buy", **{**ORDER, "deferrable": False, **arguments})


def spent(sandbox):
    return sandbox.options.balance_cents - sandbox.account.balance_cents


def test_it_buys_and_returns_the_order(connection, sandbox, context):
    result = operator().execute(context)

    (order,) = sandbox.account.orders()
    assert result == {
        "order_id": order.order_id,
        "instance_ids": order.instance_ids,
        "client_token": order.client_token,
        "request_id": sandbox.journal[0].request_id,
        "paid_cents": PRICE,
        "currency": "USD",
    }
    assert context["ti"].xcoms == {"order_id": order.order_id, "console_link": f"{sandbox.url}/#{order.order_id}"}


@waits
def test_it_waits_for_delayed_instances(start_sandbox, connect, context):
    sandbox = start_sandbox(delivery_looks=3)
    connect(host=sandbox.url)

    result = operator().execute(context)

    assert result["instance_ids"] == sandbox.account.orders()[0].instance_ids != []
    assert (result["paid_cents"], result["currency"]) == (PRICE, "USD")
    assert sandbox.requests["CreateInstance"] == 1


def test_it_need_not_wait(start_sandbox, connect, context):
    sandbox = start_sandbox(delivery_looks=3)
    connect(host=sandbox.url)

    result = operator(wait_for_delivery=False).execute(context)

    assert result["instance_ids"] == []
    assert sandbox.requests == {"CreateInstance": 1}


@pytest.mark.parametrize(
    "again",
    [
        pytest.param({}, id="the attempt runs twice"),
        pytest.param({"poll_interval": 5}, id="the DAG was edited where it does not matter"),
    ],
)
def test_another_run_of_the_same_attempt_buys_nothing(connection, sandbox, again):
    first = operator().execute(context_of())
    second = operator(**again).execute(context_of())

    assert first["order_id"] == second["order_id"]
    assert spent(sandbox) == PRICE


def test_a_retry_after_a_lost_answer_buys_nothing(connection, sandbox):
    sandbox.faults.add({"fault": "drop", "times": None})
    with pytest.raises(OutcomeUnknown):
        operator().execute(context_of())
    sandbox.faults.clear()

    result = operator().execute(context_of())

    assert result["order_id"] == sandbox.account.orders()[0].order_id
    assert spent(sandbox) == PRICE


@pytest.mark.parametrize(
    ("place", "bought"),
    [
        pytest.param(lambda: dying_at("sending"), 0, id="before it sends"),
        pytest.param(dying_before_the_answer_is_read, 1, id="sent, the answer not read"),
        pytest.param(lambda: dying_in(f"{PACKAGE}.api.models.Order.from_wire"), 1, id="answered, not understood"),
        pytest.param(lambda: dying_at("answered"), 1, id="understood, not recorded"),
        pytest.param(lambda: dying_in("tests.conftest.TaskInstance.xcom_push"), 1, id="recorded, not announced"),
        pytest.param(lambda: dying_in(f"{PACKAGE}.waiting.delivery.DeliveryWatch.step"), 1, id="while waiting"),
        pytest.param(lambda: dying_in(f"{PACKAGE}.triggers.base.deferral"), 1, id="while deferring"),
    ],
)
def test_wherever_the_process_dies_the_next_attempt_knows_the_one_order(start_sandbox, connect, place, bought):
    sandbox = start_sandbox(delivery_looks=2)
    connect(host=sandbox.url)
    with place():
        operator(deferrable=True).execute(context_of())
    assert len(sandbox.account.orders()) == bought

    result = operator().execute(context_of())

    assert [order.order_id for order in sandbox.account.orders()] == [result["order_id"]]
    assert spent(sandbox) == PRICE


def test_another_dag_run_another_task_and_another_map_index_are_other_purchases(connection, sandbox):
    for context in (
        context_of(),
        context_of(run_id="manual__2"),
        context_of(task_id="other"),
        context_of(map_index=0),
        context_of(map_index=1),
    ):
        operator().execute(context)

    assert spent(sandbox) == 5 * PRICE


def test_a_purchase_key_is_one_purchase_in_all_runs_and_places(connection, sandbox):
    for context in (context_of(), context_of(run_id="manual__2"), context_of(map_index=3)):
        operator(purchase_key="edge-firewall-2026-12").execute(context)
    operator(purchase_key=" edge-firewall-2026-12\n").execute(context_of())

    assert spent(sandbox) == PRICE


def test_a_client_token_is_sent_as_it_is(connection, sandbox, context):
    operator(client_token="my-own-token").execute(context)

    assert sandbox.account.orders()[0].client_token == "my-own-token"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"product_code": ""}, "product_code: missing"),
        ({"period": "0"}, "period: 0 is below"),
        ({"period": 37}, "period: 37 is above"),
        ({"period": "2.5"}, "period: '2.5' is not a whole number"),
        ({"period": True}, "period: True is not a whole number"),
        ({"period_unit": "d"}, "period_unit: 'd'"),
        ({"renew_flag": "SOMETIMES"}, "renew_flag: 'SOMETIMES'"),
        ({"pay_mode": "PostPay"}, "pay_mode: 'PostPay'"),
        ({"quantity": 0}, "quantity: 0"),
        ({"client_token": "x" * 65}, "client_token: 65 characters"),
        ({"client_token": "ключ"}, "outside ASCII"),
        ({"parameter": "nonsense"}, "parameter: not JSON"),
        ({"parameter": "[]"}, "parameter: JSON, but not an object"),
        ({"parameter": {"goodsNum": 2}}, "its goodsNum is 2, but quantity is 1"),
        ({"purchase_key": ""}, "purchase_key: given, but its template rendered to ''"),
        ({"purchase_key": "None"}, "purchase_key: given, but its template rendered to 'None'"),
        ({"client_token": "None"}, "client_token: given, but its template rendered to 'None'"),
        ({"client_token": "a", "purchase_key": "b"}, "purchase_key: excludes client_token"),
    ],
)
def test_bad_input_fails_the_task_for_good_and_nothing_is_sent(connection, sandbox, context, arguments, words):
    with pytest.raises(AirflowFailException) as caught:
        operator(**arguments).execute(context)

    assert words in str(caught.value)
    assert "nothing was sent" in str(caught.value)
    assert sandbox.requests == {}


def test_all_mistakes_of_a_task_are_said_at_once(connection, context):
    with pytest.raises(AirflowFailException) as caught:
        operator(period=99, quantity="many", purchase_key="", zone_code="None", parameter={"pid": 1}).execute(context)

    assert str(caught.value).count("\n  - ") == 4


def test_an_unknown_connection_fails_the_task_for_good(context):
    with pytest.raises(AirflowFailException, match=r"^Nothing was bought\.\n(.|\n)*nowhere"):
        operator(tcbilling_conn_id="nowhere").execute(context)


def test_a_broken_connection_fails_the_task_for_good(connect, context):
    connect(host="evil.example")

    with pytest.raises(AirflowFailException, match="is not under"):
        operator().execute(context)


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        ({"fault": "error", "code": "FailedOperation.BalanceInsufficient"}, AirflowFailException),
        ({"fault": "error", "code": "AuthFailure.UnauthorizedOperation"}, AirflowFailException),
        ({"fault": "error", "code": "FailedOperation.SomethingNew"}, AirflowFailException),
        ({"fault": "error", "code": "InternalError"}, Exception),
        ({"fault": "html"}, OutcomeUnknown),
    ],
)
def test_only_what_another_try_can_help_is_retried(connection, sandbox, context, fault, raised):
    sandbox.faults.add({**fault, "when": "before", "times": None})

    with pytest.raises(raised) as caught:
        operator().execute(context)

    assert isinstance(caught.value, AirflowFailException) is (raised is AirflowFailException)


def test_a_code_that_nobody_described_says_to_look_first(connection, sandbox, context):
    sandbox.faults.add({"fault": "error", "code": "FailedOperation.SomethingNew", "when": "before"})

    with pytest.raises(
        AirflowFailException, match=r"^Perhaps paid, (.|\n)*Next: From .* on, look at the orders in every status"
    ):
        operator().execute(context)

    assert sandbox.requests["CreateInstance"] == 1


def test_nobody_there_is_worth_a_retry(connect, context):
    connect(host="http://127.0.0.1:9")

    with pytest.raises(Unreachable):
        operator().execute(context)


@waits
@pytest.mark.parametrize("status", sorted(ENDINGS))
@pytest.mark.parametrize("deferrable", [False, True])
def test_an_order_that_died_fails_the_task_for_good_and_is_kept(start_sandbox, connect, context, status, deferrable):
    sandbox = start_sandbox()
    connect(host=sandbox.url)
    sandbox.faults.add({"fault": "order-status", "status": int(status)})

    with pytest.raises(AirflowFailException, match="has failed"):
        operator(deferrable=deferrable).execute(context)

    assert context["ti"].xcoms["order_id"] == sandbox.account.orders()[0].order_id
    assert set(sandbox.requests) == {"CreateInstance", "DescribeDealsByCond"}


@waits
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_delivery_that_takes_too_long_fails_for_good_so_that_no_retry_sends_an_old_token(
    start_sandbox, connect, context, deferrable
):
    sandbox = start_sandbox(delivery_looks=8)
    connect(host=sandbox.url)

    with pytest.raises(
        AirflowFailException,
        match=r"^Paid: 100.00 USD, order (.|\n)*stays open(.|\n)*Next: Clear the task: it waits on",
    ):
        operator(delivery_timeout=0.000001, deferrable=deferrable).execute(context)

    assert spent(sandbox) == PRICE


def test_a_quantity_that_rendered_to_blanks_is_not_given(connection, sandbox, context):
    assert operator(quantity=" ", period="\n1").execute(context)["instance_ids"]
    assert spent(sandbox) == PRICE


@waits
def test_fewer_instances_than_wanted_are_looked_up_in_the_order_book(connection, sandbox, context):
    sandbox.faults.add({"fault": "answer", "response": {"InstanceIdList": ["ins-early"]}})

    result = operator(quantity="2").execute(context)

    assert result["instance_ids"] == ["ins-early", *sandbox.account.orders()[0].instance_ids]


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


@waits
def test_the_order_is_announced_before_anything_else_can_fail(start_sandbox, connect, context, logged):
    sandbox = start_sandbox(delivery_looks=1)
    connect(host=sandbox.url)
    sandbox.faults.add({"fault": "error", "code": "AuthFailure.SignatureFailure", "action": "DescribeDealsByCond"})

    with pytest.raises(AirflowFailException):
        operator().execute(context)

    order_id = sandbox.account.orders()[0].order_id
    assert context["ti"].xcoms["order_id"] == order_id
    assert f"Placed: order {order_id}" in logged()


@needs_task_state
def test_a_server_that_forgets_tokens_sells_once_where_the_purchase_is_recorded(start_sandbox, connect):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url)
    state = TaskState()

    for try_number in (1, 2):
        operator().execute(context_of(try_number=try_number, state=state))

    assert spent(sandbox) == PRICE
    assert json.loads(state.stored["tcbilling_purchase"])["state"] == "delivered"


def test_a_ledger_remembers_a_purchase_key_in_all_runs(start_sandbox, connect, tmp_path):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url, extra={"ledger_uri": f"file://{tmp_path}"})

    for run_id in ("manual__1", "manual__2"):
        operator(purchase_key="edge").execute(context_of(run_id=run_id))

    assert spent(sandbox) == PRICE
    (record,) = tmp_path.iterdir()
    assert json.loads(record.read_text())["placed_by"]["run_id"] == "manual__1"


def test_a_ledger_that_cannot_be_written_lets_nothing_be_sent(connect, sandbox, tmp_path, context):
    connect(host=sandbox.url, extra={"ledger_uri": f"file://{tmp_path}/missing"})

    with pytest.raises(StoreFailed):
        operator().execute(context)

    assert sandbox.requests == {}


def test_a_ledger_that_cannot_be_opened_lets_nothing_be_sent(connect, sandbox, context):
    connect(host=sandbox.url, extra={"ledger_uri": "nosuchscheme://bucket/purchases"})

    with pytest.raises(StoreFailed, match="nothing was sent"):
        operator().execute(context)

    assert sandbox.requests == {}


@waits
def test_an_object_store_without_records_is_an_empty_ledger_and_a_folder_that_is_not_there_is_none(tmp_path):
    ledger = ObjectStore((tmp_path / "nothing").as_uri())
    with pytest.raises(StoreFailed, match="Is it mounted here"):
        list(ledger.all())

    ledger._is_local = False

    assert list(ledger.all()) == []


def test_a_ledger_that_breaks_during_the_wait_does_not_fail_a_delivered_task(connect, sandbox, logged):
    sandbox.faults.add({"fault": "null-instances"})
    connect(host=sandbox.url)
    order = operator(wait_for_delivery=False).execute(context_of())
    connect(host=sandbox.url, extra={"ledger_uri": "nosuchscheme://bucket/purchases"})

    result = operator().execute_complete(context_of(), {"order": order, "deadline": time.time() + 60})

    assert result["instance_ids"] == sandbox.account.orders()[0].instance_ids
    assert "was not recorded" in logged()


@needs_task_state
def test_an_edited_parameter_is_not_bought_by_a_clear(connection, sandbox):
    state = TaskState()
    operator().execute(context_of(state=state))

    with pytest.raises(AirflowFailException, match="its record says something else"):
        operator(zone_code="ap-guangzhou-1").execute(context_of(try_number=2, state=state))

    assert spent(sandbox) == PRICE


def test_a_mapped_task_without_a_ledger_does_not_take_what_may_be_its_siblings(start_sandbox, connect):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url)
    operator().execute(context_of(map_index=0))
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "CreateInstance"})

    with pytest.raises(AirflowFailException, match="an identical task of the same DAG"):
        operator().execute(context_of(map_index=1))

    assert spent(sandbox) == PRICE


@pytest.mark.parametrize(
    ("others", "is_alike"),
    [
        ({}, True),
        ({"parameter": {"pid": 4711}, "period": 12}, True),
        ({"zone_code": "{{ params.zone }}"}, True),
        ({"zone_code": "ap-hongkong-2"}, False),
    ],
)
@pytest.mark.parametrize("is_expanded", [False, True])
def test_without_a_ledger_a_task_does_not_take_what_may_be_of_another_of_its_dag(
    start_sandbox, connect, others, is_alike, is_expanded
):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url)
    with DAG("shop", schedule=None):
        asked = operator()
        arguments = {"task_id": "another", **ORDER, **others}
        if is_expanded:
            CreateInstanceOperator.partial(**arguments).expand(purchase_key=["a", "b"])
        else:
            CreateInstanceOperator(**arguments)
    sandbox.faults.add({"fault": "drop", "when": "after", "action": "CreateInstance"})

    if is_alike:
        with pytest.raises(AirflowFailException, match="an identical task of the same DAG"):
            asked.execute(context_of())
    else:
        assert asked.execute(context_of())["order_id"] == sandbox.account.orders()[0].order_id

    assert spent(sandbox) == PRICE


@pytest.mark.parametrize("state", [None, pytest.param("empty", marks=needs_task_state)])
def test_a_later_try_without_a_record_looks_before_it_sends(start_sandbox, connect, state):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url)
    first = operator().execute(context_of())

    again = operator().execute(context_of(try_number=2, state=state and TaskState()))

    assert again["order_id"] == first["order_id"]
    assert spent(sandbox) == PRICE


@pytest.mark.parametrize("state", [None, pytest.param("kept", marks=needs_task_state)])
def test_a_ledger_that_was_added_after_the_purchase_buys_nothing(start_sandbox, connect, tmp_path, state):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url)
    kept = state and TaskState()
    first = operator().execute(context_of(state=kept))
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})

    again = operator().execute(context_of(try_number=2, state=kept))

    assert again["order_id"] == first["order_id"]
    assert spent(sandbox) == PRICE


def test_a_backfill_buys_nothing_unless_it_is_allowed(connection, sandbox):
    with pytest.raises(AirflowFailException, match="This run is a backfill"):
        operator().execute(context_of(run_type="backfill"))
    with pytest.raises(AirflowSkipException, match="Nothing was sent for product_code"):
        operator(on_refused_run="skip").execute(context_of(run_type="backfill"))
    assert spent(sandbox) == 0

    operator(allow_backfill=True).execute(context_of(run_type="backfill"))

    assert spent(sandbox) == PRICE


def test_a_late_run_buys_nothing(connection, sandbox):
    due = datetime.now(timezone.utc) - timedelta(hours=2)

    with pytest.raises(AirflowFailException, match="max_lateness is 1:00:00"):
        operator(max_lateness=3600).execute(context_of(run_after=due))
    operator(max_lateness=timedelta(hours=3)).execute(context_of(run_after=due))

    assert spent(sandbox) == PRICE


def test_a_run_that_a_person_started_is_due_when_it_was_started(connection, sandbox):
    """Airflow 2 gives it the interval of the last scheduled run, and no time at which it is due."""
    now = datetime.now(timezone.utc)
    started = {"run_after": None, "logical_date": now, "data_interval_end": now - timedelta(days=6)}
    with pytest.raises(AirflowFailException, match="6 days"):
        operator(max_lateness="P2D").execute(context_of(run_type="scheduled", **started))

    operator(max_lateness="P2D").execute(context_of(run_type="manual", **started))

    assert spent(sandbox) == PRICE


def test_the_constructor_only_stores():
    """Validation in a constructor would see templates and not values; Airflow's own repository forbids it."""
    source = ast.parse(textwrap.dedent(inspect.getsource(CreateInstanceOperator.__init__)))
    body = next(node for node in ast.walk(source) if isinstance(node, ast.FunctionDef)).body

    for statement in body[1:]:
        assert isinstance(statement, (ast.Assign, ast.AnnAssign))
        assert isinstance(statement.value, (ast.Name, ast.Constant))
