"""One cell at work: its sandbox, its connection, its plan, its run in Airflow, and its ending."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.orders import PlacedOrder
from airflow_provider_tcbilling.sandbox.roles import BUYER
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import running
from tests.support.proxy import running_proxy
from verification.kill_matrix.cells import CONTENDERS, LEDGERS, Cell
from verification.kill_matrix.columns import HIDDEN, LAG, Kind
from verification.kill_matrix.ledgers import Ledgers
from verification.kill_matrix.points import copies_here

TASK = "buy"
OVER = ("success", "failed")
SECRET_ID, SECRET_KEY = "AKIDmatrix", "key-of-a-sandbox"
TRIAL_SECONDS = 150.0
"""After this a cell is said to hang; the longest takes a minute on an idle machine."""

PATIENT_SECONDS = 900.0
"""The same, where a second process must be started, or waits for the margin of the clocks."""

MARGIN = 1.0
"""Seconds by which the clocks of this machine's processes may differ, where they do not on purpose."""

PROXIED_HOST = "https://kill-matrix.intl.tencentcloudapi.com"
"""A name that only the proxy knows: where the environment of a process does not lead there, it leads nowhere."""

ANSWER_SECONDS = 8.0
"""How long an answer is under way when the scheduler is killed: all of a group must be seen waiting for theirs."""

DELIVERY_SECONDS = {"deferrable": 8.0, "while-waiting": 8.0}
"""By the shape or the point of a row that needs an undelivered order at the first query. The trigger waits 10 s."""

HELD_SECONDS = 3600.0
EXPLAINED = (
    "Stopped, and nothing more was sent",
    "Nothing was sent: this purchase was begun already",
    "Nothing was sent: limit",
    "was left alone, and nothing was sent",
    "nothing was sent, because",
)
"""How the provider's own stops read."""

SUBSCRIBED_SECONDS = 3 * 86_400.0
"""For how long an instance still runs that is to be renewed or given back."""

Condition = Callable[[], bool]


class Airflow(Protocol):
    """What a trial needs of a running Airflow, whatever its line."""

    has_state_store: bool

    @property
    def logs(self) -> Path:
        """The folder of the tasks' logs."""

    def connect(self, conn_id: str, connection: dict[str, Any]) -> None:
        """Store a connection."""

    def trigger(self, dag_id: str, run_id: str, conf: dict[str, Any]) -> None:
        """Start a run."""

    def clear(self, dag_id: str, run_id: str, task_id: str | None) -> None:
        """Clear a task, or the whole run."""

    def mark_failed(self, dag_id: str, run_id: str, task_id: str) -> None:
        """Mark a task as failed."""

    def run_state(self, run_id: str) -> str:
        """Return the state of a run, as it was seen last."""

    def tasks(self, run_id: str) -> list[tuple[int, str | None, int]]:
        """Return map index, state and try number of the tasks of a run, as they were seen last."""

    def xcoms(self, run_id: str) -> dict[int, Any]:
        """Return what the tasks of a run returned, by map index."""


@dataclass
class Ending:
    """The result of a trial. The judge reads nothing else."""

    orders: list[str]
    cents: int
    requests: int
    tasks: list[tuple[int, str | None, int]]
    returned: dict[int, Any]
    log: str
    is_over: bool
    was_struck: bool
    twin: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


