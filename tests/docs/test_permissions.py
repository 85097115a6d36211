"""The page of the connection names the actions that each task calls: a key needs their permissions and no others."""

from __future__ import annotations

import time

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.operators.approval import ApproveSpendingOperator
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.purchasing.approval import Question
from airflow_provider_tcbilling.purchasing.approval_plan import entry_of, plan_of
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from tests.conftest import ORDER, context_of
from tests.docs.extensions import extension

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("connection")]

INSTANCE = {name: ORDER[name] for name in ("product_code", "region_code")}
SUBSCRIPTION = {**INSTANCE, "sub_product_code": ORDER["sub_product_code"]}


class Approving:
    """An ApproveSpendingOperator with a plan. It ends before it asks, since its connection has no ledger."""

    def execute(self, context):
        client = TcBillingHook().get_conn()
        terms = {"max_cents": 1, "currency": "USD", "price_from": "max_cents", "rules": ApprovalRules(0)}
        action = NewInstance(client, ORDER)
        question = Question.of(action, key="web", account=client.account, generation=0, **terms)
        with pytest.raises(AirflowFailException):
            ApproveSpendingOperator(task_id="it", plans=plan_of([entry_of(question)])).execute(context)


TASKS = {
    "CreateInstanceOperator": lambda it: CreateInstanceOperator(task_id="it", **ORDER),
    "RenewInstanceOperator": lambda it: RenewInstanceOperator(task_id="it", instance_id=it.instance_id, **SUBSCRIPTION),
    "RefundInstanceOperator": lambda it: RefundInstanceOperator(
        task_id="it", confirm=True, instance_id=it.instance_id, **SUBSCRIPTION
    ),
    "SetRenewalOperator": lambda it: SetRenewalOperator(
        task_id="it", instance_id=it.instance_id, renew_flag="NOTIFY_AND_AUTO_RENEW", **INSTANCE
    ),
    "ExpiringInstancesOperator": lambda it: ExpiringInstancesOperator(task_id="it", within="P14D"),
    "ApproveSpendingOperator": lambda it: Approving(),
    "InstanceExpirySensor": lambda it: InstanceExpirySensor(task_id="it", within="P14D"),
    "InstanceDeliverySensor": lambda it: InstanceDeliverySensor(task_id="it", order_id=it.order_ids[0]),
}


def calls_of_the_page():
    """Return the actions by the name of the task. The test of the connection is no class, and has an empty name."""
    return {name: set(calls) for name, calls in extension("permissions").CALLS.items()}


def test_the_page_names_every_task():
    assert {name for name in calls_of_the_page() if name} == set(TASKS)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_calls_what_the_page_says(sandbox, name):
    it = sandbox.account.add_instance(expires_at=time.time() + 86_400)
    sandbox.faults.add({"fault": "null-instances", "action": "CreateInstance"})

    TASKS[name](it).execute(context_of())

    assert {entry.action for entry in sandbox.journal} == calls_of_the_page()[name]


def test_the_test_of_the_connection_calls_what_the_page_says(sandbox):
    TcBillingHook().test_connection()

    assert {entry.action for entry in sandbox.journal} == calls_of_the_page()[""]
