"""An order has two numbers, its own and that of its big deal. It is one purchase's all the same."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.support.crash import dying_at, dying_before_the_answer_is_read
from tests.support.ledgers import with_the_time_of_the_test
from tests.support.purchases import orders, purchase
from tests.support.shelf import Shelf

pytestmark = pytest.mark.usefixtures("passing_time")


@pytest.fixture(params=["database", "shelf that compares", "shelf"])
def ledger(request, tmp_path, monkeypatch):
    if request.param == "database":
        with_the_time_of_the_test(monkeypatch)
        return DatabaseStore(Address("sqlite", str(tmp_path / "ledger.db")))
    return Shelf(replaces_conditionally=request.param == "shelf that compares")


@pytest.mark.parametrize("later", ["two", "one"])
def test_the_order_of_a_repeat_that_is_answered_by_its_other_number_is_not_taken_twice(
    start_sandbox, ledger, later, passing_time
):
    sandbox = start_sandbox(tokens=Tokens.parse("honour"))
    with dying_at("sending"):
        purchase(sandbox, ledger, key="one").place()
    sandbox.faults.add({"fault": "big-deal-id", "times": None})
    with dying_before_the_answer_is_read():
        purchase(sandbox, ledger, key="two").place()
    passing_time.sleep(340)

    first = purchase(sandbox, ledger, key="one").place().order_id
    second = purchase(sandbox, ledger, key="two").place().order_id

    assert len(orders(sandbox)) == 2, (first, second, orders(sandbox))
