"""The command line explains a purchase, shows the next step, and never spends."""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys

import airflow
import pendulum
import pytest

from airflow_provider_tcbilling.cli import commands as cli
from airflow_provider_tcbilling.cli.explain import STEPS, Finding
from airflow_provider_tcbilling.purchasing.errors import PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.task.dag_run import task_run_key
from airflow_provider_tcbilling.task.failure_message import WORDS, TaskEnd
from airflow_provider_tcbilling.task.next_steps import COMMAND, command_line
from tests.conftest import PRICE, SECRET_KEY
from tests.support.shop import (
    KEY,
    LAG,
    NOT_LISTED,
    PLACED_BY,
    TASK,
    an_open_purchase_of_the_same,
    an_order_with_status,
    at_another_endpoint,
    delivered,
    forgotten,
    lost_and_no_book,
    nothing_arrived,
    paid_twice,
    refused_after_a_lost_try,
    said_to_be_paid,
    settled_by_mistake,
    two_orders_match,
)

HAS_TASK_STATE = importlib.util.find_spec("airflow.models.task_state_store") is not None

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]


def explained(run, *how):
    code, out, err = run("explain", *(how or ("--key", KEY)), "--json")
    assert code == 0, err
    return json.loads(out)


CASES = [
    ("intended", Finding.UNDER_WAY, lambda shop: shop.lost(after=1)),
    ("intended", Finding.ONE, lambda shop: shop.lost()),
    ("intended", Finding.UNCLEAR, an_open_purchase_of_the_same),
    ("intended", Finding.UNCLEAR, two_orders_match),
    ("intended", Finding.SEND, lambda shop: shop.lost(carried_out=False)),
    ("intended", Finding.NONE, nothing_arrived),
    ("charged", Finding.SAID_PAID, said_to_be_paid),
    ("refused", Finding.REFUSED, refused_after_a_lost_try),
    ("ordered", Finding.TWIN, paid_twice),
    ("ordered", Finding.TWIN_LATER, lambda shop: paid_twice(shop, is_known=False)),
    ("intended", Finding.UNREADABLE, lost_and_no_book),
    ("intended", Finding.ELSEWHERE, at_another_endpoint),
    ("ordered", Finding.OPEN, lambda shop: an_order_with_status(shop, 3)),
    ("ordered", Finding.DELIVERED, lambda shop: shop.ordered()),
    ("ordered", Finding.DEAD, lambda shop: an_order_with_status(shop, 5)),
    ("ordered", Finding.UNLISTED, forgotten),
    ("ordered", Finding.UNREADABLE, lambda shop: (shop.ordered(), shop.closed_book())),
    ("delivered", Finding.DELIVERED, delivered),
    ("declined", Finding.NONE, lambda shop: shop.declined()),
    ("declined", Finding.ONE, settled_by_mistake),
    ("declined", Finding.UNCLEAR, lambda shop: (two_orders_match(shop), shop.edit(state="declined"))),
    ("declined", Finding.UNREADABLE, lambda shop: (shop.declined(), shop.closed_book())),
]


@pytest.mark.parametrize(("state", "finding", "prepare"), CASES, ids=[f"{s}-{f.name}" for s, f, _ in CASES])
def test_each_state_and_finding_has_its_next_step(shop, run, state, finding, prepare):
    prepare(shop)

    explanation = explained(run)

    assert (explanation["state"], explanation["finding"]) == (state, finding.name.lower())
    assert explanation["next_step"].startswith(STEPS[state, finding].partition("{")[0])
    assert explanation["record"] == shop.ledger.read(KEY)
    code, out, _ = run("explain", "--key", KEY)
    assert (code, out.partition(",")[0]) == (0, f"Purchase {KEY}")
    assert f"Our record says: {state}" in out
    assert f"The order book says: {finding.value}" in out


@pytest.mark.parametrize(("state", "finding"), STEPS, ids=lambda value: str(getattr(value, "name", value)))
def test_every_next_step_knows_its_words(state, finding):
    facts = dict.fromkeys(("console", "settle", "restore", "replay", "decidable"), "x")

    assert "{" not in STEPS[state, finding].format_map(facts)


@pytest.mark.parametrize("carried_out", [True, False])
def test_the_next_step_of_explain_is_that_of_a_clear(shop, run, carried_out):
    shop.lost(carried_out=carried_out)

    explanation = explained(run)

    assert ("it adopts this order" if carried_out else "sends the same client token") in explanation["next_step"]
    assert not carried_out or shop.orders[0] in explanation["order_book"][1]
    assert shop.purchase().place().order_id == shop.orders[0]
    assert len(shop.orders) == 1


