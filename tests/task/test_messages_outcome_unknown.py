"""What a task says when nobody knows whether it has bought, and that its step helps."""

from __future__ import annotations

import re
import shlex
import time

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider_tcbilling.api import errors
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.task.next_steps import COMMAND
from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch
from tests.conftest import ORDER, PRICE, client_to
from tests.support.night import (
    NOTHING,
    Night,
    explained,
    step_of,
)

pytestmark = [pytest.mark.airflow]


def without_time(step):
    return re.sub(r"\d{4}-\S+Z", "TIME", step)


def test_two_orders_that_may_be_it_are_told_and_one_is_settled(night, capsys):
    night.open(tokens=Tokens.parse("ignore"))
    client_to(night.sandbox).create_instance(client_token="by hand", **ORDER)
    night.fault("drop")

    message = night.fails()

    assert message.startswith("Perhaps paid, up to 100.00 USD.\n")
    assert all(number in message for number in night.orders)
    step = without_time(" ".join(step_of(message).split()))
    night.clock.sleep(600)
    assert step == without_time(explained(night, message, capsys))
    night.settle(message, "--order-id", night.orders[1])
    assert night.clear()["order_id"] == night.orders[1]
    assert len(night.orders) == 2


def test_an_order_that_nobody_finds_is_settled_as_not_bought_and_the_clear_buys(night, capsys):
    night.fault("error", code="FailedOperation.SomethingNew", when="before", times=1)

    message = night.fails()

    assert message.startswith("Perhaps paid, up to an amount that is not known yet.\n")
    step = step_of(message)
    not_before = re.search(r"From (\S+Z) on, ", step)[1]
    assert not_before > time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 300))
    night.clock.sleep(600)
    assert "--not-bought" in explained(night, message, capsys)
    night.settle(message, "--not-bought")
    assert night.spent == 0
    night.clear()
    assert night.spent == PRICE


def test_an_order_book_that_may_not_be_read_is_read_and_the_order_adopted(night):
    night.fault("drop")
    night.sandbox.faults.add(
        {"fault": "error", "code": "UnauthorizedOperation", "action": "DescribeDealsByCond", "times": None}
    )

    message = night.fails()

    assert message.startswith("Perhaps paid, up to an amount that is not known yet.\n")
    assert "Let the key read the orders" in step_of(message)
    assert "Connection tcbilling_default, SecretId AKID...only" in message
    night.sandbox.faults.clear()
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_a_server_that_gives_no_answer_for_minutes_is_asked_again(night):
    night.fault("drop")
    night.sandbox.faults.add({"fault": "drop", "action": "DescribeDealsByCond", "times": None})

    message = night.fails()

    assert message.startswith("Perhaps paid, up to an amount that is not known yet.\n")
    assert "it looks for an order first" in step_of(message)
    night.sandbox.faults.clear()
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_a_retry_without_a_record_does_not_say_that_nothing_was_bought(night):
    night.connect(without_ledger=True)
    night.tries = 1
    night.sandbox.faults.add({"fault": "drop", "action": "DescribeDealsByCond", "times": None})

    message = night.fails(night.task(purchase_key=None))

    assert message.startswith("Perhaps paid, up to an amount that is not known yet.\n")
    assert "it looks for an order first" in step_of(message)


@pytest.mark.parametrize("has_record", [True, False])
def test_what_the_server_called_paid_is_for_the_support(night, has_record):
    night.connect(without_ledger=not has_record)
    night.fault(code="FailedOperation.PaySuccDeliverFailed", when="before")

    message = night.fails(night.task(purchase_key=None))

    money = "Paid: an amount that is not known yet, as the server said, and the order is not known."
    assert message.splitlines()[0] == money
    assert step_of(message).startswith("Call Tencent's support with the request id above.")
    assert "--not-bought" not in message
    if has_record:
        by_the_support = client_to(night.sandbox).create_instance(client_token="by the support", **ORDER)
        other = by_the_support.order_id
        (line,) = [line for line in message.splitlines() if "--order-id" in line]
        arguments = shlex.split(line.partition(COMMAND)[2])
        assert night.run([*(other if word == "NUMBER" else word for word in arguments), "--force"]) == 0
        assert night.clear(purchase_key=None)["order_id"] == other


def test_a_refused_repeat_is_never_sent_again(night):
    night.fault("drop", when="before")
    night.sandbox.account.balance_cents = 0

    message = night.fails()

    assert message.startswith("Perhaps paid, ")
    assert step_of(message).startswith("Call Tencent's support with the request id above.")


def test_without_a_record_the_step_names_what_can_be_done_without_one(night):
    night.connect(without_ledger=True)
    night.fault("error", code="FailedOperation.SomethingNew", when="before", times=1)
    task = {"purchase_key": None}

    message = night.fails(night.task(**task))

    step = step_of(message)
    assert "settle" not in message
    assert "on_unknown_outcome='replay'" in step
    night.clock.sleep(600)
    night.clear(**task, on_unknown_outcome="replay")
    assert night.spent == PRICE


