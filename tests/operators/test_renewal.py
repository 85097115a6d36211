"""RenewInstanceOperator and SetRenewalOperator: one renewal whatever Airflow does, and flags as they should be."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from importlib import import_module
from importlib.util import find_spec

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_provider_tcbilling.api.errors import OutcomeUnknown
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import PRICE, TaskState, context_of
from tests.support.account import AUTO, DAY, MANUAL, PRODUCT, listed, shown

HAS_TASK_STATE = find_spec("airflow.sdk") is not None and hasattr(import_module("airflow.sdk"), "NEVER_EXPIRE")
needs_task_state = pytest.mark.skipif(not HAS_TASK_STATE, reason="the task state store came with Airflow 3.3")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, passing_time):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)


def subscribed(sandbox, days=3.0, **more):
    return sandbox.account.add_instance(expires_at=time.time() + days * DAY, **more).instance_id


def operator(instance_id, **arguments):
    return RenewInstanceOperator(
        task_id="renew", **{**PRODUCT, "instance_id": instance_id, "deferrable": False, **arguments}
    )


def expiry(sandbox, instance_id):
    return shown(sandbox, instance_id)[0][1]


def renewals(sandbox):
    return [order.order_id for order in sandbox.account.orders() if order.action == "renew"]


def spent(sandbox):
    return sandbox.options.balance_cents - sandbox.account.balance_cents


def test_it_renews_and_returns_the_order_and_both_expiries(connection, sandbox, context):
    instance = subscribed(sandbox)
    was = expiry(sandbox, instance)

    result = operator(instance, period=2).execute(context)

    (order_id,) = renewals(sandbox)
    assert result == {
        "order_id": order_id,
        "order_ids": [order_id],
        "instance_id": instance,
        "old_expire_time": was,
        "new_expire_time": expiry(sandbox, instance),
        "client_token": sandbox.account.orders()[-1].client_token,
        "request_id": result["request_id"],
        "paid_cents": 2 * PRICE,
        "currency": "USD",
    }
    assert was < result["new_expire_time"]
    assert context["ti"].xcoms["order_id"] == order_id


@pytest.mark.parametrize("server", ["honour", "ignore"])
@pytest.mark.parametrize("remembers", ["ledger", pytest.param("state", marks=needs_task_state), "nothing"])
def test_a_retry_after_a_lost_answer_finds_the_renewal(start_sandbox, connect, tmp_path, server, remembers):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    extra = {"ledger_uri": tmp_path.as_uri()} if remembers == "ledger" else {}
    connect(host=sandbox.url, extra={**extra, "order_book_lag": 1})
    state = TaskState() if remembers == "state" else None
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "drop", "times": None, "action": "RenewInstance"})
    sandbox.faults.add({"fault": "drop", "times": None, "action": "DescribeDealsByCond"})
    began = datetime.now(timezone.utc) - timedelta(seconds=1)
    with pytest.raises(OutcomeUnknown):
        operator(instance).execute(context_of(state=state, start_date=began))
    sandbox.faults.clear()

    result = operator(instance).execute(context_of(state=state, try_number=2, start_date=began))

    assert renewals(sandbox) == [result["order_id"]]
    assert spent(sandbox) == PRICE


def test_two_runs_that_decided_on_the_same_expiry_renew_once(connect, sandbox, tmp_path):
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})
    instance = subscribed(sandbox)
    seen = expiry(sandbox, instance)

    first, second = (
        operator(instance, expire_time=seen).execute(context_of(run_id=run_id)) for run_id in ("one", "two")
    )

    assert first["order_id"] == second["order_id"]
    assert second["old_expire_time"] == seen
    assert sandbox.requests["RenewInstance"] == 1


def test_without_a_ledger_the_second_run_sees_that_the_expiry_has_moved(connection, sandbox):
    instance = subscribed(sandbox)
    seen = expiry(sandbox, instance)
    operator(instance, expire_time=seen).execute(context_of(run_id="one"))

    with pytest.raises(AirflowSkipException, match="has been renewed already"):
        operator(instance, expire_time=seen).execute(context_of(run_id="two"))

    assert spent(sandbox) == PRICE


@pytest.mark.parametrize("within", [timedelta(days=14), 14 * DAY, "P14D", "P2W", str(14 * DAY)])
def test_what_does_not_expire_soon_is_skipped_with_the_reason(connection, sandbox, context, within):
    with pytest.raises(
        AirflowSkipException, match=r"left alone, and nothing was sent: it expires at .* within 14 days"
    ):
        operator(subscribed(sandbox, days=15), renew_within=within).execute(context)

    assert "RenewInstance" not in sandbox.requests
    assert "order_id" not in context["ti"].xcoms


def test_auto_renewal_skips_by_default_fails_if_told_to_and_is_overruled_if_told_to(connection, sandbox, context):
    instance = subscribed(sandbox, renew_flag=AUTO)

    with pytest.raises(AirflowSkipException, match="the vendor will renew it by itself"):
        operator(instance).execute(context)
    with pytest.raises(AirflowFailException, match="it would be paid twice"):
        operator(instance, on_auto_renew="fail").execute(context)
    assert spent(sandbox) == 0

    operator(instance, on_auto_renew="renew").execute(context)

    assert spent(sandbox) == PRICE


def test_an_isolated_instance_is_renewed_only_when_told_to(connection, sandbox, context):
    instance = subscribed(sandbox, days=-1)
    with pytest.raises(AirflowFailException, match="is isolated; renew_isolated=True would renew it"):
        operator(instance).execute(context)
    assert spent(sandbox) == 0

    operator(instance, renew_isolated="True").execute(context)

    assert [status for status, _ in shown(sandbox, instance)] == ["NORMAL"]


def test_it_waits_in_the_triggerer_and_then_tells_the_new_expiry(start_sandbox, connect, tmp_path, context):
    sandbox = start_sandbox(delivery_looks=2)
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})
    instance = subscribed(sandbox)
    was = expiry(sandbox, instance)
    with pytest.raises(TaskDeferred) as leaving:
        operator(instance, deferrable=True).execute(context)
    _, kwargs = leaving.value.trigger.serialize()
    assert kwargs["action"] == "RenewInstance"
    event = {"order": kwargs["order"], "deadline": kwargs["deadline"]}
    with pytest.raises(TaskDeferred):
        operator(instance, deferrable=True).execute_complete(context, event)

    result = operator(instance, deferrable=True).execute_complete(context, event)

    assert (result["old_expire_time"], result["new_expire_time"]) == (was, expiry(sandbox, instance))
    assert sandbox.requests["RenewInstance"] == 1


def test_an_expiry_that_is_still_listed_as_before_is_told_and_is_no_failure(connection, sandbox, context, logged):
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "expiry-late", "seconds": 3600.0, "action": "RenewInstance"})

    result = operator(instance).execute(context)

    assert result["old_expire_time"] == result["new_expire_time"]
    assert f"{instance} is still listed to expire at {result['new_expire_time']}" in logged()


def test_an_expiry_that_cannot_be_read_afterwards_is_no_failure(connection, sandbox, context, monkeypatch):
    instance = subscribed(sandbox)
    task = operator(instance)
    monkeypatch.setattr(
        "airflow_provider_tcbilling.operators._execution.Execution.note_delivery",
        lambda *_: sandbox.faults.add({"fault": "http", "times": None, "when": "before"}) and None,
    )

    result = task.execute(context)

    assert result["order_id"] == renewals(sandbox)[0]
    assert result["new_expire_time"] is None


@pytest.mark.parametrize("status", [5, 6, 7])
def test_a_renewal_that_dies_fails_the_task_and_is_not_paid_again(connection, sandbox, context, status):
    sandbox.faults.add({"fault": "order-status", "status": status, "action": "RenewInstance"})

    with pytest.raises(AirflowFailException, match="has failed"):
        operator(subscribed(sandbox)).execute(context)

    assert sandbox.requests["RenewInstance"] == 1


def test_a_backfill_renews_nothing_unless_it_is_allowed(connection, sandbox):
    backfill = context_of(run_type="backfill")
    instance = subscribed(sandbox)
    with pytest.raises(AirflowFailException, match="backfill"):
        operator(instance).execute(backfill)
    with pytest.raises(AirflowSkipException):
        operator(instance, on_refused_run="skip").execute(backfill)
    assert spent(sandbox) == 0

    operator(instance, allow_backfill=True).execute(backfill)

    assert spent(sandbox) == PRICE


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        ({"instance_id": "ins-nowhere"}, "there is no such instance"),
        ({"instance_id": None}, "instance_id"),
        ({"instance_id": "a,b"}, "the id of exactly one instance"),
        ({"region_code": "ap-tokyo"}, "region_code: "),
        ({"sub_product_code": "sp_other"}, "sub_product_code: "),
        ({"period": 37}, "period: 37 is above the maximum"),
        ({"period_unit": "d"}, "period_unit: "),
        ({"expire_time": ""}, "expire_time: '' is not a time as the list"),
        ({"expire_time": "None"}, "expire_time: 'None' is not a time as the list"),
        ({"expire_time": "2027-01-31T08:00:00Z"}, "expire_time: "),
        ({"renew_within": "soon"}, "renew_within: 'soon' is not a timedelta"),
        ({"renew_within": -1}, "renew_within: -1 is not"),
        ({"on_auto_renew": "ask"}, "on_auto_renew: 'ask' is not one of skip, fail, renew"),
        ({"renew_isolated": "perhaps"}, "renew_isolated: 'perhaps' is not True or False"),
        ({"purchase_key": "None"}, "purchase_key: given, but its template rendered to"),
    ],
)
def test_a_mistake_fails_for_good_and_nothing_is_spent(connection, sandbox, context, arguments, mistake):
    arguments = {"instance_id": subscribed(sandbox), **arguments}

    with pytest.raises(AirflowFailException, match=mistake):
        operator(**arguments).execute(context)

    assert "RenewInstance" not in sandbox.requests


def test_all_mistakes_are_told_at_once(connection, sandbox, context):
    with pytest.raises(AirflowFailException) as told:
        operator("", period=0, expire_time="x", on_auto_renew="x").execute(context)

    assert all(name in str(told.value) for name in ("instance_id", "period", "expire_time", "on_auto_renew"))
    assert sandbox.requests == {}


def test_what_expires_feeds_the_renewals_of_a_mapped_task(connection, sandbox, context):
    for days in (3, 9, 20):
        subscribed(sandbox, days=days, name=f"edge-{days}")
    with DAG("d", schedule=None):
        found = ExpiringInstancesOperator(task_id="expiring", within="P14D")
        RenewInstanceOperator.partial(task_id="renew", renew_within="P14D").expand_kwargs(found.output)

    arguments = found.execute(context)
    results = [
        RenewInstanceOperator(task_id="renew", renew_within="P14D", **one).execute(context_of(map_index=index))
        for index, one in enumerate(arguments)
    ]

    assert [one["instance_name"] for one in arguments] == ["edge-3", "edge-9"]
    assert [one["order_id"] for one in results] == renewals(sandbox)
    assert found.execute(context) == []
    assert spent(sandbox) == 2 * PRICE


# The flag


def flag_setter(instance_id, **arguments):
    fields = {"product_code": PRODUCT["product_code"], "region_code": PRODUCT["region_code"], **arguments}
    return SetRenewalOperator(task_id="flag", instance_id=instance_id, **fields)


def test_a_flag_is_written_only_where_it_differs(connection, sandbox, context):
    instance = subscribed(sandbox)
    task = flag_setter(instance, renew_flag=AUTO, renew_period=3, renew_period_unit="m")

    first, second = task.execute(context), task.execute(context)

    assert (first["changed"], second["changed"]) == (True, False)
    assert first["before"] == {"renew_flag": MANUAL, "renew_period": "1", "renew_period_unit": "m"}
    assert first["after"] == second["before"] == {"renew_flag": AUTO, "renew_period": "3", "renew_period_unit": "m"}
    assert sandbox.requests["SetRenewal"] == 1
    assert [(one["RenewFlag"], one["RenewPeriod"]) for one in listed(sandbox)] == [(AUTO, 3)]


def test_a_flag_alone_leaves_the_period_as_it_is(connection, sandbox, context):
    instance = subscribed(sandbox)
    flag_setter(instance, renew_flag=AUTO, renew_period="2").execute(context)

    after = flag_setter(instance, renew_flag=MANUAL).execute(context)["after"]

    assert after == {"renew_flag": MANUAL, "renew_period": "2", "renew_period_unit": "m"}


def test_a_lost_answer_is_asked_for_again_since_nothing_is_paid(connection, sandbox, context):
    sandbox.faults.add({"fault": "drop", "action": "SetRenewal"})

    assert flag_setter(subscribed(sandbox), renew_flag=AUTO).execute(context)["changed"]


def test_failures_inside_the_list_of_instances_are_errors(connection, sandbox, context):
    instance = subscribed(sandbox)
    failed = [{"InstanceId": instance, "Code": "Locked", "Message": "It is locked."}]
    answer = {"InstanceList": failed, "RequestId": "r"}
    sandbox.faults.add({"fault": "answer", "response": answer, "action": "SetRenewal", "when": "before"})

    with pytest.raises(AirflowFailException, match=f"SetRenewal changed nothing for\n  - {instance}, Locked"):
        flag_setter(instance, renew_flag=AUTO).execute(context)


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        ({"instance_id": "ins-nowhere"}, "there is no such instance"),
        ({"product_code": "p_cvm"}, "is of 'p_cloudfirewall', not of 'p_cvm'"),
        ({"region_code": "ap-tokyo"}, "is of 'ap-guangzhou', not of 'ap-tokyo'"),
        ({"renew_flag": "ALWAYS"}, "renew_flag: "),
        ({"renew_period": "often"}, "renew_period: "),
        ({"renew_period_unit": "d"}, "renew_period_unit: "),
    ],
)
def test_a_wrong_flag_or_instance_fails_and_nothing_is_written(connection, sandbox, context, arguments, mistake):
    arguments = {"instance_id": subscribed(sandbox), "renew_flag": AUTO, **arguments}

    with pytest.raises(AirflowFailException, match=mistake):
        flag_setter(**arguments).execute(context)

    assert "SetRenewal" not in sandbox.requests


def test_an_unknown_flag_of_the_server_is_a_difference_like_any_other(connection, sandbox, context):
    result = flag_setter(subscribed(sandbox, renew_flag="SURPRISE"), renew_flag=MANUAL).execute(context)

    assert (result["before"]["renew_flag"], result["changed"]) == ("SURPRISE", True)


def test_the_name_of_an_instance_is_no_template():
    assert not {"instance_name"} & set(RenewInstanceOperator.template_fields)
