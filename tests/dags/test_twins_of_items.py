"""Items of a mapped task on a real Airflow: whether they may be taken for each other is known where they run."""

from __future__ import annotations

import re

import pytest

from tests.conftest import ORDER
from tests.support.dag_runs import run

DAG_FILE = f"""
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator

ORDER = {{name: value for name, value in {ORDER!r}.items() if name != "zone_code"}}
ZONES = ["ap-guangzhou-3", "ap-guangzhou-4", "ap-guangzhou-5", "ap-guangzhou-5"]


class Telling(CreateInstanceOperator):
    def execute(self, context):
        print("TWINS", self.task_id, context["ti"].map_index, self.has_twins(context))


with DAG("shop", schedule=None, start_date=datetime(2026, 1, 1)):

    @task
    def zones():
        return ZONES

    Telling.partial(task_id="literal", **{{**ORDER, "product_code": "p_a"}}).expand(zone_code=ZONES)
    Telling.partial(task_id="output", **{{**ORDER, "product_code": "p_b"}}).expand(zone_code=zones())
"""


@pytest.mark.airflow
def test_items_that_differ_are_no_twins_where_a_worker_runs_them(airflow_home, sandbox, tmp_path):
    path = tmp_path / "dags" / "shop.py"
    path.parent.mkdir()
    path.write_text(DAG_FILE)

    printed = run(airflow_home, sandbox, path)

    found = re.findall(r"TWINS (\w+) (\d) (\w+)", printed)
    expected = [(str(place), str(place > 1)) for place in range(4)]
    assert sorted({(place, has) for task, place, has in found if task == "literal"}) == expected
    assert sorted({(place, has) for task, place, has in found if task == "output"}) == expected
