"""A trial: the purchases of one run of a DAG, with a server, a connection and a store of their own."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.sandbox.options import Options, Tokens
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import running
from airflow_provider_tcbilling.task.dag_run import task_run_key
from tests.support.real_airflow import HOST
from verification.cluster.judge import Ending
from verification.cluster.nodes import NODES, Cluster
from verification.cluster.servers import USER
from verification.cluster.watch import TASK, Seen, Watch

SECRET_ID, SECRET_KEY = "AKIDCLUSTER", "cluster-key"
STATE, OBJECTS, DATABASE = "state", "objects", "database"
STORES: Mapping[str, str] = {
    STATE: "task state store",
    OBJECTS: "objects ledger, a shared folder",
    DATABASE: "database ledger, PostgreSQL",
}
QUICK: Mapping[str, Any] = {"connect_timeout": 3, "read_timeout": 10, "order_book_lag": 5, "clock_margin": 5}
"""Extras of a connection whose tasks wait for seconds where the defaults wait for minutes."""

BALANCE = 10**13


@dataclass(frozen=True)
class Order:
    """
    What each trial of a scenario buys.

    :param wanted: So many purchases.
    :param are_alike: They are identical.
    :param dag_id: The DAG that buys them.
    :param extra: Extras of the connection.
    :param delivery_seconds: How long a delivery takes.
    :param allowed: A limit of the connection allows so many; ``None`` if there is no limit.
    :param is_shared: A ledger folder is the same for all machines.
    """

    wanted: int
    are_alike: bool = False
    dag_id: str = "buy"
    extra: Mapping[str, Any] = field(default_factory=lambda: QUICK)
    delivery_seconds: float = 1.0
    is_shared: bool = True
    allowed: int | None = None


class Trial:
    """
    One trial.

    :param name: Names its run, its connection and its database.
    :param tokens: The server's rule for repeated client tokens.
    """

    def __init__(self, name: str, order: Order, cluster: Cluster, watch: Watch, *, store: str, tokens: str) -> None:
        self.name, self.order, self.store, self.tokens = name, order, store, tokens
        self.sandbox = Sandbox(
            Options(
                SECRET_ID,
                SECRET_KEY,
                tokens=Tokens.parse(tokens),
                balance_cents=BALANCE,
                delivery_seconds=order.delivery_seconds,
            )
        )
        self.struck = 0
        self.began = self.ended = 0.0
        self._cluster, self._watch = cluster, watch
        self._stack = contextlib.ExitStack()

    def start(self) -> None:
        """Start the server, store the connection, and start the run."""
        url = self._stack.enter_context(running(self.sandbox))
        keys = {"host": url, "login": SECRET_ID, "password": SECRET_KEY}
        extra = {**self.order.extra, **self._ledger(), **self._limit()}
        self._cluster.connect(self.name, {"conn_type": "tcbilling", **keys, "extra": json.dumps(extra)})
        if self.store == DATABASE:
            self._upgrade()
        conf = {"trial": self.name, "wanted": self.order.wanted, "are_alike": self.order.are_alike}
        body = {"dag_run_id": self.name, "logical_date": None, "conf": conf}
        self.began = time.monotonic()
        self._cluster.api("POST", f"/dags/{self.order.dag_id}/dagRuns", body)

    def close(self) -> None:
        """Stop the server."""
        self._stack.close()

    def clear(self) -> None:
        """Clear the whole run, as a user does."""
        body = {"dry_run": False, "only_failed": False}
        self._cluster.api("POST", f"/dags/{self.order.dag_id}/dagRuns/{self.name}/clear", body)

    def deliver(self) -> None:
        """Let the server deliver from now on."""
        self.sandbox.account.options = replace(self.sandbox.account.options, delivery_seconds=0.0)

    def placed(self) -> int:
        """Return how many orders there are."""
        return len(self.sandbox.account.orders())

    def tasks(self) -> list[Seen]:
        """Return the tasks, as they were seen last."""
        return [task for task in self._watch.tasks(self.name) if task.map_index >= 0]

    def count(self, *states: str) -> int:
        """Return how many tasks are in one of some states."""
        return sum(task.state in states for task in self.tasks())

    def note_strike(self, hosts: Collection[str] | None = None) -> None:
        """Count the tasks that a misfortune strikes now: those that run, on some machines only."""
        struck = [task for task in self.tasks() if task.state == "running"]
        self.struck += sum(hosts is None or task.host.split(".")[0] in hosts for task in struck)

    def is_over(self) -> bool:
        """Whether the run has ended."""
        if not self.ended and self._watch.is_over(self.name):
            self.ended = time.monotonic()
        return self._watch.is_over(self.name)

    def ending(self) -> Ending:
        """Return how it ended."""
        orders = self.sandbox.account.orders()
        tokens = {entry.client_token for entry in self.sandbox.journal if entry.action == CREATE_INSTANCE.name}
        return Ending(
            wanted=self.order.wanted,
            orders=[(order.order_id, str(order.request["Parameter"])) for order in orders],
            states={task.map_index: task.state for task in self.tasks()},
            sent={index for index in range(self.order.wanted) if self._token(index) in tokens},
            returned=self._watch.returned(self.name),
            log=self.log(),
            are_alike=self.order.are_alike,
            is_over=self.is_over(),
            allowed=self.order.allowed,
        )

    def log(self) -> str:
        """Return all that the tasks logged, on whatever machine."""
        files = self._cluster.logs_of(self.order.dag_id, self.name)
        return "\n".join(path.read_text(encoding="utf-8", errors="replace") for path in files)

    def refused(self) -> int:
        """Return how many of the latest requests were refused since they came too fast."""
        return Counter(entry.outcome for entry in self.sandbox.journal)["RequestLimitExceeded"]

    def progress(self) -> str:
        """Return how far it is, for a message."""
        states = Counter(str(task.state) for task in self.tasks())
        counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
        return f"{self.name}: {self.placed()} of {self.order.wanted} orders; {counts or 'no task'}"

    def _token(self, index: int) -> str:
        """Return the client token of the first request of a task."""
        return client_token_for(task_run_key(self.order.dag_id, self.name, TASK, index))

    def _limit(self) -> dict[str, Any]:
        if self.order.allowed is None:
            return {}
        most = self.order.allowed * self.sandbox.options.price_cents
        return {"spending_limits": [{"name": "fleet", "window": "run", "max_cents": most, "currency": "USD"}]}

    def _ledger(self) -> dict[str, str]:
        if self.store == OBJECTS:
            return {"ledger_uri": f"file://{self._ledger_folder()}"}
        return {"ledger_conn_id": f"{self.name}-ledger"} if self.store == DATABASE else {}

    def _ledger_folder(self) -> Path:
        """Make the folder of the ledger, once or on each machine, and return where the machines see it."""
        folders = self._cluster.folders
        if self.order.is_shared:
            shared = folders.shared / "ledgers" / self.name
            shared.mkdir(parents=True)
            return shared
        for node in NODES:
            (folders.node(node) / "tmp" / self.name).mkdir()
        return Path(tempfile.gettempdir()) / self.name

    def _upgrade(self) -> None:
        """Make the database of the ledger and its tables, before anything is bought."""
        from airflow_provider_tcbilling.ledger.database import DatabaseStore
        from airflow_provider_tcbilling.ledger.database_address import Address

        server, database = self._cluster.postgresql, f"ledger-{self.name}"
        server.create_database(database)
        address = {"host": HOST, "port": server.port, "login": USER, "password": USER, "schema": database}
        self._cluster.connect(f"{self.name}-ledger", {"conn_type": "postgres", **address})
        DatabaseStore(Address("postgresql", database, HOST, server.port, USER, USER)).upgrade()


def unfinished(trials: Collection[Trial]) -> Iterator[Trial]:
    """Yield the trials whose run has not ended."""
    yield from (trial for trial in trials if not trial.is_over())
