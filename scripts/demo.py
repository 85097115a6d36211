"""make demo: buy from the sandbox with a deferrable DAG on a real Airflow, watch it, and check what it cost."""

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
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from real_airflow import HTTP_SECONDS, STEP_SECONDS, AirflowTrouble, Process, RealAirflow, clean_environment, stop

if TYPE_CHECKING:
    pass

ROOT = Path(__file__).resolve().parent.parent
DAG_ID = "tcbilling_buy_deferrable"
TASKS = ("buy", "configure")
DELIVERY_SECONDS = "8"
"""Long enough that the task must defer, and over when the trigger looks for the first time, after 10 s."""

RUN_SECONDS = 240.0
LOG_LINES = 6
COLOURS = {"healthy": "green", "success": "green", "failed": "red", "deferred": "medium_purple1", "running": "cyan"}


class Interrupted(Exception):
    """Somebody pressed Ctrl-C, or asked the demo to end in another way."""


class Interruption:
    """
    Turns the signals that end a program into a note, which is read where it is safe to stop.

    An exception from a signal's handler could strike between the start of a component and its entry in the list of
    what must be stopped.
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
    """The lines that tasks write, as they come."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, int] = {}

    def fresh(self) -> Iterator[str]:
        """Yield the lines that are new since the last time."""
        for path in sorted(self._folder.glob(f"dag_id={DAG_ID}/*/task_id=*/*.log*")):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]
            for line in whole[self._read.get(path, 0) :]:
                with contextlib.suppress(ValueError):
                    entry = json.loads(line)
                    yield f"{path.parent.name.removeprefix('task_id=')}: {entry.get('event', '')}"
            self._read[path] = len(whole)


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
        self._session = requests.Session()
        self._session.trust_env = False
        self.url = self.connection = ""

    def is_up(self) -> bool:
        """Return whether it has said where it is."""
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
        orders = [f"{order['order_id']} {order['status_words']}" for order in state["all_orders"]]
        return _money(state["balance_cents"]), ", ".join(orders) or "none yet"


class Demo:
    """
    One demonstration.

    :param folder: Everything is written below it.
    """

    def __init__(self, folder: Path, show: Show, interruption: Interruption) -> None:
        self._folder = folder
        self._show = show
        self._interruption = interruption
        self._sandbox: Sandbox | None = None
        self._airflow: RealAirflow | None = None
        self._run_url = ""

    def run(self, *, keep: bool) -> int:
        """
        Start all, buy, tell what came of it, and stop all.

        :param keep: Leave everything up until a signal comes.
        :return: The exit code: 0 if the demonstration showed what it should.
        :raises AirflowTrouble: Something did not start.
        :raises Interrupted: There was a signal before the end.
        """
        with contextlib.ExitStack() as running:
            try:
                with self._show.drawn():
                    sandbox, airflow = self._start(running)
                    summary, failure = self._outcome(sandbox, airflow)
                if keep:
                    self._show.tell(summary, failure)
                    self._hold(sandbox, airflow)
            finally:
                print("Stopping Airflow and the sandbox ...", flush=True)
        if not keep:
            self._show.tell(summary, failure)
        return 1 if failure else 0

    def _tick(self) -> None:
        """Keep the picture true while something is waited for."""
        self._interruption.check()
        for name, state in (self._airflow.health if self._airflow else {}).items():
            self._show.see_component(name, state)

    def _start(self, running: contextlib.ExitStack) -> tuple[Sandbox, RealAirflow]:
        """Start the sandbox and Airflow; *running* stops them."""
        self._show.enter("Starting the sandbox")
        logs = self._folder / "logs"
        logs.mkdir(parents=True)
        sandbox = Sandbox(logs)
        running.callback(stop, [sandbox.process])
        while not sandbox.is_up():
            self._tick()
            time.sleep(STEP_SECONDS)
        self._show.see_component("sandbox", "healthy")
        self._show.enter("Starting Airflow")
        connection = {"AIRFLOW_CONN_TCBILLING_DEFAULT": sandbox.connection}
        self._airflow = RealAirflow(self._folder, ROOT / "example_dags", connection, self._tick)
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
                "ui": airflow.url,
                "sandbox": f"{sandbox.url}/",
            }
            (self._folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
            return summary, "\n".join(mistakes_in(summary, sandbox.get("orders")["orders"]))
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
                self._show.see_task(task["task_id"], task["state"] or "not scheduled")
            self._show.see_account(*sandbox.account())
            for line in task_logs.fresh():
                self._show.see_log(line)
            if time.monotonic() > deadline:
                raise AirflowTrouble(f"the run is still {state} after {RUN_SECONDS:.0f} s")
        if state != "success":
            words = "; ".join(f"{task_id}: {states}" for task_id, states in self._show.tasks.items())
            raise AirflowTrouble("\n".join([f"the run ended as {state} ({words})", *self._show.log]))
        return dict(airflow.xcom(DAG_ID, run_id, "buy"))

    def _hold(self, sandbox: Sandbox, airflow: RealAirflow) -> None:
        """Say where everything is, and leave it up until a signal comes."""
        print(f"Airflow        {airflow.url}/  (no login)\nThe DAG run    {self._run_url}")
        print(f"The sandbox    {sandbox.url}/\nThe connection {sandbox.connection}")
        print("All is left running. Ctrl-C stops it.", flush=True)
        with contextlib.suppress(Interrupted):
            while True:
                self._tick()
                airflow.check()
                time.sleep(STEP_SECONDS)


def mistakes_in(summary: dict[str, Any], orders: list[dict[str, Any]]) -> list[str]:
    """Return in what the demonstration did not do what it should."""
    mistakes = []
    if summary["create_instance_requests"] != 1:
        mistakes.append(f"CreateInstance was requested {summary['create_instance_requests']} times, not once")
    if [(order["order_id"], order["instance_ids"]) for order in orders] != [
        (summary["order_id"], summary["instance_ids"])
    ]:
        mistakes.append("the sandbox knows other orders or instances than the task returned")
    paid = summary["balance_before_cents"] - summary["balance_after_cents"]
    if paid != (cost := sum(order["cost_cents"] for order in orders)):
        mistakes.append(f"the balance fell by {_money(paid)}, but the orders cost {_money(cost)}")
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
    """Run the demonstration."""
    interruption = Interruption()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    keep = parser.parse_args().keep
    from rich.console import Console

    with _own_folder() as folder:
        logs = f"Logs: {os.path.relpath(folder / 'logs')}"
        try:
            code = Demo(folder, Show(Console(highlight=False)), interruption).run(keep=keep)
        except Interrupted:
            print(f"Stopped before the end; no process is left. {logs}")
            return 128 + interruption.number
        except AirflowTrouble as trouble:
            print(f"The demo failed: {trouble}\n{logs}", file=sys.stderr)
            return 1
        print(f"{logs}, summary: {os.path.relpath(folder / 'summary.json')}")
        return code


if __name__ == "__main__":
    sys.exit(main())
