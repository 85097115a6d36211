"""ApprovingAirflow: a real Airflow with users who log in, and answer the questions of its tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import requests

from tests.support.named_airflow import NamedAirflow, wait_until_left
from tests.support.real_airflow import HTTP_SECONDS

PYTHON = os.environ.get("TCBILLING_AIRFLOW_PYTHON", sys.executable)
"""The interpreter whose Airflow is started."""

ROOT = Path(__file__).parents[2]

USERS = ("requester", "alice", "bob", "mallory")
"""All of them may do everything. The first one starts the runs."""

PASSWORD = "a-password-of-a-test"
WAITING = ("deferred", "awaiting_input")

TOKEN = (
    "import sys; from airflow.executors.base_executor import BaseExecutor as E; "
    "g = vars(E)['jwt_generator']; g = getattr(g, 'func', getattr(g, '__func__', getattr(g, 'fget', g))); "
    "print('TOKEN', g(None).generate({'sub': sys.argv[1]}))"
)
"""Prints a token of the execution API, such as a worker has for its task."""


class ApprovingAirflow(NamedAirflow):
    """
    An Airflow whose users have names. ``TCBILLING_AIRFLOW_PYTHON`` names the interpreter of another line.

    :param environment: More variables for the components.
    """

    def __init__(self, home: Path, dags_folder: Path, environment: dict[str, str] | None = None) -> None:
        settings = {
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "3",
            "PYTHONPATH": str(ROOT),
            **(environment or {}),
        }
        super().__init__(dict.fromkeys(USERS, PASSWORD), home, dags_folder, settings, python=PYTHON)
        self.is_anonymous = False

    def be_anonymous(self) -> None:
        """Start the API server again, without logins."""
        self.stop_component("api-server")
        self._env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS"] = "True"
        self.is_anonymous = True
        self._session.headers.pop("Authorization", None)
        self.start_component("api-server")
        self.wait("the API server", self._is_healthy)

    def token(self, name: str) -> str:
        """Return a token of a user; while there are no logins, one of nobody."""
        if self.is_anonymous:
            return str(self._session.get(f"{self.url}/auth/token", timeout=HTTP_SECONDS).json()["access_token"])
        return super().token(name)

    def question(self, dag_id: str, run_id: str, task_id: str = "buy") -> dict[str, Any]:
        """Return the question of a task that waits for its answer."""
        self.wait(f"the question of {run_id}", lambda: self.task_state(dag_id, run_id, task_id) in WAITING)
        wait_until_left(self, run_id)
        return dict(self.api("GET", self._path(dag_id, run_id, task_id)))

    def answer(self, user: str, option: str, dag_id: str, run_id: str, task_id: str = "buy") -> int:
        """Answer a question as a user does in the page; return the HTTP status."""
        answer = requests.patch(
            f"{self.url}{self.api_path}{self._path(dag_id, run_id, task_id)}",
            json={"chosen_options": [option], "params_input": {}},
            headers={"Authorization": f"Bearer {self.token(user)}"},
            timeout=HTTP_SECONDS,
        )
        return answer.status_code

    def answer_as_worker(self, option: str, dag_id: str, run_id: str, task_id: str = "buy") -> int:
        """Answer a question through the execution API, as code in a worker can; return the HTTP status."""
        (task,) = (one for one in self.task_instances(dag_id, run_id) if one["task_id"] == task_id)
        command = [self._python, "-c", TOKEN, task["id"]]
        printed = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=120, check=True).stdout
        token = next(line.split()[1] for line in printed.splitlines() if line.startswith("TOKEN"))
        answer = requests.patch(
            f"{self.url}/execution/hitlDetails/{task['id']}",
            json={"ti_id": task["id"], "chosen_options": [option], "params_input": {}},
            headers={"Authorization": f"Bearer {token}"},
            timeout=HTTP_SECONDS,
        )
        return answer.status_code

    def clear(self, dag_id: str, run_id: str, task_id: str = "buy") -> None:
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [task_id],
            "only_failed": False,
            "reset_dag_runs": True,
        }
        self.api("POST", f"/dags/{dag_id}/clearTaskInstances", body)

    @staticmethod
    def _path(dag_id: str, run_id: str, task_id: str) -> str:
        return f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/-1/hitlDetails"
