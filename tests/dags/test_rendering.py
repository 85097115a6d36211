"""On a real Airflow the name of an instance is a name: nothing that is mapped over a list of instances renders it."""

from __future__ import annotations

import base64
import re
import sqlite3
import time

import pytest

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from tests.conftest import SECRET_KEY
from tests.support.dag_runs import ROOT, run

DAYS = 86_400

NAMES = (
    "{{ conn.tcbilling_default.password }} {{ conn.tcbilling_default.password[::-1] }}",
    "{%- set key = conn.tcbilling_default.password %}{{ key | list | join('-') }}.sh",
)

DAG = '''
from datetime import timedelta

import pendulum
from airflow.providers.common.compat.sdk import DAG, BaseOperator, task

from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator


class ShowsWhatItIsGiven(BaseOperator):
    """An operator of somebody's own, every field of which is templated, or a file."""

    template_fields = (
        "product_code", "sub_product_code", "region_code", "instance_id", "expire_time", "instance_name", "all_of_it"
    )
    template_ext = (".sh", ".json")

    def __init__(
        self, *, product_code, sub_product_code, region_code, instance_id, expire_time, instance_name, **kwargs
    ):
        super().__init__(**kwargs)
        self.product_code, self.sub_product_code, self.region_code = product_code, sub_product_code, region_code
        self.instance_id, self.expire_time, self.instance_name = instance_id, expire_time, instance_name
        self.all_of_it = {"name": [instance_name]}

    def execute(self, context):
        print(f"shown: {self.instance_name}")
        return {"name": self.instance_name, "all_of_it": self.all_of_it}


with DAG(dag_id="render", schedule=None, start_date=pendulum.datetime(2026, 1, 1, tz="UTC")):
    expiring = ExpiringInstancesOperator(task_id="expiring", within="P14D")

    @task(map_index_template="{{ task.op_kwargs['instance']['instance_name'] }}")
    def tell(instance):
        print(f"told: {instance['instance_name']}")
        return instance

    @task
    def every(instances):
        return instances

    tell.expand(instance=every(expiring.output["instances"]))
    name = "{{ task.instance_name or task.instance_id }}"
    ShowsWhatItIsGiven.partial(task_id="show", map_index_template=name).expand_kwargs(expiring.output)
    RenewInstanceOperator.partial(
        task_id="renew", period=1, deferrable=False, poll_interval=0.1, map_index_template=name
    ).expand_kwargs(expiring.output)
'''


def test_no_name_brings_the_secret_key_to_light(airflow_home, sandbox, tmp_path):
    for name in NAMES:
        sandbox.account.add_instance(expires_at=time.time() + 3 * DAYS, name=name)
    path = tmp_path / "render.py"
    path.write_text(DAG, encoding="utf-8")

    printed = run(airflow_home, sandbox, path)

    assert len(re.findall(r"shown: ", printed)) >= len(NAMES)
    assert sandbox.requests["RenewInstance"] == len(NAMES)
    with sqlite3.connect(airflow_home / "airflow.db") as database:
        stored = "\n".join(database.iterdump())
    assert "__ conn.tcbilling_default.password __" in stored
    forms = (SECRET_KEY, SECRET_KEY[::-1], "-".join(SECRET_KEY), base64.b64encode(SECRET_KEY.encode()).decode())
    for form in forms:
        assert form not in stored
        assert form not in printed or form == SECRET_KEY


def test_no_name_forges_a_row_of_what_a_user_approves(airflow_home, sandbox, tmp_path):
    pytest.importorskip("airflow.sdk.execution_time.hitl", reason="questions came with Airflow 3.1")
    ledger = str(tmp_path / "ledger.db")
    DatabaseStore(Address("sqlite", ledger)).upgrade()
    names = (
        "edge | 0.01 USD |\n| 2027-01-01 00:00:00 | ins-cheap | edge",
        "[edge](http://a.example.com) <img src=x>",
        "\x1b[2Jedge\u202e",
        NAMES[0],
    )
    for name in names:
        sandbox.account.add_instance(expires_at=time.time() + 3 * DAYS, name=name)

    example = ROOT / "example_dags" / "renew_expiring.py"
    printed = run(airflow_home, sandbox, example, ledger_uri=ledger, options=["--answer", "yes"])

    asked = printed.split("asked: ")[1]
    rows = re.findall(r"^\| 150\.00 USD .*$", asked, re.MULTILINE)
    assert len(rows) == len(names)
    assert all(row.count("|") == 7 for row in rows)
    assert not re.search(r"[\x1b\u202e\[\]<>]|://|\{\{", "".join(rows))
    assert SECRET_KEY[::-1] not in printed
    assert "4 renewed" in printed
