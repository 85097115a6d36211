"""A purchase stands still with its answer, while identical ones share the orders among them."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.support.crash import at, dying_at, dying_before_the_answer_is_read
from tests.support.ledgers import with_the_time_of_the_test
from tests.support.purchases import orders, purchase
from tests.support.shelf import Shelf

pytestmark = pytest.mark.usefixtures("passing_time")


@pytest.fixture(params=["database", "compares"])
def ledger(request, tmp_path, monkeypatch):
    if request.param == "database":
        with_the_time_of_the_test(monkeypatch)
        return DatabaseStore(Address("sqlite", str(tmp_path / "ledger.db")))
    return Shelf(replaces_conditionally=request.param == "compares")


@pytest.mark.parametrize("server", ["ignore"])
@pytest.mark.parametrize("point", ["order known", "order stored"])
@pytest.mark.parametrize("dead_first", [True, False])
@pytest.mark.parametrize("big", [False, True])
def test_an_order_that_an_identical_purchase_has_is_not_called_a_second_one(
    start_sandbox, ledger, server, passing_time, caplog, point, dead_first, big
):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    if big:
        sandbox.faults.add({"fault": "big-deal-id", "times": None})
    results = {}

    def die(key, carried_out):
        with dying_before_the_answer_is_read() if carried_out else dying_at("sending"):
            purchase(sandbox, ledger, key=key).place()

    def meanwhile():
        if not dead_first:
            die("two", False)
        die("three", True)
        passing_time.sleep(340)
        for key in ("three", "two"):
            results[key] = purchase(sandbox, ledger, key=key).place().order_id

    if dead_first:
        die("two", False)
    results["one"] = purchase(sandbox, ledger, key="one", checkpoint=at(point, meanwhile)).place().order_id
    for key in ("one", "two", "three"):
        assert purchase(sandbox, ledger, key=key).place().order_id == results[key]

    canonical = {n: o.order_id for o in sandbox.account.orders() for n in (o.order_id, o.big_deal_id)}
    assert sorted(canonical[one] for one in results.values()) == sorted(orders(sandbox))
    assert "SECOND" not in caplog.text
