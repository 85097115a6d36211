"""CreateInstanceOperator: one purchase whatever Airflow does, and the order known before anything can fail."""

from __future__ import annotations

import ast
import inspect
import textwrap
from datetime import datetime, timedelta, timezone

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_tcbilling.api.errors import OutcomeUnknown, Unreachable
from airflow_provider_tcbilling.api.models import ENDINGS
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from tests.conftest import PRICE, context_of
from tests.support.crash import dying_at, dying_before_the_answer_is_read, dying_in
from tests.support.instance_task import operator, spent, waits

PACKAGE = "airflow_provider_tcbilling"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, passing_time):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)


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
        pytest.param(lambda: dying_at("order known"), 1, id="understood, not recorded"),
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
