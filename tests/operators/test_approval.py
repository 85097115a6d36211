"""A purchase that must be approved is sent only after exactly this purchase at this price was approved by a user."""

from __future__ import annotations

import json
import time

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_tcbilling.api.errors import Unreachable
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.purchasing.approval_text import REFUSE
from airflow_provider_tcbilling.task.ledger_connection import address_of
from tests.conftest import ORDER, PRICE, context_of
from tests.support.crash import dying_at
from tests.support.instance_task import spent
from tests.support.questions import Parked, Questions, event

DAY = 86_400


@pytest.fixture(autouse=True)
def ledger(monkeypatch, tmp_path, connect, sandbox, passing_time):
    """A ledger in a database, by the clock of the test."""
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}))
    connect(host=sandbox.url, extra={"ledger_conn_id": "ledger", "order_book_lag": 1})
    store = DatabaseStore(address_of("ledger"))
    store.upgrade()
    return store


@pytest.fixture
def questions(monkeypatch):
    return Questions(monkeypatch)


def task(**arguments):
    limits = {"max_cents": PRICE, "currency": "USD", "approve_above_cents": 0}
    return CreateInstanceOperator(task_id="buy", **{**ORDER, "deferrable": False, **limits, **arguments})


def asked(questions, buy=None, context=None):
    """Execute a task until it waits for an answer, and return the option that approves."""
    with pytest.raises(Parked) as parked:
        (buy or task()).execute(context or context_of())
    return parked.value.prompt.approve


def refused(match, buy, answer, context=None, **more):
    with pytest.raises(AirflowFailException, match=match) as failed:
        buy.execute_approved(context or context_of(), answer, **more)
    return str(failed.value)


def test_nothing_is_sent_before_the_answer_and_once_after_it(questions, sandbox, ledger):
    option = asked(questions)
    assert spent(sandbox) == 0
    assert sandbox.requests.get("CreateInstance", 0) == 0

    result = task().execute_approved(context_of(), event(option))

    assert result["order_id"] == sandbox.account.orders()[0].order_id
    assert spent(sandbox) == PRICE
    (parked,) = questions.parked
    assert ledger.approval(parked.code).approved_by == "alice"


def test_an_approval_of_a_purchase_that_was_refused_since_is_not_one_of_the_next(questions, sandbox):
    option = asked(questions)
    code = "FailedOperation.NumLimitError"
    sandbox.faults.add({"fault": "error", "code": code, "when": "before", "action": "CreateInstance"})
    refused("NumLimitError", task(), event(option))

    with pytest.raises(AirflowFailException, match="not that of the question"):
        task().execute(context_of(try_number=2))

    assert spent(sandbox) == 0


def test_a_retry_after_the_answer_asks_nobody(questions, sandbox, monkeypatch):
    option = asked(questions)
    with monkeypatch.context() as patch:
        patch.setattr("airflow_provider_tcbilling.api.client.BillingClient.place", unreachable)
        with pytest.raises(Unreachable, match="no network"):
            task().execute_approved(context_of(), event(option))
    assert spent(sandbox) == 0

    task().execute(context_of(try_number=2))

    assert spent(sandbox) == PRICE
    assert len(questions.parked) == 1


def unreachable(*arguments, **options):
    raise Unreachable("no network")


def test_a_repeat_whose_approval_has_expired_since_its_intent_was_stored_asks_again(questions, sandbox, passing_time):
    option = asked(questions)
    with dying_at("intent stored"):
        task().execute_approved(context_of(), event(option))
    passing_time.sleep(2 * DAY)
    sandbox.gateway._clock = time.time

    again = asked(questions, task(on_unknown_outcome="replay"), context_of(try_number=2))

    assert (again, spent(sandbox)) == (option, 0)
    task(on_unknown_outcome="replay").execute_approved(context_of(try_number=2), event(option, seconds_ago=-2 * DAY))
    assert spent(sandbox) == PRICE


