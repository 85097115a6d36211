"""A purchase happens once: whatever is lost, whoever dies, however often it is run, and whatever the server does."""

from __future__ import annotations

import itertools
import json
import re
import time
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.errors import InsufficientBalance, OutcomeUnknown, Unreachable
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.ledger.store import NoStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import (
    InvalidRecord,
    OrderNotRecorded,
    PurchaseChanged,
    PurchaseOutcomeUnknown,
    RunRefused,
    StoreFailed,
)
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Attempt, Purchase
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.task.dag_run import task_run_key
from tests.conftest import ORDER, PRICE, client_to
from tests.support.crash import at, dies, dying_at, dying_before_the_answer_is_read, dying_in
from tests.support.shelf import Shelf

LAG = 10.0
LOST = ["drop", "reset", "cut", "http", "html", "truncated", "garbage", "no-order-id", "error"]
SERVERS = ["honour", "forget-after:1", "ignore", "reject-repeat"]

TWO_MONTHS = {**ORDER, "period": 2, "parameter": {"pid": 1002147}}

pytestmark = pytest.mark.usefixtures("passing_time")


@pytest.fixture
def shelf():
    return Shelf()


def purchase(sandbox, store, key="firewall", order=ORDER, endpoint=None, lag=LAG, **options):
    rules = Rules(lag=lag, trust_token=options.pop("trust_token", False), request_seconds=5.0)
    client = client_to(sandbox, endpoint=endpoint or sandbox.url, read_timeout=2.0)
    return Purchase(key, NewInstance(client, order), store, rules, **options)


def spent(sandbox):
    return sandbox.options.balance_cents - sandbox.account.balance_cents


def record_of(store, key="firewall"):
    return Record.from_json(json.loads(store.texts[key]), "here")


def orders(sandbox):
    return [order.order_id for order in sandbox.account.orders()]


# The token


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


# One try


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


# The answer is lost


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


def test_when_no_answer_ever_comes_it_stops_after_the_window(start_sandbox, shelf, passing_time):
    sandbox = start_sandbox()
    sandbox.faults.add({"fault": "drop", "when": "before", "times": None, "action": "CreateInstance"})
    before = passing_time.slept

    with pytest.raises(PurchaseOutcomeUnknown, match="may be sent again is over"):
        purchase(sandbox, shelf).place()

    assert 290 < passing_time.slept - before < 400
    assert 10 < sandbox.requests["CreateInstance"] < 40
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


