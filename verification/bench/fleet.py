"""Many purchases at the limit of 20 requests a second, from one process, from several, and from several machines."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from airflow_provider_tcbilling.api.actions import REQUESTS_PER_SECOND
from tests.support.databases import PostgreSQL, address, postgresql
from verification.bench.buyers import RETRIES, RETRY_DELAY
from verification.bench.figures import BASELINE, Part, Table, Target
from verification.bench.servers import served

AT_ONCE = 16
CONTAINERS = 256


@dataclass(frozen=True)
class Fleet:
    """
    Processes that buy.

    :param buyer: Of :data:`.BUYERS`: where the ledger and the queue of requests are, or the official SDK.
    :param processes: How many begin at once; each has its share of the purchases.
    :param threads: Of each process.
    :param purchases: How many at most.
    :param are_machines: Each has a folder for temporary files of its own, as if it were another machine.
    :param are_containers: A process for each purchase, which has a folder of its own; all begin at once.
    :param is_one_each: A new process for each purchase, as Airflow runs tasks, and some of them at a time.
    """

    name: str
    buyer: str = "files"
    processes: int = 1
    threads: int = 4
    purchases: int = 1000
    are_machines: bool = False
    are_containers: bool = False
    is_one_each: bool = False

    @property
    def has_one_queue(self) -> bool:
        """All its processes line up in one place."""
        return self.buyer == "database" or (self.buyer == "files" and not self.are_machines and not self.are_containers)


def containers(name: str, buyer: str) -> Fleet:
    """Return a fleet of containers."""
    return Fleet(name, buyer, purchases=CONTAINERS, are_containers=True)


ONE, EIGHT = "1 process", "8 processes"
MACHINES, MANY = "8 machines with a database ledger", f"{CONTAINERS} containers with a database ledger"
SDK, SDK_MANY = (
    f"{BASELINE}official SDK in a PythonOperator, 8 processes",
    f"{BASELINE}the same in {CONTAINERS} containers",
)
FLEETS = (
    Fleet(ONE),
    Fleet("4 processes", processes=4),
    Fleet(EIGHT, processes=8),
    Fleet(f"a process for each purchase, {AT_ONCE} at a time", purchases=100, is_one_each=True),
    Fleet(MACHINES, "database", 8, are_machines=True),
    Fleet(f"{BASELINE}8 machines with a file queue each", processes=8, are_machines=True),
    Fleet(SDK, "sdk", 8),
    containers(MANY, "database"),
    containers(f"{BASELINE}{CONTAINERS} containers with a file queue each", "files"),
    containers(SDK_MANY, "sdk"),
)

COLUMNS = (
    "", "purchases", "seconds", "% of the limit", "refused %", "duplicates", "failed", "busiest second", "x SDK",
)  # fmt: skip

NOTE = (
    f"Each process has {Fleet.threads} threads and buys as the operator does. The ledger is a folder on this disk, and "
    "the queue of requests a file; with a database ledger both are in PostgreSQL, with its default of 100 connections. "
    f"100 % is {REQUESTS_PER_SECOND} purchases a second from the first second on, start and end included; what failed "
    "does not count. The sandbox refuses what comes above the limit, and counts that, too. The SDK is tried again "
    f"{RETRIES} times after {RETRY_DELAY:.0f} s, as Airflow's retries do, with a new token. Busiest second: requests "
    "that arrived within any one second. x SDK: purchases a second, by those of the SDK in 8 processes, or in "
    "containers. A machine has a folder for temporary files of its own. The containers are processes with such a "
    "folder each, which begin at once and buy once each. Where each purchase has a process of its own, starting those "
    "processes is what takes the time."
)


def measure(quick: bool) -> Part:
    """Let each fleet buy, one after the other."""
    count = 200 if quick else 1000
    with postgresql(is_durable=True) as postgres:
        rows = {fleet.name: row_of(fleet, min(count, fleet.purchases), postgres) for fleet in FLEETS}
    for fleet in FLEETS:
        sdk = rows[SDK_MANY if fleet.are_containers else SDK]
        rows[fleet.name].append(rows[fleet.name][3] / sdk[3])
    ours = [rows[fleet.name] for fleet in FLEETS if fleet.buyer != "sdk"]
    on_one_machine = [rows[fleet.name] for fleet in FLEETS if fleet.has_one_queue and fleet.buyer == "files"]
    targets = [
        Target.at_least(f"{count:,} purchases, {ONE}: of the limit", rows[ONE][3], 90, " %"),
        Target.at_least(f"{count:,} purchases, {EIGHT}: of the limit", rows[EIGHT][3], 85, " %"),
        Target.at_least(f"{count:,} purchases, {MACHINES}: of the limit", rows[MACHINES][3], 90, " %"),
        Target.at_most("Refused, of all requests, on one machine", max(row[4] for row in on_one_machine), 5, " %"),
        Target.at_most(f"Refused, {MACHINES}", rows[MACHINES][4], 1, " %"),
        Target.at_most(f"Refused, {MANY}", rows[MANY][4], 1, " %"),
        Target.at_most("Purchases made twice", sum(row[5] for row in ours), 0),
        Target.at_most("Purchases that failed", sum(row[6] for row in ours), 0),
    ]
    return Part([Table("Purchases at the limit", NOTE, COLUMNS, list(rows.values()))], targets)


def row_of(fleet: Fleet, count: int, postgres: PostgreSQL) -> list[Any]:
    """Let a fleet buy; return a row of the table."""
    with served(rate_limit=REQUESTS_PER_SECOND) as server, tempfile.TemporaryDirectory() as folder:
        ledger = empty_ledger(postgres) if fleet.buyer == "database" else Path(folder).as_uri()
        start = time.time()
        failed = sum(bought_by(fleet, count, server.url, ledger))
        bought = count - failed
        arrivals = [entry for entry in server.stop() if entry[1] == "CreateInstance"]
        orders = server.orders()
    last = max(arrived for arrived, _, outcome in arrivals if outcome == "ok")
    took = last - min(start, arrivals[0][0]) if fleet.is_one_each else last - arrivals[0][0]
    refused = sum(outcome.startswith("RequestLimitExceeded") for _, _, outcome in arrivals)
    moments = sorted(arrived for arrived, _, _ in arrivals)
    return [
        fleet.name,
        count,
        took,
        100 * bought / REQUESTS_PER_SECOND / took,
        100 * refused / len(arrivals),
        orders - bought,
        failed,
        busiest_second(moments),
    ]


def empty_ledger(postgres: PostgreSQL) -> str:
    """Make a ledger in a database; return its address as JSON."""
    from airflow_provider_tcbilling.ledger.database_engine import database_of
    from airflow_provider_tcbilling.ledger.database_schema import upgrade

    place = address(postgres, postgres.new_database())
    upgrade(database_of(place))
    return json.dumps(asdict(place))


def busiest_second(moments: list[float]) -> int:
    """Return how many of these moments lie within one second at most."""
    most = first = 0
    for last, moment in enumerate(moments):
        while moment - moments[first] >= 1:
            first += 1
        most = max(most, last - first + 1)
    return most


def bought_by(fleet: Fleet, count: int, url: str, ledger: str) -> Iterator[int]:
    """Let a fleet buy; yield of each process how many of its purchases failed."""
    size = 1 if fleet.is_one_each else count // fleet.processes
    at_once = AT_ONCE if fleet.is_one_each else fleet.processes
    waiting = [(first, min(size, count - first)) for first in range(0, count, size)]
    with contextlib.ExitStack() as stack:
        temp = stack.enter_context(tempfile.TemporaryDirectory())
        running: list[subprocess.Popen[str]] = []
        while waiting or running:
            while waiting and len(running) < at_once:
                first, share = waiting.pop(0)
                machine = Path(temp, str(first) if fleet.are_machines else "shared")
                machine.mkdir(exist_ok=True)
                arguments = (fleet.buyer, url, ledger, first, share, fleet.threads)
                option = ["--containers"] * fleet.are_containers
                running.append(buyer([*map(str, arguments), *option], machine))
                if fleet.is_one_each:
                    go(running[-1])
            if not fleet.is_one_each:
                for process in running:
                    process.stdout and process.stdout.readline()
                for process in running:
                    go(process)
            process = running.pop(0)
            yield int(process.communicate()[0].split()[-1])
            if not fleet.is_one_each:
                yield from (int(process.communicate()[0].split()[-1]) for process in running)
                return


def buyer(arguments: Iterable[str], temp: Path) -> subprocess.Popen[str]:
    """Start a process that buys once it reads a line."""
    command = [sys.executable, "-m", "verification.bench.buyers", *arguments]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temp)}
    return subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def go(process: subprocess.Popen[str]) -> None:
    """Tell a process to buy."""
    if process.stdin:
        process.stdin.write("go\n")
        process.stdin.flush()
