"""The last message of a task names its order, whoever is away, clears the task, or runs it a second time."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import PRICE, TaskState
from tests.support.cli_output import HAS_TASK_STATE
from tests.support.crash import Died, at
from tests.support.night import step_of

needs_task_state = pytest.mark.skipif(not HAS_TASK_STATE, reason="the task state store came with Airflow 3.3")


def away(*args, **kwargs):
    raise ConnectionError("the API server is away")


@pytest.mark.parametrize("is_retried", [False, True])
@pytest.mark.parametrize("has_xcom", [True, False], ids=["", "nor can the number be pushed"])
def test_an_order_that_could_not_be_recorded_is_in_the_last_message(night, has_xcom, is_retried, monkeypatch):
    context = night.context()
    if is_retried:
        context["ti"].max_tries = 3
    with monkeypatch.context() as patch:
        patch.setattr(ObjectStore, "_replace", away)
        if not has_xcom:
            patch.setattr(type(context["ti"]), "xcom_push", away)
        message = night.fails(context=context)

    assert message.startswith(f"Paid: an amount that is not known yet, order {night.orders[0]}.\n")
    assert f"settle --key 'edge firewall' --conn-id tcbilling_default --order-id {night.orders[0]}" in message
    night.settle(message, f"--order-id {night.orders[0]}")
    assert night.clear()["order_id"] == night.orders[0]
    assert night.spent == PRICE


@needs_task_state
def test_an_order_that_the_task_state_store_could_not_take_is_in_the_last_message(night):
    class Away(TaskState):
        def set(self, key, value, *, retention=None):
            if night.orders:
                away()
            super().set(key, value, retention=retention)

    night.connect(without_ledger=True)
    message = night.fails(context=night.context(state=Away(), map_index=1))

    assert message.startswith(f"Paid: an amount that is not known yet, order {night.orders[0]}.\n")
    assert f"--map-index 1 --conn-id tcbilling_default --order-id {night.orders[0]}" in message
    assert "or stops if it may be that of an identical task" in step_of(message)


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ("begin", ""),
        ("sending", "The task was killed while it may have been buying. A later try looks for its order first."),
        ("order known", "The task was killed. Order {} stays open: killing cancels nothing."),
        ("order stored", "The task was killed. Order {} stays open: killing cancels nothing."),
    ],
)
def test_a_clear_while_the_task_buys_names_the_order_as_soon_as_there_is_one(
    night, point, said, monkeypatch, capsys, caplog
):
    task = night.task()
    with monkeypatch.context() as patch:
        patch.setattr(Purchase, "checkpoint", staticmethod(at(point)))
        with pytest.raises(Died):
            task.execute(night.context())
    capsys.readouterr()

    task.on_kill()

    text = caplog.text + "".join(capsys.readouterr())
    assert said.format(*night.orders) in text
    assert said or "killed" not in text


@pytest.mark.parametrize("point", ["begin", "intent stored", "sending", "order known", "order stored"])
@pytest.mark.parametrize("remembers", ["ledger", pytest.param("state", marks=needs_task_state)])
def test_of_two_copies_each_names_the_order_at_last(night, point, remembers, monkeypatch):
    """As ``airflow dags test`` beside a scheduler runs one task twice."""
    night.open(tokens=Tokens.parse("ignore"))
    night.connect(without_ledger=remembers == "state")
    state = TaskState() if remembers == "state" else None
    ended = []

    def other_copy():
        monkeypatch.setattr(Purchase, "checkpoint", staticmethod(lambda name: None))
        ended.append(ending(lambda: night.task().execute(night.context(state=state))))

    monkeypatch.setattr(Purchase, "checkpoint", staticmethod(at(point, other_copy)))
    ended.append(ending(lambda: night.task().execute(night.context(state=state))))

    assert len(night.orders) == 1
    assert [night.orders[0] in text for text in ended] == [True, True], ended


def ending(execute):
    """Return what a task returns, or its last message."""
    try:
        return str(execute())
    except (AirflowException, TcBillingError) as error:
        return str(error)
