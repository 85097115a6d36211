"""Stage of the demonstrations: a sandbox, an Airflow, the logs of its tasks, and an end by a signal."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.demo_ledger import Ledger
from scripts.demo_show import NO_STATUS, Show, money
from tests.support.real_airflow import (
    HTTP_SECONDS,
    STEP_SECONDS,
    AirflowTrouble,
    Process,
    RealAirflow,
    clean_environment,
    stop,
)

ROOT = Path(__file__).resolve().parent.parent
VOICES = ("airflow_provider_tcbilling", "airflow.task", "task.stdout", "trigger")
"""Loggers that say something about the purchase."""

RUN_SECONDS = 240.0
"""How long a run may take: enough for one retry, which waits a minute."""


WIDTH = 140
"""Characters of a line where there is no terminal."""


class Interrupted(Exception):
    """Somebody pressed Ctrl-C, or asked the demo to end in another way."""


class Interruption:
    """
    Turns the signals that end a program into a note, which is read where it is safe to stop.

    An exception out of a signal's handler could strike between the start of a program and its entry in the list of
    those that must be stopped, or while they are being stopped.
    """

    def __init__(self) -> None:
        self.number = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.number = self.number or number

    def check(self) -> None:
        """Raise Interrupted if there was a signal."""
        if self.number:
            raise Interrupted


class TaskLogs:
    """
    The lines that the tasks write, as they come.

    :param folder: Where Airflow keeps them.
    :param dag_id: The DAG of the tasks.
    """

    def __init__(self, folder: Path, dag_id: str) -> None:
        self._folder, self._dag_id = folder, dag_id
        self._read: dict[Path, int] = {}

    def fresh(self) -> Iterator[str]:
        """Yield what is new since the last time and worth reading, with the name of its task."""
        for path in sorted(self._folder.glob(f"dag_id={self._dag_id}/*/task_id=*/*.log*")):
            with path.open("rb") as log:
                log.seek(self._read.get(path, 0))
                whole = log.read().rpartition(b"\n")[0]
            self._read[path] = self._read.get(path, 0) + len(whole) + bool(whole)
            for line in whole.splitlines():
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    if entry.get("logger", "trigger").startswith(VOICES) or entry.get("level") != "info":
                        parts = [entry["event"], *(error["exc_value"] for error in entry.get("error_detail", [])[:1])]
                        yield f"{path.parent.name.removeprefix('task_id=')}: {': '.join(parts)}"


class Sandbox:
    """
    The sandbox as a program of its own.

    :param logs: Where its log goes. It begins with the greeting, which tells the connection.
    :param options: Of its command line.
    """

    def __init__(self, logs: Path, options: Sequence[str]) -> None:
        import requests

        command = [sys.executable, "-m", "airflow_provider_tcbilling.sandbox", "--port", "0"]
        self.process = Process("sandbox", [*command, *options], clean_environment({}), logs)
        self.url = self.connection = ""
        self._session = requests.Session()
        self._session.trust_env = False

    def is_up(self) -> bool:
        """
        Return whether it has said where it is.

        :raises AirflowTrouble: It ended instead.
        """
        if self.process.code is not None:
            raise self.process.ended()
        greeting = self.process.log.read_text(encoding="utf-8")
        if said := re.search(r"AIRFLOW_CONN_TCBILLING_DEFAULT='(\{.*\})'", greeting):
            self.connection = said[1]
            self.url = json.loads(self.connection)["host"]
        return bool(said)

    def get(self, path: str) -> Any:
        """
        Return what its control interface says.

        :raises AirflowTrouble: It does not answer.
        """
        return self._call("GET", path)

    def post(self, path: str, wanted: Mapping[str, Any]) -> Any:
        """
        Change something over its control interface, and return the answer.

        :raises AirflowTrouble: It does not answer.
        """
        return self._call("POST", path, wanted)

    def _call(self, method: str, path: str, wanted: Mapping[str, Any] | None = None) -> Any:
        import requests

        url = f"{self.url}/_sandbox/{path}"
        try:
            return self._session.request(method, url, json=wanted, timeout=HTTP_SECONDS).json()
        except requests.RequestException as error:
            if self.process.code is not None:
                raise self.process.ended() from None
            raise AirflowTrouble(f"the sandbox does not answer: {error}") from None

    def purchases(self) -> int:
        """Return how many times it was asked to sell, answered or not."""
        return sum(entry["action"] == "CreateInstance" for entry in self.get("journal")["entries"])

    def account(self) -> tuple[str, str]:
        """Return the balance and the orders, in words."""
        state = self.get("state")
        orders = [f"order {order['order_id']} {order['status_words']}" for order in state["all_orders"]]
        return money(state["balance_cents"]), ", ".join(orders) or "no order yet"


class Stage:
    """
    A sandbox and an Airflow, on which a subclass plays its demonstration.

    :param folder: Everything is written below it.
    :param keep: Leave everything up until a signal comes.
    """

    dags = ROOT / "example_dags"
    dag_id = ""
    sandbox_options: Sequence[str] = ()
    login = "no login"

    def __init__(self, folder: Path, show: Show, interruption: Interruption, *, keep: bool) -> None:
        self.folder, self.show, self.keep = folder, show, keep
        self.ledger = Ledger(folder)
        self._interruption = interruption
        self._airflow: RealAirflow | None = None
        self._sandbox: Sandbox | None = None

    @property
    def airflow(self) -> RealAirflow:
        """The Airflow that was started."""
        if self._airflow is None:
            raise AirflowTrouble("Airflow was not started")
        return self._airflow

    @property
    def sandbox(self) -> Sandbox:
        """The sandbox that was started."""
        if self._sandbox is None:
            raise AirflowTrouble("the sandbox was not started")
        return self._sandbox

    def connections(self) -> dict[str, str]:
        """Return the environment variables of the connections."""
        return self.ledger.connections(self.sandbox.connection)

    def new_airflow(self) -> RealAirflow:
        """Return the Airflow to start."""
        return RealAirflow(self.folder, self.dags, self.connections(), self.tick)

    def play(self) -> str:
        """Show everything, and return what went wrong; empty if nothing did."""
        raise NotImplementedError

    def tell(self, failure: str) -> None:
        """Print the result."""
        raise NotImplementedError

    def addresses(self) -> list[str]:
        """Return more lines about where everything is, for a demonstration that is kept."""
        return []

    def run(self) -> int:
        """
        Start all, play, tell what came of it, and stop all.

        :return: The exit code: 0 if the demonstration showed what it should.
        :raises AirflowTrouble: Something did not start.
        :raises Interrupted: There was a signal before the end.
        """
        with contextlib.ExitStack() as running:
            try:
                with self.show.drawn():
                    self._start(running)
                    failure = self.play()
                if self.keep:
                    self.tell(failure)
                    self._hold()
            finally:
                print("Stopping Airflow and the sandbox ...", flush=True)
        if not self.keep:
            self.tell(failure)
        return 1 if failure else 0

    def tick(self) -> None:
        """Keep the picture true while something is waited for."""
        self._interruption.check()
        for name, state in (self._airflow.health if self._airflow else {}).items():
            self.show.see_component(name, state)

    def hear(self, line: str) -> None:
        """Take a line that a task wrote."""
        if self.keep or self.sandbox.url not in line:
            self.show.see_log(line)

    def follow(
        self, dag_id: str, run_id: str, logs: TaskLogs, is_over: Callable[[str, Mapping[str, str]], bool]
    ) -> str:
        """
        Watch a run, and return its state when it is over.

        :param is_over: Takes the state of the run, and those of its tasks by their ids.
        :raises AirflowTrouble: It takes too long.
        """
        deadline = time.monotonic() + RUN_SECONDS
        while True:
            self.tick()
            time.sleep(STEP_SECONDS)
            state = self.airflow.run_state(dag_id, run_id)
            instances = self.airflow.task_instances(dag_id, run_id)
            tasks = {task["task_id"]: task["state"] or NO_STATUS for task in instances}
            for task_id, task_state in tasks.items():
                self.show.see_task(task_id, task_state)
            self.show.see_account(*self.sandbox.account())
            for line in logs.fresh():
                self.hear(line)
            if is_over(state, tasks):
                return state
            if time.monotonic() > deadline:
                raise AirflowTrouble(f"the run is still {state} after {RUN_SECONDS:.0f} s")

    def _start(self, running: contextlib.ExitStack) -> None:
        """Start the sandbox and Airflow; *running* stops them."""
        self.show.enter("This takes one or two minutes. Starting the sandbox")
        logs = self.folder / "logs"
        logs.mkdir(parents=True)
        self._sandbox = Sandbox(logs, self.sandbox_options)
        running.callback(stop, [self._sandbox.process])
        while not self._sandbox.is_up():
            self.tick()
            time.sleep(STEP_SECONDS)
        self.show.see_component("sandbox", "healthy")
        self.show.enter("Starting Airflow")
        self._airflow = self.new_airflow()
        running.enter_context(self._airflow)
        self.tick()
        self.show.enter(f"Waiting for DAG {self.dag_id}")
        self._airflow.wait_for_dag(self.dag_id)

    def _hold(self) -> None:
        """Say where everything is, and leave it up until a signal comes."""
        lines = [
            f"Airflow      {self.airflow.url}/  ({self.login})",
            f"The sandbox  {self.sandbox.url}/",
            f"The ledger   {short(self.ledger.path)}",
            *self.addresses(),
            *(f"Connection   export {name}='{value}'" for name, value in self.connections().items()),
            "Everything is left running. Ctrl-C stops it.",
        ]
        print("\n".join(lines), flush=True)
        with contextlib.suppress(Interrupted):
            while True:
                self.tick()
                self.airflow.check()
                time.sleep(STEP_SECONDS)


def is_over(state: str, tasks: Mapping[str, str]) -> bool:
    """Whether a run has ended."""
    return state in ("success", "failed")


def carried_out(kind: type[Stage], about: str | None) -> int:
    """Play a demonstration with the options of the command line, and return the exit code."""
    interruption = Interruption()
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    keep = parser.parse_args().keep
    from rich.console import Console

    with own_folder() as folder:
        logs = f"Logs: {short(folder / 'logs')}/"
        try:
            console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
            code = kind(folder, Show(console), interruption, keep=keep).run()
        except Interrupted:
            print(f"Stopped before the end; no process is left. {logs}")
            return 128 + interruption.number
        except AirflowTrouble as trouble:
            print(f"The demo failed: {trouble}\n{logs}", file=sys.stderr)
            return 1
        summary = folder / "summary.json"
        print(f"{logs}, summary: {short(summary)}" if summary.exists() else logs)
        return code


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """Hold ``.demo``, emptied; while another demo holds it, take a folder for temporary files."""
    folder = ROOT / ".demo"
    folder.mkdir(exist_ok=True)
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            folder = Path(tempfile.mkdtemp(prefix="tcbilling-demo-"))
            print(f"Another demo is running in .demo; this one writes to {folder}")
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield folder
    finally:
        os.close(lock)


def short(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)
