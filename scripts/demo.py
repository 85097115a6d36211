"""make demo: buy from the sandbox with a deferrable DAG on a real Airflow, watch it, and check what it cost."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    # While the rest is imported there is nothing to stop yet, and a traceback would only frighten.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import contextlib
import fcntl
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

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
DAG_ID = "tcbilling_buy_deferrable"
VOICES = ("airflow_provider_tcbilling", "airflow.task", "task.stdout", "trigger")
"""Loggers that say something about the purchase."""

DELIVERY_SECONDS = "8"
"""Long enough that the task must defer, and over when the trigger looks for the first time, after 10 s."""

RUN_SECONDS = 240.0
"""How long the run may take: enough for one retry, which waits a minute."""


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
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def fresh(self) -> Iterator[str]:
        """Yield what is new since the last time and worth reading, with the name of its task."""
        for path in sorted(self._folder.glob(f"dag_id={DAG_ID}/*/task_id=*/*.log*")):
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
    """

    def __init__(self, logs: Path) -> None:
        import requests

        command = [sys.executable, "-m", "airflow_provider_tcbilling.sandbox", "--port", "0"]
        self.process = Process(
            "sandbox", [*command, "--delivery-seconds", DELIVERY_SECONDS], clean_environment({}), logs
        )
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
        import requests

        try:
            return self._session.get(f"{self.url}/_sandbox/{path}", timeout=HTTP_SECONDS).json()
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