def test_a_repeat_whose_approver_may_not_approve_any_more_asks_again(questions, sandbox, passing_time):
    option = asked(questions)
    with dying_at("intent stored"):
        task().execute_approved(context_of(), event(option))
    passing_time.sleep(1000)
    sandbox.gateway._clock = time.time

    asked(questions, task(approvers="bob", on_unknown_outcome="replay"), context_of(try_number=2))

    assert spent(sandbox) == 0


def test_a_cleared_task_whose_approval_has_expired_asks_again(questions, sandbox, passing_time, ledger):
    option = asked(questions, task(approval_valid_for=60))

    refused("expired", task(approval_valid_for=60), event(option, seconds_ago=3600))

    assert spent(sandbox) == 0
    assert asked(questions, task(approval_valid_for=60)) == option


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"option": REFUSE}, "alice has refused it"),
        ({"option": REFUSE, "by": None, "timedout": True}, "nobody has answered in time"),
        ({"option": None, "timedout": True}, "nobody has answered in time"),
        ({"option": None, "by": None}, "no named user"),
        ({"option": None, "by": "Anonymous"}, "no named user"),
        ({"option": None, "by": ""}, "no named user"),
        ({"option": None, "by": "a" * 101}, "no named user"),
        ({"option": None, "responded_by_user": "alice"}, "no named user"),
        ({"option": None, "chosen_options": []}, "has refused it"),
        ({"option": None, "chosen_options": None}, "has refused it"),
        ({"option": None, "responded_at": None}, "names no time"),
        ({"option": None, "responded_at": "yesterday"}, "names no time"),
        ({"option": None, "responded_at": "2026-01-01T00:00:00"}, "expired"),
        ({"option": None, "error": "broken", "error_type": "validation"}, "broken"),
        ({"option": None, "error": "late", "error_type": "timeout"}, "nobody has answered in time"),
        ({"option": "Approve"}, "not that of the question"),
        ({"option": "Buy for at most 100.00 USD [0000-0000-0000-0000-0000]"}, "not that of the question"),
    ],
)
def test_an_answer_that_does_not_approve_it_buys_nothing(questions, sandbox, ledger, answer, why):
    option = asked(questions)
    answer = {**answer, "option": answer["option"] or option}

    message = refused(why, task(), event(**answer), code=questions.parked[0].code)

    assert message.startswith("Nothing was bought.")
    assert spent(sandbox) == 0
    assert sandbox.requests.get("CreateInstance", 0) == 0
    assert ledger.approval(questions.parked[0].code) is None


def test_both_options_at_once_approve_nothing(questions, sandbox):
    option = asked(questions)

    refused("has refused it", task(), event(option, chosen_options=[option, REFUSE]))
    refused("has refused it", task(), event(option, chosen_options=[option, option]))

    assert spent(sandbox) == 0


@pytest.mark.parametrize("answer", [None, "yes", 7, [], ["chosen_options"]])
def test_a_resumption_without_an_answer_buys_nothing(questions, sandbox, answer):
    asked(questions)

    refused("without an answer", task(), answer)

    assert spent(sandbox) == 0


@pytest.mark.parametrize(
    "edit",
    [{"max_cents": 9 * PRICE}, {"project_id": 7}, {"zone_code": "ap-guangzhou-3"}, {"quantity": 2}],
    ids=str,
)
def test_an_edit_after_the_question_buys_nothing_and_says_how_to_approve_it(questions, sandbox, edit, logged):
    edit = {**edit, **({"parameter": {"pid": 1}} if "quantity" in edit else {})}
    option = asked(questions)

    message = refused("not that of the question", task(**edit), event(option))

    assert spent(sandbox) == 0
    assert "Start a new run" in message
    assert "approve --plan FILE --conn-id tcbilling_default" in message
    assert "The plan to approve: {" in logged()


def test_a_question_that_airflow_keeps_from_before_is_shown_to_nobody(questions, sandbox):
    asked(questions)

    with pytest.raises(AirflowFailException, match="not that of the question") as failed:
        task(max_cents=9 * PRICE).execute(context_of(try_number=2))

    assert len(questions.parked) == 1
    assert "Start a new run" in str(failed.value)
    assert "100.00 USD" in str(failed.value)
    assert "900.00" in asked(questions, task(max_cents=9 * PRICE), context_of(run_id="manual__2"))
    assert spent(sandbox) == 0


