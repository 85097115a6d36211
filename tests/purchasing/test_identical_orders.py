"""The order book lists orders that are like ours, of other purchases, times and places."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.purchasing.errors import (
    PurchaseOutcomeUnknown,
)
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support.crash import dying_at, dying_before_the_answer_is_read
from tests.support.purchases import lose, orders, purchase
from tests.support.shelf import Shelf

pytestmark = pytest.mark.usefixtures("passing_time")


def test_an_identical_order_of_another_time_is_not_taken(start_sandbox, shelf, passing_time):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    old = client_to(sandbox).create_instance(client_token="old", **ORDER).order_id
    passing_time.sleep(3 * 3600)
    sandbox.faults.add({"fault": "drop", "when": "before"})

    order = purchase(sandbox, shelf).place()

    assert order.order_id != old
    assert len(orders(sandbox)) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"product_code": "p_yunjing"},
        {"sub_product_code": "sp_other"},
        {"zone_code": "ap-guangzhou-1"},
        {"project_id": 7},
        {"period": 2, "parameter": {"pid": 1}},
        {"period": 1, "period_unit": "y", "parameter": {"pid": 1}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_an_order_of_something_else_is_not_taken(start_sandbox, shelf, other):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    foreign = client_to(sandbox).create_instance(client_token="foreign", **{**ORDER, **other}).order_id
    sandbox.faults.add({"fault": "drop", "when": "before"})

    assert purchase(sandbox, shelf).place().order_id != foreign


def test_twelve_months_are_a_year(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    sandbox.faults.add({"fault": "drop"})
    year = {**ORDER, "period": 1, "period_unit": "y", "parameter": {"pid": 1}}
    with pytest.MonkeyPatch.context() as spelling:
        show = "airflow_provider_tcbilling.sandbox.handlers._deal"
        from airflow_provider_tcbilling.sandbox.handlers import _deal

        spelling.setattr(show, lambda *given: {**_deal(*given), "TimeSpan": 12.0, "TimeUnit": "M"})
        assert [purchase(sandbox, shelf, order=year).place().order_id] == orders(sandbox)


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "UTC"])
def test_the_zone_of_the_order_book_does_not_matter(start_sandbox, shelf, zone):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"), zone=zone)
    sandbox.faults.add({"fault": "drop"})

    assert [purchase(sandbox, shelf).place().order_id] == orders(sandbox)


def test_two_orders_that_fit_stop_it_and_are_named(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    foreign = client_to(sandbox).create_instance(client_token="foreign", **ORDER).order_id
    sandbox.faults.add({"fault": "drop"})

    with pytest.raises(PurchaseOutcomeUnknown) as caught:
        purchase(sandbox, shelf).place()

    words = str(caught.value)
    assert all(order_id in words for order_id in (*orders(sandbox), foreign))
    assert "shelf/firewall" in words
    assert client_token_for("firewall") in words
    assert sandbox.requests["CreateInstance"] == 2


def test_with_a_trusted_token_two_orders_that_fit_are_left_to_the_server(sandbox, shelf):
    client_to(sandbox).create_instance(client_token="foreign", **ORDER)
    sandbox.faults.add({"fault": "drop"})

    order = purchase(sandbox, shelf, trust_token=True).place()

    assert order.order_id == orders(sandbox)[1]
    assert len(orders(sandbox)) == 2


def test_an_order_on_the_second_page_is_found(start_sandbox, shelf, monkeypatch):
    monkeypatch.setattr("airflow_provider_tcbilling.purchasing.evidence.DEALS_PER_PAGE", 2)
    monkeypatch.setattr("airflow_provider_tcbilling.api.client.DEALS_PER_PAGE", 2)
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    sandbox.faults.add({"fault": "drop"})
    with dying_at("in doubt"):
        purchase(sandbox, shelf).place()
    for number in range(4):
        client_to(sandbox).create_instance(client_token=str(number), **{**ORDER, "zone_code": "ap-guangzhou-3"})

    assert purchase(sandbox, shelf).place().order_id == orders(sandbox)[0]


def test_identical_purchases_are_told_apart_by_their_records(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    first = purchase(sandbox, shelf, key="one").place()
    lose(sandbox)

    second = purchase(sandbox, shelf, key="two").place()

    assert orders(sandbox) == [first.order_id, second.order_id]


def test_a_purchase_that_was_not_carried_out_does_not_take_the_order_of_its_twin(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    first = purchase(sandbox, shelf, key="one").place()
    lose(sandbox, "before")

    second = purchase(sandbox, shelf, key="two").place()

    assert orders(sandbox) == [first.order_id, second.order_id]


def test_an_order_that_may_be_a_twins_is_not_taken_where_no_ledger_assigns_it(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    shelf.is_exclusive = False
    with dying_before_the_answer_is_read():
        purchase(sandbox, shelf, key="one").place()
    lose(sandbox, "before")

    with pytest.raises(PurchaseOutcomeUnknown, match=r"may be of another purchase .*one"):
        purchase(sandbox, shelf, key="two").place()

    assert len(orders(sandbox)) == 1


def test_an_order_that_may_be_that_of_a_purchase_of_other_goods_is_not_taken(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    with dying_before_the_answer_is_read():
        purchase(sandbox, shelf, key="one", order={**ORDER, "parameter": {"pid": 7}}).place()
    lose(sandbox, "before")

    with pytest.raises(PurchaseOutcomeUnknown, match=r"may be of another purchase .*one"):
        purchase(sandbox, shelf, key="two").place()

    assert len(orders(sandbox)) == 1


def test_a_twin_of_another_day_or_of_something_else_is_no_rival(start_sandbox, shelf, passing_time):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    for key, order in (("one", ORDER), ("three", {**ORDER, "zone_code": "elsewhere"})):
        with dying_at("sending"):
            purchase(sandbox, shelf, key=key, order=order).place()
        passing_time.sleep(3600)
    lose(sandbox)

    assert [purchase(sandbox, shelf, key="two").place().order_id] == orders(sandbox)


@pytest.mark.parametrize("known", [True, False])
def test_the_records_of_another_endpoint_say_nothing_about_the_orders_of_this_one(start_sandbox, shelf, known):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"), seed=0)
    elsewhere = start_sandbox(seed=0)  # it numbers its orders alike
    if known:
        purchase(elsewhere, shelf, key="one").place()
    else:
        with dying_at("sending"):
            purchase(elsewhere, shelf, key="one").place()
    lose(sandbox)

    order = purchase(sandbox, shelf, key="two").place()

    assert orders(sandbox) == [order.order_id]
    assert sandbox.requests["CreateInstance"] == 1


def test_a_record_of_others_that_cannot_be_read_is_a_rival(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    shelf.texts["damaged"] = '{"format": "something else"}'
    lose(sandbox)

    with pytest.raises(PurchaseOutcomeUnknown, match="shelf/damaged"):
        purchase(sandbox, shelf).place()


@pytest.mark.parametrize("when", ["before", "after"])
def test_without_a_shared_store_twins_are_not_guessed_at(start_sandbox, when):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    purchase(sandbox, Shelf(is_shared=False), key="one", twins="a copy").place()
    lose(sandbox, when)

    with pytest.raises(PurchaseOutcomeUnknown):
        purchase(sandbox, Shelf(is_shared=False), key="two", twins="a copy").place()

    assert sandbox.requests["CreateInstance"] == 2
