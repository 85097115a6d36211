"""Orders that wait: what one watch for all costs, beside a poll for each."""

from __future__ import annotations

import itertools
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_provider_tcbilling.api.actions import REQUESTS_PER_SECOND
from verification.bench.figures import BASELINE, Part, Table, Target, percentile
from verification.bench.fleet import busiest_second
from verification.bench.servers import served

INTERVAL = 30.0
"""Seconds, the default of the operators."""

FIRST_DELIVERY, SETTLING = 35.0, 5.0
"""Seconds after the start; and how long placing the orders may take, by the thousand."""

DELIVERED_PART = 0.2
"""Of the orders, so many are delivered while it is measured."""

OURS, ONE, HTTP, EMPTY = (
    "one watch for all",
    f"{BASELINE}a poll for each",
    f"{BASELINE}HTTP sensor's loop",
    "empty trigger",
)
HOW = {OURS: "ours", ONE: "one", HTTP: "http", EMPTY: "empty"}

COLUMNS = (
    "", "orders", "requests a minute", "refused %", "busiest second", "found late, s p50", "p99", "not found",
    "loop lag, ms p99", "KB an order", "all looked at after, s",
)  # fmt: skip

BETWEEN_ROUNDS = 3.0
"""Seconds without a request that tell where a round of the watch has ended."""


@dataclass(frozen=True)
class Watched:
    """What was seen while orders were waited for."""

    orders: int
    per_minute: float
    refused: float
    busiest: int
    late: list[float]
    unfound: int
    lag: float
    memory: float
    first_round: float | None


NOTE = (
    f"In one event loop, poll_interval {INTERVAL:.0f} s, for {{seconds:.0f}} s after the first look. "
    f"{DELIVERED_PART:.0%} of the orders, at least one, are delivered meanwhile, spread evenly. The sandbox refuses "
    f"more than {REQUESTS_PER_SECOND} requests a second. Found late: from the delivery until the trigger fired. "
    "Memory: of the process, above as many empty triggers. All looked at after: from the start of the triggers, which "
    "first wait for 10 s; of the baselines, until as many looks as there are orders were answered. A poll for each is "
    "a plain deferrable trigger (a look in a thread, then a sleep); the HTTP sensor's loop opens a session for each "
    "look."
)


def measure(quick: bool) -> Part:
    """Measure all ways of waiting for 1, 100, 1,000 and 10,000 orders."""
    counts = (1, 100, 1000) if quick else (1, 100, 1000, 10_000)
    seconds = 45.0 if quick else 90.0
    found = {(how, count): watch(how, count, seconds) for count in counts for how in HOW}
    note = NOTE.format(seconds=seconds)
    rows = [row_of(how, found[how, count], found[EMPTY, count]) for count in counts for how in (OURS, ONE, HTTP)]
    growth = [
        [how, *(exponent([(n, value(found[how, n])) for n in counts]) for value in GROWTH.values())]
        for how in (OURS, ONE, HTTP)
    ]
    tables = [
        Table("Orders that wait", note, COLUMNS, rows),
        Table(
            "How it grows",
            "Exponents of a power of the number of orders, by least squares: 0 is no growth, 1 is proportional.",
            ("", *GROWTH),
            growth,
        ),
    ]
    most = counts[-1]
    ours, one, empty = (found[how, most] for how in (OURS, ONE, EMPTY))
    targets = [
        Target.at_most(
            f"{most:,} orders: requests, of those of a poll for each", 100 * ours.per_minute / one.per_minute, 2, " %"
        ),
        Target.at_most(f"{most:,} orders: requests within any second", ours.busiest, REQUESTS_PER_SECOND),
        Target.at_most(f"{most:,} orders: found late, p99", percentile(ours.late, 99), 2 * INTERVAL, " s"),
        Target.at_most(f"{most:,} orders: loop lag, p99", ours.lag, 50, " ms"),
        Target.at_most(f"{most:,} orders: memory for each, above an empty trigger", kilobytes(ours, empty), 12, " KB"),
        Target.at_most(f"{most:,} orders: delivered and not found in time", ours.unfound, 0),
    ]
    lines = {how: [(float(n), found[how, n].per_minute) for n in counts] for how in (OURS, ONE, HTTP)}
    return Part(tables, targets, {"Requests a minute, by orders that wait": lines})


GROWTH: dict[str, Callable[[Watched], float]] = {
    "requests a minute": lambda watched: watched.per_minute,
    "loop lag p99": lambda watched: watched.lag,
    "memory of the process": lambda watched: watched.memory,
    "all looked at": lambda watched: watched.first_round or 0.0,
}


def watch(how: str, count: int, seconds: float) -> Watched:
    """Wait for orders in a process of its own; return what was seen."""
    start = time.time() + SETTLING * (1 + count / 2000)
    until = start + 10 + seconds
    first = start + FIRST_DELIVERY
    last = first + (until - INTERVAL / 2 - first) / min(1.0, max(DELIVERED_PART, 1 / count))
    with served(count, first, last) as server, tempfile.TemporaryDirectory() as folder:
        due, report_file = Path(folder, "due.json"), Path(folder, "seen.json")
        due.write_text(json.dumps(server.due))
        command = [sys.executable, "-m", "verification.bench.waiters", HOW[how], server.url, str(due), str(report_file)]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": folder}
        time.sleep(max(0.0, start - 3 - time.time()))
        subprocess.run([*command, str(INTERVAL), str(until)], env=env, stdout=subprocess.DEVNULL, check=True)
        report, arrivals = json.loads(report_file.read_text()), server.stop()
        delivered = {number: moment for number, moment in server.due.items() if moment < until - 2 * INTERVAL}
    moments = [arrived for arrived, _, _ in arrivals if arrived < until]
    length = max(1.0, until - min(moments, default=until))
    return Watched(
        count,
        60 * len(moments) / length,
        100 * sum(outcome.startswith("Request") for _, _, outcome in arrivals) / max(1, len(arrivals)),
        busiest_second(moments) if moments else 0,
        [moment - server.due[number] for number, moment in report["woke"].items()] or [math.nan],
        len(delivered.keys() - report["woke"].keys()),
        1e3 * percentile(report["lags"], 99),
        float(report["memory"]),
        first_round([arrived for arrived, _, outcome in arrivals if outcome == "ok"], how, count, report["began_at"]),
    )


def row_of(how: str, watched: Watched, empty: Watched) -> list[Any]:
    """Return a row of the table."""
    late = watched.late
    return [
        how, watched.orders, watched.per_minute, watched.refused, watched.busiest, statistics.median(late),
        percentile(late, 99), watched.unfound, watched.lag, kilobytes(watched, empty), watched.first_round,
    ]  # fmt: skip


def first_round(answered: list[float], how: str, count: int, began_at: float) -> float | None:
    """Return after how many seconds each order had been looked at, at the soonest; ``None`` if not all were."""
    if how == OURS:
        pauses = (last for last, after in itertools.pairwise(answered) if after - last > BETWEEN_ROUNDS)
        return next(pauses, answered[-1]) - began_at
    return answered[count - 1] - began_at if len(answered) >= count else None


def kilobytes(watched: Watched, empty: Watched) -> float:
    """Return what an order takes above an empty trigger."""
    return (watched.memory - empty.memory) / watched.orders / 1024


def exponent(points: list[tuple[float, float]]) -> float | None:
    """Fit y = a * n ** b by least squares on logarithms; return b, or ``None`` where nothing can be fitted."""
    logs = [(math.log(n), math.log(y)) for n, y in points if y > 0]
    if len(logs) < 2:
        return None
    return statistics.linear_regression(*zip(*logs, strict=True)).slope
