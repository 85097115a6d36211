"""What renewals, refunds, sensors and lists say when they end badly."""

from __future__ import annotations

import time

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from tests.conftest import ORDER
from tests.support.night import (
    step_of,
)

pytestmark = [pytest.mark.airflow]


DAY = 86_400
PRODUCT = {name: ORDER[name] for name in ("product_code", "sub_product_code", "region_code")}


def instance(night, **options):
    return night.sandbox.account.add_instance(expires_at=time.time() + 3 * DAY, **options).instance_id


def renewing(night, **arguments):
    return RenewInstanceOperator(task_id="buy", **{**PRODUCT, "deferrable": False, **arguments})


def test_a_renewal_of_nothing_says_so(night):
    message = night.fails(renewing(night, instance_id="ins-nowhere"))

    assert message.startswith("Nothing was renewed.\n")
    assert "it RENEWS" in step_of(message)
    assert renewing(night, instance_id=instance(night)).execute(night.context())["new_expire_time"]


def test_a_renewal_that_is_not_needed_is_skipped_with_the_reason(night):
    with pytest.raises(AirflowSkipException, match="was left alone, and nothing was sent"):
        renewing(night, instance_id=instance(night), renew_within=60).execute(night.context())


def test_a_refund_that_nobody_confirmed_says_that_nothing_was_refunded(night):
    given = {**PRODUCT, "instance_id": instance(night), "deferrable": False}

    message = night.fails(RefundInstanceOperator(task_id="buy", **given))

    assert message.startswith("Nothing was refunded.\n")
    assert "it GIVES THE INSTANCE BACK" in step_of(message)
    assert RefundInstanceOperator(task_id="buy", **given, confirm=True).execute(night.context())["order_id"]


def test_a_refund_whose_wait_ends_says_that_it_was_placed(night):
    night.open(delivery_looks=3)
    task = RefundInstanceOperator(
        task_id="buy", **PRODUCT, instance_id=instance(night), confirm=True, delivery_timeout=0.001, deferrable=False
    )

    message = night.fails(task)

    assert message.startswith(f"Refund placed: order {night.orders[-1]}.\n")
    assert step_of(message) == "Clear the task: it waits on for this order, and buys nothing."


def test_a_flag_that_was_not_set_says_that_nothing_was_paid(night, monkeypatch):
    failed = [{"InstanceId": "ins-1", "Code": "FailedOperation", "Message": "no"}]
    monkeypatch.setattr(BillingClient, "set_renewal", lambda self, **fields: failed)
    flag = {name: ORDER[name] for name in ("product_code", "region_code")} | {"renew_flag": "NOTIFY_AND_AUTO_RENEW"}

    message = night.fails(SetRenewalOperator(task_id="set", instance_id=instance(night), **flag))

    assert message.startswith("Nothing was paid.\n")
    assert "it sets what differs" in step_of(message)


def test_a_list_that_may_not_be_read_says_which_key_is_wrong(night):
    night.connect(password="wrong")

    message = night.fails(ExpiringInstancesOperator(task_id="list", within="P14D"))

    assert message.startswith("Nothing was bought.\n")
    assert "SecretId AKID...only" in message
    assert "it looks again" in step_of(message)


def sensor(order_id, **options):
    return InstanceDeliverySensor(task_id="wait", order_id=order_id, poke_interval=1, **options)


@pytest.mark.parametrize("deferrable", [False, True])
def test_a_sensor_whose_time_is_over_says_that_the_order_stays(night, deferrable):
    night.open(delivery_looks=50)
    order_id = night.clear(wait_for_delivery=False)["order_id"]
    task, context = sensor(order_id, timeout=0.001, deferrable=deferrable), night.context()

    with pytest.raises((AirflowSensorTimeout, TaskDeferred)) as ended:
        task.execute(context)
    if deferrable:
        trigger = ended.value.trigger
        night.clock.sleep(30)
        with pytest.raises(AirflowSensorTimeout) as ended:
            task.execute_complete(context, {**trigger.facts, "deadline": trigger.deadline})

    message = str(ended.value)
    assert message.startswith(f"Nothing was bought by this task. Order {order_id} stays as it is.\n")
    assert step_of(message) == "Clear the task: it waits on for this order, and buys nothing."


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger failure"])
def test_a_sensor_whose_wait_airflow_ends_says_so(night, error):
    order_id = night.clear(wait_for_delivery=False)["order_id"]
    for task, money in [
        (sensor(order_id, deferrable=True), f"Nothing was bought by this task. Order {order_id} stays as it is."),
        (InstanceExpirySensor(task_id="wait", within=60), "Nothing was bought."),
    ]:
        with pytest.raises(AirflowException) as failed:
            task.resume_execution("__fail__", {"error": error}, night.context())

        assert str(failed.value).splitlines()[0] == money
        assert error in str(failed.value)
        assert step_of(str(failed.value)).startswith("Clear the task: it waits ")


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("fault", [{"fault": "drop"}, {"fault": "error", "code": "InternalError"}])
def test_a_task_that_places_no_order_does_not_promise_to_look_for_one(night, fault, retries):
    night.sandbox.faults.add({"action": "DescribeRenewInstances", "times": None, **fault})
    flag = {name: ORDER[name] for name in ("product_code", "region_code")} | {"renew_flag": "NOTIFY_AND_AUTO_RENEW"}
    for task, acts in [
        (ExpiringInstancesOperator(task_id="list", within="P14D"), "it looks again"),
        (SetRenewalOperator(task_id="set", instance_id="ins-1", **flag), "it sets what differs"),
    ]:
        context = night.context()
        context["ti"].max_tries = retries and 1000

        step = step_of(night.fails(task, context=context))

        assert "order" not in step
        assert step.endswith(f"{acts}.")
        assert ("tries again by itself" in step) is bool(retries)


def test_a_sensor_whose_order_died_says_what_became_of_the_money(night):
    night.sandbox.faults.add({"fault": "order-status", "status": 5})
    order_id = night.clear(wait_for_delivery=False)["order_id"]

    message = night.fails(sensor(order_id))

    assert message.startswith(f"Paid: 100.00 USD, order {order_id}.\n")
    step_of(message)


def test_a_sensor_for_instances_whose_time_is_over_says_so(night):
    task = InstanceExpirySensor(task_id="wait", within=60, poke_interval=1, timeout=0.001, deferrable=False)

    message = night.fails(task, AirflowSensorTimeout)

    assert message.startswith("Nothing was bought.\n")
    assert "A larger timeout waits longer" in step_of(message)
