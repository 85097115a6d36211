"""The answer to a purchase is lost, or says little: it is bought once, or stops."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.api.errors import OutcomeUnknown
from airflow_provider_tcbilling.ledger.store import NoStore
from airflow_provider_tcbilling.purchasing.errors import (
    PurchaseOutcomeUnknown,
)
from airflow_provider_tcbilling.purchasing.record import State
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import PRICE
from tests.support.purchases import LAG, SERVERS, orders, purchase, record_of

pytestmark = pytest.mark.usefixtures("passing_time")


LOST = ["drop", "reset", "cut", "http", "html", "truncated", "garbage", "no-order-id", "error"]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_buys_once(start_sandbox, shelf, server, fault, when):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    sandbox.faults.add({"fault": fault, "when": when, "action": "CreateInstance"})

    order = purchase(sandbox, shelf).place()

    assert orders(sandbox) == [order.order_id] == [record_of(shelf).order_id]
    bodies = {entry.body_sha256 for entry in sandbox.journal if entry.action == "CreateInstance"}
    assert (len(bodies), sandbox.requests["CreateInstance"]) == (1, 1 if when == "after" else 2)


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_without_a_store_a_lost_answer_buys_once_too(start_sandbox, server, when):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    sandbox.faults.add({"fault": "drop", "when": when})

    order = purchase(sandbox, NoStore()).place()

    assert orders(sandbox) == [order.order_id]


def test_an_adopted_order_is_said_aloud(sandbox, shelf, logged):
    sandbox.faults.add({"fault": "drop"})

    order = purchase(sandbox, shelf).place()

    assert f"An earlier try did it: adopting order {order.order_id}" in logged()


@pytest.mark.parametrize("server", SERVERS)
def test_an_order_that_is_listed_late_is_waited_for(start_sandbox, shelf, server, passing_time):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    sandbox.faults.add({"fault": "not-visible", "looks": 0, "seconds": LAG - 1})
    sandbox.faults.add({"fault": "drop"})
    before = passing_time.slept

    purchase(sandbox, shelf).place()

    assert len(orders(sandbox)) == 1
    assert passing_time.slept - before > LAG - 1


def test_an_order_that_has_died_is_adopted_and_not_bought_again(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    sandbox.faults.add({"fault": "order-status", "status": 8})
    sandbox.faults.add({"fault": "drop"})

    assert [purchase(sandbox, shelf).place().order_id] == orders(sandbox)


def test_when_no_answer_ever_comes_a_try_gives_up_after_five_minutes_and_a_try_after_the_window_stops(
    start_sandbox, shelf, passing_time
):
    sandbox = start_sandbox()
    sandbox.faults.add({"fault": "drop", "when": "before", "times": None, "action": "CreateInstance"})
    before = passing_time.slept

    with pytest.raises(OutcomeUnknown, match="no order matches yet"):
        purchase(sandbox, shelf).place()

    assert 290 < passing_time.slept - before < 400
    assert 10 < (sent := sandbox.requests["CreateInstance"]) < 40
    passing_time.sleep(600)
    with pytest.raises(PurchaseOutcomeUnknown, match="may be sent again is over"):
        purchase(sandbox, shelf).place()
    assert sandbox.requests["CreateInstance"] == sent
    assert orders(sandbox) == []


@pytest.mark.parametrize("code", ["FailedOperation.SomethingNew", "FailedOperation.InvalidDeal"])
def test_a_code_that_may_mean_anything_is_not_sent_again(sandbox, shelf, code):
    sandbox.faults.add({"fault": "error", "code": code, "when": "before"})

    with pytest.raises(PurchaseOutcomeUnknown, match=code):
        purchase(sandbox, shelf).place()

    assert sandbox.requests["CreateInstance"] == 1
    assert record_of(shelf).state is State.INTENDED


def test_paid_but_not_delivered_is_never_sent_again(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    sandbox.faults.add({"fault": "error", "code": "FailedOperation.PaySuccDeliverFailed", "when": "before"})

    for _ in range(2):
        with pytest.raises(PurchaseOutcomeUnknown):
            purchase(sandbox, shelf).place()

    assert sandbox.requests["CreateInstance"] == 1
    assert "PaySuccDeliverFailed" in record_of(shelf).reason


def test_a_payment_that_cannot_be_noted_is_not_left_to_a_retry(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    sandbox.faults.add({"fault": "error", "code": "FailedOperation.PaySuccDeliverFailed", "when": "before"})
    shelf.broken = ["replace"]

    with pytest.raises(PurchaseOutcomeUnknown, match="PaySuccDeliverFailed") as caught:
        purchase(sandbox, shelf).place()

    assert not caught.value.transient
    assert sandbox.requests["CreateInstance"] == 1


def test_one_query_precedes_a_repeat_and_three_follow(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    sandbox.faults.add({"fault": "drop", "when": "before"})

    purchase(sandbox, shelf).place()

    asked = [entry.action for entry in sandbox.journal]
    before, after = ["CreateInstance", "DescribeDealsByCond"], ["CreateInstance", *["DescribeDealsByCond"] * 3]
    assert asked == [*before, *after], "the numbers of the order, and then a second order"


def test_a_refused_repeat_says_nothing_about_the_try_before(start_sandbox, shelf):
    sandbox = start_sandbox(balance_cents=PRICE, tokens=Tokens.parse("ignore"))
    sandbox.faults.add({"fault": "not-visible", "looks": 1, "seconds": 0})
    sandbox.faults.add({"fault": "drop"})

    order = purchase(sandbox, shelf).place()

    assert orders(sandbox) == [order.order_id]
    assert [e.outcome for e in sandbox.journal if e.action == "CreateInstance"][
        1
    ] == "FailedOperation.BalanceInsufficient"


def test_a_refused_repeat_with_nothing_in_the_book_stops_and_keeps_the_token(start_sandbox, shelf):
    sandbox = start_sandbox(balance_cents=PRICE - 1)
    sandbox.faults.add({"fault": "drop", "when": "before"})

    with pytest.raises(PurchaseOutcomeUnknown, match="BalanceInsufficient"):
        purchase(sandbox, shelf).place()

    assert (record_of(shelf).state, record_of(shelf).generation) == (State.REFUSED, 0)


def test_an_order_book_that_cannot_be_read_stops_nothing_but_the_sending(sandbox, shelf):
    sandbox.faults.add({"fault": "drop", "action": "CreateInstance"})
    sandbox.faults.add({"fault": "drop", "action": "DescribeDealsByCond", "times": None})

    with pytest.raises(OutcomeUnknown):
        purchase(sandbox, shelf).place()

    assert sandbox.requests["CreateInstance"] == 1
    sandbox.faults.clear()
    assert [purchase(sandbox, shelf).place().order_id] == orders(sandbox)


def test_a_key_that_may_not_read_the_order_book_stops(sandbox, shelf):
    sandbox.faults.add({"fault": "drop", "action": "CreateInstance"})
    code = {"fault": "error", "code": "UnauthorizedOperation.CamNoAuth", "times": None}
    sandbox.faults.add({**code, "action": "DescribeDealsByCond"})

    with pytest.raises(PurchaseOutcomeUnknown, match="the order book cannot be read"):
        purchase(sandbox, shelf).place()

    assert sandbox.requests["CreateInstance"] == 1
