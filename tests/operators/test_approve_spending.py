"""One question for all purchases of a plan, and each purchase proves that it is one of those that were approved."""

from __future__ import annotations

import copy
import json

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.operators.approval import MOST_AT_ONCE, ApproveSpendingOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.purchasing.approval import Question
from airflow_provider_tcbilling.purchasing.approval_plan import entry_of, plan_of
from airflow_provider_tcbilling.purchasing.approval_text import REFUSE
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.task.ledger_connection import address_of
from tests.conftest import ORDER, PRICE, client_to, context_of
from tests.support.instance_task import spent
from tests.support.questions import Parked, Questions, event


@pytest.fixture(autouse=True)
def ledger(monkeypatch, tmp_path, connect, sandbox, passing_time):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}))
    connect(host=sandbox.url, extra={"ledger_conn_id": "ledger", "order_book_lag": 1})
    store = DatabaseStore(address_of("ledger"))
    store.upgrade()
    return store


@pytest.fixture
def questions(monkeypatch):
    return Questions(monkeypatch)


def plan(sandbox, key, cents=PRICE, currency="USD", **order):
    """Return the plan of one purchase, as a task with ``dry_run=True`` returns it."""
    question = Question.of(
        NewInstance(client_to(sandbox), {**ORDER, **order}), key=key, account=str(sandbox.account.uin), generation=0,
        max_cents=cents, currency=currency, price_from="max_cents", rules=ApprovalRules(0),
    )  # fmt: skip
    return json.loads(json.dumps(plan_of([entry_of(question)])))


def approve(plans, **arguments):
    return ApproveSpendingOperator(task_id="approve", plans=plans, **arguments)


def context(**run):
    return context_of(task_id="approve", **run)


def buy(key, **arguments):
    limits = {"max_cents": PRICE, "currency": "USD", "approve_above_cents": 0}
    return CreateInstanceOperator(
        task_id="buy", purchase_key=key, **{**ORDER, "deferrable": False, **limits, **arguments}
    )


def asked(questions, task, in_context=None):
    with pytest.raises(Parked) as parked:
        task.execute(in_context or context())
    return parked.value.prompt.approve


def test_one_answer_approves_each_purchase_of_the_plan_and_nothing_else(questions, sandbox):
    plans = [plan(sandbox, "web"), plan(sandbox, "db")]
    option = asked(questions, approve(plans))
    assert option.startswith("Buy all 2 for at most 200.00 USD [")

    result = approve(plans).execute_approved(context(), event(option))

    assert spent(sandbox) == 0
    assert result == {
        "codes": [one["purchases"][0]["approval_code"] for one in plans], "total_cents": 2 * PRICE, "currency": "USD",
    }  # fmt: skip
    for key in ("web", "db"):
        buy(key).execute(context_of())
    assert spent(sandbox) == 2 * PRICE
    for other in (buy("cache"), buy("web2", project_id=3), buy("dear", max_cents=2 * PRICE)):
        with pytest.raises(Parked):
            other.execute(context_of(run_id=f"manual__{other.purchase_key}"))
    assert spent(sandbox) == 2 * PRICE


def test_a_plan_of_another_price_or_payload_than_the_purchase_approves_nothing(questions, sandbox):
    plans = [plan(sandbox, "web", PRICE - 1), plan(sandbox, "db", project_id=4)]
    approve(plans).execute_approved(context(), event(asked(questions, approve(plans))))

    for number, key in enumerate(("web", "db")):
        with pytest.raises(Parked):
            buy(key).execute(context_of(run_id=f"manual__{number}"))

    assert spent(sandbox) == 0


def test_a_no_approves_nothing_and_fails_or_skips(questions, sandbox, ledger):
    plans = [plan(sandbox, "web")]
    asked(questions, approve(plans))

    with pytest.raises(AirflowFailException, match="alice has refused it") as failed:
        approve(plans).execute_approved(context(), event(REFUSE))
    with pytest.raises(AirflowSkipException, match="alice has refused it"):
        approve(plans, on_refused_run="skip").execute_approved(context(), event(REFUSE))

    assert str(failed.value).startswith("Nothing was approved.")
    assert ledger.approval(plans[0]["purchases"][0]["approval_code"]) is None


def test_a_plan_that_changed_after_the_question_is_not_approved(questions, sandbox, ledger):
    option = asked(questions, approve([plan(sandbox, "web")]))
    dearer = plan(sandbox, "web", 9 * PRICE)

    for plans in ([dearer], [plan(sandbox, "web"), plan(sandbox, "db")]):
        with pytest.raises(AirflowFailException, match="not that of the question"):
            approve(plans, on_refused_run="skip").execute_approved(context(), event(option))

    assert ledger.approval(dearer["purchases"][0]["approval_code"]) is None