@pytest.mark.parametrize("prepare", [two_orders_match, nothing_arrived])
def test_where_a_clear_stops_again_the_commands_that_settle_are_told(shop, run, prepare):
    prepare(shop)

    next_step = explained(run)["next_step"]

    assert "the task stops again" in next_step
    with pytest.raises(PurchaseOutcomeUnknown):
        shop.purchase().place()
    (settles,) = [line for line in next_step.splitlines() if "--not-bought" in line and COMMAND in line]
    arguments = settles.split(COMMAND)[1]
    assert run("settle", "--key", KEY, "--not-bought")[0] == (1 if "--force" in arguments else 0)
    assert run(*shlex.split(arguments))[0] == 0
    assert shop.record().state.value == "declined"


def test_a_stopped_task_names_the_commands(shop, run):
    two_orders_match(shop)
    with pytest.raises(PurchaseOutcomeUnknown) as stopped:
        shop.purchase().place()
    named = shop.ledger.options(KEY)
    commands = {verb: command_line(verb, named, "tcbilling_default") for verb in ("explain", "settle")}
    end = TaskEnd("tcbilling_default", words=WORDS["CreateInstance"], in_doubt=True, **commands)

    commands_shown = [shlex.split(line.partition(COMMAND)[2]) for line in end.report(stopped.value) if COMMAND in line]

    assert [command[0] for command in commands_shown] == ["settle", "settle", "explain"]
    assert run(*commands_shown[2])[0] == 0
    assert run(*[shop.orders[0] if word == "NUMBER" else word for word in commands_shown[0]])[0] == 0
    assert shop.purchase().place().order_id == shop.orders[0]


def test_an_order_that_another_record_owns_does_not_count(shop, run):
    shop.ordered("another one")
    shop.lost(carried_out=False)

    assert explained(run)["finding"] == "send"


def test_the_purchase_that_may_own_the_order_is_named(shop, run):
    an_open_purchase_of_the_same(shop)

    assert "another one" in explained(run)["order_book"][1]


def test_a_purchase_is_found_by_its_key_its_token_its_order_and_its_task(shop, run):
    order = shop.ordered()
    big_deal = shop.sandbox.account.orders()[0].big_deal_id
    orders = [("--order-id", number) for number in (order.order_id, big_deal)]

    explanations = [explained(run, *way) for way in [("--key", KEY), ("--token", order.client_token), *orders, TASK]]

    assert {(one["key"], one["record"]["order_id"]) for one in explanations} == {(KEY, order.order_id)}


def test_a_task_without_a_purchase_key_is_found_by_its_derived_key(shop, run):
    key = task_run_key("shop", "manual__1", "buy", 2)
    shop.ordered(key, placed_by={})

    assert explained(run, *TASK, "--map-index", "2")["key"] == key
    assert run("explain", *TASK)[0] == 1


def test_several_purchases_of_one_task_must_be_told_apart(shop, run):
    shop.ordered("one")
    shop.ordered("two")

    code, _, err = run("explain", *TASK)

    assert code == 1
    assert "  one\n  two" in err


def test_without_a_record_the_derived_token_is_told(shop, run):
    shop.ordered("another one")

    code, out, _ = run("explain", "--key", KEY)

    assert code == 1
    assert "Our record says: no record" in out
    assert client_token_for(KEY) in out


def test_an_order_without_a_record_is_still_looked_at(shop, run):
    order = shop.somebody_elses()
    shop.ordered()

    explanation = explained(run, "--order-id", order.order_id)

    assert (explanation["state"], explanation["finding"]) == ("no record", "delivered")
    assert f"{PRICE / 100:.2f} USD" in explanation["order_book"][1]
    assert run("explain", "--order-id", NOT_LISTED)[0] == 1


