"""A purchase that is paid and must never be sent again takes an order before one that may be sent again."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.support.crash import dying_at
from tests.support.ledgers import with_the_time_of_the_test
from tests.support.purchases import orders, purchase
from tests.support.shelf import Shelf

pytestmark = pytest.mark.usefixtures("passing_time")


@pytest.fixture(params=["database", "compares", "creates exclusively"])
def ledger(request, tmp_path, monkeypatch):
    if request.param == "database":
        with_the_time_of_the_test(monkeypatch)
        return DatabaseStore(Address("sqlite", str(tmp_path / "ledger.db")))
    return Shelf(replaces_conditionally=request.param == "compares")


@pytest.mark.parametrize("server", ["ignore", "honour"])
@pytest.mark.parametrize("again", [("paid", "lost"), ("lost", "paid")])
def test_a_purchase_that_is_paid_gets_its_order_before_one_that_can_be_sent_again(
    start_sandbox, ledger, server, passing_time, again
):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    with dying_at("sending"):
        purchase(sandbox, ledger, key="lost").place()
    code = "FailedOperation.PaySuccDeliverFailed"
    sandbox.faults.add({"fault": "error", "code": code, "when": "after", "action": "CreateInstance"})
    with dying_at("in doubt"):
        purchase(sandbox, ledger, key="paid").place()
    passing_time.sleep(340)
    if not ledger.replaces_conditionally:
        again = ("paid", "lost")  # Nothing is sent before the paid one has taken its order.

    found = {key: purchase(sandbox, ledger, key=key).place().order_id for key in again}

    assert sorted(found.values()) == sorted(orders(sandbox))
    assert len(orders(sandbox)) == 2
