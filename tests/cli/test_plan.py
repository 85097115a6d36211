"""``plan`` shows what a task of a DAG would do, and neither executes it nor sends or writes anything."""

from __future__ import annotations

import json
import re

import pytest

from airflow_provider_tcbilling.purchasing.approval_plan import questions_in
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from tests.conftest import PRICE

pytestmark = pytest.mark.airflow

DAG = """
from datetime import datetime
from airflow.providers.common.compat.sdk import DAG
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import SetRenewalOperator

ORDER = dict(
    product_code="p_cloudfirewall", sub_product_code="sp_cloudfirewall_svv1", region_code="ap-guangzhou",
    zone_code="ap-guangzhou-6", parameter={"pid": 1002147, "timeSpan": 1, "timeUnit": "m"},
    max_cents=PRICE, currency="USD",
)
with DAG("fleet", start_date=datetime(2026, 1, 1), schedule=None, params={"months": 1}, catchup=False) as dag:
    {tasks}
"""


@pytest.fixture
def plan(run, in_sqlite, tmp_path):
    """Plan a task of a DAG file whose tasks are given."""

    def plan(tasks, *options, task_id="buy"):
        file = tmp_path / "fleet.py"
        file.write_text(DAG.replace("{tasks}", tasks).replace("PRICE", str(PRICE)))
        return run("plan", "--dag-id", "fleet", "--task-id", task_id, "--file", str(file), *options)

    return plan


@pytest.fixture
def shop(in_sqlite):
    """The shop of the fixture ``run``: its ledger is in a database."""
    return in_sqlite


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ((), "--dag-id and --task-id"),
        (("--dag-id", "fleet"), "--dag-id and --task-id"),
        (("--dag-id", "fleet", "--task-id", "buy", "--map-index", "1"), "give --run-id as well"),
    ],
)
def test_options_that_make_no_sense_are_refused(run, options, problem):
    code, out, err = run("plan", *options)

    assert (code, out) == (2, "")
    assert problem in err


@pytest.mark.parametrize(
    ("tasks", "problem"),
    [
        ("this is no python", "cannot be imported(.|\n)*fleet.py: .*SyntaxError|cannot be imported(.|\n)*syntax"),
        ("CreateInstanceOperator(task_id='other', **ORDER)", "has no task buy. It has: other"),
        ("SetRenewalOperator(task_id='buy', product_code='p', region_code='r', instance_id='i', renew_flag='x')",
         "moves no money"),
        ("CreateInstanceOperator(task_id='buy', **{**ORDER, 'period': 99})", "period: 99 is above the maximum"),
        ("CreateInstanceOperator(task_id='buy', purchase_key='edge-{{ ds }}', **ORDER)",
         "need a run, so give --run-id:\n  - purchase_key: 'ds' is undefined"),
        ("CreateInstanceOperator(task_id='buy', purchase_key='{{ ti.xcom_pull(\"a\") }}', **ORDER)",
         "  - purchase_key: 'ti' is undefined"),
        ("CreateInstanceOperator.partial(task_id='buy', **ORDER).expand(project_id=[1, 2])",
         "give --run-id and --map-index"),
    ],
    ids=["no python", "no task", "no money", "a mistake", "a template", "an output", "mapped"],
)  # fmt: skip
def test_what_cannot_be_planned_says_why(plan, tasks, problem):
    code, out, err = plan(tasks)

    assert (code, out) == (1, "")
    assert re.search(problem, err), err


def test_an_output_of_another_task_is_named(plan):
    tasks = (
        "first = CreateInstanceOperator(task_id='first', **ORDER)\n"
        "    CreateInstanceOperator(task_id='buy', purchase_key=first.output, **ORDER)"
    )

    code, _, err = plan(tasks)

    assert code == 1
    assert "  - purchase_key: it is the output of another task" in err


def test_a_purchase_with_a_key_of_its_own_can_be_approved(plan):
    code, out, _ = plan("CreateInstanceOperator(task_id='buy', purchase_key='edge', **ORDER)", "--json")

    made = json.loads(out)
    (question,) = questions_in(made, ApprovalRules(0))
    assert code == 0
    assert (question.key, question.max_cents) == ("edge", PRICE)
    assert made["purchases"][0]["next"]["step"] == "buy"


def test_a_purchase_of_each_run_has_no_code_before_the_run(plan):
    _, out, _ = plan("CreateInstanceOperator(task_id='buy', **ORDER)", "--json")

    (purchase,) = json.loads(out)["purchases"]
    assert (purchase["key"], purchase["approval_code"], purchase["client_token"]) == (None, None, None)
    assert purchase["max_cents"] == PRICE
    with pytest.raises(ValueError, match="another purchase in each run"):
        questions_in(json.loads(out), ApprovalRules(0))


def test_params_are_rendered_without_a_run(plan):
    _, out, _ = plan("CreateInstanceOperator(task_id='buy', period='{{ params.months }}', **ORDER)", "--json")

    assert json.loads(out)["purchases"][0]["payload"]["Period"] == 1


def test_the_table_is_plain_in_a_pipe_and_shows_the_price_first(plan):
    code, out, _ = plan("CreateInstanceOperator(task_id='buy', **ORDER)")

    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "Total: at most 100.00 USD. Nothing was sent."
    assert [line.split("  ")[0] for line in lines[1:4]] == ["Fact", "At most", "A try would"]
    assert out.isascii()


def test_a_refund_is_planned_without_a_confirmation(plan, shop):
    instance = shop.sandbox.account.add_instance(expires_at=2_000_000_000.0).instance_id
    code, out, _ = plan(
        "RefundInstanceOperator(task_id='buy', product_code='p_cloudfirewall', sub_product_code="
        f"'sp_cloudfirewall_svv1', region_code='ap-guangzhou', instance_id='{instance}')"
    )

    assert code == 0
    assert json.loads(out)["instance_id"] == instance
    assert "RefundInstance" not in shop.sandbox.requests


def test_hostile_text_of_a_dag_steers_no_terminal(plan):
    _, out, err = plan(r"CreateInstanceOperator(task_id='buy', purchase_key='a\x1b[2J\nTotal: nothing', **ORDER)")

    assert "\x1b" not in out + err
    assert out.count("\nTotal") == 0


def test_a_plan_is_approved_on_the_command_line_as_it_is(plan, shop, run, tmp_path, monkeypatch):
    _, out, _ = plan("CreateInstanceOperator(task_id='buy', purchase_key='edge', **ORDER)", "--json")
    (tmp_path / "plan.json").write_text(out)

    from airflow_provider_tcbilling.cli import commands

    total = ("--yes-total", str(PRICE), "--by", "alice")
    assert commands.main(["approve", "--plan", str(tmp_path / "plan.json"), *total]) == 0

    assert shop.ledger.approval(json.loads(out)["purchases"][0]["approval_code"]).approved_by == "alice"


def test_a_dag_that_renders_what_is_missing_to_nothing_needs_a_run_all_the_same(plan):
    tasks = (
        "dag.template_undefined = __import__('jinja2').Undefined\n"
        "    CreateInstanceOperator(task_id='buy', purchase_key='edge-{{ ds }}', **ORDER)"
    )

    code, out, err = plan(tasks)

    assert (code, out) == (1, "")
    assert "  - purchase_key: 'ds' is undefined" in err
