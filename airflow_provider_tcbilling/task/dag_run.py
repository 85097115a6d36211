"""The DAG run of a purchase: the task that places it, the time of its first try, and whether the run may spend."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.ledger.task_state import loop_index_of
from airflow_provider_tcbilling.purchasing.approval import UNKNOWN_REQUESTER, is_named
from airflow_provider_tcbilling.purchasing.errors import RunRefused

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_BY_ITSELF = ("scheduled", "asset_triggered", "dataset_triggered")
"""Kinds of runs that no user starts."""


def placed_by(context: Context) -> dict[str, Any]:
    """Return the task that places a purchase, for its record."""
    ti, loop_index = context["ti"], loop_index_of(context)
    place = {} if loop_index is None else {"loop_index": loop_index}
    return {
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": ti.map_index,
        **place,
        "try_number": ti.try_number,
    }


def requester_of(context: Context) -> str:
    """
    Return the user who started the run.

    :return: Empty if its schedule did, or an asset; :data:`.UNKNOWN_REQUESTER` if a user did whom nothing names.
    """
    run = context["dag_run"]
    name = getattr(run, "triggering_user_name", None)
    if is_named(name):
        return str(name)
    return "" if _kind(run) in _BY_ITSELF and not name else UNKNOWN_REQUESTER


def run_key(context: Context) -> str:
    """Return the key of a purchase that happens once in each run of the task, in a loop once in each iteration."""
    ti = context["ti"]
    return task_run_key(ti.dag_id, ti.run_id, ti.task_id, ti.map_index, loop_index_of(context))


def task_run_key(dag_id: str, run_id: str, task_id: str, map_index: int | None, loop_index: int | None = None) -> str:
    """
    Return the key of a purchase that happens once in each run of a task; retries and clears keep it.

    :param map_index: Place of a mapped task; ``None`` and -1 both say that it is not mapped.
    :param loop_index: Which iteration of a loop, each of which is a purchase of its own; ``None`` outside of loops.
    """
    place = [] if loop_index is None else ["loop", loop_index]
    return json.dumps([dag_id, run_id, task_id, -1 if map_index is None else map_index, *place])


def may_have_run_before(context: Context) -> bool:
    """
    Whether an earlier try of this task may have sent something.

    A clear in a loop makes the later iterations anew, whose tries count from one again.
    """
    is_in_loop = loop_index_of(context) is not None
    return context["ti"].try_number > 1 or (is_in_loop and getattr(context["dag_run"], "clear_number", None) != 0)


def since_when(context: Context) -> float:
    """Return the earliest time at which a try of this run may have sent something, in epoch seconds."""
    run = context["dag_run"]
    # A clear sets start_date anew, so it is not enough alone.
    starts = [moment.timestamp() for moment in (_due(run), run.start_date) if moment]
    return min([time.time(), *starts])


def refuse_unless_due(context: Context, *, allow_backfill: bool, max_lateness: timedelta | None, what: str) -> None:
    """
    Raise if the run may not spend.

    :param max_lateness: How long after its scheduled time a run may still spend; ``None`` is without limit.
    :param what: The name of the purchase, for the message.
    :raises RunRefused: It is a backfill, or too late.
    """
    run = context["dag_run"]
    if not allow_backfill and _kind(run) == "backfill":
        raise RunRefused(
            f"Nothing was sent for {what}. This run is a backfill; allow_backfill=True would let it spend."
        )
    due = _due(run)
    if max_lateness is None or due is None:
        return
    lateness = timedelta(seconds=round(time.time() - due.timestamp()))
    if lateness > max_lateness:
        when = f"This run was due {due.isoformat()}, {lateness} ago; max_lateness is {max_lateness}."
        raise RunRefused(f"Nothing was sent for {what}. {when}")


def _due(run: Any) -> Any:
    """
    Return when a run should have started.

    Airflow 2 has no ``run_after``, and gives a manual run the interval of the last scheduled one.
    """
    end = None if _kind(run) == "manual" else run.data_interval_end
    return getattr(run, "run_after", None) or end or run.logical_date


def _kind(run: Any) -> str:
    return str(getattr(run.run_type, "value", run.run_type))
