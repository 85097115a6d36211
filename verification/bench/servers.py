"""A sandbox in a process of its own, with orders that are delivered over time, and a list of its requests."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_provider_tcbilling.sandbox.account import Account
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.orders import PURCHASE, Fate
from airflow_provider_tcbilling.sandbox.sandbox import Arrival, Exchange, Sandbox
from airflow_provider_tcbilling.sandbox.server import listening_socket, server_of

KEY = (Options().secret_id, Options().secret_key)
REQUEST = {"ProductCode": "p_cloudfirewall", "SubProductCode": "sp_cloudfirewall_svv1", "RegionCode": "ap-guangzhou"}
REQUEST |= {"ZoneCode": "ap-guangzhou-6"}
DELIVERY_SECONDS = 3600.0


class Journal(Sandbox):
    """A sandbox that remembers of every request when it came, what for, and what became of it."""

    def __init__(self, rules: Options) -> None:
        self.arrivals: list[tuple[float, str, str]] = []
        super().__init__(rules)

    def carry_out(self, arrival: Arrival) -> Exchange:
        """Carry one signed request out."""
        arrived = time.time()
        exchange = super().carry_out(arrival)
        self.arrivals.append((arrived, exchange.entry.action, exchange.entry.outcome))
        return exchange


def place(account: Account, count: int, first: float, last: float) -> dict[str, float]:
    """Place orders that are delivered evenly between two moments; return when, by number."""
    due = {}
    for number in range(count):
        moment = first + (last - first) * (number + 1) / count
        order = account._pay(PURCHASE, REQUEST, Fate(), at=moment - account.options.delivery_seconds)
        due[order.order_id] = moment
    return due


@contextlib.contextmanager
def sandbox(orders: int = 0, first: float = 0.0, last: float = 0.0, rate_limit: int = 0) -> Iterator[str]:
    """
    Run a sandbox in a process of its own; yield its address.

    :param orders: How many it has at the start, which are delivered evenly from *first* to *last*, in epoch seconds.
    """
    with served(orders, first, last, rate_limit) as server:
        yield server.url


class Server:
    """
    A sandbox that runs.

    :param due: When each order of the start is delivered, in epoch seconds, by number.
    """

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process, self._folder = process, folder
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise RuntimeError("the sandbox did not start")
        self.url: str = json.loads(line)["url"]
        self.due: dict[str, float] = json.loads((folder / "due.json").read_text())

    def stop(self) -> list[tuple[float, str, str]]:
        """Stop it, and return all requests: when each came, the action, the outcome."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)
        return [tuple(entry) for entry in json.loads((self._folder / "arrivals.json").read_text())]

    def orders(self) -> int:
        """Return how many orders were placed, as it said when it stopped."""
        return int(json.loads((self._folder / "orders.json").read_text()))


@contextlib.contextmanager
def served(orders: int = 0, first: float = 0.0, last: float = 0.0, rate_limit: int = 20) -> Iterator[Server]:
    """Run a sandbox in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "verification.bench.servers", folder, str(orders), str(first), str(last)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen([*command, str(rate_limit)], stdout=subprocess.PIPE, text=True, env=env) as process:
            try:
                yield Server(process, Path(folder))
            finally:
                process.terminate()


def main() -> None:
    """Serve until SIGTERM, then write the list of requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for name, kind in {"orders": int, "first": float, "last": float, "rate_limit": int}.items():
        parser.add_argument(name, type=kind)
    asked_for = parser.parse_args()
    delivery_seconds = DELIVERY_SECONDS if asked_for.orders else 0.0
    journal = Journal(Options(balance_cents=10**12, rate_limit=asked_for.rate_limit, delivery_seconds=delivery_seconds))
    due = place(journal.account, asked_for.orders, asked_for.first, asked_for.last)
    (asked_for.folder / "due.json").write_text(json.dumps(due))
    with listening_socket("127.0.0.1", 0) as listener:
        server = server_of(journal)
        print(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}"}), flush=True)
        # The server ends orderly at SIGTERM, and then lets it strike once more.
        signal.signal(signal.SIGTERM, lambda *_: None)
        server.run(sockets=[listener])
        write: dict[str, Any] = {"arrivals": journal.arrivals, "orders": len(journal.account.orders())}
        for name, what in write.items():
            (asked_for.folder / f"{name}.json").write_text(json.dumps(what))


if __name__ == "__main__":
    main()
