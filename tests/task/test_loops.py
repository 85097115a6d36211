"""Loops of Airflow 3.4: each iteration is a purchase of its own, and no iteration takes the order of another."""

from __future__ import annotations

import importlib.util
import itertools
import json
import random
import subprocess
import sys
from types import SimpleNamespace
from uuid import uuid4

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tcbilling.cli.lookup import Task
from airflow_provider_tcbilling.ledger.task_state import TaskStateStore, loop_index_of
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.task.dag_run import placed_by, run_key, task_run_key
from tests.conftest import ORDER, PRICE, SECRET_KEY, TaskState, context_of
from tests.dags.conftest import airflow_home, environment_of  # noqa: F401 - a fixture
from tests.support.shop import PLACED_BY, TASK

HAS_TASK_STATE = importlib.util.find_spec("airflow.models.task_state_store") is not None
HAS_LOOPS = importlib.util.find_spec("airflow.models.dynamic_region") is not None
needs_task_state = pytest.mark.skipif(not HAS_TASK_STATE, reason="the task state store came with Airflow 3.3")
needs_loops = pytest.mark.skipif(not HAS_LOOPS, reason=f"Airflow {airflow.__version__} has no loops")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, passing_time):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)


def group(*kinds):
    """Return groups around a task, from the inside out, as Airflow 3.4 has them."""
    parent = SimpleNamespace(parent_group=None)
    for kind in reversed(kinds):
        attributes = {"max_iterations": 3} if kind == "LoopTaskGroup" else {}
        parent = type(kind, (SimpleNamespace,), {})(parent_group=parent, **attributes)
    return parent


def iteration(index, *, map_index=-1, clear_number=0, groups=("LoopTaskGroup",), region_index=None, **more):
    """Return the context of an iteration of a loop, as a worker of Airflow 3.4 has it."""
    context = context_of(map_index=map_index, clear_number=clear_number, **more)
    place = map_index if map_index >= 0 else index
    context["ti"].region_index = place if region_index is None else region_index
    context["ti"].region_id = uuid4()
    return {**context, "loop": SimpleNamespace(index=index), "task": SimpleNamespace(task_group=group(*groups))}


def operator(**arguments):
    return CreateInstanceOperator(task_id="buy", **{**ORDER, "deferrable": False, **arguments})


def bought(sandbox):
    return [order.order_id for order in sandbox.account.orders()]


def test_keys_outside_of_loops_are_what_they_always_were():
    draw = random.Random(34)
    for _ in range(200):
        names = ["".join(draw.choices('ab"\\é/ ,[', k=draw.randint(1, 8))) for _ in range(3)]
        map_index = draw.choice([-1, 0, draw.randint(1, 1000)])
        context = context_of(run_id=names[1], task_id=names[2], map_index=map_index)
        key = json.dumps(["shop", names[1], names[2], map_index])

        assert run_key(context) == task_run_key("shop", names[1], names[2], map_index) == key
        context["ti"].region_index, context["ti"].region_id = map_index, uuid4()
        assert run_key(context) == key
    assert client_token_for(task_run_key("shop", "manual__1", "buy", -1)) == "07db87a9-def2-55f3-a115-2dba6f206fd6"


def test_every_iteration_and_every_place_in_it_has_a_key_of_its_own():
    places = [(map_index, index) for map_index in (-1, 0, 1, 2) for index in (None, 0, 1, 2)]
    keys = {task_run_key("shop", "manual__1", "buy", *place) for place in places}

    assert len(keys) == len(places)
    assert run_key(iteration(2, map_index=1)) == task_run_key("shop", "manual__1", "buy", 1, 2)
    assert placed_by(iteration(2))["loop_index"] == 2
    assert "loop_index" not in placed_by(context_of())


@pytest.mark.parametrize("tokens", ["honour", "ignore"])
@pytest.mark.parametrize("remembers", ["ledger", pytest.param("state", marks=needs_task_state)])
def test_each_iteration_buys_once_however_often_it_is_tried(start_sandbox, connect, tmp_path, tokens, remembers):
    sandbox = start_sandbox(tokens=Tokens.parse(tokens))
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()} if remembers == "ledger" else {})
    states = [TaskState() if remembers == "state" else None for _ in range(3)]

    rounds = {
        try_number: [
            operator().execute(iteration(index, try_number=try_number, state=state))["order_id"]
            for index, state in enumerate(states)
        ]
        for try_number in (1, 2, 3)
    }

    assert rounds[1] == rounds[2] == rounds[3] == bought(sandbox)
    assert len(set(bought(sandbox))) == sandbox.requests["CreateInstance"] == 3


