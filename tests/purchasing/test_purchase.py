"""A purchase happens once: whatever is lost, whoever dies, however often it is run, and whatever the server does."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.errors import InsufficientBalance, Unreachable
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.purchasing.errors import (
    RunRefused,
)
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.task.dag_run import task_run_key
from tests.conftest import ORDER, PRICE
from tests.support.crash import at, dies, dying_at
from tests.support.purchases import TWO_MONTHS, orders, purchase, record_of

pytestmark = pytest.mark.usefixtures("passing_time")


def test_the_token_of_a_key_never_changes():
    # A change of this value would buy everything again that is under way during an upgrade.
    assert client_token_for("edge-firewall-2026-12") == "96b07a96-9a67-586a-8efc-b203387aa823"
    assert client_token_for(task_run_key("shop", "manual__1", "buy", -1)) == "07db87a9-def2-55f3-a115-2dba6f206fd6"
    assert client_token_for("edge-firewall-2026-12", 1) == "b3281bc2-70b5-5163-a3ff-959a80dc72d5"


def test_every_part_of_a_task_run_and_every_generation_makes_another_token():
    runs = list(itertools.product(["d", "d/r"], ["r", "r/t"], ["t", "t/0"], [-1, 0, 1]))
    tokens = {client_token_for(task_run_key(*run), generation) for run in runs for generation in range(3)}

    assert len(tokens) == 3 * len(runs)
    assert all(len(token) == 36 and token.isascii() for token in tokens)


def test_a_purchase_costs_one_record_before_the_request_and_one_after(sandbox, shelf):
    order = purchase(sandbox, shelf).place()

    assert shelf.used == ["get", "create", "replace"]
    assert sandbox.requests == {"CreateInstance": 1}
    assert orders(sandbox) == [order.order_id] == [record_of(shelf).order_id]


def test_the_intent_is_stored_before_the_first_byte_is_sent(sandbox, shelf):
    with dying_at("sending"):
        purchase(sandbox, shelf).place()

    assert record_of(shelf).state is State.INTENDED
    assert sandbox.requests == {}


def test_the_record_tells_a_person_what_was_bought_by_whom_and_holds_no_secret(sandbox, shelf):
    secret = {**ORDER, "parameter": {"pid": 1, "LoginSettings": {"Password": "hunter2hunter2"}}}

    purchase(sandbox, shelf, order=secret, placed_by={"dag_id": "shop", "run_id": "r"}).place()

    told = json.loads(shelf.texts["firewall"])
    assert (told["state"], told["order_id"]) == ("ordered", orders(sandbox)[0])
    assert told["client_token"] == sandbox.account.orders()[0].client_token
    assert told["placed_by"] == {"dag_id": "shop", "run_id": "r"}
    assert told["payload"]["ProductCode"] == ORDER["product_code"]
    assert re.match(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d.*Z$", told["intended_at"])
    assert "hunter2" not in shelf.texts["firewall"]


def test_a_delivery_is_added_to_the_record(sandbox, shelf):
    bought = purchase(sandbox, shelf)
    order = bought.place()

    bought.note_delivery(replace(order, instance_ids=("ins-1",), paid_cents=PRICE, currency="USD"))

    noted = record_of(shelf)
    assert (noted.state, noted.instance_ids, noted.paid_cents) == (State.DELIVERED, ("ins-1",), PRICE)


def test_a_delivery_that_cannot_be_recorded_is_no_failure(sandbox, shelf, logged):
    bought = purchase(sandbox, shelf)
    order = bought.place()
    shelf.broken = ["replace"]

    bought.note_delivery(order)

    assert "was not recorded" in logged()


def test_a_refusal_changes_the_token_and_the_next_try_buys(start_sandbox, shelf):
    sandbox = start_sandbox(balance_cents=0)
    with pytest.raises(InsufficientBalance):
        purchase(sandbox, shelf).place()
    assert (record_of(shelf).state, record_of(shelf).generation) == (State.DECLINED, 1)
    sandbox.account.balance_cents = PRICE

    purchase(sandbox, shelf).place()

    (order,) = sandbox.account.orders()
    assert order.client_token == client_token_for("firewall", 1)
    assert record_of(shelf).state is State.ORDERED


def test_what_never_reached_the_server_keeps_its_token(sandbox, shelf):
    with pytest.raises(Unreachable):
        purchase(sandbox, shelf, endpoint="http://127.0.0.1:9").place()

    assert (record_of(shelf).state, record_of(shelf).generation) == (State.DECLINED, 0)


def test_a_given_token_never_changes(start_sandbox, shelf):
    sandbox = start_sandbox(balance_cents=0)
    with pytest.raises(InsufficientBalance):
        purchase(sandbox, shelf, client_token="mine").place()
    sandbox.account.balance_cents = PRICE

    purchase(sandbox, shelf, client_token="mine").place()

    assert sandbox.account.orders()[0].client_token == "mine"


def test_after_a_refusal_something_else_may_be_bought(start_sandbox, shelf):
    sandbox = start_sandbox(balance_cents=0)
    with pytest.raises(InsufficientBalance):
        purchase(sandbox, shelf).place()
    sandbox.account.balance_cents = 5 * PRICE

    purchase(sandbox, shelf, order=TWO_MONTHS).place()

    assert sandbox.account.balance_cents == 3 * PRICE


def refuse():
    raise RunRefused("too late")


def test_a_purchase_that_may_not_be_made_is_not_sent(sandbox, shelf):
    with pytest.raises(RunRefused):
        purchase(sandbox, shelf, check=refuse).place()

    assert (sandbox.requests, shelf.texts) == ({}, {})


def test_a_purchase_that_may_no_longer_be_made_is_not_sent_again_after_a_refusal(start_sandbox, shelf):
    sandbox = start_sandbox(balance_cents=0)
    with pytest.raises(InsufficientBalance):
        purchase(sandbox, shelf).place()

    with pytest.raises(RunRefused):
        purchase(sandbox, shelf, check=refuse).place()

    assert sandbox.requests["CreateInstance"] == 1


def test_a_purchase_that_may_no_longer_be_made_is_looked_for_and_not_sent_again(sandbox, shelf):
    with dying_at("sending"):
        purchase(sandbox, shelf).place()

    with pytest.raises(RunRefused):
        purchase(sandbox, shelf, check=refuse).place()

    assert sandbox.requests == {"DescribeDealsByCond": 1}


def test_a_known_order_is_returned_even_if_nothing_may_be_bought_now(sandbox, shelf):
    order = purchase(sandbox, shelf).place()

    assert purchase(sandbox, shelf, check=dies).place() == order


def test_a_record_keeps_all_that_an_order_has():
    order = Order("1", ("ins-1",), "t", "req", 5, "USD")
    record = Record("k", "t", 0, "f", "e", "CreateInstance", State.INTENDED, "me", 1.0, 2.0, 3.0, 4.0)

    assert Record.from_json(record.ordered(order, 9.0).as_json(), "here").order == order


def test_a_run_that_may_not_buy_is_in_no_doubt_after_another_process_was_refused(sandbox, shelf, passing_time):
    with dying_at("intent stored"):
        purchase(sandbox, shelf).place()

    def another_one_is_refused():
        declined = replace(record_of(shelf), state=State.DECLINED, generation=1)
        shelf.replace("firewall", declined.as_json())

    def forbid():
        raise RunRefused("This run may not buy.")

    mine = purchase(sandbox, shelf, check=forbid, checkpoint=at("in doubt", another_one_is_refused))
    with pytest.raises(RunRefused):
        mine.place()

    assert mine.is_in_doubt is False
    assert sandbox.account.orders() == []
