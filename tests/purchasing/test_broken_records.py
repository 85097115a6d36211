"""The record is wrong, or its store fails."""

from __future__ import annotations

import json
import time

import pytest

from airflow_provider_tcbilling.api.errors import InsufficientBalance
from airflow_provider_tcbilling.purchasing.errors import (
    InvalidRecord,
    OrderNotRecorded,
    PurchaseChanged,
    StoreFailed,
)
from airflow_provider_tcbilling.purchasing.record import Record
from tests.conftest import ORDER, PRICE
from tests.support.purchases import TWO_MONTHS, orders, purchase, record_of, spent

pytestmark = pytest.mark.usefixtures("passing_time")


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
    good = purchase(sandbox, shelf)._intents.first(time.time()).as_json()
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
    assert asked[1:] == ["DescribeDealsByCond", "CreateInstance", *["DescribeDealsByCond"] * 3]
    assert len(orders(sandbox)) == 1
