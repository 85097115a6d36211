"""RealAirflow: the components of Airflow 3, started for a demonstration or a test, and stopped without a trace."""

from __future__ import annotations

import base64
import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

HOST = "127.0.0.1"

COMPONENTS: Mapping[str, Sequence[str]] = {
    "api-server": ("--host", HOST, "--port", "{port}", "--workers", "1"),
    "scheduler": ("--skip-serve-logs",),
    "dag-processor": (),
    "triggerer": ("--skip-serve-logs",),
}
"""What is started, with what arguments. Two servers of logs would want the same port, and local files need none."""

PORTS = range(20_000, 32_000)
"""Where a free port is looked for: below those that systems give to outgoing connections, which come and go."""

READY_SECONDS = 180.0
"""How long Airflow may take to be up; the first start after an installation compiles every module."""

STOP_SECONDS = 3.0
"""How long a program may take to end by itself."""

HTTP_SECONDS = 10.0
STEP_SECONDS = 0.2


class AirflowTrouble(Exception):
    """A component ended, did not get ready in time, or refused a request. The message shows the end of its log."""


class Process:
    """
    A program in a session of its own, which writes to a log file.

    :param name: What people call it; its log is *name* ``.log`` in *logs*.
    """

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], logs: Path) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        with self.log.open("ab") as out:
            self._popen = subprocess.Popen(
                command,
                env=dict(env),
                cwd=logs,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Return the number of its first process."""
        return self._popen.pid

    @property
    def code(self) -> int | None:
        """Return its exit code, ``None`` while it runs."""
        return self._popen.poll()

    def tail(self, lines: int = 12) -> str:
        """Return the last lines of its log."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 200 * lines))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])

    def ended(self) -> AirflowTrouble:
        """Return what to raise when it ended although it should run."""
        return AirflowTrouble(f"{self.name} ended with code {self.code}. The end of {self.log}:\n{self.tail()}")

    def ask(self) -> None:
        """Ask it to end. Its children it must stop itself: the scheduler hangs when its workers are gone first."""
        if self.code is None:
            self._popen.terminate()

    def kill(self) -> None:
        """
        Kill it, and what it left behind.

        Its session tells what that is. A process group would be too little, since each task has one of its own.
        """
        while groups := {os.getpgid(pid) for pid in self._members()}:
            for group in groups:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
            time.sleep(0.02)
        self._popen.wait(STOP_SECONDS)

    def _members(self) -> Iterator[int]:
        import psutil

        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if os.getsid(process.pid) == self._popen.pid and process.status() != psutil.STATUS_ZOMBIE:
                    yield process.pid


def stop(processes: Iterable[Process], seconds: float = STOP_SECONDS) -> None:
    """Ask all programs at once to end, wait up to *seconds*, and kill what is left of them."""
    processes = list(processes)
    for process in processes:
        process.ask()
    deadline = time.monotonic() + seconds
    while any(process.code is None for process in processes) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in processes:
        process.kill()


def clean_environment(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without any setting of an Airflow that lives here, and with *more*."""
    kept = {name: value for name, value in os.environ.items() if not name.lstrip("_").startswith("AIRFLOW")}
    local = f"{HOST},localhost"
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "NO_PROXY": local, "no_proxy": local, "PYTHONUNBUFFERED": "1", **more}


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    for port in random.sample(PORTS, 100):
        with contextlib.suppress(OSError), socket.create_server((HOST, port)):
            return port
    raise AirflowTrouble(f"no free port between {PORTS.start} and {PORTS.stop}")


class RealAirflow:
    """
    API server, scheduler, DAG processor and triggerer on SQLite, on a free port of the loopback interface.

    As a context manager it starts on entry, and stops on exit or when the start fails. Nothing of the user's own
    Airflow is read or touched, and there is no login: everyone on this machine may do everything while it runs.

    :param home: Folder for the database, the configuration and, in ``logs``, the logs. Made if missing.
    :param dags_folder: The only DAGs it knows.
    :param environment: More variables for the components, such as ``AIRFLOW_CONN_...`` or settings.
    :param tick: Called several times a second while something is waited for. What it raises ends the waiting.
    :param python: The interpreter whose Airflow is started; left out, this one's.
    """

    components = COMPONENTS
    api_path = "/api/v2"
    health_path = "/monitor/health"

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        environment: Mapping[str, str] | None = None,
        tick: Callable[[], None] = lambda: None,
        python: str = sys.executable,
    ) -> None:
        import requests

        self.home = home.resolve()
        self.logs = self.home / "logs"
        self.url = ""
        self.health = {"database": "waiting", **dict.fromkeys(self.components, "waiting")}
        self.processes: dict[str, Process] = {}
        self._dags_folder = dags_folder.resolve()
        self._more = dict(environment or {})
        self._tick = tick
        self._python = python
        self._env: dict[str, str] = {}
        self._session = requests.Session()
        self._session.trust_env = False

    def __enter__(self) -> RealAirflow:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """
        Make the database, start the components, and return when all are healthy.

        :raises AirflowTrouble: One of them ended, or is not healthy after :data:`READY_SECONDS`.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        # Where there is a configuration, none is written: components that start together would mix theirs.
        (self.home / "airflow.cfg").touch()
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self._env = clean_environment({**self._settings(port), **self._more})
        self.health["database"] = "migrating"
        self._start_process("database", ["db", "migrate"])
        self.wait("the database", lambda: self.processes["database"].code == 0)
        del self.processes["database"]
        self.health["database"] = "healthy"
        for name in self.components:
            self.start_component(name)
        self.wait("all components", self._is_healthy)

    def stop(self) -> None:
        """Stop whatever runs. It may be called twice."""
        stop(self.processes.values())
        self.processes.clear()

    def start_component(self, name: str) -> None:
        """Start one of the components, without waiting for it."""
        port = self.url.rpartition(":")[2]
        self.health[name] = "starting"
        self._start_process(name, [name, *(word.format(port=port) for word in self.components[name])])

    def stop_component(self, name: str, *, hard: bool = False) -> None:
        """Stop one component and all of its children; *hard* gives them no time to say goodbye."""
        stop([self.processes.pop(name)], 0.0 if hard else STOP_SECONDS)
        self.health[name] = "stopped"

    def api(self, method: str, path: str, json: Any = None, **params: Any) -> Any:
        """
        Call the REST API with the token of an administrator. A failed ``GET`` is tried again.

        :param path: What follows :attr:`api_path`.
        :return: The answer's JSON.
        :raises AirflowTrouble: The answer says no, or there is none.
        """
        import requests

        for attempts_left in (2, 1, 0) if method == "GET" else (0,):
            try:
                self._log_in()
                url = f"{self.url}{self.api_path}{path}"
                answer = self._session.request(method, url, json=json, params=params, timeout=HTTP_SECONDS)
            except (requests.RequestException, LookupError) as error:
                trouble = f"no answer: {error}"
            else:
                if answer.ok:
                    return answer.json() if answer.content else None
                trouble = f"{answer.status_code} {answer.text[:1000]}"
                if answer.status_code < 500:
                    break
            self.check()
            if attempts_left:
                self._pause()
        raise AirflowTrouble(f"{method} {path}: {trouble}")

    def check(self) -> None:
        """Raise AirflowTrouble if a component ended by itself."""
        for process in self.processes.values():
            if process.code is not None and (process.name != "database" or process.code):
                raise process.ended()

    def wait(self, what: str, is_true: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        """
        Return when something is true.

        :raises AirflowTrouble: It is not true after *seconds*, or a component ended.
        """
        deadline = time.monotonic() + seconds
        while not is_true():
            self.check()
            if time.monotonic() > deadline:
                state = ", ".join(f"{name} {state}" for name, state in self.health.items())
                raise AirflowTrouble(f"{what}: not there after {seconds:.0f} s ({state}). Logs: {self.logs}")
            self._pause()

    def wait_for_dag(self, dag_id: str, seconds: float = READY_SECONDS) -> None:
        """
        Return when a DAG is known.

        :raises AirflowTrouble: A file of the DAGs folder cannot be imported, or *seconds* are over.
        """

        def is_known() -> bool:
            for error in self.api("GET", "/importErrors")["import_errors"]:
                raise AirflowTrouble(f"{error['filename']} cannot be imported:\n{error['stack_trace']}")
            return any(dag["dag_id"] == dag_id for dag in self.api("GET", "/dags", limit=100)["dags"])

        self.wait(f"DAG {dag_id}", is_known, seconds)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run of a DAG, and return its run id."""
        body = {"logical_date": None, "conf": dict(conf or {})}
        return str(self.api("POST", f"/dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run, such as ``success``."""
        return str(self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the tasks of a run as the REST API describes them; ``state`` is ``None`` before they are scheduled."""
        return list(self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")["task_instances"])

    def task_state(self, dag_id: str, run_id: str, task_id: str) -> str | None:
        """Return the state of one task of a run that is not mapped."""
        states: dict[str, str | None] = {task["task_id"]: task["state"] for task in self.task_instances(dag_id, run_id)}
        return states[task_id]

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task left under a key."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.api("GET", path)["value"]

    def wait_for_run(self, dag_id: str, run_id: str, seconds: float = 120.0) -> str:
        """Return the state of a run when it is over."""
        over = ("success", "failed")
        self.wait(f"run {run_id}", lambda: self.run_state(dag_id, run_id) in over, seconds)
        return self.run_state(dag_id, run_id)

    def _start_process(self, name: str, arguments: Sequence[str]) -> None:
        self.processes[name] = Process(name, [self._python, "-m", "airflow", *arguments], self._env, self.logs)

    def _pause(self) -> None:
        self._tick()
        time.sleep(STEP_SECONDS)

    def _log_in(self) -> None:
        if "Authorization" not in self._session.headers:
            self._session.headers["Authorization"] = f"Bearer {self._token()}"

    def _token(self) -> str:
        return str(self._session.get(f"{self.url}/auth/token", timeout=HTTP_SECONDS).json()["access_token"])

    def _is_healthy(self) -> bool:
        import requests

        try:
            told = self._session.get(f"{self.url}{self.api_path}{self.health_path}", timeout=HTTP_SECONDS).json()
            self._wake()
        except (requests.RequestException, ValueError):
            return False
        server, *others = self.components
        self.health[server] = "healthy"
        for name in others:
            if (told.get(name.replace("-", "_")) or {}).get("status") == "healthy":
                self.health[name] = "healthy"
        return set(self.health.values()) == {"healthy"}

    def _wake(self) -> None:
        """
        Ask the part of the server that tasks talk to.

        It is built at its first request, and stops the rest of the server for seconds. Without this header the server
        would put in a token of its own, which that part does not like.
        """
        health = self._session.get(
            f"{self.url}/execution/health", headers={"Authorization": "none"}, timeout=HTTP_SECONDS
        )
        health.raise_for_status()

    def _settings(self, port: int) -> dict[str, str]:
        return {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__HOST": HOST,
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(self._dags_folder),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.logs),
        }