WRONG = [
    ("explain",),
    ("explain", "--key", KEY, "--token", "t"),
    ("explain", "--key", KEY, *TASK),
    ("explain", *TASK[:4]),
    ("settle", "--key", KEY),
    ("settle", "--not-bought"),
    ("settle", "--key", KEY, "--not-bought", "--order-id", "1"),
    ("settle", "--key", KEY, "--restore", __file__),
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_what_makes_no_sense_is_wrong_usage(run, arguments):
    code, out, err = run(*arguments)

    assert (code, out) == (2, "")
    assert err.startswith(f"{arguments[0]}: ")


@pytest.mark.parametrize("text", ["{half of", '{"format": "another"}'])
def test_a_damaged_record_is_told_and_not_touched(shop, run, text):
    shop.ordered()
    shop.path().write_text(text)

    explanation = explained(run)

    assert explanation["state"] == "a record that cannot be used"
    assert f"{COMMAND} settle --restore FILE" in explanation["next_step"]
    assert run("list")[1].startswith("unusable")
    assert shop.path().name in run("explain", "--token", "some-token")[1]


def test_a_newer_record_asks_for_an_update_and_is_never_overwritten(shop, run, tmp_path):
    shop.ordered()
    saved = shop.saved(tmp_path)
    shop.edit(version=3)

    assert "Update airflow-provider-tcbilling" in explained(run)["next_step"]
    code, _, err = run("settle", "--restore", saved, "--force")
    assert (code, "Update" in err) == (1, True)


def test_a_record_under_the_name_of_another_is_not_believed(shop, run):
    shop.ordered("another one")
    shop.path("another one").rename(shop.path())

    assert "another one" in explained(run)["unusable"]


ALL = [("explain", "--key", KEY), ("explain", "--token", "t"), ("settle", "--key", KEY, "--not-bought"), ("list",)]


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_a_ledger_that_is_not_mounted_is_not_an_empty_one(shop, run, command):
    shop.folder.rmdir()

    code, out, err = run(*command)

    assert (code, out) == (1, "")
    assert "Is it mounted here?" in err


def test_without_a_ledger_a_key_finds_nothing_and_an_order_still_does(shop, connect, run):
    order = shop.ordered()
    connect(host=shop.sandbox.url)

    assert "names no ledger" in run("explain", "--key", KEY)[2]
    assert "names no ledger" in run("list")[2]
    assert explained(run, "--order-id", order.order_id)["finding"] == "delivered"


@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_a_connection_that_cannot_be_used_is_told_in_words(connect, run, command):
    assert "nowhere" in run(*command, "--conn-id", "nowhere")[2]
    connect(host="ftp://x")

    code, out, err = run(*command)

    assert (code, out) == (1, "")
    assert "https" in err


@pytest.mark.skipif(HAS_TASK_STATE, reason="this line of Airflow has a task state store")
def test_without_a_ledger_and_a_task_state_store_nothing_is_remembered(shop, connect, run):
    connect(host=shop.sandbox.url)

    assert "No record is kept" in run("explain", *TASK)[2]


def test_the_list_has_one_line_for_each_purchase(shop, run):
    shop.ordered("one")
    shop.lost("two")
    shop.declined("three")

    code, out, _ = run("list")

    assert (code, out.splitlines()[3].partition(" ")[0]) == (0, "3")
    rows = {line.split()[-1]: line.split()[0] for line in out.splitlines()[:3]}
    assert rows == {"one": "ordered", "two": "intended", "three": "declined"}
    (row,) = json.loads(run("list", "--state", "ordered", "--json")[1])
    assert (row["key"], row["order_id"]) == ("one", shop.orders[0])


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
    listed = started("airflow", "tcbilling", "list", "--json", env=env)
    assert [row["key"] for row in json.loads(listed.stdout)] == [KEY]
    assert started("airflow", "tcbilling", "settle", "--key", KEY, "--not-bought", env=env).returncode == 1


@pytest.mark.parametrize("command", cli.COMMANDS, ids=lambda command: command.name)
def test_both_parsers_have_the_same_options(command):
    (group,) = cli.get_cli_commands()
    (action,) = [action for action in group.subcommands if action.name == command.name]

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
def ask(tmp_path, shop):
    """Run commands on a metadata database that has the connection, and a record in the state of a mapped task."""
    if not HAS_TASK_STATE:
        pytest.skip(f"Airflow {airflow.__version__} has no task state store")
    env = environment(tmp_path / "airflow", shop, order_book_lag=LAG)
    assert started("airflow", "db", "migrate", env=env).returncode == 0

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


def test_a_record_that_a_worker_keeps_elsewhere_is_not_guessed(shop, ask):
    out, _, err = ask('{"__airflow_state_ref__": "s3://somewhere"}', ["explain", *TASK, "--map-index", "1"])

    assert out == ""
    assert "state_store_backend" in err