def test_a_mapped_task_in_a_loop_buys_once_for_each_place_of_each_iteration(start_sandbox, connect, tmp_path):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})
    groups = ("MappedTaskGroup", "TaskGroup", "LoopTaskGroup", "TaskGroup")

    for try_number, index, map_index in itertools.product((1, 2), range(2), range(2)):
        operator().execute(iteration(index, map_index=map_index, try_number=try_number, groups=groups))

    assert len(bought(sandbox)) == sandbox.requests["CreateInstance"] == 4


def test_one_purchase_key_for_all_iterations_is_one_purchase(start_sandbox, connect, tmp_path):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})

    orders = [operator(purchase_key="edge").execute(iteration(index))["order_id"] for index in range(3)]

    assert orders == bought(sandbox) * 3


@pytest.mark.parametrize(
    "context",
    [
        pytest.param(lambda: {**iteration(1), "loop": None}, id="the iteration is not told"),
        pytest.param(lambda: {**iteration(1, groups=()), "loop": None}, id="a place in a region of an unknown kind"),
        pytest.param(
            lambda: {**iteration(1, map_index=1, region_index=2, groups=()), "loop": None}, id="mapped, alike"
        ),
        pytest.param(lambda: iteration(None), id="no index"),
        pytest.param(lambda: iteration("1"), id="an index in another notation"),
        pytest.param(lambda: iteration(True), id="an index that is a truth value"),
        pytest.param(lambda: iteration(-1), id="an index below zero"),
        pytest.param(lambda: iteration(1, region_index=2), id="two indexes that contradict each other"),
        pytest.param(lambda: iteration(1, groups=("LoopTaskGroup", "TaskGroup", "LoopTaskGroup")), id="nested loops"),
        pytest.param(lambda: iteration(1, groups=("LoopTaskGroup", "MappedTaskGroup")), id="a loop in a mapped group"),
    ],
)
@pytest.mark.parametrize("arguments", [{}, {"purchase_key": "edge"}, {"on_refused_run": "skip"}])
def test_an_iteration_that_cannot_be_told_from_another_is_refused_and_nothing_is_sent(
    connection, sandbox, context, arguments
):
    with pytest.raises(AirflowFailException, match="could not be told apart"):
        operator(**arguments).execute(context())

    assert sandbox.requests == {}


def test_a_later_iteration_that_a_clear_made_anew_looks_before_it_sends(start_sandbox, connect):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url)
    operator().execute(iteration(0))
    operator().execute(iteration(1))

    for again in (iteration(1, clear_number=1), iteration(1, clear_number=None), iteration(1, try_number=2)):
        with pytest.raises(AirflowFailException, match="an identical task of the same DAG"):
            operator().execute(again)

    assert sandbox.requests["CreateInstance"] == len(bought(sandbox)) == 2


def test_an_iteration_after_a_clear_that_finds_no_order_buys(start_sandbox, connect):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url)

    operator().execute(iteration(0, clear_number=1))

    assert len(bought(sandbox)) == 1


def test_without_a_ledger_an_iteration_does_not_take_what_may_be_of_another_one(start_sandbox, connect):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url)
    operator().execute(iteration(0))
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "CreateInstance"})

    with pytest.raises(AirflowFailException, match="an identical task of the same DAG"):
        operator().execute(iteration(1))

    assert sandbox.account.balance_cents == sandbox.options.balance_cents - PRICE


def test_each_iteration_renews_for_itself_unless_the_expiry_names_the_renewal():
    one = {"product_code": "p", "sub_product_code": "s", "region_code": "r", "instance_id": "ins-1"}
    fields = {"instance_id": "ins-1"}
    by_run = RenewInstanceOperator(task_id="renew", **one)
    by_expiry = RenewInstanceOperator(task_id="renew", **one, expire_time="2027-01-31 08:00:00")
    contexts = [iteration(index) for index in range(3)]

    assert len({by_run.own_key(context, fields) for context in contexts}) == 3
    assert len({by_expiry.own_key(context, fields) for context in contexts}) == 1
    assert [kind.has_twins(contexts[0]) for kind in (by_run, by_expiry)] == [True, False]
    assert not by_run.has_twins(context_of())


