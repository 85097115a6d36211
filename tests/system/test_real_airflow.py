"""Real Airflow components against the sandbox: every example succeeds, a clear buys nothing, no key leaks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from airflow_provider_tcbilling.hooks.connection import EXTRA_FIELDS
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import running
from tests.conftest import PRICE, SECRET_ID, SECRET_KEY
from tests.support.real_airflow import RealAirflow

pytestmark = pytest.mark.system

EXAMPLES = Path(__file__).parents[2] / "example_dags"
SESSION_TOKEN = "session-token-that-must-never-be-seen-0815"
ORDERS = {
    "tcbilling_buy_and_use": 1,
    "tcbilling_buy_deferrable": 1,
    "tcbilling_buy_then_wait": 1,
    "tcbilling_buy_several": 3,
}


@pytest.fixture(scope="module")
def sandbox():
    sandbox = Sandbox(
        Options(SECRET_ID, SECRET_KEY, SESSION_TOKEN, delivery_looks=1, balance_cents=100 * PRICE, rate_limit=0)
    )
    with running(sandbox) as url:
        sandbox.url = url
        yield sandbox


@pytest.fixture(scope="module")
def airflow(sandbox, tmp_path_factory):
    """Four components that log everything, and the connection in their database."""
    settings = {"AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"}
    with RealAirflow(tmp_path_factory.mktemp("airflow"), EXAMPLES, settings) as airflow:
        airflow.api(
            "POST",
            "/connections",
            {
                "connection_id": "tcbilling_default",
                "conn_type": "tcbilling",
                "host": sandbox.url,
                "login": SECRET_ID,
                "password": SECRET_KEY,
                "extra": f'{{"token": "{SESSION_TOKEN}"}}',
            },
        )
        yield airflow


@pytest.fixture(scope="module")
def runs(airflow):
    """One run of every example, all at once, and how each ended."""
    for dag_id in ORDERS:
        airflow.wait_for_dag(dag_id)
    started = {dag_id: airflow.trigger(dag_id) for dag_id in ORDERS}
    assert {dag_id: airflow.wait_for_run(dag_id, run_id) for dag_id, run_id in started.items()} == dict.fromkeys(
        ORDERS, "success"
    )
    return started


def test_every_example_buys_what_it_says_once(runs, airflow, sandbox):
    orders = sandbox.account.orders()

    assert len(orders) == sandbox.requests["CreateInstance"] == sum(ORDERS.values())
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - len(orders) * PRICE
    for dag_id, run_id in runs.items():
        received = airflow.xcom(dag_id, run_id, "configure")
        assert len(received) == ORDERS[dag_id]
        assert set(received) <= {instance for order in orders for instance in order.instance_ids}


def test_the_link_leads_to_the_order(runs, airflow, sandbox):
    dag_id = "tcbilling_buy_deferrable"
    order_id = airflow.xcom(dag_id, runs[dag_id], "buy", "order_id")

    links = airflow.api("GET", f"/dags/{dag_id}/dagRuns/{runs[dag_id]}/taskInstances/buy/links")["extra_links"]

    assert links == {"Order in Tencent Cloud console": f"{sandbox.url}/#{order_id}"}


def test_a_cleared_task_buys_nothing_and_returns_the_same_order(runs, airflow, sandbox):
    dag_id, run_id = "tcbilling_buy_and_use", runs["tcbilling_buy_and_use"]
    before = airflow.xcom(dag_id, run_id, "buy"), len(sandbox.account.orders()), sandbox.requests["CreateInstance"]

    cleared = {
        "dry_run": False,
        "dag_run_id": run_id,
        "task_ids": ["buy"],
        "only_failed": False,
        "reset_dag_runs": True,
    }
    airflow.api("POST", f"/dags/{dag_id}/clearTaskInstances", cleared)
    assert airflow.wait_for_run(dag_id, run_id) == "success"
    again = airflow.xcom(dag_id, run_id, "buy")
    assert (again["order_id"], again["instance_ids"]) == (before[0]["order_id"], before[0]["instance_ids"])
    assert len(sandbox.account.orders()) == before[1]


def test_a_refusal_fails_the_task_at_once_with_the_servers_words(runs, airflow, sandbox):
    code, action = "FailedOperation.NumLimitError", "CreateInstance"
    sandbox.faults.add({"fault": "error", "code": code, "when": "before", "action": action})
    dag_id = "tcbilling_buy_and_use"

    run_id = airflow.trigger(dag_id)

    assert airflow.wait_for_run(dag_id, run_id) == "failed"
    (buy,) = (task for task in airflow.task_instances(dag_id, run_id) if task["task_id"] == "buy")
    assert (buy["state"], buy["try_number"]) == ("failed", 1)
    assert "FailedOperation.NumLimitError" in everything_below(airflow.logs)


def test_the_test_button_works(airflow, sandbox):
    connection = {
        "connection_id": "new",
        "conn_type": "tcbilling",
        "host": sandbox.url,
        "login": SECRET_ID,
        "password": SECRET_KEY,
        "extra": f'{{"token": "{SESSION_TOKEN}"}}',
    }

    good = airflow.api("POST", "/connections/test", connection)
    bad = airflow.api("POST", "/connections/test", {**connection, "password": "another-key"})

    assert good["status"] is True
    assert str(sandbox.account.uin) in good["message"]
    assert (bad["status"], "SecretKey does not belong" in bad["message"]) == (False, True)


def test_the_form_is_known_without_importing_the_hook(airflow):
    meta = airflow.api("GET", "/../../ui/connections/hook_meta")

    (ours,) = (entry for entry in meta if entry["connection_type"] == "tcbilling")
    assert ours["standard_fields"]["login"]["title"] == "SecretId"
    assert set(ours["extra_fields"]) == {field.name for field in EXTRA_FIELDS} >= {"ledger_conn_id", "spending_limits"}


def test_no_secret_is_in_any_log_or_row_or_answer(runs, airflow, sandbox):
    """The last test of this file: by now there were successes, a failure, deferrals and a test of the connection."""
    shown = [airflow.api("GET", "/connections"), sandbox.state()]
    for dag_id, run_id in runs.items():
        shown += [airflow.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances")]
        shown += [airflow.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/~/xcomEntries")]
    everything = everything_below(airflow.home) + repr(shown)

    assert "Placed: order" in everything
    assert "DEBUG" in everything or '"debug"' in everything
    for secret in (SECRET_KEY, SESSION_TOKEN):
        assert secret not in everything
    assert not re.search(r"Signature=[0-9a-f]{64}", everything)


def everything_below(folder):
    """Return all that Airflow wrote: logs, and the database with what is in its journal."""
    return "\n".join(path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file())
