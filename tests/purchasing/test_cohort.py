"""Identical purchases that die share the orders that are listed: each goes to one, and the rest are sent again."""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.purchasing.cohort import is_identical, shares_of
from airflow_provider_tcbilling.purchasing.errors import OrderNotRecorded, PurchaseOutcomeUnknown, StoreFailed
from airflow_provider_tcbilling.purchasing.money_action import Candidate
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support.crash import dying_at, dying_before_the_answer_is_read
from tests.support.purchases import orders, purchase, record_of
from tests.support.shelf import Shelf

pytestmark = pytest.mark.usefixtures("passing_time")

SERVERS = ["ignore", "honour", "forget-after:1"]


@pytest.fixture(params=[True, False], ids=["compares", "creates exclusively"])
def ledger(request):
    return Shelf(replaces_conditionally=request.param)


def dead(sandbox, ledger, fates):
    """Begin identical purchases that die: each before its request is sent, or before its answer is read."""
    for key, is_carried_out in fates.items():
        with dying_before_the_answer_is_read() if is_carried_out else dying_at("sending"):
            purchase(sandbox, ledger, key=key).place()


def bought(sandbox, ledger, keys):
    return {key: purchase(sandbox, ledger, key=key).place().order_id for key in keys}


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("seed", range(6))
def test_dead_purchases_of_the_same_end_with_one_order_each(start_sandbox, ledger, passing_time, server, seed):
    chance = random.Random(seed)
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    keys = [f"{number}" for number in range(chance.choice([2, 3, 5]))]
    dead(sandbox, ledger, {key: chance.random() < 0.5 for key in keys})
    passing_time.sleep(chance.choice([1, 340]))

    # Without a comparison, an earlier purchase must take its order before a later one is sent.
    again = chance.sample(keys, len(keys)) if ledger.replaces_conditionally else keys
    found = bought(sandbox, ledger, again)

    assert sorted(found.values()) == sorted(orders(sandbox))
    assert len(set(found.values())) == len(keys)


@pytest.mark.parametrize("server", ["ignore", "honour"])
def test_the_order_of_a_token_that_another_purchase_has_taken_is_not_taken_twice(start_sandbox, ledger, server):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    dead(sandbox, ledger, {"one": False, "two": True})
    [of_two] = orders(sandbox)

    one = purchase(sandbox, ledger, key="one").place().order_id
    two = purchase(sandbox, ledger, key="two").place().order_id

    assert one == of_two
    assert orders(sandbox) == [one, two]
    assert record_of(ledger, "two").generation == (server == "honour")


def test_while_an_identical_purchase_is_under_way_its_order_is_not_taken(start_sandbox, ledger, passing_time):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    dead(sandbox, ledger, {"dead": False})
    passing_time.sleep(200)
    dead(sandbox, ledger, {"alive": True})
    until = record_of(ledger, "alive").sending_until

    purchase(sandbox, ledger, key="dead").place()

    assert time.time() > until + CLOCK_MARGIN
    assert len(orders(sandbox)) == 1
    purchase(sandbox, ledger, key="alive").place()
    assert len(orders(sandbox)) == 2


def test_an_order_more_than_there_are_purchases_stops_it(start_sandbox, ledger):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    dead(sandbox, ledger, {"one": True, "two": True})
    client_to(sandbox).create_instance(client_token="somebody's", **ORDER)

    with pytest.raises(PurchaseOutcomeUnknown):
        purchase(sandbox, ledger, key="one").place()

    assert len(orders(sandbox)) == 3


def test_a_purchase_that_took_an_order_and_died_finds_it_again(start_sandbox, passing_time):
    ledger = Shelf()
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    dead(sandbox, ledger, {"one": True, "two": True})
    passing_time.sleep(340)
    ledger.assign("127.0.0.1:" + sandbox.url.rpartition(":")[2], orders(sandbox)[1], "one")

    assert bought(sandbox, ledger, ["one", "two"]) == {"one": orders(sandbox)[1], "two": orders(sandbox)[0]}


def test_a_record_that_knows_an_order_by_then_takes_no_other(start_sandbox, ledger, passing_time, monkeypatch):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    dead(sandbox, ledger, {"one": True})
    passing_time.sleep(340)
    late = purchase(sandbox, ledger, key="one")

    def another_copy_ends(name):
        if name == "queried":
            text = ledger.texts["one"]
            ledger.texts["one"] = json.dumps({**json.loads(text), "state": "ordered", "order_id": "7"})

    monkeypatch.setattr(late, "_checkpoint", another_copy_ends)

    assert late.place().order_id == "7"
    assert record_of(ledger, "one").order_id == "7"


class OneClock(Shelf):
    """A store whose clock all machines share, so that a dead purchase is quiet soon."""

    has_clock = True


def test_a_purchase_that_goes_on_with_an_old_decision_finds_the_order_that_was_left_to_it(
    start_sandbox, passing_time, monkeypatch
):
    sandbox, ledger = start_sandbox(tokens=Tokens.parse("ignore")), OneClock(replaces_conditionally=True)
    dead(sandbox, ledger, {"one": False})
    passing_time.sleep(30)
    one, begun, found = purchase(sandbox, ledger, key="one"), [], {}

    def stands_still(name):
        if name == "queried" and not begun:
            begun.append(name)
            dead(sandbox, ledger, {"two": True})
            passing_time.sleep(30)
            found["two"] = purchase(sandbox, ledger, key="two").place().order_id

    monkeypatch.setattr(one, "_checkpoint", stands_still)
    order_id = one.place().order_id

    assert sorted([order_id, found["two"]]) == sorted(orders(sandbox))
    assert record_of(ledger, "one").order_id != record_of(ledger, "two").order_id


