"""What a run of a Dag tells about a purchase: who asks, since when, and whether it may spend."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.errors import RunRefused

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

TELLING = ("product_code", "sub_product_code", "zone_code", "project_id")
"""Arguments of a purchase that tell its order from another one. A period can be written in two ways."""


def placed_by(context: Context) -> dict[str, Any]:
    """Return who asks for a purchase, for its record."""
    ti = context["ti"]
    return {
        "dag_id": ti.dag_id,
        "run_id": ti.run_id,
        "task_id": ti.task_id,
        "map_index": ti.map_index,
        "try_number": ti.try_number,
    }


def is_mapped(ti: Any) -> bool:
    """Whether a task instance is one of several that an expansion made."""
    return ti.map_index is not None and ti.map_index >= 0


def may_have_twins(task: Any, ti: Any, kind: type) -> bool:
    """
    Whether other tasks of the same Dag may place an order that cannot be told from one of this task.

    What a template will be, or an expansion, nobody knows here, so it counts as the same.

    :param kind: The class of tasks that place such orders.
    """
    others = [other for other in task.dag.tasks if other.task_id != task.task_id] if task.has_dag() else []
    buyers = [other for other in others if issubclass(getattr(other, "operator_class", type(other)), kind)]
    return is_mapped(ti) or any(all(_may_agree(name, task, other) for name in TELLING) for other in buyers)


def since_when(context: Context) -> float:
    """Return from when on a try of this run may have sent something, in epoch seconds."""
    run = context["dag_run"]
    # A clear sets start_date anew, so it is not the only one to ask.
    known = [moment.timestamp() for moment in (_due(run), run.start_date) if moment]
    return min([time.time(), *known])


def refuse_unless_due(context: Context, *, allow_backfill: bool, max_lateness: timedelta | None, what: str) -> None:
    """
    Raise if the run may not spend.

    :param max_lateness: How long after its scheduled time a run may still spend; ``None`` is without limit.
    :param what: What is not sent then, for the message.
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

    Airflow 2 has no ``run_after``, and gives a run that a person started the interval of the last scheduled one.
    """
    told = None if _kind(run) == "manual" else run.data_interval_end
    return getattr(run, "run_after", None) or told or run.logical_date


def _kind(run: Any) -> str:
    return str(getattr(run.run_type, "value", run.run_type))


def _may_agree(name: str, task: Any, other: Any) -> bool:
    """Whether an argument of a task, which is rendered, may be that of another one, which is not."""
    mine, told = getattr(task, name), getattr(other, "partial_kwargs", vars(other)).get(name)
    is_open = not isinstance(told, (str, int, float)) or "{{" in str(told)
    return is_open or mine is None or str(mine) == str(told)
