"""One DAG for each contender and shape. A cell's settings come from its plan, which the run's conf names."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseOperator, task_group

from verification.kill_matrix import points
from verification.kill_matrix.cells import CONTENDERS, OURS
from verification.kill_matrix.contenders import OPERATORS, ours

HAS_LOOPS = importlib.util.find_spec("airflow.models.dynamic_region") is not None
CELL = "{{ dag_run.conf['cell'] }}"
COMMON = {
    "task_id": "buy",
    "tcbilling_conn_id": CELL,
    "retries": 4,
    "retry_delay": timedelta(seconds=1),
    "pre_execute": points.arm,
    "post_execute": points.finish,
}
WAITING = {"poll_interval": 1.0, "delivery_timeout": 300.0}


def templates(index: int, *names: str) -> dict[str, Any]:
    """Return the templates of an item's arguments."""
    return {name: f"{{{{ argument(dag_run.conf['cell'], {index}, '{name}') }}}}" for name in names}


def loop_of_three(body: Callable[[], Any]) -> None:
    """Let what *body* makes happen three times, one after the other (Airflow 3.4)."""

    @task_group(group_id="each", prefix_group_id=False)
    def each() -> None:
        body()

    each.loop(max_iterations=3)  # type: ignore[attr-defined]


def build(contender: str, shape: str, operator: type[BaseOperator], common: dict[str, Any]) -> DAG:
    """Return the DAG of a contender and a shape."""
    spends = CONTENDERS[contender].spends
    names = points.OF_ITEM[spends]
    with DAG(
        f"{contender}-{shape}",
        schedule=None,
        start_date=datetime(2026, 1, 1),
        catchup=False,
        max_active_runs=200,
        max_active_tasks=200,
        user_defined_macros={"argument": points.argument},
    ) as dag:
        if shape == "mapped":
            operator.partial(**common).expand_kwargs([templates(index, *names) for index in (0, 1)])
        elif shape == "keyed":
            key = points.KEYED_BY[spends]
            operator.partial(**common).expand_kwargs([templates(index, *names, key) for index in (0, 1)])
        elif shape == "loop":
            loop_of_three(lambda: operator(**templates(0, *names), **common))
        else:
            operator(**templates(0, *names), **common)
    return dag


for name, contender in CONTENDERS.items():
    if contender.is_ours:
        for shape in ("sync", "deferrable", "mapped", "keyed", *(["loop"] if HAS_LOOPS and name == OURS else [])):
            own = {**COMMON, **points.FIXED[contender.spends], **WAITING, "deferrable": shape == "deferrable"}
            globals()[f"{name}_{shape}"] = build(name, shape, ours(contender.spends), own)
    elif name in OPERATORS:
        for shape in ("sync", "mapped"):
            globals()[f"{name}_{shape}"] = build(name, shape, OPERATORS[name], COMMON)
