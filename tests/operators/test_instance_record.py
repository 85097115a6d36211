"""The operator that buys, with a record of its purchase and without one."""

from __future__ import annotations

import json
import time
from importlib import import_module
from importlib.util import find_spec

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException

from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, PRICE, TaskState, context_of
from tests.support.instance_task import operator, spent, waits

HAS_TASK_STATE = find_spec("airflow.sdk") is not None and hasattr(import_module("airflow.sdk"), "NEVER_EXPIRE")
needs_task_state = pytest.mark.skipif(not HAS_TASK_STATE, reason="the task state store came with Airflow 3.3")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, passing_time):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)


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
    (record,) = tmp_path.glob("*.json")
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
        ({"parameter": {"pid": 4711}, "period": 1, "period_unit": "m"}, True),
        ({"period": 12, "period_unit": "m"}, False),
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


@pytest.mark.parametrize("state", [None, pytest.param("lost", marks=needs_task_state)])
def test_a_later_try_whose_record_may_be_lost_looks_before_it_sends(start_sandbox, connect, state, monkeypatch):
    monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
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