def test_one_look_precedes_a_repeat_and_one_follows(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    sandbox.faults.add({"fault": "drop", "when": "before"})

    purchase(sandbox, shelf).place()

    asked = [entry.action for entry in sandbox.journal]
    assert asked == ["CreateInstance", "DescribeDealsByCond", "CreateInstance", "DescribeDealsByCond"]


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


# The order book is silent


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


# Refusals, and the token that changes


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


# The process dies, and another try begins


PLACES = [
    pytest.param(lambda: dying_at("begin"), 0, id="before the intent"),
    pytest.param(lambda: dying_at("intent stored"), 0, id="after the intent"),
    pytest.param(dying_before_the_answer_is_read, 1, id="sent, the answer not read"),
    pytest.param(
        lambda: dying_in("airflow_provider_tcbilling.api.models.Order.from_wire"), 1, id="answered, not understood"
    ),
    pytest.param(lambda: dying_at("answered"), 1, id="understood, not recorded"),
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
    passing_time.sleep(400)
    ended = None
    try:
        purchase(sandbox, shelf, trust_token=trust_token).place()
    except PurchaseOutcomeUnknown as stop:
        ended = stop

    assert len(orders(sandbox)) == bought
    assert (ended is None) is trust_token


# What else is in the order book


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


# Side by side


def lose(sandbox, when="after"):
    sandbox.faults.add({"fault": "drop", "when": when, "action": "CreateInstance"})


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


def test_an_order_that_may_be_the_twins_is_not_taken_while_the_twin_knows_none(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    with dying_before_the_answer_is_read():
        purchase(sandbox, shelf, key="one").place()
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


# Two copies of one try


def test_of_two_copies_that_begin_at_the_same_moment_one_sends(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    copy, found, create = purchase(sandbox, shelf), [], shelf.create

    def create_too_late(key, stored):
        shelf.create = create
        found.append(copy.place())
        return create(key, stored)

    shelf.create = create_too_late
    order = purchase(sandbox, shelf).place()

    assert found == [order]
    assert sandbox.requests["CreateInstance"] == 1


def test_of_two_copies_that_begin_at_the_same_moment_in_a_store_that_lets_both_create_one_sends(start_sandbox):
    sandbox, store = start_sandbox(tokens=Tokens.parse("ignore")), Shelf(is_shared=False)
    mine, copy, create = purchase(sandbox, store), purchase(sandbox, store), store.create

    def overwritten(key, stored):
        create(key, stored)
        theirs = replace(record_of(store), owner=copy._owner)
        store.replace(key, theirs.as_json())
        copy._send(theirs, Attempt.FIRST)
        return True

    store.create = overwritten

    order = mine.place()

    assert orders(sandbox) == [order.order_id]


def test_of_two_copies_that_begin_after_a_refusal_the_last_to_write_sends(start_sandbox, shelf):
    sandbox = start_sandbox(balance_cents=0, tokens=Tokens.parse("ignore"))
    with pytest.raises(InsufficientBalance):
        purchase(sandbox, shelf).place()
    sandbox.account.balance_cents = 2 * PRICE
    mine, copy, replaced = purchase(sandbox, shelf), purchase(sandbox, shelf), shelf.replace

    def overwritten(key, stored, *expected):
        replaced(key, stored)
        if stored["owner"] == mine._owner and stored["state"] == "intended":
            theirs = replace(record_of(shelf), owner=copy._owner)
            replaced(key, theirs.as_json())
            copy._send(theirs, Attempt.FIRST)
        return True

    shelf.replace = overwritten

    order = mine.place()

    assert orders(sandbox) == [order.order_id]


def test_the_copy_that_comes_second_waits_for_the_one_that_sends(start_sandbox, shelf, passing_time):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    first = purchase(sandbox, shelf)
    intent = first._intent()
    shelf.create("firewall", intent.as_json())
    sleep = passing_time.sleep

    def meanwhile(seconds):
        sleep(1)
        if not orders(sandbox):
            first._send(intent, Attempt.FIRST)

    order = purchase(sandbox, shelf, sleep=meanwhile).place()

    assert orders(sandbox) == [order.order_id]
    assert sandbox.requests == {"CreateInstance": 1}


def test_a_purchase_that_another_process_takes_over_is_not_sent_by_this_one(start_sandbox, shelf, passing_time):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    stale = replace(purchase(sandbox, shelf)._intent(), owner="dead", sending_until=time.time() - 60)
    shelf.create("firewall", stale.as_json())
    sleep, other = passing_time.sleep, purchase(sandbox, shelf)

    def meanwhile(seconds):
        sleep(seconds)
        if record_of(shelf).owner not in ("dead", other._owner) and not orders(sandbox):
            taken = replace(record_of(shelf), owner=other._owner)
            shelf.replace("firewall", taken.as_json())
            other._send(taken, Attempt.FIRST)

    order = purchase(sandbox, shelf, sleep=meanwhile).place()

    assert orders(sandbox) == [order.order_id]
    assert sandbox.requests["CreateInstance"] == 1


def test_a_process_whose_purchase_is_taken_over_while_it_renews_does_not_send(start_sandbox, shelf, passing_time):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    lose(sandbox, "before")
    mine, other = purchase(sandbox, shelf), purchase(sandbox, shelf)
    replaced = shelf.replace

    def taken_over(key, stored, *expected):
        replaced(key, stored)
        if stored["owner"] == mine._owner and stored["state"] == "intended" and not orders(sandbox):
            taken = replace(record_of(shelf), owner=other._owner)
            replaced(key, taken.as_json())
            other._send(taken, Attempt.FIRST)
        return True

    shelf.replace = taken_over

    order = mine.place()

    assert orders(sandbox) == [order.order_id]


# The record is wrong


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"order": TWO_MONTHS}, id="the period"),
        pytest.param({"order": {**ORDER, "parameter": {"pid": 2}}}, id="the parameter"),
        pytest.param({"endpoint": "http://127.0.0.1:9"}, id="the endpoint"),
    ],
)
def test_what_was_edited_is_not_bought(sandbox, shelf, changes):
    purchase(sandbox, shelf).place()

    with pytest.raises(PurchaseChanged, match=r"it was .*, and is"):
        purchase(sandbox, shelf, **changes).place()

    assert sandbox.requests["CreateInstance"] == 1