class Demo:
    """
    One demonstration.

    :param folder: Everything is written below it.
    :param keep: Leave everything up until a signal comes.
    """

    def __init__(self, folder: Path, show: Show, interruption: Interruption, *, keep: bool) -> None:
        self._folder = folder
        self._show = show
        self._interruption = interruption
        self._keep = keep
        self._airflow: RealAirflow | None = None
        self._ledger = Ledger(folder)
        self._run_url = ""

    def run(self) -> int:
        """
        Start all, buy, tell what came of it, and stop all.

        :return: The exit code: 0 if the demonstration showed what it should.
        :raises AirflowTrouble: Something did not start.
        :raises Interrupted: There was a signal before the end.
        """
        with contextlib.ExitStack() as running:
            try:
                with self._show.drawn():
                    sandbox, airflow = self._start(running)
                    summary, failure = self._outcome(sandbox, airflow)
                if self._keep:
                    self._show.tell(summary, failure)
                    self._hold(sandbox, airflow)
            finally:
                print("Stopping Airflow and the sandbox ...", flush=True)
        if not self._keep:
            self._show.tell(summary, failure)
        return 1 if failure else 0

    def _tick(self) -> None:
        """Keep the picture true while something is waited for."""
        self._interruption.check()
        for name, state in (self._airflow.health if self._airflow else {}).items():
            self._show.see_component(name, state)

    def _start(self, running: contextlib.ExitStack) -> tuple[Sandbox, RealAirflow]:
        """Start the sandbox and Airflow; *running* stops them."""
        self._show.enter("This takes one or two minutes. Starting the sandbox")
        logs = self._folder / "logs"
        logs.mkdir(parents=True)
        sandbox = Sandbox(logs)
        running.callback(stop, [sandbox.process])
        while not sandbox.is_up():
            self._tick()
            time.sleep(STEP_SECONDS)
        self._show.see_component("sandbox", "healthy")
        self._show.enter("Starting Airflow")
        connections = self._ledger.connections(sandbox.connection)
        self._airflow = RealAirflow(self._folder, ROOT / "example_dags", connections, self._tick)
        airflow = running.enter_context(self._airflow)
        self._tick()
        self._show.enter(f"Waiting for DAG {DAG_ID}")
        airflow.wait_for_dag(DAG_ID)
        return sandbox, airflow

    def _outcome(self, sandbox: Sandbox, airflow: RealAirflow) -> tuple[dict[str, Any], str]:
        """Buy, and return the summary as far as there is one, and what went wrong."""
        summary: dict[str, Any] = {}
        try:
            before = sandbox.get("state")["balance_cents"]
            bought = self._bought(sandbox, airflow)
            seconds = {name: round(value, 1) for name, value in self._show.tasks["buy"].seconds().items()}
            seconds.pop("success")
            summary = {
                "order_id": bought["order_id"],
                "instance_ids": bought["instance_ids"],
                "create_instance_requests": sandbox.purchases(),
                "balance_before_cents": before,
                "balance_after_cents": sandbox.get("state")["balance_cents"],
                "seconds": {**seconds, "total": round(self._show.elapsed(), 1)},
                "ledger": self._ledger.list(sandbox.connection).splitlines(),
                "ui": airflow.url,
                "sandbox": f"{sandbox.url}/",
            }
            (self._folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
            return summary, "; ".join(mistakes_in(summary, sandbox.get("orders")["orders"]))
        except AirflowTrouble as trouble:
            return summary, str(trouble)

    def _bought(self, sandbox: Sandbox, airflow: RealAirflow) -> dict[str, Any]:
        """
        Run the DAG to its end, and return what its first task returned.

        :raises AirflowTrouble: It did not end well.
        """
        deadline = time.monotonic() + RUN_SECONDS
        run_id = airflow.trigger(DAG_ID)
        self._run_url = f"{airflow.url}/dags/{DAG_ID}/runs/{quote(run_id, safe='')}"
        self._show.enter(f"Running {DAG_ID}")
        task_logs = TaskLogs(airflow.logs)
        state = ""
        while state not in ("success", "failed"):
            self._tick()
            time.sleep(STEP_SECONDS)
            state = airflow.run_state(DAG_ID, run_id)
            for task in airflow.task_instances(DAG_ID, run_id):
                self._show.see_task(task["task_id"], task["state"] or NO_STATUS)
            self._show.see_account(*sandbox.account())
            for line in task_logs.fresh():
                if self._keep or sandbox.url not in line:
                    self._show.see_log(line)
            if time.monotonic() > deadline:
                raise AirflowTrouble(f"the run is still {state} after {RUN_SECONDS:.0f} s")
        if state != "success":
            states = "; ".join(f"{task_id}: {spells}" for task_id, spells in self._show.tasks.items())
            raise AirflowTrouble("\n  ".join([f"the run ended as {state} ({states})", *self._show.log]))
        return dict(airflow.xcom(DAG_ID, run_id, "buy"))

    def _hold(self, sandbox: Sandbox, airflow: RealAirflow) -> None:
        """Say where everything is, and leave it up until a signal comes."""
        print(f"Airflow      {airflow.url}/  (no login)\nThe DAG run  {self._run_url}")
        print(f"The sandbox  {sandbox.url}/\nThe ledger   {_short(self._ledger.path)}")
        for name, connection in self._ledger.connections(sandbox.connection).items():
            print(f"Connection   export {name}='{connection}'")
        print("Everything is left running. Ctrl-C stops it.", flush=True)
        with contextlib.suppress(Interrupted):
            while True:
                self._tick()
                airflow.check()
                time.sleep(STEP_SECONDS)


def mistakes_in(summary: dict[str, Any], orders: list[dict[str, Any]]) -> list[str]:
    """Return in what the demonstration did not show what it should."""
    mistakes = []
    if summary["create_instance_requests"] != 1:
        mistakes.append(f"CreateInstance was requested {summary['create_instance_requests']} times, not once")
    placed = [(order["order_id"], order["instance_ids"]) for order in orders]
    if placed != [(summary["order_id"], summary["instance_ids"])]:
        mistakes.append(f"the sandbox has other orders or instances than the task returned: {placed}")
    paid = summary["balance_before_cents"] - summary["balance_after_cents"]
    cost = sum(order["cost_cents"] for order in orders)
    if paid != cost:
        mistakes.append(f"the balance fell by {money(paid)}, but the orders cost {money(cost)}")
    if not any(summary["order_id"] in line for line in summary["ledger"]):
        mistakes.append(f"the ledger does not list the order: {summary['ledger']}")
    if "deferred" not in summary["seconds"]:
        mistakes.append("the task was never seen deferred")
    return mistakes


@contextlib.contextmanager
def _own_folder() -> Iterator[Path]:
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


def main() -> int:
    """Run the demonstration, and return the exit code."""
    interruption = Interruption()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    keep = parser.parse_args().keep
    from rich.console import Console

    with _own_folder() as folder:
        logs = f"Logs: {_short(folder / 'logs')}/"
        try:
            code = Demo(folder, Show(Console(highlight=False)), interruption, keep=keep).run()
        except Interrupted:
            print(f"Stopped before the end; no process is left. {logs}")
            return 128 + interruption.number
        except AirflowTrouble as trouble:
            print(f"The demo failed: {trouble}\n{logs}", file=sys.stderr)
            return 1
        summary = folder / "summary.json"
        print(f"{logs}, summary: {_short(summary)}" if summary.exists() else logs)
        return code


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


if __name__ == "__main__":
    sys.exit(main())
