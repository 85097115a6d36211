"""A dry run of a task that buys shows what it would do, and neither sends nor writes anything."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime, timedelta, timezone

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.operators.approval import ApproveSpendingOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.purchasing.approval import refusal_of
from airflow_provider_tcbilling.purchasing.approval_plan import plan_of, questions_in
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.task.ledger_connection import address_of
from tests.conftest import ORDER, PRICE, context_of
from tests.support.account import DAY, PRODUCT
from tests.support.database_shop import DatabaseShop
from tests.support.questions import Parked, Questions

SPENDING = ("CreateInstance", "RenewInstance", "RefundInstance", "SetRenewal")
RULES = ApprovalRules(0)
TABLES = ("books", "purchases", "events", "orders", "totals", "approvals", "prices")
CAPPED = {"max_cents": PRICE, "currency": "USD"}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, passing_time):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)
    monkeypatch.setattr(DatabaseStore, "now", lambda store: time.time())


@pytest.fixture
def ledger(sandbox, connect, tmp_path, passing_time, monkeypatch):
    """A shop with a ledger in a database, and a way to connect with limits."""
    shop = DatabaseShop(
        sandbox, tmp_path / "ledger", passing_time, monkeypatch, {"conn_type": "sqlite", "host": str(tmp_path / "l.db")}
    )
    shop.ledger.upgrade()
    shop.limited = lambda *limits, **extra: connect(
        host=sandbox.url,
        extra={
            "ledger_conn_id": "ledger",
            "order_book_lag": 1,
            **({"spending_limits": list(limits)} if limits else {}),
            **extra,
        },
    )
    shop.limited()
    return shop


def limit(name="monthly", max_cents=10 * PRICE, window="month", **more):
    return {"name": name, "window": window, "max_cents": max_cents, "currency": "USD", **more}


def buy(**arguments):
    return CreateInstanceOperator(task_id="buy", **{**ORDER, "deferrable": False, **arguments})


def written(ledger):
    return {table: sorted(map(repr, ledger.rows(f"SELECT * FROM tcbilling_{table}"))) for table in TABLES}


def planned(ledger, task, context=None):
    """Return the plan of a task, which must be the same in XCom; nothing is sent that spends, nothing is written."""
    before, sent = written(ledger), [entry.action for entry in ledger.sandbox.journal]
    context = context or context_of()

    plan = task.execute(context)

    asked = [entry.action for entry in ledger.sandbox.journal][len(sent) :]
    assert not set(asked) & set(SPENDING)
    assert all(action.startswith("Describe") for action in asked)
    assert written(ledger) == before
    assert context["ti"].xcoms == {}
    assert json.loads(json.dumps(plan)) == plan
    return plan


def the_purchase(ledger, task=None, context=None):
    (purchase,) = planned(ledger, task or buy(dry_run=True), context)["purchases"]
    return purchase


def step_of(purchase):
    return purchase["next"]["step"]


@pytest.mark.parametrize("dry_run", ["maybe", "", "None", None, 1, "1", "yes", [True]])
def test_a_dry_run_that_is_no_flag_buys_nothing(connection, sandbox, context, dry_run):
    with pytest.raises((AirflowFailException, ValueError), match="dry_run"):
        buy(dry_run=dry_run).execute(context)

    assert sandbox.requests == {}


@pytest.mark.parametrize("value", ["yes", "", " ", "1", "maybe", "None", "Treu"])
def test_a_deployments_dry_run_that_is_no_flag_buys_nothing(connection, sandbox, context, monkeypatch, value):
    monkeypatch.setenv("AIRFLOW__TCBILLING__DRY_RUN", value)

    with pytest.raises(AirflowFailException, match=r"\[tcbilling\] in Airflow's configuration(.|\n)*dry_run: "):
        buy().execute(context)

    assert "CreateInstance" not in sandbox.requests


@pytest.mark.parametrize("value", ["True", "true", " TRUE "])
def test_a_deployments_dry_run_stops_a_task_that_would_buy(ledger, monkeypatch, value):
    monkeypatch.setenv("AIRFLOW__TCBILLING__DRY_RUN", value)

    assert step_of(the_purchase(ledger, buy(dry_run=False, **CAPPED))) == "buy"


@pytest.mark.parametrize("value", ["False", "false"])
def test_a_deployment_that_is_no_dry_run_does_not_overrule_the_task(ledger, monkeypatch, value):
    monkeypatch.setenv("AIRFLOW__TCBILLING__DRY_RUN", value)

    assert step_of(the_purchase(ledger)) == "buy"
    assert buy().execute(context_of())["order_id"] == ledger.sandbox.account.orders()[0].order_id


def test_a_mistake_in_the_arguments_stays_a_mistake(ledger):
    with pytest.raises(AirflowFailException, match="period: 99 is above the maximum"):
        buy(dry_run=True, period=99).execute(context_of())
    with pytest.raises(AirflowFailException, match="its currency is missing"):
        buy(dry_run=True, max_cents=100).execute(context_of())


def test_an_unknown_price_under_a_limit_is_a_finding(ledger):
    ledger.limited(limit())

    purchase = the_purchase(ledger)

    assert (purchase["max_cents"], purchase["price_from"], purchase["approval_code"]) == (None, "unknown", None)
    assert step_of(purchase) == "refuse"
    assert "its price is not known" in purchase["next"]["why"]
    assert [refusal["by"] for refusal in purchase["refusals"]] == ["price"]
    assert purchase["limits"][0]["left_cents"] == 10 * PRICE


def test_a_plan_of_an_unknown_price_cannot_be_approved(ledger):
    ledger.limited(limit())

    with pytest.raises(ValueError, match="its price is not known, so it cannot be approved"):
        questions_in(planned(ledger, buy(dry_run=True)), RULES)


def test_a_limit_that_would_be_exceeded_is_named_with_its_sums(ledger):
    ledger.limited(limit(max_cents=3 * PRICE), limit("each", window="order"))
    for run_id in ("one", "two"):
        buy(**CAPPED).execute(context_of(run_id=run_id))

    purchase = the_purchase(ledger, buy(dry_run=True, max_cents=PRICE + 1, currency="USD"))

    monthly, each = purchase["limits"]
    assert (monthly["settled_cents"], monthly["reserved_cents"]) == (2 * PRICE, 0)
    assert (monthly["this_cents"], monthly["left_cents"], monthly["is_refused"]) == (PRICE + 1, -1, True)
    assert re.match(r"\d{4}-\d\d-01T00:00:00\+08:00", monthly["ends"])
    assert (each["is_refused"], each["ends"]) == (False, None)
    assert step_of(purchase) == "refuse"
    assert "limit 'monthly'" in purchase["next"]["why"]


def test_what_the_plan_says_of_a_limit_is_what_the_purchase_meets(ledger):
    ledger.limited(limit(max_cents=PRICE))
    assert step_of(the_purchase(ledger, buy(dry_run=True, **CAPPED))) == "buy"
    buy(**CAPPED).execute(context_of(run_id="one"))
    refused = the_purchase(ledger, buy(dry_run=True, **CAPPED))

    with pytest.raises(AirflowFailException) as failed:
        buy(**CAPPED).execute(context_of())

    assert step_of(refused) == "refuse"
    assert refused["limits"][0]["why"].split(". ")[0] in str(failed.value)


def test_the_price_of_earlier_orders_is_the_worst_case(ledger):
    buy().execute(context_of(run_id="one"))

    purchase = the_purchase(ledger)

    assert (purchase["max_cents"], purchase["currency"], purchase["price_from"]) == (PRICE, "USD", "remembered")


def test_a_remembered_price_above_max_cents_is_a_finding(ledger):
    buy().execute(context_of(run_id="one"))

    purchase = the_purchase(ledger, buy(dry_run=True, max_cents=PRICE - 1, currency="USD"))

    assert (step_of(purchase), purchase["max_cents"]) == ("refuse", None)
    assert "max_cents allows" in purchase["next"]["why"]


def test_a_balance_that_would_fall_too_low_is_a_finding(ledger):
    ledger.limited(min_balance_cents=ledger.sandbox.account.balance_cents)

    purchase = the_purchase(ledger, buy(dry_run=True, **CAPPED))

    assert [refusal["by"] for refusal in purchase["refusals"]] == ["balance"]
    assert purchase["balance"]["left_cents"] == ledger.sandbox.account.balance_cents - PRICE
    assert step_of(purchase) == "refuse"


@pytest.mark.parametrize(
    ("arguments", "run", "why"),
    [
        ({}, {"run_type": "backfill"}, "This run is a backfill"),
        ({"max_lateness": 60}, {"run_after": "an hour ago"}, "max_lateness is 0:01:00"),
    ],
    ids=["backfill", "late"],
)
def test_a_run_that_may_not_spend_is_a_finding(ledger, arguments, run, why):
    if "run_after" in run:
        run = {"run_type": "scheduled", "run_after": datetime.now(timezone.utc) - timedelta(hours=1)}

    purchase = the_purchase(ledger, buy(dry_run=True, **CAPPED, **arguments), context_of(**run))

    assert (step_of(purchase), purchase["refusals"][0]["by"]) == ("refuse", "run")
    assert why in purchase["next"]["why"]
    assert purchase["approval_code"]


def test_an_approval_that_is_needed_is_asked_for_and_one_that_is_given_is_named(ledger):
    ledger.limited(approve_above_cents=0, approvers=["alice"])
    plan = planned(ledger, buy(dry_run=True, **CAPPED))
    (asked,) = plan["purchases"]
    assert (step_of(asked), asked["approval"]["is_needed"], asked["approval"]["is_approved"]) == ("ask", True, False)
    (question,) = questions_in(plan, RULES)
    approval = question.approved("alice", time.time())
    assert not refusal_of(approval, question, time.time())
    ledger.ledger.approve([approval], "", "")

    given = the_purchase(ledger, buy(dry_run=True, **CAPPED))

    assert (step_of(given), given["approval"]["approved_by"]) == ("buy", "alice")
    assert given["approval_code"] == asked["approval_code"] == question.code
    buy(**CAPPED).execute(context_of())
    assert ledger.sandbox.requests["CreateInstance"] == 1


def test_an_approval_of_the_plan_does_not_count_for_another_price(ledger):
    ledger.limited(approve_above_cents=0)
    (question,) = questions_in(planned(ledger, buy(dry_run=True, **CAPPED)), RULES)
    ledger.ledger.approve([question.approved("alice", time.time())], "", "")

    assert step_of(the_purchase(ledger, buy(dry_run=True, max_cents=PRICE + 1, currency="USD"))) == "ask"


def test_a_purchase_that_was_made_is_returned_and_nothing_is_to_pay(ledger):
    order_id = buy().execute(context_of())["order_id"]

    plan = planned(ledger, buy(dry_run=True), context_of(try_number=2))

    (purchase,) = plan["purchases"]
    assert purchase["next"] == {"step": "return", "why": "", "order_id": order_id}
    assert plan["total_cents"] == 0
    assert purchase["state"] == "delivered"


def test_a_lost_answer_waits_first_and_then_adopts(ledger, passing_time, monkeypatch):
    ledger.sandbox.faults.add({"fault": "drop", "action": "CreateInstance"})
    die_in_doubt(monkeypatch)

    waiting = the_purchase(ledger, buy(dry_run=True), context_of(try_number=2))
    passing_time.sleep(1000)
    adopting = the_purchase(ledger, buy(dry_run=True), context_of(try_number=2))

    assert (step_of(waiting), waiting["state"]) == ("wait", "intended")
    (order,) = ledger.sandbox.account.orders()
    assert (step_of(adopting), adopting["next"]["order_id"]) == ("adopt", order.order_id)


def test_a_request_that_never_arrived_is_sent_again_unless_a_limit_is_used_up_meanwhile(
    ledger, passing_time, monkeypatch
):
    ledger.limited(limit(max_cents=PRICE))
    ledger.sandbox.faults.add({"fault": "drop", "action": "CreateInstance", "when": "before"})
    die_in_doubt(monkeypatch, buy(**CAPPED))
    passing_time.sleep(300)

    again = the_purchase(ledger, buy(dry_run=True, **CAPPED), context_of(try_number=2))
    refused = the_purchase(ledger, buy(dry_run=True, max_cents=PRICE + 1, currency="USD"), context_of(try_number=2))

    assert (step_of(again), step_of(refused)) == ("send again", "refuse")


def die_in_doubt(monkeypatch, task=None):
    """Execute a task that dies after the answer to its request was lost."""

    def die(name):
        if name == "in doubt":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Purchase, "checkpoint", staticmethod(die))
        with pytest.raises(KeyboardInterrupt):
            (task or buy()).execute(context_of())


def test_an_edited_task_whose_purchase_was_made_would_stop(ledger):
    buy().execute(context_of())

    purchase = the_purchase(ledger, buy(dry_run=True, project_id=7), context_of(try_number=2))

    assert step_of(purchase) == "stop"
    assert "ProjectId" in purchase["next"]["why"]


def test_after_a_refusal_the_plan_has_the_next_token(ledger):
    first = the_purchase(ledger)
    ledger.sandbox.faults.add({"fault": "error", "code": "FailedOperation.NumLimitError", "when": "before"})
    with pytest.raises(AirflowFailException, match="NumLimitError"):
        buy().execute(context_of())

    second = the_purchase(ledger, buy(dry_run=True), context_of(try_number=2))

    assert (first["generation"], second["generation"]) == (0, 1)
    assert first["client_token"] != second["client_token"]
    assert buy().execute(context_of(try_number=2))["client_token"] == second["client_token"]


def renewal(instance, **arguments):
    return RenewInstanceOperator(
        task_id="renew", **{**PRODUCT, "instance_id": instance, "deferrable": False, "dry_run": True, **arguments}
    )


@pytest.mark.parametrize(
    ("arguments", "step", "by"),
    [
        ({}, "buy", None),
        ({"renew_within": "P1D"}, "leave alone", "need"),
        ({"product_code": "p_cvm"}, "refuse", "instance"),
    ],
    ids=["due", "not due", "another product"],
)
def test_a_renewal_is_planned_as_the_instance_is(ledger, arguments, step, by):
    instance = ledger.sandbox.account.add_instance(expires_at=time.time() + 20 * DAY).instance_id

    purchase = the_purchase(ledger, renewal(instance, **CAPPED, **arguments))

    assert step_of(purchase) == step
    assert [refusal["by"] for refusal in purchase["refusals"]] == ([by] if by else [])
    assert purchase["payload"]["InstanceId"] == instance


def test_plans_of_several_tasks_are_approved_together(ledger):
    ids = [ledger.sandbox.account.add_instance(expires_at=time.time() + 20 * DAY).instance_id for _ in range(3)]
    plans = [planned(ledger, renewal(one, **CAPPED), context_of(run_id=one)) for one in ids]

    together = plan_of([purchase for plan in plans for purchase in plan["purchases"]])

    assert together["total_cents"] == 3 * PRICE
    assert len(questions_in(together, RULES)) == 3


SECRET = "hunter2-that-nobody-must-see"


def test_no_secret_is_in_the_plan_or_in_the_log(ledger, logged):
    parameter = {**ORDER["parameter"], "loginSettings": {"password": SECRET}}

    plan = planned(ledger, buy(dry_run=True, parameter=parameter, **CAPPED))

    assert SECRET not in json.dumps(plan) + logged()
    assert len(questions_in(plan, RULES)) == 1


def test_a_hostile_parameter_stays_in_its_line(ledger, logged):
    hostile = "x\n\x1b[2JTotal: at most 0.00 USD\u202e"

    planned(ledger, buy(dry_run=True, parameter={**ORDER["parameter"], "note": hostile}, **CAPPED))

    assert "\x1b" not in logged()
    assert len(re.findall(r"^Total: at most", logged(), re.MULTILINE)) <= 1


def test_the_log_shows_the_price_first(ledger, logged):
    ledger.limited(limit())
    planned(ledger, buy(dry_run=True, **CAPPED))

    text = logged()
    places = [text.index(part) for part in ("Total: at most 100.00 USD", "A try would", "Limit monthly", "Operation")]
    assert places == sorted(places)
    assert "Nothing was sent: this is a dry run." in text


def test_it_returns_at_once_whatever_it_is_to_wait_for(ledger, passing_time):
    before = passing_time.slept

    for waits in ({"deferrable": True}, {"wait_for_delivery": False}):
        planned(ledger, buy(dry_run=True, **waits))

    assert passing_time.slept == before


def test_without_a_ledger_there_is_a_plan_all_the_same(connection, sandbox):
    context = context_of()

    (purchase,) = buy(dry_run=True).execute(context)["purchases"]

    assert (step_of(purchase), purchase["price_from"], purchase["limits"]) == ("buy", "unknown", [])
    assert "CreateInstance" not in sandbox.requests


def test_a_folder_as_a_ledger_is_left_as_it_is(sandbox, connect, tmp_path):
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})

    buy(dry_run=True).execute(context_of())

    assert list(tmp_path.iterdir()) == []


def test_a_ledger_that_cannot_be_read_lets_the_plan_be_tried_again(ledger, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": "/nowhere/ledger.db"}))

    with pytest.raises(Exception, match=r"ledger") as failed:
        buy(dry_run=True).execute(context_of())

    assert getattr(failed.value, "transient", False)
    assert address_of("ledger")


def test_a_deployments_dry_run_reaches_a_refund_that_was_confirmed(ledger, monkeypatch):
    monkeypatch.setenv("AIRFLOW__TCBILLING__DRY_RUN", "True")
    instance = ledger.sandbox.account.add_instance(expires_at=time.time() + 20 * DAY).instance_id

    plan = planned(ledger, RefundInstanceOperator(task_id="refund", **PRODUCT, instance_id=instance, confirm=True))

    assert plan["instance_id"] == instance


def test_a_deployments_dry_run_leaves_a_renew_flag_as_it_is(ledger, monkeypatch, logged):
    monkeypatch.setenv("AIRFLOW__TCBILLING__DRY_RUN", "True")
    instance = ledger.sandbox.account.add_instance(expires_at=time.time() + 20 * DAY).instance_id
    wanted = {"product_code": PRODUCT["product_code"], "region_code": PRODUCT["region_code"], "instance_id": instance}

    result = planned(ledger, SetRenewalOperator(task_id="set", **wanted, renew_flag="DISABLE_NOTIFY_AND_MANUAL_RENEW"))

    assert (result["changed"], result["before"]["renew_flag"]) == (False, "NOTIFY_AND_MANUAL_RENEW")
    assert result["after"]["renew_flag"] == "DISABLE_NOTIFY_AND_MANUAL_RENEW"
    assert "Nothing was sent: this is a dry run." in logged()


def test_a_deployments_dry_run_binds_code_that_uses_the_hook_itself(ledger, monkeypatch):
    monkeypatch.setenv("AIRFLOW__TCBILLING__DRY_RUN", "True")
    client = TcBillingHook().get_conn()

    with pytest.raises(InvalidRequest, match="this client only reads"):
        client.create_instance(client_token="token", **ORDER)

    assert client.describe_account_balance().spendable_cents
    assert "CreateInstance" not in ledger.sandbox.requests


def test_a_client_for_waiting_cannot_spend(ledger):
    with TcBillingHook().session() as tencent, pytest.raises(InvalidRequest, match="this client only reads"):
        tencent.waiting.create_instance(client_token="token", **ORDER)

    assert "CreateInstance" not in ledger.sandbox.requests


def test_a_question_for_all_plans_leaves_out_what_costs_nothing_more(ledger, monkeypatch):
    buy(**CAPPED).execute(context_of(run_id="one"))
    plans = [planned(ledger, buy(dry_run=True, **CAPPED), context_of(run_id=run_id)) for run_id in ("one", "two")]
    questions = Questions(monkeypatch)

    with pytest.raises(Parked):
        ApproveSpendingOperator(task_id="approve", plans=plans).execute(context_of(task_id="approve"))
    with pytest.raises(AirflowSkipException, match="no purchase of the plans costs anything more"):
        ApproveSpendingOperator(task_id="approve", plans=plans[:1]).execute(context_of(task_id="approve"))

    (parked,) = questions.parked
    assert "100.00 USD" in parked.subject


@pytest.mark.parametrize("order_id", [None, "None", ""])
def test_a_sensor_after_a_plan_fails_at_once_since_there_is_no_order(ledger, order_id):
    sensor = InstanceDeliverySensor(task_id="wait", order_id="{{ later }}", deferrable=False)
    sensor.order_id = order_id

    with pytest.raises(AirflowFailException, match="order_id"):
        sensor.execute(context_of())

    assert ledger.sandbox.requests == {}