def test_what_is_approved_already_is_not_asked_again(questions, sandbox):
    plans = [plan(sandbox, "web")]
    approve(plans).execute_approved(context(), event(asked(questions, approve(plans))))

    assert approve(plans).execute(context())["total_cents"] == PRICE

    assert len(questions.parked) == 1


@pytest.mark.parametrize("plans", [[], [None], "[]", iter(())], ids=["a list", "of nothing", "a text", "an iterator"])
def test_with_nothing_to_approve_nobody_is_asked(questions, plans):
    with pytest.raises(AirflowSkipException, match="Nothing is to be approved"):
        approve(plans).execute(context())


def test_what_costs_nothing_more_is_in_no_question(questions, sandbox):
    entries = [plan(sandbox, key)["purchases"][0] for key in ("bought", "web")]
    entries[0]["next"] = {"step": "return"}

    with pytest.raises(AirflowSkipException, match="Nothing is to be approved"):
        approve(plan_of(entries[:1])).execute(context())
    assert "Buy all 1 for at most 100.00 USD" in asked(questions, approve(plan_of(entries)))


@pytest.mark.parametrize("plans", [None, 7, b"[]", "no json", "7", object()], ids=lambda plans: type(plans).__name__)
def test_what_are_no_plans_is_a_mistake(questions, plans):
    with pytest.raises(AirflowFailException, match="plans: "):
        approve(plans).execute(context())


def test_plans_may_be_json_text(questions, sandbox):
    plans = [plan(sandbox, "web"), plan(sandbox, "db")]

    assert asked(questions, approve(json.dumps(plans))) == asked(questions, approve(plans))


def edited(one, **fields):
    changed = copy.deepcopy(one)
    changed["purchases"][0].update(fields)
    return changed


def test_an_edited_plan_is_shown_to_nobody(questions, sandbox):
    good = plan(sandbox, "web")
    for bad in (edited(good, max_cents=1), edited(good, payload={}), edited(good, key="db"), "text", {}, 7):
        with pytest.raises(AirflowFailException, match="plan"):
            approve([bad]).execute(context())

    assert questions.parked == []


def test_purchases_that_do_not_belong_together_are_shown_to_nobody(questions, sandbox):
    web = plan(sandbox, "web")
    for plans, why in (
        ([web, web], "stands in it 2 times"),
        ([web, plan(sandbox, "db", currency="CNY")], "mixes the currencies"),
        ([plan(sandbox, str(number)) for number in range(MOST_AT_ONCE + 1)], "more than are approved together"),
    ):
        with pytest.raises(AirflowFailException, match=why):
            approve(plans).execute(context())

    assert questions.parked == []


def test_a_plan_of_another_server_is_shown_to_nobody(questions, sandbox, start_sandbox):
    other = start_sandbox()

    with pytest.raises(AirflowFailException, match="it is for http"):
        approve([plan(other, "web")]).execute(context())

    assert questions.parked == []


def test_only_approvers_of_the_task_and_of_the_connection_approve(questions, sandbox, connect):
    connect(host=sandbox.url, extra={"ledger_conn_id": "ledger", "approvers": "bob, carol"})
    plans = [plan(sandbox, "web")]
    task = approve(plans, approvers="carol, dave")
    option = asked(questions, task)

    for name in ("alice", "bob", "dave"):
        with pytest.raises(AirflowFailException, match=f"{name} is not one of the approvers"):
            task.execute_approved(context(), event(option, by=name))
    task.execute_approved(context(), event(option, by="carol"))


def test_without_a_ledger_that_remembers_it_nobody_is_asked(questions, sandbox, connect, tmp_path):
    for extra in ({}, {"ledger_uri": (tmp_path / "objects").as_uri()}):
        connect(host=sandbox.url, extra=extra)
        with pytest.raises(AirflowFailException, match="only a ledger in a database remembers approvals"):
            approve([plan(sandbox, "web")]).execute(context())

    assert questions.parked == []


def test_one_plan_need_not_be_in_a_list(questions, sandbox):
    assert "[" in asked(questions, approve(plan(sandbox, "web")))


def test_in_a_deployment_that_only_plans_nobody_is_asked_and_nothing_is_approved(
    questions, sandbox, ledger, monkeypatch
):
    monkeypatch.setenv("AIRFLOW__TCBILLING__DRY_RUN", "True")

    result = approve(plan(sandbox, "web")).execute(context())

    assert questions.parked == []
    assert [ledger.approval(code) for code in result["codes"]] == [None] * len(result["codes"]) != []
