"""On a real Airflow no secret of a parameter is stored with the rendered fields of a task."""

from __future__ import annotations

import sqlite3

from tests.support.dag_runs import run

DAG = """
import pendulum
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator


with DAG(dag_id="secrets", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    options = {
        "product_code": "p_cloudfirewall",
        "sub_product_code": "sp_cloudfirewall_svv1",
        "region_code": "ap-guangzhou",
        "zone_code": "ap-guangzhou-6",
        "wait_for_delivery": False,
    }
    parameter = {"pid": 1, "rootPwd": "{{ 'hunter2' ~ '-of-one' }}"}
    one = CreateInstanceOperator(task_id="one", parameter=parameter, **options)
    parameter = '{"pid": 2, "rootPwd": "{{ "hunter2" ~ "-of-text" }}"}'
    text = CreateInstanceOperator(task_id="text", parameter=parameter, **options)
    parameters = [{"pid": n, "env": [["apiKey", "{{ 'hunter2' ~ '-of-many-%d' }}" % n]]} for n in (3, 4)]
    many = CreateInstanceOperator.partial(task_id="many", **options).expand(parameter=parameters)
    one >> text >> many
"""

RENDERED = ('"rendered_task_instance_fields"', '"rtif_v2"')
"""The table of rendered fields; Airflow 3.4 has given it another name."""


def test_a_rendered_secret_is_in_no_row(airflow_home, sandbox, tmp_path):
    path = tmp_path / "secrets.py"
    path.write_text(DAG, encoding="utf-8")

    run(airflow_home, sandbox, path)

    assert len(sandbox.account.orders()) == 4
    with sqlite3.connect(airflow_home / "airflow.db") as database:
        rows = "\n".join(line for line in database.iterdump() if any(name in line for name in RENDERED))
    assert rows.count("ap-guangzhou-6") >= 4
    for secret in ("hunter2-of-one", "hunter2-of-text", "hunter2-of-many-3", "hunter2-of-many-4"):
        assert secret not in rows
