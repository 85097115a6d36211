"""The table of errors says how a task ends with each of them."""

from __future__ import annotations

import inspect

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSkipException

from airflow_provider_tcbilling.api import errors
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_errors import LimitReached
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch
from tests.conftest import ORDER, context_of
from tests.docs.blocks import tables_of
from tests.support.facts import ERRORS

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("connection")]

((_, *ROWS),) = [rows for _, rows in tables_of("docs/reference/errors.md") if rows[0][:2] == ["Error", "The task"]]
SKIPS, FAILS, RETRIES = "is skipped", "fails for good", "is retried"
ASKS = "asks a user"
"""The end of a task that test_approval.py shows."""


def made(kind):
    """Return an error of this class, of words that mean nothing."""
    if issubclass(kind, LimitReached):
        return kind(Limit("fleet", Window.MONTH, 1, "USD"), 1, 2, 3)
    has_parts = any("__init__" in vars(one) for one in inspect.getmro(kind) if one.__module__.endswith("errors"))
    parts = list(inspect.signature(kind.__init__).parameters.values())[1:] if has_parts else []
    needed = [part for part in parts if part.default is part.empty]
    return kind(*(["y"] if "Sequence" in str(part.annotation) else "x" for part in needed)) if parts else kind("x")


@pytest.mark.parametrize(("name", "ends"), [(row[0].strip("`"), row[1]) for row in ROWS if not row[1].startswith(ASKS)])
def test_a_task_ends_as_the_table_says(sandbox, monkeypatch, name, ends):
    sandbox.faults.add({"fault": "null-instances"})
    error = made(ERRORS[name])

    def fails(self):
        raise error

    where = (DeliveryWatch, "step") if name.startswith("Delivery") else (Purchase, "place")
    monkeypatch.setattr(*where, fails)
    wanted = {SKIPS: AirflowSkipException, FAILS: AirflowFailException, RETRIES: errors.TcBillingError}

    with pytest.raises(wanted[next(word for word in wanted if ends.startswith(word))]):
        CreateInstanceOperator(task_id="buy", **ORDER).execute(context_of())


def test_the_table_names_every_error():
    assert {row[0].strip("`") for row in ROWS} == set(ERRORS) - {"TcBillingError"}
