"""The process dies, and the next try of the same purchase goes on."""

from __future__ import annotations

import time

import pytest

from airflow_provider_tcbilling.ledger.store import NoStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import (
    PurchaseOutcomeUnknown,
)
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, PRICE, client_to
from tests.support.crash import dying_at, dying_before_the_answer_is_read, dying_in
from tests.support.purchases import LAG, SERVERS, orders, purchase, spent
from tests.support.shelf import Shelf

pytestmark = pytest.mark.usefixtures("passing_time")


PLACES = [
    pytest.param(lambda: dying_at("begin"), 0, id="before the intent"),
    pytest.param(lambda: dying_at("intent stored"), 0, id="after the intent"),
    pytest.param(dying_before_the_answer_is_read, 1, id="sent, the answer not read"),
    pytest.param(
        lambda: dying_in("airflow_provider_tcbilling.api.models.Order.from_wire"), 1, id="answered, not understood"
    ),
    pytest.param(lambda: dying_at("order known"), 1, id="understood, not recorded"),
    pytest.param(lambda: dying_at("order stored"), 1, id="recorded, not returned"),
]


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize(("place", "bought"), PLACES)
@pytest.mark.parametrize("kind", ["ledger", "task state", "nothing"])
def test_wherever_the_process_dies_the_next_try_knows_the_one_order(start_sandbox, server, place, bought, kind):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    store = {"ledger": Shelf(), "task state": Shelf(is_shared=False), "nothing": NoStore()}[kind]
    began = time.time()
    with place():
        purchase(sandbox, store).place()
    assert len(orders(sandbox)) == bought

    again = purchase(sandbox, store, presumed_since=began).place()

    assert orders(sandbox) == [again.order_id]


def test_the_next_try_waits_until_the_request_of_the_dead_one_can_no_longer_be_under_way(sandbox, shelf, passing_time):
    with dying_at("sending"):
        purchase(sandbox, shelf).place()
    before = passing_time.slept

    purchase(sandbox, shelf).place()

    least = 2 * 5.0 + Rules().clock_margin + LAG
    assert least - 1 < passing_time.slept - before < least + 50


def test_a_known_order_is_returned_without_asking_anybody(sandbox, shelf):
    first = purchase(sandbox, shelf).place()

    again = purchase(sandbox, shelf).place()

    assert again == first
    assert sandbox.requests == {"CreateInstance": 1}


def test_a_try_after_the_window_adopts_what_it_finds(start_sandbox, shelf, passing_time):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    with dying_before_the_answer_is_read():
        purchase(sandbox, shelf).place()
    passing_time.sleep(86_400)

    assert [purchase(sandbox, shelf).place().order_id] == orders(sandbox)


@pytest.mark.parametrize(("trust_token", "bought"), [(False, 0), (True, 1)])
def test_a_try_after_the_window_that_finds_nothing_stops_unless_the_token_is_trusted(
    sandbox, shelf, passing_time, trust_token, bought
):
    with dying_at("sending"):
        purchase(sandbox, shelf).place()
    passing_time.sleep(800)
    ended = None
    try:
        purchase(sandbox, shelf, trust_token=trust_token).place()
    except PurchaseOutcomeUnknown as stop:
        ended = stop

    assert len(orders(sandbox)) == bought
    assert (ended is None) is trust_token


def test_without_a_record_a_later_try_looks_since_the_run_began(start_sandbox):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    bought = client_to(sandbox).create_instance(client_token=client_token_for("firewall"), **ORDER)

    order = purchase(sandbox, NoStore(), presumed_since=time.time() - 60).place()

    assert order.order_id == bought.order_id
    assert spent(sandbox) == PRICE


def test_a_store_that_misses_no_intent_needs_no_query(sandbox):
    somebodys = client_to(sandbox).create_instance(client_token="somebody's", **ORDER)
    store = Shelf(complete_since=time.time() - 120)

    order = purchase(sandbox, store, presumed_since=time.time() - 60).place()

    assert order.order_id != somebodys.order_id
    assert sandbox.requests["DescribeDealsByCond"] == 0


def test_a_store_that_may_miss_an_intent_leads_to_a_query(start_sandbox):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    bought = client_to(sandbox).create_instance(client_token=client_token_for("firewall"), **ORDER)
    store = Shelf(complete_since=time.time() - 60)

    order = purchase(sandbox, store, presumed_since=time.time() - 120).place()

    assert [order.order_id] == [bought.order_id] == orders(sandbox)
