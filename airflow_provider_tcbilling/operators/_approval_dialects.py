"""
The question to a user in the words of each line of Airflow. While it is open, no worker is held.

Airflow keeps the first question of a task in a run: a later try of the same task shows that one again, whatever it asks
(apache/airflow#73235). It answers a worker with the question that it keeps, so a worker notices before a user does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

AFTER = 300.0
"""Seconds after the question's own time-out from when on Airflow ends a wait in the triggerer by itself."""

METHOD = "execute_approved"
"""The method with which Airflow resumes the task."""


@dataclass(frozen=True)
class Prompt:
    """
    One question to a user.

    :param subject: One line of plain text.
    :param body: The whole question, in Markdown.
    :param approve: The option that approves.
    :param refuse: The option that approves nothing. It is the answer of a time-out.
    :param code: The code that the approving option has, for messages.
    :param seconds: Time to answer.
    """

    subject: str
    body: str
    approve: str
    refuse: str
    code: str
    seconds: float

    @property
    def options(self) -> list[str]:
        """Both options."""
        return [self.approve, self.refuse]


def can_ask() -> bool:
    """Whether this line of Airflow can ask a user from within a task: 3.1 and newer, where a server runs the task."""
    return _supervisor() is not None and (_awaiting() is not None or _trigger() is not None)


def kept_options(ti: Any, prompt: Prompt) -> Sequence[str]:
    """
    Put the question, and return the options of the question that Airflow keeps and will show.

    An earlier answer to it is dropped by that.
    """
    from airflow.sdk.execution_time.comms import CreateHITLDetailPayload

    kept: Any = _supervisor().send(
        msg=CreateHITLDetailPayload(
            ti_id=ti.id,
            options=prompt.options,
            subject=prompt.subject,
            body=prompt.body,
            defaults=[prompt.refuse],
            multiple=False,
            params={},
            assigned_users=[],
        )
    )
    if list(kept.defaults or ()) != [prompt.refuse] or kept.multiple:
        return ()
    return list(kept.options)


def wait(task: Any, ti: Any, prompt: Prompt) -> NoReturn:
    """Leave the worker until a user has answered, or the time to answer is over."""
    if awaiting := _awaiting():
        # No triggerer is needed: the API server or the scheduler resumes the task.
        raise awaiting(method_name=METHOD, kwargs={"code": prompt.code}, timeout=timedelta(seconds=prompt.seconds))
    import pendulum

    trigger: Any = _trigger()
    task.defer(
        trigger=trigger(
            ti_id=ti.id,
            options=prompt.options,
            params={},
            defaults=[prompt.refuse],
            multiple=False,
            timeout_datetime=pendulum.now("UTC").add(seconds=prompt.seconds),
        ),
        method_name=METHOD,
        kwargs={"code": prompt.code},
        timeout=timedelta(seconds=prompt.seconds + AFTER),
    )
    raise AssertionError("defer returns to nobody")


def _supervisor() -> Any:
    """Return what a task talks to; ``None`` where there is nothing."""
    try:
        from airflow.sdk.execution_time import task_runner
    except ImportError:  # Airflow 2
        return None
    return getattr(task_runner, "SUPERVISOR_COMMS", None)


def _awaiting() -> Any:
    """Return the signal with which Airflow 3.3 and newer park a task; ``None`` on older lines."""
    try:
        from airflow.sdk.exceptions import TaskAwaitingInput
    except ImportError:
        return None
    return TaskAwaitingInput


def _trigger() -> Any:
    """Return the trigger with which Airflow 3.1 and 3.2 wait for an answer; ``None`` on older lines."""
    from airflow.providers.common.compat.sdk import AirflowOptionalProviderFeatureException

    try:
        from airflow.providers.standard.triggers.hitl import HITLTrigger
    except (ImportError, AirflowOptionalProviderFeatureException):
        return None
    return HITLTrigger
