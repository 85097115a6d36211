"""RefundInstanceOperator: nothing is given back unless a person has said so, and then once."""

from __future__ import annotations

import time

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import PRICE, context_of
from tests.support.account import DAY, PRODUCT, shown


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, passing_time):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)


def subscribed(sandbox, days=20.0, **more):
    return sandbox.account.add_instance(expires_at=time.time() + days * DAY, **more).instance_id


def operator(instance_id, **arguments):
    return RefundInstanceOperator(
        task_id="refund", **{**PRODUCT, "instance_id": instance_id, "confirm": True, "deferrable": False, **arguments}
    )


def returned(sandbox):
    return sandbox.account.balance_cents - sandbox.options.balance_cents


@pytest.mark.parametrize("confirm", [True, "True", "true"])
def test_it_tells_what_came_back_and_what_did_not(connection, sandbox, context, confirm):
    instance = subscribed(sandbox, paid_cents=8_000, voucher_cents=2_000)

    result = operator(instance, confirm=confirm).execute(context)

    order = sandbox.account.orders()[-1]
    assert result == {
        "order_id": order.order_id,
        "order_ids": [order.order_id],
        "instance_id": instance,
        "refunded_cents": 8_000,
        "voucher_cents_lost": 2_000,
        "currency": "USD",
        "client_token": order.client_token,
        "request_id": result["request_id"],
    }
    assert returned(sandbox) == 8_000
    assert shown(sandbox, instance) == []


@pytest.mark.parametrize("confirm", [False, None, "", "False", "yes", 1, "None", [True]])
def test_without_a_yes_nothing_is_read_or_sent(connection, sandbox, context, confirm):
    with pytest.raises(AirflowFailException, match=r"confirm: .* is not True. A refund cannot be undone"):
        operator(subscribed(sandbox), confirm=confirm).execute(context)

    assert sandbox.requests == {}


def test_it_is_not_confirmed_unless_somebody_says_so(connection, sandbox, context):
    with pytest.raises(AirflowFailException, match="confirm: False is not True"):
        RefundInstanceOperator(task_id="refund", **PRODUCT, instance_id=subscribed(sandbox)).execute(context)


@pytest.mark.parametrize("dry_run", [True, "true"])
@pytest.mark.parametrize("confirm", [True, False])
def test_the_plan_sends_nothing_confirmed_or_not(connection, sandbox, context, dry_run, confirm, logged):
    instance = subscribed(sandbox, voucher_cents=700)

    plan = operator(instance, dry_run=dry_run, confirm=confirm).execute(context)

    assert "RefundInstance" not in sandbox.requests
    assert (plan["instance_id"], plan["paid_cents"], plan["voucher_cents"]) == (instance, PRICE, 700)
    assert "Nothing was sent. What is known of this refund:" in logged()
    assert [status for status, _ in shown(sandbox, instance)] == ["NORMAL"]


def test_a_template_that_wrote_something_else_than_yes_or_no_is_a_mistake(connection, sandbox, context):
    with pytest.raises(AirflowFailException, match="dry_run: 'maybe' is not True or False"):
        operator(subscribed(sandbox), dry_run="maybe").execute(context)

    assert sandbox.requests == {}


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        ({"instance_id": ""}, "instance_id: "),
        ({"instance_id": None}, "instance_id: "),
        ({"instance_id": "ins-1,ins-2"}, "the id of exactly one instance"),
        ({"instance_id": ["ins-1"]}, "instance_id: "),
        ({"instance_id": "ins-nowhere"}, "there is no such instance"),
        ({"product_code": "p_cvm"}, "not of 'p_cvm'"),
    ],
)
def test_a_mistake_fails_for_good_and_nothing_is_sent(connection, sandbox, context, arguments, mistake):
    arguments = {"instance_id": subscribed(sandbox), **arguments}

    with pytest.raises(AirflowFailException, match=mistake):
        operator(**arguments).execute(context)

    assert "RefundInstance" not in sandbox.requests


@pytest.mark.parametrize("server", ["honour", "ignore"])
def test_a_lost_answer_and_another_run_give_back_once(start_sandbox, connect, tmp_path, server):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "drop", "action": "RefundInstance"})

    first, second = (operator(instance).execute(context_of(run_id=run_id)) for run_id in ("one", "two"))

    assert first["order_id"] == second["order_id"]
    assert sandbox.requests["RefundInstance"] == 1
    assert returned(sandbox) == PRICE


def test_without_a_ledger_another_run_sees_that_it_is_given_back(connection, sandbox):
    instance = subscribed(sandbox)
    operator(instance).execute(context_of(run_id="one"))

    with pytest.raises(AirflowFailException, match="refunds it already"):
        operator(instance).execute(context_of(run_id="two"))

    assert sandbox.requests["RefundInstance"] == 1


@pytest.mark.parametrize("status", [7, 8, 11])
def test_a_refund_that_is_not_carried_out_fails_the_task(connection, sandbox, context, status):
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "order-status", "status": status, "action": "RefundInstance"})

    with pytest.raises(AirflowFailException, match="nothing was returned"):
        operator(instance).execute(context)

    assert returned(sandbox) == 0


def test_a_backfill_gives_nothing_back(connection, sandbox):
    with pytest.raises(AirflowFailException, match="backfill"):
        operator(subscribed(sandbox)).execute(context_of(run_type="backfill"))

    assert "RefundInstance" not in sandbox.requests


@pytest.mark.skipif(not hasattr(RefundInstanceOperator, "dry_run"), reason="this line of Airflow has no dry run")
def test_airflows_own_dry_run_still_works(sandbox):
    operator(subscribed(sandbox)).dry_run()

    assert sandbox.requests == {}
