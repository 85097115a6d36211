"""The replay window: the next try after a lost machine begins within it, as Airflow itself counts."""

from __future__ import annotations

import logging
import random
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import airflow
import pytest
from airflow.models.taskinstance import TaskInstance
from airflow.providers.common.compat.sdk import AirflowFailException, conf

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.purchasing.decision import REPLAY_WINDOW, Rules
from airflow_provider_tcbilling.task.replay_window import HEARTBEATS, LONGEST_DELAY, QUEUEING, retry_seconds
from tests.conftest import ORDER, PRICE, context_of
from tests.support.crash import dying_at

DAY = timedelta(days=1)
FACTORS = [] if airflow.__version__.startswith(("2.", "3.0", "3.1")) else [1.5, 3]
OPTION, INTERVAL = next(names for names in HEARTBEATS if conf.has_option("scheduler", names[0]))


def operator(**arguments):
    return CreateInstanceOperator(task_id="buy", **{**ORDER, "deferrable": False, **arguments})


def airflows_delay(task, try_number):
    """Return after how many seconds Airflow runs the next try."""
    end = datetime(2026, 11, 30, tzinfo=timezone.utc)
    ti = SimpleNamespace(
        task=task,
        try_number=try_number,
        dag_id="shop",
        task_id="buy",
        logical_date=end,
        execution_date=end,
        end_date=end,
        retry_delay_override=None,
        state="failed",
        log=logging.getLogger("tests"),
    )
    return (TaskInstance.next_retry_datetime(ti) - end).total_seconds()


def heartbeat(monkeypatch, timeout, interval="10"):
    for option, value in ((OPTION, timeout), (INTERVAL, interval)):
        monkeypatch.setenv(f"AIRFLOW__SCHEDULER__{option.upper()}", value)


def test_no_retry_begins_later_than_counted_unless_a_day_later(monkeypatch):
    heartbeat(monkeypatch, "300")
    draw = random.Random(18)
    for _ in range(300):
        task = operator(
            retry_delay=timedelta(seconds=draw.choice([0, 0.2, 1, 60, 300, 7200])),
            retry_exponential_backoff=draw.choice([False, True, *FACTORS]),
            max_retry_delay=draw.choice([None, timedelta(seconds=90), timedelta(hours=2), 3 * DAY]),
        )
        try_number = draw.choice([1, 2, 3, 7, 40])

        counted = retry_seconds(task, try_number) - 310 - QUEUEING

        assert min(airflows_delay(task, try_number), LONGEST_DELAY) <= counted <= LONGEST_DELAY
        assert retry_seconds(task, 5000) <= 310 + QUEUEING + LONGEST_DELAY


@pytest.mark.parametrize(
    ("timeout", "interval", "noticed"),
    [("300", "10", 310), ("86400", "60", 86460), ("soon", "10", 600), ("-300", "10", 600), ("inf", "10", 600)],
)
def test_the_window_follows_the_heartbeat_timeout_or_takes_ten_minutes(monkeypatch, timeout, interval, noticed):
    heartbeat(monkeypatch, timeout, interval)

    assert retry_seconds(operator(retry_delay=timedelta(seconds=7)), 1) == noticed + 7 + QUEUEING


def test_the_window_outlasts_the_retry_and_a_try_is_no_more_patient_for_it():
    rules = Rules(retry_seconds=5000.0)

    assert rules.replay_until(0.0, 140.0) > 5000.0 + rules.lag
    assert rules.patience == REPLAY_WINDOW
    assert Rules(replay_window=60.0, retry_seconds=5000.0).replay_until(0.0, 140.0) == 60.0


@pytest.mark.parametrize(("after", "bought"), [(397, True), (310 + 3600, True), (310 + 3600 + QUEUEING + 500, False)])
def test_a_retry_after_a_lost_machine_buys_at_airflow_s_default_heartbeat_timeout(
    passing_time, sandbox, connect, tmp_path, monkeypatch, after, bought
):
    heartbeat(monkeypatch, "300")
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})
    task = operator(retries=1, retry_delay=timedelta(hours=1))
    with dying_at("intent stored"):
        task.execute(context_of())
    passing_time.sleep(after)

    if bought:
        task.execute(context_of(try_number=2))
    else:
        with pytest.raises(AirflowFailException, match="may be sent again is over"):
            task.execute(context_of(try_number=2))

    assert sandbox.options.balance_cents - sandbox.account.balance_cents == bought * PRICE
