"""What an import of ours brings into a process: a DAG file that has no ledger in a database must not pay for one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytest.importorskip("airflow")

MODULES = {
    "operators": ("expiry", "instance", "refund", "renewal"),
    "sensors": ("delivery", "expiry"),
    "triggers": ("delivery", "expiry", "shared_watch"),
    "hooks": ("connection", "session", "tcbilling"),
    "links": ("console",),
    "task": ("store",),
}

CHILD = """
import json, sys
from importlib import import_module
try:
    from airflow.sdk import BaseOperator
except ImportError:
    from airflow.models import BaseOperator
before = {{name for name in sys.modules if not name.startswith("airflow_provider_tcbilling")}}
for name in {names}:
    import_module("airflow_provider_tcbilling." + name)
print(json.dumps(sorted({{*sys.modules}} - before)))
"""


def imported_by(names):
    command = [sys.executable, "-c", CHILD.format(names=names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_no_operator_sensor_trigger_or_hook_brings_the_libraries_of_a_database():
    names = [f"{folder}.{module}" for folder, modules in MODULES.items() for module in modules]

    brought = imported_by(names)

    assert {f"airflow_provider_tcbilling.{name}" for name in names} <= {*brought}
    assert {name.partition(".")[0] for name in brought} & {"sqlalchemy", "alembic", "psycopg2", "pymysql"} == set()
    assert [name for name in brought if name.startswith("airflow_provider_tcbilling.ledger.database")] == []


def test_no_operator_sensor_trigger_or_hook_brings_the_sources_of_keys_that_its_connection_may_not_have():
    names = [f"{folder}.{module}" for folder, modules in MODULES.items() for module in modules]

    brought = imported_by(names)

    of_keys = {f"airflow_provider_tcbilling.api.{name}" for name in ("account", "key_sources", "metadata", "sts")}
    assert {"airflow_provider_tcbilling.api.credentials", "airflow_provider_tcbilling.api.caller"} <= {*brought}
    assert of_keys & {*brought} == set()


def test_a_ledger_in_a_database_brings_what_it_needs():
    assert "airflow_provider_tcbilling.ledger.database_engine" in imported_by(["ledger.database"])


PERMANENT = """
import sys
from types import SimpleNamespace
from airflow_provider_tcbilling.hooks.connection import Settings
from airflow_provider_tcbilling.hooks.session import Session
fields = {"conn_id": "c", "host": None, "port": None, "login": "AKID", "password": "k", "extra_dejson": {}}
with Session(lambda: Settings.read(SimpleNamespace(**fields))) as tencent:
    tencent.buying, tencent.waiting
print(*sys.modules)
"""


def test_a_permanent_key_in_the_connection_brings_no_other_source():
    done = subprocess.run([sys.executable, "-c", PERMANENT], capture_output=True, text=True, check=True)

    loaded = {name.partition("airflow_provider_tcbilling.")[2] for name in done.stdout.split()}
    assert "api.client" in loaded
    assert loaded & {"api.sts", "api.key_sources", "api.metadata", "hooks.connection_key", "task.masker"} == set()
