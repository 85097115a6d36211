"""``settle`` where there is no record, or none that can be used: the decision makes one, and a clear follows it."""

from __future__ import annotations

import math
import time
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest

from airflow_provider_tcbilling.cli import lookup
from airflow_provider_tcbilling.purchasing.errors import PurchaseChanged
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from tests.conftest import ORDER, client_to
from tests.support.shop import KEY, NOT_LISTED, TASK, delivered

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]

OF_TASK = '["shop", "manual__1", "buy", -1]'


def settle(run, *decision, name=("--key", KEY)):
    return run("settle", *name, *decision)


def nothing_is_left(shop):
    """Forget the record of a purchase that was made, as a store does that loses it."""
    shop.ordered()
    shop.path().unlink()


def test_an_order_is_named_and_a_clear_returns_it_and_completes_the_record(shop, run):
    nothing_is_left(shop)

    code, out, _ = settle(run, "--order-id", shop.orders[0])

    assert code == 0
    assert out.startswith("It was: no record\nIt is:  ordered, order ")
    record = shop.record()
    assert record.owner.startswith("a user, ")
    assert record.reason == "A user said that this order is the purchase. There was no record."
    explained = run("explain", "--key", KEY)[1]
    assert "it returns this order, and buys nothing" in " ".join(explained.split())
    purchase = shop.purchase()
    order = purchase.place()
    assert order.order_id == shop.orders[0]
    purchase.note_delivery(order)
    assert shop.record().payload["ProductCode"] == ORDER["product_code"]
    assert len(shop.orders) == 1


def test_nothing_was_bought_and_a_clear_buys_with_the_same_token(shop, run):
    code, out, _ = settle(run, "--not-bought")

    assert (code, "BUYS" in out) == (0, True)
    assert shop.record().reason == "A user said that nothing was bought. There was no record."
    assert "Nothing was bought, as a user said. Clear the task: it BUYS." in run("explain", "--key", KEY)[1]
    assert settle(run, "--not-bought")[1].startswith("It stays: declined")
    assert shop.purchase().place().client_token == shop.record().client_token
    assert len(shop.orders) == 1


@pytest.mark.parametrize("name", [("--key", OF_TASK), TASK], ids=["key", "task"])
def test_the_purchase_of_a_task_is_settled_by_its_key_or_by_its_task(shop, run, name):
    shop.somebody_elses()

    assert settle(run, "--order-id", shop.orders[0], name=name)[0] == 0

    assert shop.purchase(OF_TASK).place().order_id == shop.orders[0]
    assert len(shop.orders) == 1


def test_an_order_that_nobody_owns_may_be_the_purchase(shop, run):
    nothing_is_left(shop)
    shop.somebody_elses(zone_code="ap-guangzhou-3")

    code, _, err = settle(run, "--not-bought")

    assert code == 1
    assert all(number in err for number in shop.orders)
    assert "--force" in err
    assert settle(run, "--not-bought", "--force")[0] == 0


def test_an_order_that_another_record_owns_is_no_doubt_and_cannot_be_named(shop, run):
    shop.ordered("another one")

    assert "another record owns" in settle(run, "--order-id", shop.orders[0], "--force")[2]
    assert settle(run, "--not-bought")[0] == 0


def test_what_the_order_book_does_not_tell_needs_force(shop, run):
    assert "does not list order" in settle(run, "--order-id", NOT_LISTED)[2]
    shop.closed_book()
    assert "cannot be read" in settle(run, "--not-bought")[2]
    assert settle(run, "--not-bought", "--force")[0] == 0
    assert settle(run, "--order-id", NOT_LISTED, "--force")[0] == 0


def test_a_number_that_was_named_by_mistake_is_taken_back(shop, run):
    shop.somebody_elses()
    settle(run, "--order-id", shop.orders[0])

    assert "a user said that order" in settle(run, "--not-bought")[2]
    assert settle(run, "--not-bought", "--force")[0] == 0

    assert shop.record().order_id is None
    assert shop.purchase().place().order_id not in shop.orders[:1]
    assert len(shop.orders) == 2


def test_what_a_record_knows_is_never_taken_back(shop, run):
    delivered(shop)

    assert "so it was bought" in settle(run, "--not-bought", "--force")[2]


@pytest.mark.parametrize("decision", ["--order-id", "--not-bought"])
def test_a_damaged_record_is_replaced_where_the_user_insists(shop, run, decision):
    shop.damaged()
    order = shop.orders[0]
    decided = ["--order-id", order] if decision == "--order-id" else ["--not-bought"]

    code, _, err = settle(run, *decided)
    assert (code, "cannot be used" in err, "--restore" in err) == (1, True, True)
    assert settle(run, *decided, "--force")[0] == 0

    assert "Its record could not be used: it is not JSON" in shop.record().reason
    assert shop.purchase().place().order_id == order  # The token is the same, and the server honours it.
    assert len(shop.orders) == 1


def test_a_record_of_a_newer_version_is_never_replaced(shop, run):
    shop.ordered()
    shop.edit(version=3)

    for decision in (["--not-bought"], ["--order-id", shop.orders[0]]):
        assert "Update airflow-provider-tcbilling" in settle(run, *decision, "--force")[2]


@pytest.mark.parametrize(("ended", "why"), [(math.inf, "a try of the task is running"), (-60.0, "too early")])
def test_a_try_that_may_still_buy_is_waited_for(shop, run, ended, why, monkeypatch):
    found = lookup.FoundPurchase(lookup.PurchaseName(KEY), shop.ledger, KEY, last_try_ended=time.time() + ended)
    monkeypatch.setattr(lookup, "find", lambda *args: found)

    assert why in settle(run, "--not-bought")[2]
    shop.clock.sleep(600)
    assert settle(run, "--not-bought")[0] == int(ended == math.inf)


def test_the_end_of_the_last_try_is_that_of_the_task():
    end = datetime(2026, 11, 30, tzinfo=timezone.utc)

    ends = [lookup._end_of(SimpleNamespace(state=state, end_date=end)) for state in ("running", "failed")]

    assert ends == [math.inf, end.timestamp()]
    assert lookup._end_of(SimpleNamespace(state=None, end_date=None)) == -math.inf


def test_a_token_alone_names_no_purchase(shop, run):
    token = ("--token", "ab")

    assert "Name it by --key, or by its task" in settle(run, "--not-bought", "--force", name=token)[2]
    assert "{settle}" not in run("explain", *token)[1]


def test_the_word_of_a_user_holds_for_one_server_and_one_action_only(shop, run):
    shop.somebody_elses()
    settle(run, "--order-id", shop.orders[0])

    for edit in ({"endpoint": "https://billing.tencentcloudapi.com"}, {"action": "RenewInstance"}):
        before = shop.ledger.read(KEY)
        shop.edit(**edit)
        with pytest.raises(PurchaseChanged):
            shop.purchase().place()
        shop.edit(**before)


def test_a_record_that_tells_its_request_is_compared_as_ever(shop):
    shop.ordered()
    other = NewInstance(client_to(shop.sandbox), {**ORDER, "zone_code": "ap-guangzhou-3"})

    with pytest.raises(PurchaseChanged):
        Purchase(KEY, other, shop.ledger).place()