def test_an_edited_secret_is_noticed_without_being_told(sandbox, shelf):
    purchase(sandbox, shelf, order={**ORDER, "parameter": {"Password": "first-password"}}).place()

    with pytest.raises(PurchaseChanged) as caught:
        purchase(sandbox, shelf, order={**ORDER, "parameter": {"Password": "second-password"}}).place()

    assert "-password" not in str(caught.value)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ("[]", "not written by this package"),
        ('"text"', "not written by this package"),
        ('{"order_id": "1"}', "not written by this package"),
        ("newer", "version 3"),
        ("no state", "damaged"),
        ("no order", "damaged"),
        ("no moment", "damaged"),
    ],
)
def test_a_record_that_cannot_be_used_stops_it_before_anything_is_sent(sandbox, shelf, stored, words):
    good = purchase(sandbox, shelf)._intent().as_json()
    made = {
        "newer": {**good, "version": 3, "new_field": 1},
        "no state": {**good, "state": "lost"},
        "no order": {**good, "state": "ordered"},
        "no moment": {**good, "intended_at": "yesterday"},
    }
    shelf.texts["firewall"] = json.dumps(made[stored]) if stored in made else stored

    with pytest.raises(InvalidRecord, match=words):
        purchase(sandbox, shelf).place()

    assert sandbox.requests == {}


def test_a_record_of_another_purchase_is_not_overwritten(sandbox, shelf):
    purchase(sandbox, shelf).place()
    shelf.texts["other"] = shelf.texts["firewall"]

    with pytest.raises(PurchaseChanged, match="purchase: it was 'firewall', and is 'other' now"):
        purchase(sandbox, shelf, key="other").place()


# The store fails


@pytest.mark.parametrize("broken", ["get", "create"])
def test_a_store_that_is_down_before_the_purchase_lets_nothing_be_sent_and_allows_another_try(sandbox, shelf, broken):
    shelf.broken = [broken]

    with pytest.raises(StoreFailed) as caught:
        purchase(sandbox, shelf).place()

    assert caught.value.transient
    assert sandbox.requests == {}
    assert [purchase(sandbox, shelf).place().order_id] == orders(sandbox)


def test_a_store_that_hiccups_after_the_purchase_is_asked_again(sandbox, shelf):
    shelf.broken = ["replace", "replace"]

    order = purchase(sandbox, shelf).place()

    assert record_of(shelf).order_id == order.order_id


def test_a_store_that_fails_after_the_purchase_leaves_the_order_and_its_record_in_the_log(sandbox, shelf, logged):
    shelf.broken = ["replace"] * 3

    with pytest.raises(OrderNotRecorded) as caught:
        purchase(sandbox, shelf).place()

    (order_id,) = orders(sandbox)
    told = logged()
    restored = json.JSONDecoder().raw_decode(told.split("The record to restore: ")[1])[0]
    assert Record.from_json(restored, "log").order_id == caught.value.order_id == order_id
    assert "ERROR" in told
    assert purchase(sandbox, shelf).place().order_id == order_id
    assert spent(sandbox) == PRICE


def test_a_refusal_that_cannot_be_recorded_is_looked_into_by_the_next_try(start_sandbox, shelf):
    sandbox = start_sandbox(balance_cents=0)
    shelf.broken = ["replace"]
    with pytest.raises(InsufficientBalance):
        purchase(sandbox, shelf).place()
    sandbox.account.balance_cents = PRICE

    purchase(sandbox, shelf).place()

    asked = [entry.action for entry in sandbox.journal]
    assert asked[1:] == ["DescribeDealsByCond", "CreateInstance", "DescribeDealsByCond"]
    assert len(orders(sandbox)) == 1


# No record, but perhaps a try


def test_without_a_record_a_later_try_looks_since_the_run_began(start_sandbox):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    bought = client_to(sandbox).create_instance(client_token=client_token_for("firewall"), **ORDER)

    order = purchase(sandbox, NoStore(), presumed_since=time.time() - 60).place()

    assert order.order_id == bought.order_id
    assert spent(sandbox) == PRICE


# The guard


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
