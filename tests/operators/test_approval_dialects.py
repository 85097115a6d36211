"""The question in the words of each line of Airflow: parked or deferred, with a time-out, and without a secret."""

from __future__ import annotations

import uuid
from types import SimpleNamespace

import pytest
from airflow.providers.common.compat.sdk import BaseOperator, TaskDeferred

from airflow_provider_tcbilling.operators import _approval_dialects as dialects
from airflow_provider_tcbilling.operators._approval_dialects import Prompt

pytest.importorskip("airflow.sdk.execution_time.hitl", reason="questions came with Airflow 3.1")

TI = SimpleNamespace(id=uuid.uuid4())
PROMPT = Prompt("subject", "body", "Buy [X]", "Do not buy", "X", 3600.0)


class Comms:
    """The supervisor of a worker, which answers with the question that Airflow keeps."""

    def __init__(self, **kept):
        self.kept = kept

    def send(self, msg):
        self.sent = msg
        fields = {"options": msg.options, "defaults": msg.defaults, "multiple": msg.multiple, **self.kept}
        return SimpleNamespace(**fields)


@pytest.fixture
def comms(monkeypatch):
    def use(**kept):
        comms = Comms(**kept)
        monkeypatch.setattr("airflow.sdk.execution_time.task_runner.SUPERVISOR_COMMS", comms, raising=False)
        return comms

    return use


def test_the_question_is_put_with_the_refusal_as_its_default(comms):
    worker = comms()

    assert dialects.kept_options(TI, PROMPT) == PROMPT.options

    assert (worker.sent.ti_id, worker.sent.options) == (TI.id, ["Buy [X]", "Do not buy"])
    assert (worker.sent.defaults, worker.sent.multiple) == (["Do not buy"], False)
    assert (worker.sent.subject, worker.sent.body) == ("subject", "body")


@pytest.mark.parametrize(
    "kept",
    [
        {"options": ["Buy [Y]", "Do not buy"]},
        {"options": ["Do not buy", "Buy [X]"]},
        {"defaults": ["Buy [X]"]},
        {"defaults": None},
        {"multiple": True},
    ],
    ids=str,
)
def test_another_question_that_is_kept_is_noticed(comms, kept):
    comms(**kept)

    assert dialects.kept_options(TI, PROMPT) != PROMPT.options


def test_from_airflow_3_3_on_the_task_is_parked_without_a_triggerer():
    exceptions = pytest.importorskip("airflow.sdk.exceptions")
    if not hasattr(exceptions, "TaskAwaitingInput"):
        pytest.skip("Airflow 3.3 parks tasks")

    with pytest.raises(exceptions.TaskAwaitingInput) as parked:
        dialects.wait(BaseOperator(task_id="buy"), TI, PROMPT)

    assert (parked.value.method_name, parked.value.kwargs) == ("execute_approved", {"code": "X"})
    assert parked.value.timeout.total_seconds() == 3600.0


def test_before_airflow_3_3_the_task_is_deferred_and_the_trigger_times_out_first(monkeypatch):
    monkeypatch.setattr(dialects, "_awaiting", lambda: None)

    with pytest.raises(TaskDeferred) as deferred:
        dialects.wait(BaseOperator(task_id="buy"), TI, PROMPT)

    trigger = deferred.value.trigger
    assert (deferred.value.method_name, deferred.value.kwargs) == ("execute_approved", {"code": "X"})
    assert deferred.value.timeout.total_seconds() == 3900.0
    _, kwargs = trigger.serialize()
    assert set(kwargs) == {"ti_id", "options", "defaults", "params", "multiple", "timeout_datetime", "poke_interval"}
    assert (kwargs["options"], kwargs["defaults"]) == (PROMPT.options, ["Do not buy"])


def test_a_line_without_questions_cannot_ask(monkeypatch, comms):
    assert not dialects.can_ask()
    comms()
    assert dialects.can_ask()
    monkeypatch.setattr(dialects, "_awaiting", lambda: None)
    assert dialects.can_ask()
    monkeypatch.setattr(dialects, "_trigger", lambda: None)
    assert not dialects.can_ask()
