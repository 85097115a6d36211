"""Each task once with the temporary keys of an assumed role; limits and approvals count for the account behind it."""

from __future__ import annotations

import json

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.operators.approval import ApproveSpendingOperator
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from airflow_provider_tcbilling.task.ledger_connection import address_of
from tests.conftest import ORDER, PRICE, client_to, context_of
from tests.support.account import AUTO, PRODUCT
from tests.support.keys import OTHER_BUYER
from tests.support.questions import Parked, Questions, event
from tests.support.renewals import subscribed
from tests.support.sources import source

__all__ = ["source"]
pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]

MONTH = {"name": "fleet", "window": "month", "max_cents": 2 * PRICE, "currency": "USD"}


def about(sandbox):
    return {**PRODUCT, "instance_id": subscribed(sandbox)}


def setting(sandbox):
    fields = {name: value for name, value in about(sandbox).items() if name != "sub_product_code"}
    return {**fields, "renew_flag": AUTO}


def placed(sandbox):
    order_id = client_to(sandbox).create_instance(client_token="before", **ORDER).order_id
    return {"order_id": order_id, "poke_interval": 1}


def soon(sandbox):
    subscribed(sandbox)
    return {"within": "P14D"}


TASKS = {
    "CreateInstance": (CreateInstanceOperator, lambda sandbox: ORDER),
    "RenewInstance": (RenewInstanceOperator, about),
    "RefundInstance": (RefundInstanceOperator, lambda sandbox: {**about(sandbox), "confirm": True}),
    "SetRenewal": (SetRenewalOperator, setting),
    "DescribeRenewInstances": (ExpiringInstancesOperator, soon),
    "DescribeDealsByCond": (InstanceDeliverySensor, placed),
}


def task_of(action, sandbox):
    kind, arguments = TASKS[action]
    can_defer = kind not in (SetRenewalOperator, ExpiringInstancesOperator)
    return kind(task_id="task", **arguments(sandbox), **({"deferrable": False} if can_defer else {}))


@pytest.mark.parametrize("is_expired", [False, True], ids=["its key is good", "its key expires as it is sent"])
@pytest.mark.parametrize("action", TASKS)
def test_each_task_does_its_work_once_with_a_role(sandbox, source, action, is_expired):
    source("role", sandbox)
    task = task_of(action, sandbox)
    before = sandbox.requests.get(action, 0)
    if is_expired:
        sandbox.faults.add({"fault": "expire", "action": action})

    task.execute(context_of())

    entries = [entry for entry in sandbox.journal if entry.action == action][before:]
    carried_out = [entry for entry in entries if entry.outcome == "ok"]
    assert {entry.principal for entry in carried_out} == {"100000000001:role/buyer"}
    if action not in ("DescribeRenewInstances", "DescribeDealsByCond"):
        assert len(carried_out) == 1
        assert len({entry.body_sha256 for entry in entries}) == 1
    assert sandbox.requests["AssumeRole"] == 1 + is_expired


def test_a_sensor_of_an_expiry_works_with_a_role(sandbox, source):
    source("role", sandbox)
    instance = subscribed(sandbox)

    (found,) = InstanceExpirySensor(task_id="wait", within="P14D", deferrable=False).execute(context_of())

    assert found["instance_id"] == instance


@pytest.fixture
def books(sandbox, monkeypatch, tmp_path):
    """A ledger in a database, as the extra of a connection, and its store."""
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}))
    store = DatabaseStore(address_of("ledger"))
    store.upgrade()
    return {"ledger_conn_id": "ledger", "order_book_lag": 1}


def buy(run_id, conn_id="tcbilling_default", **arguments):
    options = {"max_cents": PRICE, "deferrable": False, "tcbilling_conn_id": conn_id, **ORDER, **arguments}
    return CreateInstanceOperator(task_id="buy", **options)


def test_the_purchases_of_a_role_and_of_a_permanent_key_count_together_for_their_account(
    sandbox, source, connect, books
):
    extra = {**books, "spending_limits": [MONTH]}
    source("role", sandbox, conn_id="role", **extra)
    connect(host=sandbox.url, conn_id="key", extra=extra)
    buy("r1", "role").execute(context_of("r1"))
    sandbox.keys.expire()
    buy("r2", "key").execute(context_of("r2"))

    for run_id, conn_id in (("r3", "role"), ("r4", "key")):
        with pytest.raises(AirflowFailException, match=r"allows 200\.00 USD\. Settled: 200\.00 USD"):
            buy(run_id, conn_id).execute(context_of(run_id))

    assert len(sandbox.account.orders()) == 2
    assert sandbox.requests["CreateInstance"] == 2


def test_two_keys_of_one_role_count_together_in_a_limit(sandbox, source, books):
    source("role", sandbox, **books, spending_limits=[MONTH])
    for run_id in ("r1", "r2"):
        buy(run_id).execute(context_of(run_id))
        sandbox.keys.expire()

    with pytest.raises(AirflowFailException, match="limit 'fleet'"):
        buy("r3").execute(context_of("r3"))

    assert len({key.secret_id for key in sandbox.keys.issued}) == 3
    assert sandbox.requests["CreateInstance"] == 2


@pytest.mark.parametrize("name", ["role", "cvm_role", "tke_oidc", "connection"])
def test_an_approval_under_one_temporary_key_is_valid_under_the_next_one_of_the_same_role(
    sandbox, source, books, monkeypatch, name
):
    made = source(name, sandbox, **books)
    Questions(monkeypatch)
    limits = {"currency": "USD", "approve_above_cents": 0}
    with pytest.raises(Parked) as parked:
        buy("r1", **limits).execute(context_of("r1"))
    sandbox.keys.expire()
    if name == "connection":
        made.replace_key()

    result = buy("r1", **limits).execute_approved(context_of("r1"), event(parked.value.prompt.approve))

    assert [order.order_id for order in sandbox.account.orders()] == [result["order_id"]]
    assert len({key.secret_id for key in sandbox.keys.issued}) >= 2


def test_a_plan_is_approved_and_bought_although_the_key_of_the_role_changes_twice(sandbox, source, books, monkeypatch):
    source("role", sandbox, **books)
    Questions(monkeypatch)
    limits = {"currency": "USD", "approve_above_cents": 0, "purchase_key": "edge"}
    plan = json.loads(json.dumps(buy("r1", **limits, dry_run=True).execute(context_of("r1"))))
    approve = ApproveSpendingOperator(task_id="approve", plans=[plan])
    sandbox.keys.expire()
    with pytest.raises(Parked) as parked:
        approve.execute(context_of("r1", task_id="approve"))
    approve.execute_approved(context_of("r1", task_id="approve"), event(parked.value.prompt.approve))
    sandbox.keys.expire()

    result = buy("r1", **limits).execute(context_of("r1"))

    assert [order.order_id for order in sandbox.account.orders()] == [result["order_id"]]
    assert len({key.secret_id for key in sandbox.keys.issued}) == 3


def test_an_approval_under_a_role_is_not_one_for_a_role_of_another_account(sandbox, source, books, monkeypatch):
    source("role", sandbox, **books)
    Questions(monkeypatch)
    limits = {"currency": "USD", "approve_above_cents": 0}
    with pytest.raises(Parked) as parked:
        buy("r1", **limits).execute(context_of("r1"))
    source("role", sandbox, **books, assume_role_arn=OTHER_BUYER)

    with pytest.raises(AirflowFailException):
        buy("r1", **limits).execute_approved(context_of("r1"), event(parked.value.prompt.approve))

    assert sandbox.account.orders() == []
    assert "CreateInstance" not in sandbox.requests
