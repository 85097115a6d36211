"""A running Airflow for the trials: acted on through its REST API, watched through its database."""

from __future__ import annotations

import sqlite3
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.real_airflow import HOST, AirflowTrouble, RealAirflow
from verification.kill_matrix.cells import LOOP_LINES
from verification.kill_matrix.trial import TASK
from verification.xcoms import plain

ROOT = Path(__file__).resolve().parents[2]
DAGS = Path(__file__).parent / "dags"
WANTED_DAG = "ours-sync"
ASK_TRIES = 5
PASSING = ("Database error", ": 500 ", "ended with code", "no answer")
LOCK_SECONDS = {"api-server": 2}
"""
How long a component waits for SQLite, which lets one write at a time.

The scheduler ends when it waits in vain, so it waits long. The API server must give up soon: it waits in its event
loop, and so for a request of its own that holds the lock.
"""

RESTARTS = 10
"""How often a component that ended by itself is started again, as an operator of Airflow would do."""


SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "16",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "3600",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
}
"""Short waits, and as many tasks at once as cells may be in flight."""

QUICK_TO_NOTICE = {
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
}
"""For cells that kill components: Airflow notices the death soon. Elsewhere a slow component must not look dead."""

SETTINGS_2 = {
    "AIRFLOW__API__AUTH_BACKENDS": "airflow.api.auth.backend.default",
    "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
    "AIRFLOW__SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "3600",
    "AIRFLOW__WEBSERVER__SECRET_KEY": "kill-matrix",
    "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
}
"""For Airflow 2: more than one task at a time with SQLite, whose locks the components wait for here."""

DATABASE = "airflow.db"

SEEN = """
SELECT r.run_id, r.state, t.map_index, t.state, t.try_number
FROM dag_run r LEFT JOIN task_instance t ON t.run_id = r.run_id AND t.dag_id = r.dag_id AND t.task_id = ?
"""


SEEN_IN_REGIONS = f"{SEEN.rstrip().replace('map_index', 'region_index')} AND t.working_set = 1"
RETURNED = "SELECT map_index, value FROM xcom WHERE run_id = ? AND task_id = ? AND key = 'return_value'"
RETURNED_IN_REGIONS = """
SELECT t.region_index, x.value FROM xcom_v2 x JOIN task_instance t ON t.id = x.task_instance_id
WHERE t.run_id = ? AND t.task_id = ? AND x.key = 'return_value' AND t.working_set = 1
"""
"""From Airflow 3.4 on; the place in a region is the iteration of a task in a loop."""


class PatientAirflow(RealAirflow):
    """Components that do not end when SQLite is locked for a while."""

    def _start_process(self, name: str, arguments: Sequence[str]) -> None:
        database = f"sqlite:///{self.home}/{DATABASE}?timeout={LOCK_SECONDS.get(name, 60)}"
        self._env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = database
        super()._start_process(name, arguments)


class PatientAirflow2(PatientAirflow):
    """The same of Airflow 2, whose scheduler reads the DAG files itself."""

    components: Mapping[str, Sequence[str]] = {
        "webserver": ("--hostname", HOST, "--port", "{port}", "--workers", "1"),
        "scheduler": ("--skip-serve-logs",),
        "triggerer": ("--skip-serve-logs",),
    }
    api_path = "/api/v1"
    health_path = "/health"

    def _log_in(self) -> None:
        """Do nothing: every caller is an administrator."""

    def _wake(self) -> None:
        """Do nothing: tasks talk to the database."""

    def _settings(self, port: int) -> dict[str, str]:
        (self.home / "webserver_config.py").write_text("AUTH_ROLE_PUBLIC = 'Admin'\n", encoding="utf-8")
        return {**super()._settings(port), **SETTINGS_2}


class Watched:
    """
    The view of an Airflow through its SQLite database: cheaper than a request for each cell, and alike on all lines.

    :param database: The file.
    :param has_regions: Its line keeps tasks in regions.
    """

    def __init__(self, database: Path, *, has_regions: bool = False) -> None:
        self._seen, self._returned = (SEEN_IN_REGIONS, RETURNED_IN_REGIONS) if has_regions else (SEEN, RETURNED)
        self._uri = f"file:{database}?mode=ro"
        self._runs: dict[str, str] = {}
        self._tasks: dict[str, list[tuple[int, str | None, int]]] = {}

    def refresh(self) -> None:
        """Read the states of all runs and their tasks."""
        runs: dict[str, str] = {}
        tasks: dict[str, list[tuple[int, str | None, int]]] = defaultdict(list)
        for run_id, state, map_index, task_state, number in self._rows(self._seen, TASK):
            runs[run_id] = state
            if map_index is not None and task_state != "removed":
                tasks[run_id].append((map_index, task_state, number))
        self._runs, self._tasks = runs, tasks

    def run_state(self, run_id: str) -> str:
        """Return the state of a run when it was looked at last."""
        return self._runs.get(run_id, "")

    def tasks(self, run_id: str) -> list[tuple[int, str | None, int]]:
        """Return map index, state and try number of a run's tasks when they were looked at last."""
        return self._tasks.get(run_id, [])

    def xcoms(self, run_id: str) -> dict[int, Any]:
        """Return what the tasks of a run returned, by map index."""
        return {map_index: plain(value) for map_index, value in self._rows(self._returned, run_id, TASK)}

    def _rows(self, query: str, *values: Any) -> list[Any]:
        connection = sqlite3.connect(self._uri, uri=True, timeout=30.0)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()


