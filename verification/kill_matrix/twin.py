"""
The second copy of an attempt: a process of its own that executes the same operator with the same ids.

Airflow starts such a copy when it takes a process for dead that still runs. Here the first copy starts it, and a
barrier lets both go on at the same moment, when each has seen that nothing was bought; or the first copy has stopped
itself, and goes on when this one has ended. It talks to the same sandbox,
and to the same store: the ledger's folder, or the task state store by Airflow's public REST API.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from verification.kill_matrix.points import FIXED, FOLDER, OF_ITEM, argument, meet, plan_of, set_clock, write

HTTP_SECONDS = 10.0
STOPPED_SECONDS = 12.0
"""For how long the first copy stands still at least: longer than its lease."""


class RestState:
    """
    The task state store as the REST API shows it.

    :param ti: The task instance.
    """

    def __init__(self, ti: Any) -> None:
        import requests

        base = os.environ["AIRFLOW__API__BASE_URL"]
        self._session = requests.Session()
        self._session.trust_env = False
        token = self._session.get(f"{base}/auth/token", timeout=HTTP_SECONDS).json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"
        task = f"dags/{ti.dag_id}/dagRuns/{ti.run_id}/taskInstances/{ti.task_id}"
        self._url = f"{base}/api/v2/{task}/state-store"

    def get(self, key: str, default: Any = None) -> Any:
        """Return what is stored."""
        answer = self._session.get(f"{self._url}/{key}", timeout=HTTP_SECONDS)
        if answer.status_code == 404:
            return default
        answer.raise_for_status()
        return answer.json()["value"]

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Store it."""
        body = {"value": value, "expires_at": None}
        self._session.put(f"{self._url}/{key}", json=body, timeout=HTTP_SECONDS).raise_for_status()


def context_of(cell: str, plan: dict[str, Any]) -> dict[str, Any]:
    """Return the context of the attempt that is copied."""
    attempt = json.loads((FOLDER / f"{cell}.twin-attempt").read_text(encoding="utf-8"))
    began = datetime.fromisoformat(attempt.pop("start_date"))
    del attempt["pid"]
    ti = SimpleNamespace(
        **attempt, xcom_push=lambda key, value: None, xcom_pull=lambda **which: None, stats_tags={}, log_url=""
    )
    run = SimpleNamespace(
        run_type="manual", run_after=began, start_date=began, logical_date=None, data_interval_end=None, conf={}
    )
    context = {"ti": ti, "dag_run": run}
    return {**context, "task_state_store": RestState(ti)} if plan["has_state_store"] else context


def operator_of(cell: str, plan: dict[str, Any]) -> Any:
    """Return the operator that the attempt executes."""
    spends = plan["spends"]
    item = {name: argument(cell, 0, name) for name in OF_ITEM[spends]}
    common: dict[str, Any] = {"task_id": "buy", "tcbilling_conn_id": cell, **item}
    if plan["places"] != "ours":
        from verification.kill_matrix.contenders import OPERATORS

        return OPERATORS[plan["contender"]](**common)
    from verification.kill_matrix.contenders import ours

    options: dict[str, Any] = {"poll_interval": 1.0, "delivery_timeout": 60.0, "deferrable": False}
    return ours(spends)(**common, **FIXED[spends], **options)


def main(cell: str) -> None:
    """Execute, and leave behind how it ended; then let the first copy go on, if it stands still."""
    plan, began = plan_of(cell), time.monotonic()
    pid = json.loads((FOLDER / f"{cell}.twin-attempt").read_text(encoding="utf-8"))["pid"]
    try:
        execute(cell, plan)
    finally:
        if plan["pauses"]:
            time.sleep(max(0.0, began + STOPPED_SECONDS - time.monotonic()))
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def execute(cell: str, plan: dict[str, Any]) -> None:
    """Execute the operator."""
    if plan["clocks"]:
        set_clock(plan["clocks"][1])
    operator, context = operator_of(cell, plan), context_of(cell, plan)
    if plan["twin"]:
        meet(cell, plan["places"])
    try:
        ending = {"state": "success", "value": operator.execute(context)}
    except Exception as error:
        ending = {"state": "failed", "error": f"{type(error).__name__}: {error}"}
    write(FOLDER / f"{cell}.twin-done", json.dumps(ending))


if __name__ == "__main__":
    main(sys.argv[1])