def test_an_order_that_is_left_to_another_purchase_is_in_its_record_before_anything_is_sent(start_sandbox):
    ledger = Shelf(replaces_conditionally=True)
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    dead(sandbox, ledger, {"one": False, "two": True})
    [order] = orders(sandbox)

    purchase(sandbox, ledger, key="two").place()

    assert record_of(ledger, "one").order_id == order
    assert purchase(sandbox, ledger, key="one").place().order_id == order
    assert len(orders(sandbox)) == 2


def test_a_purchase_that_decided_to_send_and_stood_still_finds_the_order_that_was_left_to_it(start_sandbox):
    ledger = Shelf(replaces_conditionally=True)
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    dead(sandbox, ledger, {"one": False})
    found = []

    def stands_still(name):
        if name == "queried" and not found:
            dead(sandbox, ledger, {"two": True})
            found.append(purchase(sandbox, ledger, key="two").place().order_id)

    found.append(purchase(sandbox, ledger, key="one", checkpoint=stands_still).place().order_id)

    assert sorted(found) == sorted(orders(sandbox))


def test_without_a_comparison_nothing_is_sent_while_an_earlier_purchase_has_not_taken_its_order(start_sandbox):
    ledger = Shelf()
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    dead(sandbox, ledger, {"one": False, "two": True})

    with pytest.raises(PurchaseOutcomeUnknown, match="has not taken its order yet"):
        purchase(sandbox, ledger, key="two").place()

    assert [purchase(sandbox, ledger, key="one").place().order_id] == orders(sandbox)


def test_an_order_that_was_taken_during_a_standstill_is_given_back(start_sandbox, passing_time):
    ledger = Shelf()
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    dead(sandbox, ledger, {"one": False})
    taken = []

    def stands_still(name):
        if name == "order known" and not taken:
            passing_time.sleep(600)
            taken.append(purchase(sandbox, ledger, key="one").place().order_id)

    late = purchase(sandbox, ledger, key="two", checkpoint=stands_still).place().order_id

    assert taken != [late]
    assert sorted([*taken, late]) == sorted(orders(sandbox))


def test_an_order_of_the_order_book_is_not_taken_while_nobody_can_say_whose_it_is(start_sandbox, passing_time):
    ledger = Shelf()
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    dead(sandbox, ledger, {"one": True})
    passing_time.sleep(340)

    def is_down(*given):
        raise StoreFailed("the ledger is down")

    ledger.assign = is_down
    with pytest.raises(OrderNotRecorded, match=orders(sandbox)[0]):
        purchase(sandbox, ledger, key="one").place()
    assert record_of(ledger, "one").order_id is None
    del ledger.assign

    assert [purchase(sandbox, ledger, key="one").place().order_id] == orders(sandbox)


@pytest.mark.parametrize(
    ("other", "is_one"),
    [
        ({}, True),
        ({"fingerprint": "another key's"}, True),
        ({"fingerprint": "another key's", "key_id": "other"}, False),
        ({"fingerprint": "another key's", "key_id": "other", "account": "100"}, True),
        ({"fingerprint": "another key's", "key_id": "other", "account": "200"}, False),
        ({"fingerprint": "another key's", "payload": {"Parameter": "***"}}, False),
    ],
)
def test_purchases_of_what_may_be_another_account_share_nothing(start_sandbox, ledger, other, is_one):
    sandbox = start_sandbox()
    dead(sandbox, ledger, {"one": False})
    record = replace(record_of(ledger, "one"), account="100")

    assert is_identical(record, replace(record, **{"account": "", **other})) is is_one


def test_as_many_as_possible_take_an_order_and_the_earlier_first():
    for seed in range(300):
        chance = random.Random(seed)
        numbers = [f"{number}" for number in range(chance.randrange(5))]
        choices = {
            key: [Candidate(n, frozenset({n}), n) for n in numbers if chance.random() < 0.5]
            for key in "abcde"[: chance.randrange(1, 6)]
        }

        shares = shares_of(choices)

        assert len({order.order_id for order in shares.values()}) == len(shares)
        assert all(order in choices[key] for key, order in shares.items())
        assert set(shares) == _first_that_can_take(choices)


def _first_that_can_take(choices):
    """Return the purchases that take an order, found by trying every assignment."""
    taking = []
    for key in choices:
        if _can_all_take([choices[one] for one in [*taking, key]], frozenset()):
            taking.append(key)
    return set(taking)


def _can_all_take(rest, taken):
    if not rest:
        return True
    free = [order.order_id for order in rest[0] if order.order_id not in taken]
    return any(_can_all_take(rest[1:], taken | {order_id}) for order_id in free)


def test_the_answer_to_a_repeat_is_not_taken_while_nobody_knows_whose_it_is(start_sandbox, ledger):
    sandbox = start_sandbox()
    dead(sandbox, ledger, {"one": False, "two": True})
    one = purchase(sandbox, ledger, key="one").place().order_id

    def is_down(*given, **more):
        raise StoreFailed("the ledger is down")

    def goes_down(name):
        if name == "sending":
            ledger.others = is_down

    with pytest.raises(OrderNotRecorded, match=one):
        purchase(sandbox, ledger, key="two", checkpoint=goes_down).place()
    del ledger.others

    assert purchase(sandbox, ledger, key="two").place().order_id != one
    assert len(orders(sandbox)) == 2
