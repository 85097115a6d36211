"""One Dag for each contender and shape. All that a cell wants comes from its plan, which the run's conf names."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, BaseOperator

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from scripts.kill_matrix import points
from scripts.kill_matrix.contenders import OPERATORS

CELL = "{{ dag_run.conf['cell'] }}"
ITEMS = ["{{ parameter(dag_run.conf['cell'], 0) }}", "{{ parameter(dag_run.conf['cell'], 1) }}"]
KEYS = ["{{ key(dag_run.conf['cell'], 0) }}", "{{ key(dag_run.conf['cell'], 1) }}"]

COMMON = {
    "task_id": "buy",
    "tcbilling_conn_id": CELL,
    "retries": 4,
    "retry_delay": timedelta(seconds=1),
    "pre_execute": points.arm,
    "post_execute": points.finish,
}
OURS = {**COMMON, **points.ORDER, "poll_interval": 1.0, "delivery_timeout": 300.0}


def build(contender: str, shape: str, operator: type[BaseOperator], common: dict[str, object]) -> DAG:
    """Return the Dag of a contender and a shape."""
    with DAG(
        f"{contender}-{shape}",
        schedule=None,
        start_date=datetime(2026, 1, 1),
        catchup=False,
        max_active_runs=200,
        max_active_tasks=200,
        user_defined_macros={"parameter": points.parameter, "key": points.key},
    ) as dag:
        if shape == "mapped":
            operator.partial(**common).expand(parameter=ITEMS)
        elif shape == "keyed":
            pairs = [{"parameter": item, "purchase_key": key} for item, key in zip(ITEMS, KEYS, strict=True)]
            operator.partial(**common).expand_kwargs(pairs)
        else:
            operator(parameter=ITEMS[0], **common)
    return dag


for shape in ("sync", "deferrable", "mapped", "keyed"):
    own = {**OURS, "deferrable": shape == "deferrable"}
    globals()[f"ours_{shape}"] = build("ours", shape, CreateInstanceOperator, own)

for name, cls in OPERATORS.items():
    for shape in ("sync", "mapped"):
        globals()[f"{name}_{shape}"] = build(name, shape, cls, COMMON)
