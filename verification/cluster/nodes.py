"""Nodes: the machines of a cluster, each of which can be lost, started again, frozen, and stopped with a goodbye."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.support.real_airflow import HOST, STOP_SECONDS, Process, RealAirflow, stop
from verification.cluster.holds import SHARED, Holds
from verification.cluster.machine import NODE, command_of_node, way_of_namespaces
from verification.cluster.servers import PostgreSQL, Redis

ROOT = Path(__file__).resolve().parents[2]
DAGS = Path(__file__).parent / "dags"
METADATA = "airflow"
SERVER = "api-server"
WORKERS = ("worker-1", "worker-2")
TRIGGERERS = ("triggerer-1", "triggerer-2")
WORKER = ("celery", "worker", "--skip-serve-logs", "--without-mingle", "--without-gossip", "--celery-hostname")
NODES: Mapping[str, Sequence[str]] = {
    SERVER: ("api-server", "--host", HOST, "--port", "{port}", "--workers", "1"),
    "scheduler-1": ("scheduler", "--skip-serve-logs"),
    "scheduler-2": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
    **{name: ("triggerer", "--skip-serve-logs") for name in TRIGGERERS},
    **{name: (*WORKER, f"celery@{name}") for name in WORKERS},
}
"""What runs on each machine."""

READY_SECONDS = 900.0
"""How long all of it may take to be up, on a machine that has much else to do."""

RESTART_SECONDS = 5.0
"""The least time from one start of a component to the next one, where it ends by itself."""

GOODBYE_SECONDS = 180.0
"""How long a worker that is asked to end may go on with the tasks that it has begun."""

SETTINGS = {
    "AIRFLOW__CELERY__WORKER_CONCURRENCY": "12",
    "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",
    "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
    "AIRFLOW__CORE__PARALLELISM": "32",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "3600",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
    "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.5",
    "AIRFLOW__SECRETS__BACKEND": "airflow.secrets.local_filesystem.LocalFilesystemBackend",
}

QUICK_TO_NOTICE = {
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "40",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "240",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "30",
}
"""Airflow notices a death within a minute, so that a scenario takes minutes. Without these its defaults hold."""


class Node(Process):
    """A program that may stand in namespaces of its own, behind the program that made them."""

    def ask(self) -> None:
        """Ask it to end; the program that made the namespaces passes no signal on."""
        for process in self.all()[1:2] if way_of_namespaces() else self.all()[:1]:
            with contextlib.suppress(psutil.Error):
                process.terminate()

    def send(self, number: int) -> None:
        """Send a signal to every process of the node."""
        for process in self.all():
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)

    def all(self) -> list[psutil.Process]:
        """Return the processes of the node, the first one first."""
        with contextlib.suppress(psutil.Error):
            first = psutil.Process(self.pid)
            return [first, *first.children(recursive=True)]
        return []


@dataclass(frozen=True)
class Folders:
    """
    Where a cluster lives.

    :param home: All of it; nodes have folders of their own below it.
    """

    home: Path

    @property
    def shared(self) -> Path:
        """The folder that all nodes see."""
        return self.home / "shared"

    @property
    def connections(self) -> Path:
        """The file of Airflow's connections."""
        return self.shared / "connections.json"

    def node(self, name: str) -> Path:
        """Return the folder of a node."""
        return self.home / "nodes" / name


