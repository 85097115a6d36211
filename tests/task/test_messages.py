"""
The message of a failed task: the money, the cause, one next step, the command, the page. The steps are carried out.

Each case makes a task fail, reads its message, does what the message says, and compares what happens with the promise.
"""

from __future__ import annotations

import shlex

import pytest

from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.task.next_steps import COMMAND, ERROR_STEPS
from tests.conftest import ORDER, PRICE
from tests.support.facts import ERRORS
from tests.support.night import (
    NOTHING,
    step_of,
)

pytestmark = [pytest.mark.airflow]


@pytest.mark.parametrize("case", NOTHING.values(), ids=NOTHING)
def test_where_nothing_was_bought_the_task_says_so_and_buys_once_after_its_step(night, case):
    happening = case(night)
    cause = next(happening)

    message = night.fails()

    assert message.startswith("Nothing was bought")
    assert cause in message
    assert night.orders == []
    assert "it BUYS" in step_of(message)
    assert next(happening, None) is None
    assert [night.clear()["order_id"]] == night.orders


def test_a_retry_that_airflow_makes_by_itself_is_not_asked_of_anybody(night):
    night.connect(host="http://127.0.0.1:9")
    context = night.context()
    context["ti"].max_tries = 2

    step = step_of(night.fails(context=context))

    assert step.startswith("Nothing: Airflow tries again by itself.")
    night.connect()
    night.clear()
    assert night.spent == PRICE


def test_a_backfill_buys_only_after_its_step(night):
    night.arguments = {"allow_backfill": False}
    message = night.fails(context=night.context(run_type="backfill"))

    assert message.startswith("Nothing was bought.\n")
    assert "allow_backfill=True" in step_of(message)
    assert night.spent == 0
    night.task(allow_backfill=True).execute(night.context(run_type="backfill"))
    assert night.spent == PRICE


def test_a_damaged_record_is_refused_until_it_is_restored(night, tmp_path):
    night.clear()
    (path,) = night.folder.glob("*.json")
    saved = path.read_text()
    path.write_text("{half")

    message = night.fails()

    assert message.startswith("Nothing was bought by this try.\n")
    step = step_of(message)
    assert "The record to restore" in step
    night.fails()
    (tmp_path / "saved.json").write_text(saved)
    (line,) = [line for line in step.splitlines() if COMMAND in line and "--restore" in line]
    arguments = shlex.split(line.partition(COMMAND)[2])
    assert night.run([str(tmp_path / "saved.json") if word == "FILE" else word for word in arguments]) == 0
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_an_edit_is_refused_until_it_is_undone(night):
    night.clear()
    night.arguments = {"zone_code": "ap-guangzhou-3"}

    message = night.fails()

    assert message.startswith("Nothing was bought by this try.\n")
    assert step_of(message).startswith("Undo the edit and clear the task: it goes on with the purchase of the record.")
    assert night.clear(purchase_key="as well")["order_id"] == night.orders[1]
    night.arguments = {}
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == 2 * PRICE


def test_an_order_whose_record_could_not_be_written_is_found(night, monkeypatch):
    def full(self, key, text, expected):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "_replace", full)
        message = night.fails()

    assert message.startswith(f"Paid: an amount that is not known yet, order {night.orders[0]}.\n")
    assert "A later try finds this order, or stops if it may be that of an identical task" in step_of(message)
    night.clock.sleep(600)
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


def test_every_error_has_a_step_and_every_step_its_words():
    for kind in ERRORS.values():
        assert any(ancestor in ERROR_STEPS for ancestor in kind.__mro__), kind
    assert set(ERRORS.values()) >= set(ERROR_STEPS)


def test_the_green_log_has_the_price_and_the_instances(connection, context, logged):
    order = CreateInstanceOperator(task_id="buy", **ORDER).execute(context)

    assert f"Paid: 100.00 USD, order {order['order_id']}. Instances: {order['instance_ids'][0]}." in logged()
