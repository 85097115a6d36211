"""Each example DAG runs to success against the sandbox, and buys exactly what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import PRICE
from tests.support.dag_runs import ROOT, run

EXAMPLES = sorted((ROOT / "example_dags").glob("*.py"))


@pytest.mark.parametrize(
    ("name", "rules", "faults", "orders"),
    [
        pytest.param("buy_and_use", {}, [{"fault": "null-instances"}], 1, id="buy_and_use"),
        pytest.param("buy_deferrable", {"delivery_looks": 1}, [], 1, id="buy_deferrable"),
        pytest.param("buy_then_wait", {"delivery_looks": 1}, [], 1, id="buy_then_wait"),
        pytest.param("buy_several", {}, [{"fault": "drop"}], 3, id="buy_several, one answer lost, with a ledger"),
    ],
)
def test_an_example_runs_to_success_and_hands_the_ids_on(
    airflow_home, start_sandbox, tmp_path, name, rules, faults, orders
):
    sandbox = start_sandbox(**rules)
    for fault in faults:
        sandbox.faults.add({**fault, "action": "CreateInstance"})

    printed = run(airflow_home, sandbox, ROOT / "example_dags" / f"{name}.py", ledger_uri=f"file://{tmp_path}")

    bought = sandbox.account.orders()
    assert len(bought) == orders
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - orders * PRICE
    assert sandbox.requests["CreateInstance"] == orders
    assert len(list(tmp_path.glob("*.json"))) == orders
    for order in bought:
        assert re.search(rf"{order.instance_ids[0]}", printed)


def test_without_a_ledger_a_mapped_task_finds_its_own_order_among_those_of_other_zones(airflow_home, start_sandbox):
    sandbox = start_sandbox()
    sandbox.faults.add({"fault": "drop", "action": "CreateInstance"})

    printed = run(airflow_home, sandbox, ROOT / "example_dags" / "buy_several.py")

    bought = sandbox.account.orders()
    assert len(bought) == sandbox.requests["CreateInstance"] == 3
    assert f"adopting order {bought[0].order_id}" in printed


def test_the_dag_of_the_readme_runs(airflow_home, sandbox, tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "readme.py"
    path.write_text(code, encoding="utf-8")

    printed = run(airflow_home, sandbox, path)

    assert sandbox.account.orders()[0].instance_ids[0] in printed
    assert len(sandbox.account.orders()) == 1


def test_every_example_is_run_here():
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))

    assert [path.stem for path in EXAMPLES if f'"{path.stem}"' not in tests and f'"{path.name}"' not in tests] == []


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_depends_on_no_logical_date(path):
    source = path.read_text(encoding="utf-8")

    assert not re.search(r"\{\{[^}]*\b(ds|ts|data_interval|logical_date|execution_date)\b", source)
