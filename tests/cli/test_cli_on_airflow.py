"""The commands run in processes of their own, below Airflow's, and on its metadata database."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import airflow
import pendulum
import pytest

from airflow_provider_tcbilling.cli import commands as cli
from tests.conftest import SECRET_KEY
from tests.support.cli_output import EACH_COMMAND, HAS_TASK_STATE
from tests.support.shop import (
    KEY,
    LAG,
    PLACED_BY,
    TASK,
)

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]


def environment(home, shop, **extra):
    connection = {"conn_type": "tcbilling", "login": "AKIDtestsonly", "password": SECRET_KEY, "host": shop.sandbox.url}
    return {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
        "AIRFLOW_CONN_TCBILLING_DEFAULT": json.dumps({**connection, "extra": extra}),
    }


def started(module, *arguments, env):
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def test_python_dash_m_answers_with_nothing_else_on_stdout(shop, tmp_path):
    shop.ordered()
    env = environment(tmp_path, shop, ledger_uri=shop.folder.as_uri(), unknown="field")

    done = started("airflow_provider_tcbilling", "explain", "--key", KEY, "--json", env=env)

    assert json.loads(done.stdout)["finding"] == "delivered"
    assert "'unknown' is not known" in done.stderr
    assert shop.sandbox.requests["CreateInstance"] == 1


def test_airflow_knows_the_commands(shop, tmp_path):
    from airflow.providers_manager import ProvidersManager

    if not hasattr(ProvidersManager, "cli_command_functions"):
        pytest.skip(f"Airflow {airflow.__version__} takes no commands from providers")
    env = environment(tmp_path, shop, ledger_uri=shop.folder.as_uri())

    assert cli.get_cli_commands in ProvidersManager().cli_command_functions
    shop.ordered()
    listed = started("airflow", "tcbilling", "ledger", "list", "--json", env=env)
    assert [row["key"] for row in json.loads(listed.stdout)] == [KEY]
    assert started("airflow", "tcbilling", "settle", "--key", KEY, "--not-bought", env=env).returncode == 1


@pytest.mark.parametrize(("name", "command"), EACH_COMMAND, ids=[name for name, _ in EACH_COMMAND])
def test_both_parsers_have_the_same_options(name, command):
    (action,) = cli.get_cli_commands()
    for part in name.split():
        (action,) = [member for member in action.subcommands if member.name == part]

    assert [flag for arg in action.args for flag in arg.flags] == [option.flag for option in command.options]


def test_an_airflow_command_loads_next_to_nothing():
    code = (
        "import sys, airflow_provider_tcbilling.cli.commands; print(sorted({'airflow', 'requests'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


STORE_AND_ASK = """
import json, os, sys
from datetime import datetime, timezone

from airflow.models.connection import Connection
from airflow.models.dagrun import DagRun
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.utils.session import create_session
from airflow.utils.types import DagRunType

from airflow_provider_tcbilling.cli import commands as cli

place = "region_index" if hasattr(TaskStateStoreModel, "region_index") else "map_index"
task = {"dag_id": "shop", "run_id": "manual__1", "task_id": "buy", place: 1}
now = datetime.now(timezone.utc)
connection = Connection.from_json(os.environ.pop("AIRFLOW_CONN_TCBILLING_DEFAULT"), conn_id="tcbilling_default")
with create_session() as session:
    run = DagRun(dag_id="shop", run_id="manual__1", run_type=DagRunType.MANUAL, run_after=now, start_date=now)
    session.add_all([run, connection])
    session.flush()
    value = sys.stdin.read()
    session.add(TaskStateStoreModel(dag_run_id=run.id, key="tcbilling_purchase", value=value, **task))
for arguments in json.loads(sys.argv[1]):
    print("code", cli.main(arguments))
"""


@pytest.fixture
def ask(airflow_home, shop):
    """Run commands on a metadata database that has the connection, and a record in the state of a mapped task."""
    if not HAS_TASK_STATE:
        pytest.skip(f"Airflow {airflow.__version__} has no task state store")
    env = environment(airflow_home, shop, order_book_lag=LAG)

    def ask(record, *commands):
        script = [sys.executable, "-c", STORE_AND_ASK, json.dumps(commands)]
        done = subprocess.run(script, env=env, input=record, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert SECRET_KEY not in done.stdout + done.stderr
        return [*done.stdout.split("code "), done.stderr]

    return ask


def test_a_run_that_airflow_does_not_know_is_named_so(shop, ask):
    task = [*TASK[:3], "manual__misspelt", *TASK[4:]]

    _, code, err = ask("{}", ["explain", *task])

    assert code.strip() == "1"
    assert "No such run: Airflow knows no run manual__misspelt of DAG shop" in err


def test_a_record_in_the_task_state_store_is_explained_and_settled(shop, ask, tmp_path):
    shop.clock.slept = 0.0  # The other process has the real time.
    shop.ordered(placed_by={**PLACED_BY, "map_index": 1})
    saved = shop.saved(tmp_path)
    earlier = pendulum.now("UTC").subtract(minutes=1).to_iso8601_string()
    times = {"intended_at": earlier, "sending_until": earlier, "owner": ""}
    record = {**shop.ledger.read(KEY), "state": "intended", "order_id": None, **times}
    task = [*TASK, "--map-index", "1"]

    first, second, third, fourth, _, restored, code, err = ask(
        json.dumps(record),
        ["explain", *task],
        ["explain", *TASK],
        ["settle", *task, "--order-id", shop.orders[0]],
        ["explain", *task, "--json"],
        ["settle", *task, "--not-bought"],
        ["settle", "--restore", saved],
    )

    assert "Our record says: intended" in first
    assert "an identical task of the same DAG" in first
    assert f"settle {shlex.join(task)} --conn-id tcbilling_default --not-bought" in first
    assert "Our record says: no record" in second
    assert f"It is:  ordered, order {shop.orders[0]}" in third
    assert json.loads(fourth[2:])["record"]["order_id"] == shop.orders[0]
    assert "so it was bought" in err
    assert "It is:  ordered" in restored
    assert code == "0\n"
    assert shop.sandbox.requests["CreateInstance"] == 1


def test_a_stop_without_a_record_in_the_task_state_store_is_released(shop, ask):
    shop.clock.slept = 0.0  # The other process has the real time.
    shop.ordered("of another task")

    first, second, third, fourth, code, err = ask(
        "{}",
        ["settle", *TASK, "--not-bought"],
        ["settle", *TASK, "--not-bought", "--force"],
        ["explain", *TASK],
        ["settle", *TASK, "--order-id", shop.orders[0], "--force"],
    )

    assert first == ""
    assert "one of these orders of the last day may be this purchase" in err
    assert second.startswith("1\nIt was: no record\nIt is:  declined")
    assert "Nothing was bought, as a user said. Clear the task: it BUYS." in third
    assert f"It is:  ordered, order {shop.orders[0]}" in fourth
    assert code == "0\n"


def test_a_record_that_a_worker_keeps_elsewhere_is_not_guessed(shop, ask):
    out, _, err = ask('{"__airflow_state_ref__": "s3://somewhere"}', ["explain", *TASK, "--map-index", "1"])

    assert out == ""
    assert "state_store_backend" in err
