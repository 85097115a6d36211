"""A purchase passes its price, its limits and its balance on every path that sends something."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.errors import InvalidRequest, TcBillingError
from airflow_provider_tcbilling.ledger.memory import MemoryStore
from airflow_provider_tcbilling.purchasing.authorization import Authorization
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_errors import (
    ApprovalNeeded,
    BalanceTooLow,
    LimitReached,
    MixedCurrencies,
    PriceBlocked,
    PriceTooHigh,
    PriceUnknown,
)
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules, MoneyRules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.prices import Acceptance, price_key_of
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import State
from airflow_provider_tcbilling.purchasing.refund import Refund
from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch
from tests.conftest import ORDER, PRICE, client_to
from tests.support.crash import dying_at
from tests.support.purchases import LAG, orders, record_of

LIMIT = Limit("team", Window.RUN, PRICE, "USD")
LIMITED = MoneyRules((LIMIT,), max_cents=PRICE)


@pytest.fixture
def store():
    return MemoryStore(replaces_conditionally=True)


@pytest.fixture(autouse=True)
def time_passes(passing_time):
    return passing_time


def purchase(sandbox, store, key="firewall", rules=LIMITED, order=ORDER):
    action = NewInstance(client_to(sandbox, read_timeout=60.0), order)
    return Purchase(
        key, action, store, Rules(lag=LAG, request_seconds=5.0), authorization=Authorization(store, action, rules)
    )


def bought(sandbox, store, key="firewall", rules=LIMITED, order=ORDER):
    """Buy it and read its price, as a task does."""
    one = purchase(sandbox, store, key, rules, order)
    placed = one.place()
    delivery = DeliveryWatch(one._action.client, placed.order_id).step()
    one.note_delivery(delivery.order)
    return placed.order_id


def refused(sandbox, store, error, *given):
    """See a purchase refused, and nothing stored or sent for it."""
    texts, sent = dict(store.texts), sandbox.requests["CreateInstance"]
    with pytest.raises(error) as caught:
        purchase(sandbox, store, *given).place()
    assert store.texts == texts
    assert sandbox.requests["CreateInstance"] == sent
    return caught.value


def test_a_purchase_above_a_limit_is_never_sent(sandbox, store):
    bought(sandbox, store)

    refusal = refused(sandbox, store, LimitReached, "second")

    assert (refusal.settled, refusal.reserved, refusal.needed) == (PRICE, 0, PRICE)
    assert len(orders(sandbox)) == 1


def test_a_purchase_that_is_made_is_returned_again_though_the_limit_is_used_up(sandbox, store):
    assert bought(sandbox, store) == bought(sandbox, store)


def test_what_a_lost_process_reserved_is_taken_from_the_limit_until_its_next_try(sandbox, store, time_passes):
    with dying_at("intent stored"):
        purchase(sandbox, store).place()
    refused(sandbox, store, LimitReached, "second")

    time_passes.sleep(400)

    assert bought(sandbox, store)
    assert len(orders(sandbox)) == 1


def test_a_purchase_that_is_taken_over_must_keep_the_limits_of_now(sandbox, store, time_passes):
    with dying_at("intent stored"):
        purchase(sandbox, store).place()
    time_passes.sleep(200)

    lower = MoneyRules((Limit("lower", Window.RUN, PRICE - 1, "USD"),), max_cents=PRICE)

    assert refused(sandbox, store, LimitReached, "firewall", lower).limit.name == "lower"
    assert orders(sandbox) == []


def test_what_was_declined_is_free_for_another(sandbox, store):
    refusal = {"fault": "error", "code": "FailedOperation.BalanceInsufficient", "when": "before"}
    sandbox.faults.add({**refusal, "action": "CreateInstance"})
    with pytest.raises(TcBillingError):
        purchase(sandbox, store).place()
    assert record_of(store).state is State.DECLINED

    assert bought(sandbox, store, "second")
    refused(sandbox, store, LimitReached)


def test_a_lost_answer_stays_reserved(sandbox, store):
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "CreateInstance"})
    with dying_at("in doubt"):
        purchase(sandbox, store).place()

    refused(sandbox, store, LimitReached, "second")


@pytest.mark.parametrize(
    "rules",
    [LIMITED, MoneyRules(min_balance_cents=0), MoneyRules(approval=ApprovalRules(0))],
    ids=["limits", "a least balance", "an approval"],
)
@pytest.mark.parametrize("way", [{"is_shared": False}, {"replaces_conditionally": False}], ids=str)
def test_a_store_that_does_not_count_money_lets_nothing_pass_that_needs_it(sandbox, rules, way):
    store = MemoryStore(**{"replaces_conditionally": True, **way})

    refused(sandbox, store, InvalidRequest, "firewall", rules)


def test_a_price_that_nothing_tells_is_refused_and_the_next_one_is_remembered(sandbox, store):
    limited = MoneyRules((Limit("team", Window.RUN, 5 * PRICE, "USD"),))
    refused(sandbox, store, PriceUnknown, "first", limited)
    bought(sandbox, store, "first", MoneyRules())

    bought(sandbox, store, "second", limited)

    assert record_of(store, "second").reserved_cents == PRICE
    assert record_of(store, "second").reserved_currency == "USD"


def test_a_remembered_price_above_max_cents_is_refused(sandbox, store):
    bought(sandbox, store, "first", MoneyRules())

    refused(sandbox, store, PriceTooHigh, "second", MoneyRules(max_cents=PRICE - 1, currency="USD"))

    assert bought(sandbox, store, "second", MoneyRules(max_cents=PRICE, currency="USD"))


@pytest.mark.parametrize("accepted", [PRICE - 1, PRICE], ids=["too little", "the price"])
def test_an_order_above_its_reservation_blocks_its_price_until_a_user_accepts_it(sandbox, store, accepted, logged):
    low = MoneyRules(max_cents=PRICE - 1, currency="USD")
    bought(sandbox, store, "first", low)
    record = record_of(store, "first")
    assert record.is_overrun
    wide = MoneyRules((Limit("team", Window.RUN, 5 * PRICE, "USD"),), max_cents=2 * PRICE)
    refused(sandbox, store, PriceBlocked, "second", wide)

    store.accept_price(server_name(record.endpoint), "", record.price_key, Acceptance(accepted, "USD", "alice"))

    if accepted < PRICE:
        refused(sandbox, store, PriceBlocked, "second", wide)
    else:
        assert bought(sandbox, store, "second", wide)


@pytest.mark.parametrize(
    "rules",
    [
        MoneyRules((LIMIT,), max_cents=PRICE, currency="CNY"),
        MoneyRules((Limit("team", Window.RUN, 5 * PRICE, "CNY"),), max_cents=PRICE),
        MoneyRules(max_cents=PRICE, currency="CNY"),
    ],
    ids=["limit and max_cents", "limit and price", "max_cents and price"],
)
def test_two_currencies_are_refused(sandbox, store, rules):
    bought(sandbox, store, "first", MoneyRules())

    refused(sandbox, store, MixedCurrencies, "second", rules)


def test_max_cents_without_a_currency_is_refused(sandbox, store):
    refused(sandbox, store, InvalidRequest, "first", MoneyRules(max_cents=PRICE))


@pytest.mark.parametrize("least", [0, 1])
def test_the_account_keeps_its_least_balance(start_sandbox, store, least):
    sandbox = start_sandbox(balance_cents=2 * PRICE)
    rules = MoneyRules(max_cents=PRICE, currency="USD", min_balance_cents=PRICE + least)

    if least:
        refused(sandbox, store, BalanceTooLow, "firewall", rules)
    else:
        assert bought(sandbox, store, "firewall", rules)
        refused(sandbox, store, BalanceTooLow, "second", rules)


def test_an_approval_is_needed_above_its_amount_only(sandbox, store):
    refused(
        sandbox, store, ApprovalNeeded, "first", MoneyRules((), "UTC", PRICE, "USD", None, ApprovalRules(PRICE - 1))
    )

    assert bought(sandbox, store, "first", MoneyRules((), "UTC", PRICE, "USD", None, ApprovalRules(PRICE)))


def test_nobody_is_asked_about_what_a_limit_refuses(sandbox, store):
    bought(sandbox, store)

    refused(sandbox, store, LimitReached, "second", MoneyRules((LIMIT,), max_cents=PRICE, approval=ApprovalRules(0)))


def test_a_refund_needs_no_room_in_a_limit_and_gives_none_back(sandbox, store):
    bought(sandbox, store)
    instance = sandbox.account.instances()[0].instance_id
    names = ("product_code", "sub_product_code", "region_code")
    action = Refund(client_to(sandbox), {**{name: ORDER[name] for name in names}, "instance_id": instance})
    Purchase("back", action, store, authorization=Authorization(store, action, LIMITED)).place()

    assert record_of(store, "back").reserved_cents is None
    refused(sandbox, store, LimitReached, "second")


def test_a_purchase_without_rules_still_remembers_its_price(sandbox, store):
    bought(sandbox, store, "first", MoneyRules())

    record = record_of(store, "first")
    assert (record.price_key, record.gross_cents) == (price_key_of("CreateInstance", record.payload), PRICE)
    assert record.reserved_cents is None


SAME = [{"project_id": 7}, {"renew_flag": "NOTIFY_AND_AUTO_RENEW"}]
OTHER = [{"zone_code": "ap-guangzhou-3"}, {"quantity": 2}, {"period": 2}, {"period_unit": "y"}, {"parameter": {"a": 1}}]


@pytest.mark.parametrize(
    ("changes", "is_same"), [*((one, True) for one in SAME), *((one, False) for one in OTHER)], ids=str
)
def test_a_price_is_remembered_for_all_that_has_the_same_price_and_for_nothing_else(sandbox, changes, is_same):
    order = {**ORDER, "parameter": {"pid": 1002147}}
    keys = {
        price_key_of("CreateInstance", NewInstance(client_to(sandbox), {**order, **more}).payload_shown)
        for more in ({}, changes)
    }

    assert (len(keys) == 1) is is_same


def test_a_price_of_a_renewal_is_of_its_instance_and_never_that_of_a_purchase():
    fields = {"ProductCode": "p", "SubProductCode": "s", "RegionCode": "r", "Period": 1, "PeriodUnit": "m"}
    keys = {
        price_key_of("CreateInstance", fields),
        price_key_of("RenewInstance", {**fields, "InstanceId": "ins-1"}),
        price_key_of("RenewInstance", {**fields, "InstanceId": "ins-2"}),
    }

    assert len(keys) == 3
