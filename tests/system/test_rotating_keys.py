"""Real Airflow components whose keys expire while orders are under way: no failed task, and no key in sight."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import running
from tests.conftest import PRICE, SECRET_ID, SECRET_KEY
from tests.support.keys import BUYER
from tests.support.real_airflow import RealAirflow
from tests.system.test_real_airflow import everything_below

pytestmark = pytest.mark.system

DAGS = Path(__file__).parent / "rotating_dags"
LIFETIMES, LIFE = 6, 7200
ORDERS = 4
EXTERNAL_ID = "external-id-that-must-never-be-seen-1623"


@pytest.fixture(scope="module")
def sandbox():
    sandbox = Sandbox(
        Options(SECRET_ID, SECRET_KEY, delivery_seconds=LIFETIMES * (LIFE + 1.0), balance_cents=9 * PRICE, rate_limit=0)
    )
    with running(sandbox) as url:
        sandbox.url = url
        yield sandbox


@pytest.fixture(scope="module")
def airflow(sandbox, tmp_path_factory):
    """Four components that log everything, and a connection without a key, in a database beside a ledger."""
    settings = {
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        "AIRFLOW_CONN_LEDGER": json.dumps(
            {"conn_type": "sqlite", "host": str(tmp_path_factory.mktemp("ledger") / "ledger.db")}
        ),
    }
    role = {
        "credential_source": "cvm_role",
        "assume_role_arn": BUYER,
        "assume_role_external_id": EXTERNAL_ID,
        "account_id": str(sandbox.account.uin),
        "ledger_conn_id": "ledger",
    }
    with RealAirflow(tmp_path_factory.mktemp("airflow"), DAGS, settings) as airflow:
        connection = {"connection_id": "tcbilling_default", "conn_type": "tcbilling", "host": sandbox.url}
        airflow.api("POST", "/connections", {**connection, "extra": json.dumps(role)})
        yield airflow


def test_a_deferred_wait_outlives_six_keys_and_no_key_is_in_any_log_or_row(airflow, sandbox):
    airflow.wait_for_dag("rotating_keys")
    run_id = airflow.trigger("rotating_keys")
    airflow.wait("four deferred tasks", lambda: states(airflow, run_id).count("deferred") == ORDERS, 180)
    assumed = []
    for lifetime in range(LIFETIMES):
        # A query of the triggerer, with a key of this lifetime.
        before = queries(sandbox)
        airflow.wait(f"a query in lifetime {lifetime}", lambda before=before: queries(sandbox) > before, 120)
        assumed.append(carried_out(sandbox, "AssumeRole"))
        sandbox.account.clock.offset += LIFE + 1

    assert airflow.wait_for_run("rotating_keys", run_id, 240) == "success"
    assert [task["try_number"] for task in airflow.task_instances("rotating_keys", run_id)] == [1] * ORDERS
    assert len(sandbox.account.orders()) == sandbox.requests["CreateInstance"] == ORDERS
    # One process waits, so each of its lifetimes after the first takes one key, for all four orders.
    assert [later - earlier for earlier, later in pairwise(assumed)] == [1] * (LIFETIMES - 1)

    everything = everything_below(airflow.home)
    assert "Placed: order" in everything
    secrets = [SECRET_KEY, EXTERNAL_ID]
    for key in sandbox.keys.issued:
        secrets += [key.secret_key, key.token]
    assert len(secrets) > 2 * LIFETIMES
    assert [secret for secret in secrets if secret in everything] == []


def states(airflow, run_id):
    return [task["state"] for task in airflow.task_instances("rotating_keys", run_id)]


def queries(sandbox):
    return carried_out(sandbox, "DescribeDealsByCond")


def carried_out(sandbox, action):
    return sum((entry.action, entry.outcome) == (action, "ok") for entry in list(sandbox.journal))