class RunningAirflow(Watched):
    """
    An Airflow of one line with all of its components.

    :param home: Where it lives.
    :param folder: Where the plans are.
    :param line: Such as ``3.3``; another one than this interpreter's lives in ``.matrix``.
    :param kills_components: Components are going to be killed, not only tasks.
    """

    def __init__(self, home: Path, folder: Path, line: str, *, kills_components: bool) -> None:
        super().__init__(home / DATABASE, has_regions=line in LOOP_LINES)
        python: dict[str, Any] = {} if line == "3.3" else {"python": str(ROOT / ".matrix" / line / "bin" / "python")}
        environment = {
            **SETTINGS,
            **(QUICK_TO_NOTICE if kills_components else {}),
            "KILL_MATRIX_FOLDER": str(folder),
            "PYTHONPATH": str(ROOT),
        }
        self._is_old = line.startswith("2.")
        self.real = (PatientAirflow2 if self._is_old else PatientAirflow)(home, DAGS, environment, **python)
        self.has_state_store = line == "3.3" or line in LOOP_LINES
        self.version = ""
        self._restarts_left = RESTARTS

    def __enter__(self) -> RunningAirflow:
        self.real.__enter__()
        self.version = str(self.real.api("GET", "/version")["version"])
        try:
            self.real.wait_for_dag(WANTED_DAG)
        except BaseException:
            self.real.stop()
            raise
        self.refresh()
        return self

    def __exit__(self, *raised: Any) -> None:
        self.real.stop()

    @property
    def logs(self) -> Path:
        """Where the tasks' logs are."""
        return self.real.logs

    def connect(self, conn_id: str, connection: dict[str, Any]) -> None:
        """Store a connection."""
        self._ask("POST", "/connections", {"connection_id": conn_id, **connection})

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        """Start a run."""
        body = {"dag_run_id": run_id, "conf": conf} | ({} if self._is_old else {"logical_date": None})
        self._ask("POST", f"/dags/{dag_id}/dagRuns", body)

    def clear(self, dag_id: str, run_id: str, task_id: str | None) -> None:
        """Clear a task, or the whole run."""
        if task_id is None:
            body = {"dry_run": False} | ({} if self._is_old else {"only_failed": False})
            self._ask("POST", f"/dags/{dag_id}/dagRuns/{run_id}/clear", body)
            return
        task: dict[str, Any] = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "only_failed": False}
        self._ask("POST", f"/dags/{dag_id}/clearTaskInstances", {**task, "reset_dag_runs": True})

    def mark_failed(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Mark a task as failed."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        self._ask("PATCH", path, {"new_state": "failed", "dry_run": False} if self._is_old else {"new_state": "failed"})

    def _ask(self, method: str, path: str, body: dict[str, Any]) -> None:
        """Ask for something, again where SQLite was locked; what was done all the same conflicts then."""
        for tries_left in reversed(range(ASK_TRIES)):
            try:
                self.real.api(method, path, body)
                return
            except AirflowTrouble as trouble:
                was_done = tries_left < ASK_TRIES - 1 and ": 409 " in str(trouble)
                if was_done:
                    return
                if not tries_left or not any(reason in str(trouble) for reason in PASSING):
                    raise
                self.check()
                time.sleep(1.0)

    def check(self) -> None:
        """Start a component again that ended by itself; raise if it does so too often."""
        for name, process in list(self.real.processes.items()):
            if process.code is not None:
                if not self._restarts_left:
                    raise process.ended()
                self._restarts_left -= 1
                print(f"{process.ended()}\nIt is started again.", file=sys.stderr)
                self.kill(name)

    def kill(self, component: str) -> None:
        """Kill a component and all of its children, and start it again."""
        self.real.stop_component(component, hard=True)
        self.real.start_component(component)
