"""Airflow's task state store (3.3 and newer), and the name of a task's run in it."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.ledger.store import Store, Text

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


def loop_index_of(context: Context) -> int | None:
    """
    Return which iteration of a loop this is, ``None`` outside of loops. Airflow 3.4 brought them.

    There a task has the same map index in every iteration. A clear may make later iterations anew, in another region,
    so neither the region nor the try tells them apart: only the iteration's index stays.

    :raises InvalidRequest: Nothing tells it for sure, and two iterations would count as one purchase.
    """
    ti, loop = context["ti"], context.get("loop")
    region_index = getattr(ti, "region_index", None)
    repeated = [kind for kind in map(_repeats, _groups_around(context.get("task"))) if kind]
    if loop is None:
        if "loop" in repeated or region_index not in (None, -1, ti.map_index):
            raise _ambiguous(ti, "Airflow does not tell which iteration of its loop this is")
        return None
    index = getattr(loop, "index", None)
    if not isinstance(index, int) or isinstance(index, bool) or index < 0:
        raise _ambiguous(ti, f"Airflow tells {index!r} as the iteration of its loop")
    if (repeated and repeated[-1] != "loop") or repeated.count("loop") > 1:
        raise _ambiguous(ti, "its loop stands in a group that is repeated itself, and only one index is known")
    if not is_mapped(ti) and region_index not in (None, index):
        raise _ambiguous(ti, f"Airflow tells iteration {index} of its loop, and {region_index} as its place")
    return index


def is_mapped(ti: Any) -> bool:
    """Whether a task instance is one of several that an expansion made."""
    return ti.map_index is not None and ti.map_index >= 0


def is_in_repeated_group(task: Any) -> bool:
    """Whether a task is in a group that is mapped or a loop."""
    return any(map(_repeats, _groups_around(task)))


def _groups_around(task: Any) -> Iterator[Any]:
    """Yield the groups that a task is in, from the inside out."""
    group = getattr(task, "task_group", None)
    while group is not None:
        yield group
        group = getattr(group, "parent_group", None)


def _repeats(group: Any) -> str:
    """Return what repeats the tasks of a group: ``loop``, ``mapping``, or nothing. A group may be behind a proxy."""
    if hasattr(group, "max_iterations"):
        return "loop"
    return "mapping" if group.__class__.__name__ == "MappedTaskGroup" else ""


def _ambiguous(ti: Any, why: str) -> InvalidRequest:
    advice = "Take it out of the loop, or give every iteration a Dag run of its own (TriggerDagRunOperator)"
    return InvalidRequest(ti.task_id, [f"{why}, so two iterations could not be told apart. {advice}"])


TASK_STATE_KEY = "tcbilling_purchase"
"""Under this key the record stands in the task state store."""

OWN_BACKEND = "airflow.state.metastore.MetastoreBackend"
"""Airflow's default state backend: its metadata database."""

KEPT_OVER_A_CLEAR = "1.3."
"""Versions of the Task SDK whose Airflow, 3.3, keeps the state of a task over a clear. Later ones may discard it."""


class TaskStateStore(Store):
    """
    The record in Airflow's task state store (3.3 and newer): one for each task, map index and loop index of a run.

    It survives retries, on Airflow 3.3 a clear as well, and is deleted with the run. It does not see the purchases of
    other tasks, and two copies of a task that start at the same moment both create.

    :param context: The task's.
    """

    about = "the task state store"
    pause_seconds = 10.0

    def __init__(self, context: Context) -> None:
        self._context = context
        self._state = context["task_state_store"]
        self._task = context["ti"]
        self._loop_index = loop_index_of(context)

    @property
    def complete_since(self) -> float:
        """Minus infinity where no record can be lost, so that none means that nothing was sent; else infinity."""
        return -math.inf if _is_surely_kept(self._context) else math.inf

    def location(self, key: str) -> str:
        """Return the place in Airflow for a user."""
        ti = self._task
        mapped = f", map index {ti.map_index}" if is_mapped(ti) else ""
        looped = "" if self._loop_index is None else f", loop index {self._loop_index}"
        return (
            f"key {TASK_STATE_KEY} in the state of task {ti.task_id}{mapped}{looped}, run {ti.run_id}, Dag {ti.dag_id}"
        )

    def options(self, key: str) -> str:
        """Return the options that name the task on the command line."""
        return _options(self._task, self._loop_index)

    def _get(self, key: str) -> str | None:
        value = self._state.get(TASK_STATE_KEY)
        return None if value is None else json.dumps(value)

    def _create(self, key: str, text: str) -> bool:
        return self._replace(key, text, None)

    def _replace(self, key: str, text: str, expected: Text | None) -> bool:
        from airflow.sdk import NEVER_EXPIRE  # type: ignore[attr-defined]

        self._state.set(TASK_STATE_KEY, json.loads(text), retention=NEVER_EXPIRE)
        return True

    def _list(self) -> Iterable[tuple[str, Text]]:
        return ()  # A task sees its own state only.


def _is_surely_kept(context: Context) -> bool:
    """
    Whether the state of a task still has all that its earlier tries have stored, as far as a worker can know.

    A worker reads its own configuration, so ``[state_store]`` and ``[workers] state_store_backend`` must be the same
    there as on the API server.
    """
    from airflow.providers.common.compat.sdk import conf

    try:
        from airflow.sdk import __version__ as sdk_version

        backends = conf.get("workers", "state_store_backend", fallback=""), conf.get("state_store", "backend")
        loses_at_success = conf.getboolean("state_store", "clear_on_success")
    except Exception:  # An option that cannot be read may be anything.
        return False
    if backends != ("", OWN_BACKEND):
        return False
    survives_a_clear = sdk_version.startswith(KEPT_OVER_A_CLEAR) and not loses_at_success
    return survives_a_clear or not _may_have_been_cleared(context)


def _may_have_been_cleared(context: Context) -> bool:
    """
    Whether a user may have cleared the task since its first try.

    A clear counts in the DAG run, unless it leaves the run as it is; and it adds the tries so far to the retries.
    """
    run, retries = context.get("dag_run"), getattr(context.get("task"), "retries", None)
    max_tries = getattr(context["ti"], "max_tries", None)
    return getattr(run, "clear_number", None) != 0 or retries is None or max_tries != retries


def options_of(context: Context) -> str:
    """
    Return the options that name a task on the command line.

    :raises InvalidRequest: It is in a loop, and nothing tells which iteration.
    """
    return _options(context["ti"], loop_index_of(context))


def _options(ti: Any, loop_index: int | None) -> str:
    mapped = ["--map-index", str(ti.map_index)] if is_mapped(ti) else []
    looped = [] if loop_index is None else ["--loop-index", str(loop_index)]
    return shlex.join(["--dag-id", ti.dag_id, "--run-id", ti.run_id, "--task-id", ti.task_id, *mapped, *looped])
