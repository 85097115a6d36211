"""No record: it means that nothing was sent, unless the task state store may have lost one."""

from __future__ import annotations

import importlib.util
import math
from types import SimpleNamespace

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tcbilling.ledger.task_state import TaskStateStore
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, TaskState, context_of

HAS_TASK_STATE = importlib.util.find_spec("airflow.models.task_state_store") is not None
pytestmark = [
    pytest.mark.skipif(not HAS_TASK_STATE, reason="the task state store came with Airflow 3.3"),
    pytest.mark.usefixtures("passing_time"),
]
IS_3_3 = airflow.__version__.startswith("3.3.")

NOT_CLEARED = {"clear_number": 0, "max_tries": 2}
CLEARED = [
    pytest.param({**NOT_CLEARED, "clear_number": 1}, id="a clear of the run"),
    pytest.param({**NOT_CLEARED, "max_tries": 4}, id="a clear that leaves the run as it is"),
    pytest.param({**NOT_CLEARED, "max_tries": 1}, id="retries that were edited since"),
    pytest.param({**NOT_CLEARED, "clear_number": None}, id="a line that does not count clears"),
    pytest.param({**NOT_CLEARED, "max_tries": None}, id="a line that does not count tries"),
]


class Away(TaskState):
    """A task state store behind an API server that is away for some requests."""

    def __init__(self, reads=0, writes=0):
        super().__init__()
        self.reads_fail, self.writes_fail = reads, writes

    def get(self, key, default=None):
        if self.reads_fail:
            self.reads_fail -= 1
            raise ConnectionError("the API server is away")
        return super().get(key, default)

    def set(self, key, value, *, retention=None):
        if self.writes_fail:
            self.writes_fail -= 1
            raise ConnectionError("the API server is away")
        super().set(key, value, retention=retention)


def of_run(clear_number=0, max_tries=2, retries=2, **fields):
    """Return the context of a try, as a worker has it."""
    context = context_of(clear_number=clear_number, **{"state": TaskState(), **fields})
    context["ti"].max_tries = max_tries
    return {**context, "task": SimpleNamespace(retries=retries)}


def buy(context, **arguments):
    return CreateInstanceOperator(task_id="buy", **{**ORDER, "deferrable": False, **arguments}).execute(context)


def bought(sandbox):
    return [order.order_id for order in sandbox.account.orders()]


@pytest.mark.parametrize("cleared", CLEARED)
def test_a_clear_that_may_discard_the_state_means_that_a_record_may_be_lost(cleared, monkeypatch):
    assert TaskStateStore(of_run(**cleared)).complete_since == (-math.inf if IS_3_3 else math.inf)
    monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
    assert TaskStateStore(of_run(**cleared)).complete_since == math.inf


@pytest.mark.parametrize("deletes", ["True", "False"])
def test_no_retry_loses_a_record(deletes, monkeypatch):
    monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", deletes)

    assert TaskStateStore(of_run(**NOT_CLEARED, try_number=3)).complete_since == -math.inf


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("WORKERS__STATE_STORE_BACKEND", "mine.Backend"),
        ("STATE_STORE__BACKEND", "mine.Backend"),
        ("STATE_STORE__CLEAR_ON_SUCCESS", "perhaps"),
    ],
)
def test_a_state_that_is_kept_elsewhere_may_be_lost(option, value, monkeypatch):
    monkeypatch.setenv(f"AIRFLOW__{option}", value)

    assert TaskStateStore(of_run(**NOT_CLEARED)).complete_since == math.inf


def test_a_newer_airflow_than_the_ones_that_are_known_may_discard_the_state(monkeypatch):
    import airflow.sdk

    monkeypatch.setattr(airflow.sdk, "__version__", "1.4.0", raising=False)

    assert TaskStateStore(of_run(clear_number=1)).complete_since == math.inf
    assert TaskStateStore(of_run(**NOT_CLEARED)).complete_since == -math.inf


@pytest.mark.parametrize("away", [{"reads": 1}, {"writes": 1}], ids=["at the first read", "at the first write"])
def test_sixteen_identical_purchases_survive_an_api_server_that_dies_at_their_first_try(start_sandbox, connect, away):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url)
    states = [Away(**away) for _ in range(16)]
    for place, state in enumerate(states):
        with pytest.raises(StoreFailed, match="Nothing was bought"):
            buy(of_run(state=state, map_index=place))
    assert sandbox.requests == {}

    orders = [buy(of_run(state=state, map_index=place, try_number=2))["order_id"] for place, state in enumerate(states)]

    assert orders == bought(sandbox)
    assert len(set(orders)) == 16


def test_where_a_record_may_be_lost_a_retry_takes_no_order_that_may_be_of_another(start_sandbox, connect, monkeypatch):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    connect(host=sandbox.url)
    monkeypatch.setenv("AIRFLOW__STATE_STORE__CLEAR_ON_SUCCESS", "True")
    buy(of_run(map_index=0))

    with pytest.raises(AirflowFailException, match="an identical task of the same DAG"):
        buy(of_run(map_index=1, try_number=2, clear_number=1))

    assert len(bought(sandbox)) == 1
