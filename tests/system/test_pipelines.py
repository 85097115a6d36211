"""The pipelines on a real Airflow: a user answers through its API, and what was approved is renewed once."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from airflow_provider_tcbilling.api.values import RenewFlag
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import running
from tests.conftest import PRICE, SECRET_ID, SECRET_KEY
from tests.support.approving_airflow import ApprovingAirflow

pytest.importorskip("airflow.sdk.execution_time.hitl", reason="approvals came with Airflow 3.1")
pytestmark = pytest.mark.system

EXAMPLES = Path(__file__).parents[2] / "example_dags"
RENEW, EXPAND, FLAGS = "tcbilling_renew_expiring", "tcbilling_expand_on_schedule", "tcbilling_renew_flag_hygiene"
DAY = 86_400
SETTINGS = {
    "AIRFLOW__CORE__PARALLELISM": "4",
    # Only what is asked for is run: otherwise each pipeline would begin with a run of its own.
    "AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE": "False",
}


@pytest.fixture(scope="module")
def sandbox():
    """An account with two firewalls that expire soon, and one that renews itself."""
    sandbox = Sandbox(Options(SECRET_ID, SECRET_KEY, delivery_looks=1, rate_limit=0))
    for name, days, flag in (("prod-1", 3, ""), ("prod-2", 9, ""), ("prod-3", 5, RenewFlag.AUTO), ("test-1", 90, "")):
        flags = {"renew_flag": flag} if flag else {}
        sandbox.account.add_instance(expires_at=time.time() + days * DAY, name=name, **flags)
    with running(sandbox) as url:
        sandbox.url = url
        yield sandbox


@pytest.fixture(scope="module")
def airflow(sandbox, tmp_path_factory):
    """Four components, the connection with a ledger, and the pipelines switched on."""
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.db"
    DatabaseStore(Address("sqlite", str(ledger))).upgrade()
    connection = {"conn_type": "tcbilling", "host": sandbox.url, "login": SECRET_ID, "password": SECRET_KEY}
    extra = '{"ledger_conn_id": "ledger", "order_book_lag": 1}'
    settings = {**SETTINGS, "AIRFLOW_CONN_LEDGER": json.dumps({"conn_type": "sqlite", "host": str(ledger)})}
    with ApprovingAirflow(tmp_path_factory.mktemp("airflow"), EXAMPLES, settings) as airflow:
        airflow.api("POST", "/connections", {"connection_id": "tcbilling_default", **connection, "extra": extra})
        for dag_id in (RENEW, EXPAND, FLAGS):
            airflow.wait_for_dag(dag_id)
            airflow.api("PATCH", f"/dags/{dag_id}", {"is_paused": False})
        yield airflow


def expiries(sandbox):
    return {one.name: one.expires_at for one in sandbox.account.instances()}


def answer(airflow, run_id, *, approves):
    """Answer a run's question as a user does."""
    question = airflow.question(RENEW, run_id, "approve")
    assert airflow.answer("alice", question["options"][0 if approves else 1], RENEW, run_id, "approve") == 200
    return question


def states_of(airflow, dag_id, run_id, task_id):
    return [task["state"] for task in airflow.task_instances(dag_id, run_id) if task["task_id"] == task_id]


def test_a_no_renews_nothing_and_a_yes_renews_once(airflow, sandbox):
    before, balance = expiries(sandbox), sandbox.account.balance_cents
    refused = airflow.trigger(RENEW)
    answer(airflow, refused, approves=False)
    assert airflow.wait_for_run(RENEW, refused) == "success"
    assert expiries(sandbox) == before
    assert "RenewInstance" not in sandbox.requests

    approved = airflow.trigger(RENEW)
    question = answer(airflow, approved, approves=True)

    assert airflow.wait_for_run(RENEW, approved) == "success"
    assert question["subject"] == "At most 300.00 USD in all: 2 purchases"
    ids = {one.instance_id: one.name for one in sandbox.account.instances()}
    assert {name for number, name in ids.items() if number in question["body"]} == {"prod-1", "prod-2"}
    assert states_of(airflow, RENEW, approved, "renew") == ["success"] * 2
    moved = {name for name, expiry in expiries(sandbox).items() if expiry != before[name]}
    assert moved == {"prod-1", "prod-2"}
    assert sandbox.account.balance_cents == balance - 2 * PRICE
    assert airflow.xcom(RENEW, approved, "summary")[-1] == "2 renewed, 200.00 paid in all"


def test_a_day_later_nobody_is_asked_and_nothing_is_renewed(airflow, sandbox):
    renewals = sandbox.requests["RenewInstance"]

    run_id = airflow.trigger(RENEW)

    assert airflow.wait_for_run(RENEW, run_id) == "success"
    assert airflow.task_state(RENEW, run_id, "approve") == "skipped"
    assert sandbox.requests["RenewInstance"] == renewals


def test_the_expansion_buys_the_difference_and_a_second_run_nothing(airflow, sandbox):
    there, balance = len(sandbox.account.instances()), sandbox.account.balance_cents
    conf = {"wanted": there + 2}

    first = airflow.trigger(EXPAND, conf)
    assert airflow.wait_for_run(EXPAND, first) == "success"
    second = airflow.trigger(EXPAND, conf)
    assert airflow.wait_for_run(EXPAND, second) == "success"

    assert len(sandbox.account.instances()) == there + 2
    assert sandbox.requests["CreateInstance"] == 2
    assert sandbox.account.balance_cents == balance - 2 * PRICE
    assert len(airflow.xcom(EXPAND, first, "hand_over")) == 2
    assert states_of(airflow, EXPAND, second, "buy") == ["skipped"]


def test_flags_are_only_reported_until_somebody_says_fix(airflow, sandbox):
    report = airflow.trigger(FLAGS)
    assert airflow.wait_for_run(FLAGS, report) == "success"
    assert "SetRenewal" not in sandbox.requests

    fixed = airflow.trigger(FLAGS, {"fix": True})

    assert airflow.wait_for_run(FLAGS, fixed) == "success"
    flags = {one.name: one.renew_flag for one in sandbox.account.instances()}
    assert {flags[name] for name in ("prod-1", "prod-2", "prod-3")} == {RenewFlag.AUTO}
    assert sandbox.requests["SetRenewal"] == 2