@pytest.mark.parametrize(
    "key",
    ["it's $(this)", "-x", "--order-id", "new\nline", "tab\there", "\u202eturned", "\\n", "k" * 2500, "é " * 299 + "é"],
)
def test_the_commands_name_the_purchase_whatever_its_key_is(night, key, capsys):
    night.arguments = {"purchase_key": key}
    night.fault("error", code="FailedOperation.SomethingNew", when="before", times=1)

    message = night.fails()

    assert all(len(line) < errors.MAX_LINE for line in message.splitlines() if COMMAND in line)
    night.clock.sleep(600)
    assert "--not-bought" in explained(night, message, capsys)
    night.settle(message, "--not-bought")
    night.clear()
    assert night.spent == PRICE


def in_doubt(night):
    """Let a try fail whose order nobody knows."""
    night.fault("drop")
    night.sandbox.faults.add({"fault": "drop", "action": "DescribeDealsByCond", "times": None})
    assert night.fails().startswith("Perhaps paid, ")
    night.sandbox.faults.clear()
    assert len(night.orders) == 1


@pytest.mark.parametrize("case", [NOTHING[name] for name in ("a mistake", "no connection", "a wrong connection")])
@pytest.mark.parametrize("before", [in_doubt, Night.clear])
def test_a_try_that_fails_before_it_read_the_record_says_nothing_of_the_tries_before(night, before, case):
    before(night)
    happening = case(night)
    next(happening)

    message = night.fails()

    assert message.splitlines()[0] == "Nothing was bought by this try."
    assert "it looks for an" in step_of(message)
    assert "it BUYS only if there is none" in step_of(message)
    assert next(happening, None) is None
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_a_key_that_cannot_tell_its_account_does_not_hide_what_an_earlier_try_did(night):
    in_doubt(night)
    night.connect(login="AKIDsomeoneelse")

    message = night.fails()

    assert message.splitlines()[0] == "Perhaps paid, up to an amount that is not known yet."
    assert step_of(message).startswith(
        "Give the connection tcbilling_default a key of the account that the record names"
    )
    night.connect()
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_a_run_that_may_no_longer_spend_looks_again_and_buys_after_its_step(night):
    night.fault("drop", when="before", times=30)
    night.sandbox.faults.add({"fault": "drop", "action": "DescribeDealsByCond", "times": None})
    assert night.fails().startswith("Perhaps paid, ")
    night.sandbox.faults.clear()
    night.arguments = {"on_unknown_outcome": "replay"}
    backfill = {"run_type": "backfill"}

    message = night.fails(context=night.context(**backfill))

    assert message.startswith("Perhaps paid, ")
    assert "sends nothing while this run may not spend" in step_of(message)
    assert night.fails(context=night.context(**backfill)).splitlines()[0] == message.splitlines()[0]
    assert night.spent == 0
    night.task(allow_backfill=True).execute(night.context(**backfill))
    assert night.spent == PRICE


@pytest.mark.parametrize("error", [AirflowTaskTimeout("Timeout"), MemoryError("no memory")])
@pytest.mark.parametrize("moment", ["_request", "step"])
def test_a_task_that_is_ended_from_outside_says_what_became_of_the_money(night, monkeypatch, error, moment):
    night.open(delivery_looks=3)
    what = {"_request": (BillingClient, "place"), "step": (DeliveryWatch, "step")}[moment]
    real = getattr(*what)

    def ended(self, *given, **more):
        if moment == "_request":
            real(self, *given, **more)
        raise error

    kind = AirflowTaskTimeout if isinstance(error, AirflowTaskTimeout) else AirflowException
    with monkeypatch.context() as patch:
        patch.setattr(*what, ended)
        message = night.fails(kind=kind)

    paid = f"Paid: an amount that is not known yet, order {night.orders[0]}."
    assert message.splitlines()[0] == (
        "Perhaps paid, up to an amount that is not known yet." if moment == "_request" else paid
    )
    assert str(error) in message
    step_of(message)
    night.clock.sleep(600)
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


@pytest.mark.parametrize("without_ledger", [False, True])
def test_a_wait_that_airflow_ends_in_the_triggerer_says_that_it_is_paid(night, without_ledger):
    night.open(delivery_looks=4)
    night.connect(without_ledger=without_ledger)
    task, context = night.task(deferrable=True, purchase_key=None), night.context()
    with pytest.raises(TaskDeferred):
        task.execute(context)

    with pytest.raises(AirflowException) as failed:
        task.resume_execution("__fail__", {"error": "Trigger timeout"}, context)

    message = str(failed.value)
    assert message.startswith(f"Paid: 100.00 USD, order {night.orders[0]}.\n")
    assert "Trigger timeout" in message
    assert step_of(message) == "Clear the task: it waits on for this order, and buys nothing."
