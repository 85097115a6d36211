"""A trial's course: what users and misfortune do to it from outside, each when the condition before it is true."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from verification.kill_matrix.trial import TASK, Condition, Trial

KILLED_SECONDS = 12.0
"""After this a task that was marked as failed is surely dead: Airflow 2 tells its process at the next heartbeat."""


def ends(trial: Trial) -> Iterator[Condition]:
    """Let the run end."""
    yield trial.is_over


def waits(trial: Trial) -> Iterator[Condition]:
    """Let the task wait for its order, which is not delivered yet."""
    requests, action = trial.sandbox.requests, trial.cell.spent.action
    yield lambda: requests[action] > 1 or any(order.queries for order in trial.placed())


def deliver(trial: Trial) -> Iterator[Condition]:
    """Let the server deliver."""
    trial.deliver()
    yield lambda: True


def clear_task(trial: Trial) -> Iterator[Condition]:
    """Clear the task, with whatever it has become."""
    yield from _clear(trial, TASK)


def clear_run(trial: Trial) -> Iterator[Condition]:
    """Clear the whole run."""
    yield from _clear(trial, None)


def mark_failed(trial: Trial) -> Iterator[Condition]:
    """Mark the task as failed, and let Airflow kill its process."""
    trial.airflow.mark_failed(trial.cell.dag_id, trial.cell.slug, TASK)
    killed = time.monotonic() + KILLED_SECONDS
    yield lambda: trial.is_over() and time.monotonic() > killed


def re_order(trial: Trial) -> Iterator[Condition]:
    """Turn the list around that the mapping is made from."""
    plan = trial.read_plan()
    trial.write_plan({**plan, "items": plan["items"][::-1]})
    yield lambda: True


def edit(trial: Trial) -> Iterator[Condition]:
    """Change what the task is to buy, or for how long it is to renew."""
    plan = trial.read_plan()
    trial.write_plan({**plan, "items": [{**item, "pid": 4711, "period": 2} for item in plan["items"]]})
    yield lambda: True


def _clear(trial: Trial, task_id: str | None) -> Iterator[Condition]:
    def tries() -> int:
        return sum(number for _, _, number in trial.airflow.tasks(trial.cell.slug))

    before = tries()
    trial.airflow.clear(trial.cell.dag_id, trial.cell.slug, task_id)
    yield lambda: tries() > before or not trial.is_over()


def course_of(trial: Trial) -> Iterator[Condition]:
    """Take a trial through its cell, and yield each time the condition for going on."""
    trial.start()
    for action in trial.cell.row.actions:
        yield from ACTIONS[action](trial)
    yield trial.is_over
    yield trial.is_twin_over
    trial.sandbox.faults.clear()
    if trial.needs_a_clear():
        yield from clear_task(trial)
        yield trial.is_over


ACTIONS: Mapping[str, Callable[[Trial], Iterator[Condition]]] = {
    action.__name__: action for action in (ends, waits, deliver, clear_task, clear_run, mark_failed, re_order, edit)
}
