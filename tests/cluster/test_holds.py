"""Points at which tasks of the cluster stand still, and the promise that a scenario makes for a store."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_tcbilling.purchasing.purchase import Purchase
from verification.cluster.__main__ import is_as_promised
from verification.cluster.holds import Hold, Holds
from verification.cluster.judge import Books
from verification.cluster.machine import NODE

POINT = "intent stored"
LONG = 60.0


@pytest.fixture
def holds(tmp_path, monkeypatch):
    monkeypatch.setenv(NODE, "worker-1")
    return Holds(tmp_path)


def standing(holds, trial, point=POINT):
    """Let a task come to a point, in a thread of its own."""
    thread = threading.Thread(target=holds.stand, args=(trial, point), daemon=True)
    thread.start()
    return thread


def test_a_task_stands_still_until_the_hold_is_lifted(holds):
    hold = Hold("first", POINT, "worker-1", each=1)
    holds.set(hold)
    task = standing(holds, "trial")
    deadline = time.monotonic() + LONG
    while not holds.standing(hold)["trial"]:
        assert time.monotonic() < deadline, "the task did not come to stand"
        time.sleep(0.01)

    assert task.is_alive()
    holds.lift(hold)
    task.join(LONG)
    assert not task.is_alive()


@pytest.mark.parametrize(
    "hold",
    [
        Hold("first", "order known", "worker-1"),
        Hold("first", POINT, "worker-2"),
        Hold("first", POINT, "worker-1", each=0),
    ],
    ids=["another point", "another machine", "no place left"],
)
def test_a_task_passes_a_hold_that_is_not_for_it(holds, hold):
    holds.set(hold)
    task = standing(holds, "trial")
    task.join(LONG)

    assert not task.is_alive()
    assert not holds.standing(hold)


def test_each_point_of_the_scenarios_is_a_checkpoint_of_a_purchase():
    assert {"begin", "intent stored", "sending", "order known"} <= set(Purchase.CHECKPOINTS)


@pytest.mark.parametrize(
    ("scenario", "store", "books", "expected"),
    [
        ("workers", "database", Books(16, 16, 0, 0, 0), True),
        ("workers", "database", Books(16, 15, 1, 0, 0), False),
        ("workers", "state", Books(16, 15, 1, 0, 0), True),
        ("workers", "state", Books(16, 17, 0, 1, 0), False),
        ("workers", "state", Books(16, 15, 0, 0, 0, unfinished=1), False),
        ("server", "state", Books(16, 15, 1, 0, 0), False),
    ],
)
def test_a_stop_is_promised_only_where_the_documentation_says_so(scenario, store, books, expected):
    assert is_as_promised({"scenario": scenario, "store": store, "struck": 3}, books) is expected


def test_a_misfortune_that_struck_no_task_proves_nothing():
    result = {"scenario": "server", "store": "database", "struck": 0}

    assert not is_as_promised(result, Books(16, 16, 0, 0, 0))
    assert is_as_promised({**result, "scenario": "many"}, Books(200, 200, 0, 0, 0))