class Trial:
    """
    A cell on its way.

    :param folder: Where plans, markers and ledgers are.
    :param ledgers: Makes the databases.
    """

    def __init__(self, cell: Cell, airflow: Airflow, folder: Path, ledgers: Ledgers) -> None:
        self.cell = cell
        self.airflow = airflow
        self.sandbox = Sandbox(self._rules())
        self.began = time.monotonic()
        self.is_struck = False
        self._folder, self._ledgers = folder, ledgers
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        """Start the sandbox, store connection and plan, and start the run."""
        cell = self.cell
        url = self._stack.enter_context(running(self.sandbox))
        environment: dict[str, str] = {}
        if cell.column.kind is Kind.PROXY:
            proxy = self._stack.enter_context(running_proxy(url, self._subfolder("tls")))
            url, environment = PROXIED_HOST, proxy.environment
        connection = self._connection(url)
        database = self._ledgers.create(cell.store, cell.slug) if cell.has_database else {}
        plan = {"items": [{"pid": 1}], "task": {}, "twin": False, "pauses": False, "clocks": (), **cell.row.plan}
        self.write_plan(
            {
                **plan,
                "items": [self._subscribed(item) for item in plan["items"]],
                "task": {**cell.column.task, **plan["task"]},
                "environment": environment,
                "spends": cell.spends,
                "point": cell.row.point,
                "contender": cell.contender,
                "places": CONTENDERS[cell.contender].places,
                "has_state_store": cell.store not in LEDGERS and self.airflow.has_state_store,
                "connections": {cell.slug: connection, **({_ledger_of(cell): database} if database else {})},
            }
        )
        for fault in self._faults():
            self.sandbox.faults.add(fault)
        self.airflow.connect(cell.slug, {**connection, "extra": json.dumps(connection["extra"])})
        if database:
            self.airflow.connect(_ledger_of(cell), database)
        self.airflow.trigger(cell.dag_id, cell.slug, {"cell": cell.slug})
        self.began = time.monotonic()

    def deliver(self) -> None:
        """Let the server deliver from now on."""
        self.sandbox.account.options = replace(self.sandbox.account.options, delivery_seconds=0.0)

    def placed(self) -> list[PlacedOrder]:
        """Return the orders that requests placed: not those of instances that were there before."""
        return [order for order in self.sandbox.account.orders() if order.client_token]

    def close(self) -> None:
        """Stop the sandbox."""
        self._stack.close()

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Store what the task's process is to do."""
        path = self._folder / f"{self.cell.slug}.json"
        draft = path.with_suffix(".draft")
        draft.write_text(json.dumps(plan), encoding="utf-8")
        draft.replace(path)

    def read_plan(self) -> dict[str, Any]:
        """Return what is stored of it."""
        return dict(json.loads((self._folder / f"{self.cell.slug}.json").read_text(encoding="utf-8")))

    @property
    def is_late(self) -> bool:
        """Whether it has taken too long."""
        row = self.cell.row
        longest = PATIENT_SECONDS if row.has_second or row.plan.get("clocks") else TRIAL_SECONDS
        return time.monotonic() - self.began > longest

    def is_over(self) -> bool:
        """Whether the run has ended."""
        return self.airflow.run_state(self.cell.slug) in OVER

    def is_twin_over(self) -> bool:
        """Whether the second copy has ended, if there is one."""
        return not self.cell.row.has_second or (self._folder / f"{self.cell.slug}.twin-done").exists()

    def has_state(self, state: str) -> bool:
        """Whether all tasks of the run are in a state."""
        tasks = self.airflow.tasks(self.cell.slug)
        return bool(tasks) and all(found == state for _, found, _ in tasks)

    def needs_a_clear(self) -> bool:
        """Whether a task failed without a stop on purpose: a user would clear it."""
        return "failed" in [state for _, state, _ in self.airflow.tasks(self.cell.slug)] and not self.is_explained()

    def is_explained(self) -> bool:
        """Whether the log says that a task was stopped on purpose."""
        return any(phrase in self.log() for phrase in EXPLAINED)

    def log(self) -> str:
        """Return all that the run's tasks logged."""
        folder = self.airflow.logs / f"dag_id={self.cell.dag_id}" / f"run_id={self.cell.slug}"
        files = sorted(folder.rglob("*.log*"))
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)

    def ending(self, *, is_over: bool) -> Ending:
        """Return the result."""
        orders = self.placed()
        done = self._folder / f"{self.cell.slug}.twin-done"
        return Ending(
            orders=[order.order_id for order in orders],
            cents=sum(order.cost_cents for order in orders),
            requests=self.sandbox.requests[self.cell.spent.action],
            tasks=self.airflow.tasks(self.cell.slug),
            returned=self.airflow.xcoms(self.cell.slug),
            log=self.log(),
            is_over=is_over,
            was_struck=self._was_struck(),
            twin=json.loads(done.read_text(encoding="utf-8")) if done.exists() else {},
            seconds=time.monotonic() - self.began,
        )

    def _was_struck(self) -> bool:
        """Whether the misfortune of the row has happened."""
        row = self.cell.row
        if row.phase:
            return self.is_struck
        if row.plan.get("twin"):
            return copies_here(self._folder, self.cell.slug) == 2
        mark = "continued" if row.plan.get("pauses") else "struck"
        return not row.point or (self._folder / f"{self.cell.slug}.{mark}").exists()

    def _subfolder(self, name: str) -> Path:
        folder = self._folder / f"{self.cell.slug}.{name}"
        folder.mkdir()
        return folder

    def _subscribed(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return an item with the instance that is renewed or given back for it, which runs out in some days."""
        if self.cell.spends == "purchase":
            return item
        ledger = self.sandbox.account
        expires_at = ledger.clock.now() + SUBSCRIBED_SECONDS
        instance_id = ledger.add_instance(expires_at=expires_at).instance_id
        return {**item, "instance_id": instance_id, "expire_time": ledger.clock.written(expires_at), "period": 1}

    def _rules(self) -> Options:
        rules = Options(SECRET_ID, SECRET_KEY, rate_limit=0, tokens=self.cell.tokens)
        row = self.cell.row
        seconds = max(DELIVERY_SECONDS.get(name, 1.0) for name in (row.shape, row.point))
        return replace(rules, delivery_seconds=HELD_SECONDS if row.is_held else seconds)

    def _connection(self, url: str) -> dict[str, Any]:
        cell = self.cell
        read_timeout = ANSWER_SECONDS + 1 if cell.row.phase == "scheduler" else 2.0
        margin = CLOCK_MARGIN if cell.row.plan.get("clocks") else MARGIN
        extra: dict[str, Any] = {"connect_timeout": 1, "read_timeout": read_timeout, "order_book_lag": LAG}
        extra["clock_margin"] = margin
        if cell.store == "ledger":
            extra["ledger_uri"] = f"file://{self._subfolder('ledger')}"
        if cell.has_database:
            extra["ledger_conn_id"] = _ledger_of(cell)
        if cents := cell.row.plan.get("limit"):
            limit = {"name": "matrix", "window": "run", "max_cents": cents, "currency": "USD"}
            extra["spending_limits"] = [limit]
        if not cell.is_ours:
            extra = {}
        if CONTENDERS[cell.contender].has_role:
            extra["assume_role_arn"], extra["sts_endpoint"] = BUYER.arn, url
        keys = {"login": SECRET_ID, "password": SECRET_KEY}
        return {"conn_type": "tcbilling", "host": url, **keys, "extra": extra}

    def _faults(self) -> Iterator[dict[str, Any]]:
        column = self.cell.column
        if column.fault:
            yield {"action": self.cell.spent.action, **column.fault}
        if column.lists_late:
            yield {"fault": "not-visible", "looks": 0, "seconds": HIDDEN, "times": None}
        if self.cell.row.phase == "scheduler":
            action = self.cell.spent.action
            yield {"fault": "delay", "when": "after", "seconds": ANSWER_SECONDS, "times": 1, "action": action}


def _ledger_of(cell: Cell) -> str:
    """Return the connection of a cell's database."""
    return f"{cell.slug}--database"
