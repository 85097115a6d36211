"""What a task says when its order is known but not delivered, and that its step helps."""

from __future__ import annotations

import time

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    TaskDeferred,
)

from tests.conftest import PRICE
from tests.support.night import (
    KEY,
    explained,
    step_of,
)

pytestmark = [pytest.mark.airflow]


@pytest.mark.parametrize(
    ("status", "money"),
    [
        (5, "Paid: 100.00 USD, order {}."),
        (6, "Paid: 100.00 USD, order {}. The paid part went back to the account."),
        (7, "Perhaps paid, up to 100.00 USD, order {}."),
        (8, "Nothing was bought: order {} was not paid."),
        (9, "Perhaps paid, up to 100.00 USD, order {}."),
        (10, "Perhaps paid, up to 100.00 USD, order {}."),
        (11, "Nothing was bought: order {} was not paid."),
    ],
)
def test_an_order_that_died_says_what_became_of_the_money_and_stays_the_same(night, status, money):
    night.sandbox.faults.add({"fault": "order-status", "status": status})

    message = night.fails()

    assert message.splitlines()[0] == money.format(night.orders[0])
    assert step_of(message).startswith("Call Tencent's support with the order's number.")
    assert night.fails().splitlines()[0] == message.splitlines()[0]
    assert len(night.orders) == 1
    assert night.clear(purchase_key="another")["order_id"] == night.orders[1]


@pytest.mark.parametrize("without_ledger", [False, True])
def test_a_wait_that_ends_goes_on_after_a_clear(night, without_ledger, capsys):
    night.open(delivery_looks=6)
    night.connect(without_ledger=without_ledger)
    key = None if without_ledger else KEY

    message = night.fails(night.task(delivery_timeout=0.001, purchase_key=key))

    assert message.startswith(f"Paid: 100.00 USD, order {night.orders[0]}.\n")
    assert step_of(message) == "Clear the task: it waits on for this order, and buys nothing."
    if not without_ledger:
        assert explained(night, message, capsys) == step_of(message)
    assert night.clear(purchase_key=key)["instance_ids"]
    assert night.spent == PRICE


def test_a_key_that_may_not_wait_is_corrected_and_the_task_waits_on(night):
    night.open(delivery_looks=3)
    night.sandbox.faults.add({"fault": "error", "code": "UnauthorizedOperation", "action": "DescribeDealsByCond"})

    message = night.fails()

    assert message.startswith(f"Paid: an amount that is not known yet, order {night.orders[0]}.\n")
    assert "Grant it QCloudFinanceFullAccess" in message
    assert step_of(message).endswith("it waits on for this order, and buys nothing.")
    assert night.clear()["instance_ids"]
    assert night.spent == PRICE


def test_a_task_that_is_woken_for_another_order_goes_on_with_its_own(night):
    night.open(delivery_looks=5)
    task, context = night.task(deferrable=True), night.context()
    with pytest.raises(TaskDeferred):
        task.execute(context)

    with pytest.raises(AirflowFailException) as failed:
        task.execute_complete(context, {"order": {"order_id": "2026"}, "deadline": time.time() + 60})

    assert str(failed.value).startswith("Paid: ")
    assert step_of(str(failed.value)) == "Clear the task: it goes on with its own order, and buys nothing."
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_an_airflow_that_is_away_after_the_purchase_does_not_lose_it(night, monkeypatch):
    context = night.context()
    with monkeypatch.context() as patch:

        def away(self, key, value):
            raise ConnectionError("the API server is away")

        patch.setattr(type(context["ti"]), "xcom_push", away)
        message = night.fails(context=context)

    assert message.startswith(f"Paid: an amount that is not known yet, order {night.orders[0]}.\n")
    assert "ConnectionError: the API server is away" in message
    assert step_of(message) == "Clear the task: it waits on for this order, and buys nothing."
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE
