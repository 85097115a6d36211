"""Two copies of one try run at the same time, and one of them sends."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.errors import InsufficientBalance
from airflow_provider_tcbilling.purchasing.purchase import Attempt
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import PRICE
from tests.support.purchases import lose, orders, purchase, record_of
from tests.support.shelf import Shelf

pytestmark = pytest.mark.usefixtures("passing_time")


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
        theirs = replace(record_of(store), owner=copy._intents.owner)
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
        if stored["owner"] == mine._intents.owner and stored["state"] == "intended":
            theirs = replace(record_of(shelf), owner=copy._intents.owner)
            replaced(key, theirs.as_json())
            copy._send(theirs, Attempt.FIRST)
        return True

    shelf.replace = overwritten

    order = mine.place()

    assert orders(sandbox) == [order.order_id]


def test_the_copy_that_comes_second_waits_for_the_one_that_sends(start_sandbox, shelf, passing_time):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    first = purchase(sandbox, shelf)
    intent = first._intents.first(time.time())
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
    stale = replace(purchase(sandbox, shelf)._intents.first(time.time()), owner="dead", sending_until=time.time() - 60)
    shelf.create("firewall", stale.as_json())
    sleep, other = passing_time.sleep, purchase(sandbox, shelf)

    def meanwhile(seconds):
        sleep(seconds)
        if record_of(shelf).owner not in ("dead", other._intents.owner) and not orders(sandbox):
            taken = replace(record_of(shelf), owner=other._intents.owner)
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
        if stored["owner"] == mine._intents.owner and stored["state"] == "intended" and not orders(sandbox):
            taken = replace(record_of(shelf), owner=other._intents.owner)
            replaced(key, taken.as_json())
            other._send(taken, Attempt.FIRST)
        return True

    shelf.replace = taken_over

    order = mine.place()

    assert orders(sandbox) == [order.order_id]