def test_an_unchanged_question_is_put_again_after_a_clear(questions, sandbox):
    assert asked(questions) == asked(questions, context=context_of(try_number=2))


def test_only_approvers_approve(questions, sandbox, ledger):
    option = asked(questions, task(approvers=["bob"]))

    refused("alice is not one of the approvers", task(approvers="bob"), event(option))
    assert spent(sandbox) == 0
    assert ledger.approval(questions.parked[0].code) is None

    task(approvers="bob, carol").execute_approved(context_of(), event(option, by="carol"))
    assert spent(sandbox) == PRICE


@pytest.mark.parametrize(
    ("run", "by", "why"),
    [
        ({"triggering_user_name": "alice"}, "alice", "alice requested it"),
        ({"triggering_user_name": "Alice"}, "alice", "alice requested it"),
        ({"triggering_user_name": "Anonymous"}, "alice", "nothing says which user"),
        ({}, "alice", "nothing says which user"),
        ({"triggering_user_name": None}, "alice", "nothing says which user"),
        ({"run_type": "backfill"}, "alice", "nothing says which user"),
        ({"run_type": "scheduled"}, "alice", ""),
        ({"run_type": "scheduled", "triggering_user_name": None}, "alice", ""),
        ({"triggering_user_name": "bob"}, "alice", ""),
    ],
)
def test_a_requester_approves_nothing_of_their_own(questions, sandbox, run, by, why):
    buy = task(approver_is_not_requester=True, allow_backfill=True)
    option = asked(questions, buy, context_of(**run))

    if why:
        refused(why, buy, event(option, by=by), context_of(**run))
    else:
        buy.execute_approved(context_of(**run), event(option, by=by))

    assert spent(sandbox) == (0 if why else PRICE)


def test_a_refusal_skips_the_task_where_it_says_so_and_an_outdated_question_does_not(questions, sandbox):
    option = asked(questions)

    with pytest.raises(AirflowSkipException, match="alice has refused it"):
        task(on_refused_run="skip").execute_approved(context_of(), event(REFUSE))
    refused("not that of the question", task(on_refused_run="skip", max_cents=9 * PRICE), event(option))

    assert spent(sandbox) == 0


def test_a_refusal_counts_also_if_no_approval_is_needed_any_more_or_there_is_one(questions, sandbox, ledger):
    option = asked(questions)

    refused("alice has refused it", task(approve_above_cents=10 * PRICE), event(REFUSE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airflow_provider_tcbilling.api.client.BillingClient.place", unreachable)
        with pytest.raises(Unreachable):
            task().execute_approved(context_of(), event(option, by="bob"))
    message = refused("alice has refused it", task(), event(REFUSE))

    assert spent(sandbox) == 0
    assert message.startswith("Nothing was bought.")


def test_a_cheap_purchase_asks_nobody(questions, sandbox):
    task(approve_above_cents=PRICE).execute(context_of())

    assert spent(sandbox) == PRICE
    assert questions.parked == []


def test_a_line_of_airflow_that_cannot_ask_stops_and_logs_the_plan(monkeypatch, sandbox, logged):
    monkeypatch.setattr("airflow_provider_tcbilling.operators._approval_dialects.can_ask", lambda: False)

    with pytest.raises(AirflowFailException, match="nobody could be asked") as failed:
        task().execute(context_of())

    assert "approve --plan FILE" in str(failed.value)
    assert "The plan to approve: {" in logged()
    assert spent(sandbox) == 0


def test_the_question_has_no_secret(questions, sandbox, logged):
    secret = "a-password-of-many-letters"
    with pytest.raises(Parked) as parked:
        task(parameter={"pid": 1, "LoginSettings": {"Password": secret}}).execute(context_of())

    prompt = parked.value.prompt
    assert "LoginSettings" in prompt.body
    assert secret not in repr(prompt)
    assert secret not in logged()
