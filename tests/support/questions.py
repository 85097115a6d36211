"""Questions: Airflow's side of a question to a user, as tests/system measured it on real ones."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from airflow_provider_tcbilling.operators import _approval_dialects as dialects


class Parked(BaseException):
    """The task waits for an answer, and holds no worker."""

    def __init__(self, prompt: Any) -> None:
        super().__init__(prompt.subject)
        self.prompt = prompt


class Questions:
    """
    The questions that Airflow keeps: the first of each task in each run, also after a clear or a retry.

    :param kept: By the task.
    :param parked: The questions for which a task waits or has waited, in their order.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.kept: dict[Any, Any] = {}
        self.parked: list[Any] = []
        patch.setattr(dialects, "can_ask", lambda: True)
        patch.setattr(dialects, "kept_options", self.put)
        patch.setattr(dialects, "wait", self.wait)

    def put(self, ti: Any, prompt: Any) -> list[str]:
        return self.kept.setdefault((ti.run_id, ti.task_id, ti.map_index), prompt).options

    def wait(self, task: Any, ti: Any, prompt: Any) -> None:
        self.parked.append(prompt)
        raise Parked(prompt)


def event(option: str, by: str | None = "alice", seconds_ago: float = 0.0, **more: Any) -> dict[str, Any]:
    """Return the event of an answer, as Airflow hands it to a task."""
    return {
        "chosen_options": [option],
        "params_input": {},
        "responded_by_user": by and {"id": by, "name": by},
        "responded_at": datetime.now(timezone.utc) - timedelta(seconds=seconds_ago),
        "timedout": False,
        **more,
    }
