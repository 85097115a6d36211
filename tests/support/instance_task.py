"""What the tests of the operator that buys share."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from tests.conftest import ORDER

waits = pytest.mark.usefixtures("waiting_only_reads")


def operator(**arguments):
    return CreateInstanceOperator(task_id="buy", **{**ORDER, "deferrable": False, **arguments})


def spent(sandbox):
    return sandbox.options.balance_cents - sandbox.account.balance_cents