class Cluster(RealAirflow):
    """
    An Airflow of several machines, with its PostgreSQL and its Redis.

    What ends by itself is started again, as a supervisor would do it. What a scenario kills stays away
    until the scenario starts it.

    :param home: Where it lives.
    :param settings: More settings of Airflow.
    """

    components = NODES

    def __init__(self, home: Path, settings: Mapping[str, str]) -> None:
        self.folders = Folders(home.resolve())
        self.folders.shared.mkdir(parents=True)
        self.folders.connections.write_text("{}", encoding="utf-8")
        home.chmod(0o755)
        super().__init__(home / "control", DAGS, settings)
        self.postgresql = PostgreSQL(self.folders.home / "postgresql")
        self.redis = Redis(self.folders.home / "redis")
        self.holds = Holds(self.folders.shared / "holds")
        self.restarts: Counter[str] = Counter()
        self._started: dict[str, float] = {}
        self._clocks: dict[str, Mapping[str, str]] = {}

    def __enter__(self) -> Cluster:
        super().__enter__()
        return self

    def start(self) -> None:
        """Start the servers and every node, and return when all are healthy."""
        self.postgresql.start()
        self.postgresql.create_database(METADATA)
        self.redis.start()
        super().start()

    def stop(self) -> None:
        """Stop whatever runs."""
        stop(self.processes.values(), 0.0)
        self.processes.clear()
        self.redis.kill()
        self.postgresql.stop()

    @property
    def python(self) -> str:
        """The interpreter of every node."""
        return self._python

    def connect(self, conn_id: str, connection: Mapping[str, Any]) -> None:
        """Store a connection where every node reads it."""
        path = self.folders.connections
        known = json.loads(path.read_text(encoding="utf-8"))
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps({**known, conn_id: dict(connection)}), encoding="utf-8")
        draft.replace(path)

    def start_component(self, name: str) -> None:
        """Start a node, without waiting for it."""
        self._started[name] = time.monotonic()
        program, *arguments = NODES[name]
        port = self.url.rpartition(":")[2]
        self.health[name] = "starting"
        self._start_process(name, [program, *(argument.format(port=port) for argument in arguments)])

    def lose(self, *names: str) -> None:
        """Lose machines at once, with everything that runs on them."""
        for name in names:
            self.health[name] = "lost"
        stop([self.processes.pop(name) for name in names], 0.0)

    def say_goodbye(self, name: str) -> None:
        """Ask a node to end, wait until it has ended with what it had begun, and start it again."""
        node = self.processes.pop(name)
        node.ask()
        deadline = time.monotonic() + GOODBYE_SECONDS
        while node.code is None and time.monotonic() < deadline:
            self._pause()
        stop([node], STOP_SECONDS)
        self.start_component(name)

    def freeze(self, name: str) -> None:
        """Let a machine stand still, like a paused virtual machine."""
        self._node(name).send(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Let a machine that stood still go on."""
        self._node(name).send(signal.SIGCONT)

    def set_clock(self, name: str, environment: Mapping[str, str]) -> None:
        """Start a node with another clock, which variables give it; with the machine's own if they are empty."""
        self._clocks[name] = environment
        self.lose(name)
        self.start_component(name)

    def check(self) -> None:
        """Start again what ended by itself."""
        for name, process in list(self.processes.items()):
            if process.code is None:
                continue
            if name not in NODES:
                super().check()
            elif time.monotonic() > self._started[name] + RESTART_SECONDS:
                self.restarts[name] += 1
                process.kill()
                self.start_component(name)

    def wait(self, what: str, is_true: Callable[[], bool], seconds: float = READY_SECONDS) -> None:
        """Return when something is true, as any Airflow does; so many components take longer to start."""
        super().wait(what, is_true, max(seconds, READY_SECONDS))

    def wait_until_healthy(self) -> None:
        """Return when every node that was not lost is healthy."""
        self.health = {name: "waiting" for name in self.health}
        self.wait("the cluster", self._is_healthy)

    def environment_of(self, name: str) -> dict[str, str]:
        """Return the environment of a node."""
        home = self.folders.node(name) / "home"
        temporary = self.folders.node(name) / "tmp"
        for folder in (home / "logs", temporary):
            folder.mkdir(parents=True, exist_ok=True)
        (home / "airflow.cfg").touch()
        temporary.chmod(0o1777)
        own = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
            "HOME": str(home),
            NODE: name,
            **({} if way_of_namespaces() else {"TMPDIR": str(temporary)}),
        }
        return {**self._env, **own, **self._clocks.get(name, {})}

    def logs_of(self, dag_id: str, run_id: str) -> Iterator[Path]:
        """Yield the files that the tasks of a run have logged to, on any node."""
        yield from sorted(self.folders.home.glob(f"nodes/*/home/logs/dag_id={dag_id}/run_id={run_id}/**/*.log*"))

    def _node(self, name: str) -> Node:
        node = self.processes[name]
        assert isinstance(node, Node)
        return node

    def _start_process(self, name: str, arguments: Sequence[str]) -> None:
        if name not in NODES:
            super()._start_process(name, arguments)
            return
        environment = self.environment_of(name)
        command = [self.python, "-m", "airflow", *arguments]
        if way_of_namespaces():
            address = f"127.0.0.{list(NODES).index(name) + 11}"
            shared = (ROOT, self.folders.home, Path(sys.prefix), Path(sys.base_prefix))
            command = command_of_node(name, address, self.folders.node(name), shared, command)
        self.processes[name] = Node(name, command, environment, self.logs)

    def _is_healthy(self) -> bool:
        import requests

        try:
            url = f"{self.url}{self.api_path}{self.health_path}"
            found = self._session.get(url, timeout=10.0).json()
            self._wake()
        except (requests.RequestException, ValueError):
            return False
        kinds = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return all((found.get(kind) or {}).get("status") == "healthy" for kind in kinds)

    def _settings(self, port: int) -> dict[str, str]:
        metadata = self.postgresql.address(METADATA)
        plain = {} if way_of_namespaces() else {"HOSTNAME_CALLABLE": "verification.cluster.machine.host_name"}
        return {
            **super()._settings(port),
            **SETTINGS,
            **{f"AIRFLOW__CORE__{name}": value for name, value in plain.items()},
            "AIRFLOW__CELERY__BROKER_URL": f"redis://{HOST}:{self.redis.port}/0",
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+postgresql+psycopg2://{metadata}",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{metadata}",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"connections_file_path": str(self.folders.connections)}),
            "PYTHONPATH": str(ROOT),
            SHARED: str(self.folders.shared),
        }
