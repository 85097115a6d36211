"""A real Airflow 3.3 with one triggerer and thousands of deferred tasks."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import time
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import psutil

from airflow_provider_tcbilling.api.actions import REQUESTS_PER_SECOND
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.server import running
from tests.support.real_airflow import RealAirflow
from verification.bench.figures import Part, Table, Target, percentile
from verification.bench.fleet import busiest_second
from verification.bench.polling import INTERVAL
from verification.bench.servers import Journal, place

DAG = "wait_for_many"
DELIVERED = 300.0
"""Seconds in which all orders are delivered, once all are waited for."""

FIRST_LOOKS, QUIET = 30.0, 60.0
"""Seconds until also the last has had its first look; then those in which all wait and nothing is delivered."""

LONGEST = 5400.0
UNDER_WAY = {"deferred", "queued", "running", "scheduled"}

SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "6",
    "AIRFLOW__CORE__MAX_MAP_LENGTH": "10000",
    "AIRFLOW__TRIGGERER__CAPACITY": "10000",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    "AIRFLOW__SCHEDULER__MAX_TIS_PER_QUERY": "32",
}

NOTE = (
    f"Airflow 3.3 on SQLite, LocalExecutor with {SETTINGS['AIRFLOW__CORE__PARALLELISM']} workers, one triggerer, an "
    f"InstanceDeliverySensor for each order, poll_interval {INTERVAL:.0f} s. When all wait, the orders are delivered "
    f"one after the other within {DELIVERED / 60:.0f} minutes. How soon a task goes on after that is up to Airflow and "
    "these processors."
)


def measure(quick: bool) -> Part:
    """Let tasks wait, deliver their orders, and wait until all have succeeded."""
    count = 100 if quick else 2000
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(
            Options(balance_cents=10**12, delivery_seconds=2 * LONGEST, rate_limit=REQUESTS_PER_SECOND),
        )
        # Placed lately, and nothing is delivered before the clock of the account is moved.
        first = time.time() + 2 * LONGEST - DELIVERED
        due = place(journal.account, count, first, first + DELIVERED)
        with running(journal) as url:
            return run(Path(folder), journal, due, url)


def run(folder: Path, journal: Journal, due: dict[str, float], url: str) -> Part:
    """Wait with an Airflow of its own; return what was seen."""
    with RealAirflow(folder, Path(__file__).with_name("dags"), environment(journal.options, list(due), url)) as airflow:
        airflow.wait_for_dag(DAG)
        bare, began_at = memory_of(airflow), time.time()
        run_id = airflow.trigger(DAG)
        airflow.wait("all tasks to be deferred", lambda: states(folder).get("deferred", 0) == len(due), LONGEST)
        deferred_at, full = time.time(), memory_of(airflow)
        time.sleep(FIRST_LOOKS)
        waiting = len(journal.arrivals)
        time.sleep(QUIET)
        delivering = len(journal.arrivals)
        skip = min(due.values()) - time.time()
        journal.account.clock.offset += skip
        delivered_at = [moment - skip for moment in due.values()]
        airflow.wait("all tasks to end", lambda: not states(folder).keys() & UNDER_WAY, LONGEST)
        ended_at, state = time.time(), airflow.wait_for_run(DAG, run_id)
        noted, ended = (
            [moment - delivered_at[index] for index, moment in moments_of(folder, event).items()]
            for event in ("scheduled_dttm", "end_date")
        )
    moments = [arrived for arrived, _, _ in journal.arrivals]
    refused = sum(outcome.startswith("RequestLimitExceeded") for _, _, outcome in journal.arrivals)
    a_minute = 60 * (delivering - waiting) / QUIET
    of_polls = 100 * a_minute / (len(due) * 60 / INTERVAL)
    rows = [
        ["tasks deferred at once", len(due)],
        ["tasks that succeeded", len(ended)],
        ["minutes until all were deferred", (deferred_at - began_at) / 60],
        ["looks a minute while all wait", a_minute],
        ["the same, % of a poll for each", of_polls],
        ["looks while orders are delivered, the last look of each task included", len(moments) - delivering],
        ["refused %", 100 * refused / len(moments)],
        ["requests within the busiest second", busiest_second(moments)],
        ["from the delivery until the trigger told Airflow, s p50", percentile(noted, 50)],
        ["the same, p99", percentile(noted, 99)],
        ["from the delivery to the end of the task, s p50", percentile(ended, 50)],
        ["the same, p99", percentile(ended, 99)],
        ["minutes from the first delivery to the last task's end", (ended_at - delivered_at[0]) / 60],
        ["triggerer's memory for each task, KB", (full - bare) / len(due) / 1024],
    ]
    targets = [
        Target.at_least("Real Airflow: tasks that waited at once and succeeded", len(ended), len(due)),
        Target.at_most("Real Airflow: looks while all wait, of a poll for each", of_polls, 2, " %"),
        Target("Real Airflow: the run", "success", state, is_met=state == "success"),
    ]
    return Part([Table("A real Airflow", NOTE, ("", "figure"), rows)], targets)


def environment(rules: Options, orders: list[str], url: str) -> dict[str, str]:
    """Return the settings of Airflow's components."""
    login = {"login": rules.secret_id, "password": rules.secret_key}
    return {
        **SETTINGS,
        "BENCH_ORDER_IDS": ",".join(orders),
        "AIRFLOW_CONN_TCBILLING_DEFAULT": json.dumps({"conn_type": "tcbilling", "host": url, **login}),
    }


def memory_of(airflow: RealAirflow) -> int:
    """Return the resident memory of the triggerer, in bytes."""
    trigger = psutil.Process(airflow.processes["triggerer"]._popen.pid)
    return sum(one.memory_info().rss for one in (trigger, *trigger.children(recursive=True)))


def states(folder: Path) -> dict[str, int]:
    """Return how many tasks are in each state. Asking the database costs the server nothing."""
    with closing(sqlite3.connect(f"file:{folder / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as database:
        return dict(database.execute("select coalesce(state, 'none'), count(*) from task_instance group by 1"))


def moments_of(folder: Path, event: str) -> dict[int, float]:
    """
    Return when something happened to each task that succeeded, in epoch seconds, by its map index.

    :param event: ``scheduled_dttm``, which a trigger's event sets anew, or ``end_date``.
    """
    with closing(sqlite3.connect(f"file:{folder / 'airflow.db'}?mode=ro", uri=True, timeout=30)) as database:
        rows = database.execute(f"select map_index, {event} from task_instance where state = 'success'").fetchall()
    return {index: datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp() for index, text in rows}