def test_the_options_that_name_a_task_name_its_iteration():
    store = TaskStateStore(iteration(2, map_index=1, state=TaskState()))

    assert store.options("-").endswith("--task-id buy --map-index 1 --loop-index 2")
    assert "map index 1, loop index 2" in store.location("-")
    assert loop_index_of(context_of()) is None


def test_an_iteration_is_explained_by_its_place(shop, run):
    keys = [Task("shop", "manual__1", "buy", loop_index=index).key for index in range(2)]
    for index, key in enumerate(keys):
        shop.ordered(key, placed_by={**PLACED_BY, "loop_index": index})
    shop.ordered("one that was given", placed_by={**PLACED_BY, "map_index": 3, "loop_index": 1})

    code, out, _ = run("explain", *TASK, "--loop-index", "1", "--json")
    explanation = json.loads(out)
    given = json.loads(run("explain", *TASK, "--map-index", "3", "--loop-index", "1", "--json")[1])

    assert (code, explanation["key"], explanation["record"]["order_id"]) == (0, keys[1], shop.orders[1])
    assert given["key"] == "one that was given"


@pytest.mark.parametrize("place", [(), ("--map-index", "7"), ("--loop-index", "2")])
def test_a_purchase_that_is_not_found_is_not_said_to_be_bought_by_a_clear(shop, run, place):
    for index in (0, 1):
        shop.ordered(f"edge {index}", placed_by={**PLACED_BY, "map_index": index})

    code, out, _ = run("explain", *TASK, *place)

    assert code == 1
    assert "Our record says: no record" in out
    assert "a clear BUYS" not in out
    assert "do not clear" in " ".join(out.split())
    assert "of this task with --map-index 0, with --map-index 1." in out


DAG_FILE = f"""
from datetime import datetime
from airflow.sdk import DAG, task_group
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator

one, order = {ORDER!r}, {ORDER!r}
with DAG("shop", schedule=None, start_date=datetime(2026, 1, 1)):

    @task_group
    def each():
        CreateInstanceOperator(task_id="buy", **one)

    parameter = order.pop("parameter")
    both = CreateInstanceOperator.partial(task_id="both", **order).expand(parameter=[parameter] * 2)
    each.loop(max_iterations=3) >> both
"""

RUN_AND_ASK = """
import json
import sys
from datetime import datetime, timezone

from airflow.dag_processing.dagbag import DagBag

from airflow_provider_tcbilling.cli import commands as cli

bag = DagBag(sys.argv[1])
assert bag.import_errors == {}, bag.import_errors
moment = datetime(2026, 11, 1, tzinfo=timezone.utc)
for _ in range(2):
    run = bag.dags["shop"].test(run_after=moment, logical_date=moment)
    print("ended", run.run_id, getattr(run.state, "value", run.state))
for task_id, *place in json.loads(sys.argv[2]):
    print("asked", flush=True)
    cli.main(["explain", "--dag-id", "shop", "--run-id", run.run_id, "--task-id", task_id, *place, "--json"])
    print("told", flush=True)
"""


@needs_loops
def test_a_real_loop_buys_once_in_each_iteration_and_its_orders_are_found(airflow_home, sandbox, tmp_path):  # noqa: F811
    (tmp_path / "loop.py").write_text(DAG_FILE)
    places = [["each.buy", "--loop-index", str(index)] for index in range(3)]
    places += [["both", "--map-index", str(index)] for index in range(2)]
    options = [*places, ["each.buy"], ["each.buy", "--loop-index", "3"], ["both"]]

    done = subprocess.run(
        [sys.executable, "-c", RUN_AND_ASK, str(tmp_path / "loop.py"), json.dumps(options)],
        env=environment_of(airflow_home, sandbox.url, tmp_path),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert SECRET_KEY not in done.stdout + done.stderr
    runs = [line.split() for line in done.stdout.splitlines() if line.startswith("ended ")]
    assert [(run_id, state) for _, run_id, state in runs] == [(runs[0][1], "success")] * 2
    assert len(bought(sandbox)) == 5
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - 5 * PRICE
    answers = [part.partition("told\n")[0] for part in done.stdout.split("asked\n")[1:]]
    found = [json.loads(answer) for answer in answers[: len(places)]]
    order_ids = [explanation["record"]["order_id"] for explanation in found]
    assert [order_ids[:3], sorted(order_ids[3:])] == [bought(sandbox)[:3], bought(sandbox)[3:]]
    assert {explanation["finding"] for explanation in found} == {"delivered"}
    assert answers[len(places) :] == ["", "", ""]
    assert done.stderr.count("so nothing is known of its purchase") == 3
