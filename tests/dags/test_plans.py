"""A DAG whose tasks plan: a dry run buys nothing, its plans go on to the next task, and ``plan`` says the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pytest

from airflow_provider_tcbilling.purchasing.approval_plan import questions_in
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from tests.conftest import PRICE
from tests.support import dag_runs

DAYS = 86_400

DAG = """
import json
from datetime import datetime

from airflow.providers.common.compat.sdk import DAG, task
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator

MOST = dict(max_cents=10000, currency="USD", dry_run=True)

with DAG("planning", start_date=datetime(2026, 1, 1), schedule=None, catchup=False):
    due = ExpiringInstancesOperator(task_id="due", within="P14D")
    renewals = RenewInstanceOperator.partial(task_id="renew", renew_within="P14D", **MOST).expand_kwargs(due.output)

    @task
    def key_of(**context):
        return "edge-" + context["run_id"]

    buy = CreateInstanceOperator(
        task_id="buy", product_code="p_cloudfirewall", sub_product_code="sp_cloudfirewall_svv1",
        region_code="ap-guangzhou", zone_code="ap-guangzhou-6",
        parameter={"pid": 1002147, "timeSpan": 1, "timeUnit": "m"}, purchase_key=key_of(), **MOST,
    )

    @task
    def show(plans, plan):
        print("PLANS " + json.dumps([*plans, plan]))

    show(renewals.output, buy.output)
"""


@pytest.fixture
def account(start_sandbox):
    """Two instances that are to be renewed."""
    sandbox = start_sandbox()
    for days in (3, 5):
        sandbox.account.add_instance(expires_at=time.time() + days * DAYS, name=f"in {days} days")
    return sandbox


@pytest.fixture
def folder(tmp_path):
    """A folder of DAGs with the one that plans."""
    folder = tmp_path / "dags"
    folder.mkdir()
    (folder / "planning.py").write_text(DAG)
    return folder


def test_a_dag_that_plans_sends_nothing_and_the_command_plans_the_same(airflow_home, account, folder, tmp_path):
    (tmp_path / "ledger").mkdir()
    printed = dag_runs.run(airflow_home, account, folder / "planning.py", ledger_uri=(tmp_path / "ledger").as_uri())

    assert not {"CreateInstance", "RenewInstance"} & set(account.requests)
    plans = json.loads(re.search(r"PLANS (\[.*\])", printed)[1])
    questions = [question for plan in plans for question in questions_in(plan, ApprovalRules(0))]
    assert [question.action for question in questions] == ["RenewInstance", "RenewInstance", "CreateInstance"]
    assert sum(question.max_cents for question in questions) == 3 * PRICE
    run_id = questions[-1].key.removeprefix("edge-")

    for task, plan in (("renew", plans[0]), ("renew", plans[1]), ("buy", plans[2])):
        place = ["--map-index", str(plans.index(plan))] if task == "renew" else []
        made = planned(airflow_home, account, folder, tmp_path, task, "--run-id", run_id, *place)
        assert made["purchases"][0]["approval_code"] == plan["purchases"][0]["approval_code"]

    assert not {"CreateInstance", "RenewInstance"} & set(account.requests)
    assert list((tmp_path / "ledger").glob("*")) == []


def planned(home, sandbox, folder, tmp_path, task, *options):
    command = [sys.executable, "-m", "airflow_provider_tcbilling", "plan", "--dag-id", "planning", "--task-id", task]
    environment = dag_runs.environment_of(home, sandbox.url, folder, (tmp_path / "ledger").as_uri())
    done = subprocess.run([*command, *options, "--json"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_a_run_that_there_is_not_is_refused(airflow_home, account, folder, tmp_path):
    command = [sys.executable, "-m", "airflow_provider_tcbilling", "plan", "--dag-id", "planning", "--task-id", "buy"]
    environment = dag_runs.environment_of(airflow_home, account.url, folder)

    done = subprocess.run([*command, "--run-id", "no"], env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert "Run no of DAG planning has no task buy" in done.stderr
