"""Orders of other users of the account, such as purchases in Tencent's console: no token of ours placed them."""

from __future__ import annotations

import time

import pytest

from airflow_provider_tcbilling.sandbox.other_orders import CREATOR, add_orders
from airflow_provider_tcbilling.sandbox.prices import Price
from tests.conftest import PRICE
from tests.support.account import DAY, bought, control, deals, listed, renewed, shown, stop_clock

NUMBERS = ["cents", "voucher_cents", "quantity", "period", "project_id", "status"]


def place(sandbox, **wanted):
    answer = control(sandbox, "POST", "orders", wanted)
    assert answer.status_code == 201, answer.text
    return answer.json()["orders"]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        *[({name: value}, name) for name in NUMBERS for value in (-1, 1.5, "1", True, None, 10**16, [1], {})],
        ({"colour": "red"}, "colour"),
        ({"action": "refund"}, "action"),
        ({"action": "renew"}, "instance_id"),
        ({"action": "renew", "instance_id": "ins-none"}, "instance_id"),
        ({"instance_id": "ins-none"}, "instance_id"),
        ({"status": 0}, "status"),
        ({"status": 13}, "status"),
        ({"creator": 5}, "creator"),
        ({"create_time": "P1D"}, "create_time"),
        ({"create_time": "9999-12-31T00:00:00Z"}, "create_time"),
        ({"create_time": "2026-12-31T00:00:00Z", "days_ago": 1}, "create_time"),
        ({"days_ago": 10**9}, "days_ago"),
        ({"parameter": "pid"}, "parameter"),
        ({"period_unit": "d"}, "period_unit"),
        ({"cents": 5, "voucher_cents": 6}, "voucher_cents"),
        ({"voucher_cents": 6}, "voucher"),
        ({"cents": 10**15}, "balance"),
    ],
    ids=str,
)
def test_an_order_that_cannot_be_is_refused_and_nothing_is_placed(sandbox, wanted, field):
    answer = control(sandbox, "POST", "orders", wanted)

    assert (answer.status_code, field in answer.json()["error"]) == (400, True), answer.text
    assert sandbox.account.orders() == []
    assert sandbox.account.balance_cents == sandbox.options.balance_cents


@pytest.mark.parametrize("status", [1, 7, 8, 9, 10, 11, 12])
def test_an_order_that_was_never_paid_takes_no_money_and_brings_no_instance(sandbox, status):
    place(sandbox, status=status)

    (deal,) = deals(sandbox)
    assert (deal["Status"], deal["RealTotalCost"], deal["ResourceId"]) == (status, PRICE, None)
    assert sandbox.account.balance_cents == sandbox.options.balance_cents
    assert listed(sandbox) == []


@pytest.mark.parametrize(("status", "left"), [(5, PRICE), (6, 0), (4, PRICE)])
def test_a_paid_order_that_ended_badly_is_paid_unless_it_was_refunded(sandbox, status, left):
    place(sandbox, status=status)

    assert sandbox.options.balance_cents - sandbox.account.balance_cents == left
    assert len(listed(sandbox)) == (status == 4)


def test_an_order_under_way_is_delivered_like_any_other(start_sandbox):
    sandbox = start_sandbox(delivery_seconds=60)
    moment = stop_clock(sandbox, "2027-01-01T00:00:00Z")
    place(sandbox, status=2)
    assert (deals(sandbox)[0]["Status"], listed(sandbox)) == (3, [])

    stop_clock(sandbox, moment + 60)

    assert (deals(sandbox)[0]["Status"], len(listed(sandbox))) == (4, 1)


def test_it_is_in_the_order_book_with_its_user_and_paid_from_the_balance(sandbox):
    place(sandbox, product_code="p_waf", cents=33_300, creator="200000000001", currency="CNY", quantity=2)
    bought(sandbox)
    place(sandbox)

    rows = [(row["Creator"], row["ProductCode"], row["RealTotalCost"], row["Currency"]) for row in deals(sandbox)]

    uin = str(sandbox.account.uin)
    assert uin != CREATOR
    assert rows == [
        (CREATOR, "p_cloudfirewall", PRICE, "USD"),
        (uin, "p_cloudfirewall", PRICE, "USD"),
        ("200000000001", "p_waf", 33_300, "CNY"),
    ]
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - 2 * PRICE - 33_300
    assert sandbox.requests["CreateInstance"] == 1


def test_it_can_be_of_any_time(sandbox):
    stop_clock(sandbox, "2027-03-15T12:00:00Z")
    place(sandbox, create_time="2027-02-28T16:00:00Z")
    place(sandbox, days_ago=0.5)
    bought(sandbox)

    times = [(row["CreateTime"], row["OrderId"][:8]) for row in deals(sandbox)]

    assert times == [
        ("2027-03-15 20:00:00", "20270315"),
        ("2027-03-15 08:00:00", "20270315"),
        ("2027-03-01 00:00:00", "20270301"),
    ]


def test_it_is_listed_when_its_time_has_come(sandbox):
    moment = stop_clock(sandbox, "2027-03-15T12:00:00Z")
    place(sandbox, days_ago=-1)
    assert deals(sandbox) == []

    stop_clock(sandbox, moment + DAY)

    assert len(deals(sandbox)) == 1


def test_the_expiry_counts_from_its_own_time(sandbox):
    stop_clock(sandbox, "2027-03-15T12:00:00Z")
    (order,) = place(sandbox, create_time="2027-03-01T00:00:00Z")

    assert shown(sandbox, order["instance_ids"][0]) == [("NORMAL", "2027-04-01 08:00:00")]


def test_it_can_renew_an_instance_of_ours(sandbox):
    stop_clock(sandbox, "2027-01-01T00:00:00Z")
    sandbox.account.prices.add({"cents": 900, "action": "renew", "parameter": {"pid": 1}})
    (instance,) = bought(sandbox).instance_ids
    place(sandbox, action="renew", instance_id=instance)
    renewed(sandbox, instance)

    ours, theirs, _ = deals(sandbox)

    assert [(row["Action"], row["RealTotalCost"], row["ResourceId"]) for row in (ours, theirs)] == [
        ("renew", 900, [instance])
    ] * 2
    assert shown(sandbox, instance) == [("NORMAL", "2027-04-01 08:00:00")]


def test_its_cost_is_that_of_the_price_list_and_vouchers_pay_as_always(start_sandbox):
    sandbox = start_sandbox(voucher_cents=250, prices=(Price(700, product_code="p_waf"),))
    place(sandbox, product_code="p_waf", period=2, voucher_cents=100)
    place(sandbox, product_code="p_waf")

    assert [(row["RealTotalCost"], row["VoucherDecline"]) for row in deals(sandbox)] == [(550, 150), (1_300, 100)]


def test_its_quantity_is_divided_too_and_its_cost_to_the_cent(start_sandbox):
    sandbox = start_sandbox(suborder_quantity=2)

    orders = add_orders(sandbox.account, {"quantity": 5, "cents": 1_003, "parameter": {"pid": 1}})

    assert [(order.quantity, order.cost_cents) for order in orders] == [(2, 402), (2, 401), (1, 200)]
    assert len({order.big_deal_id for order in orders}) == 1
    assert len(listed(sandbox)) == 5


def test_ten_thousand_are_placed_in_a_moment(sandbox):
    begun = time.monotonic()
    sandbox.account.balance_cents = 10**12
    for number in range(10_000):
        add_orders(sandbox.account, {"days_ago": number / 400, "cents": number})

    assert len(sandbox.account.orders()) == 10_000
    assert time.monotonic() - begun < 60
    assert sandbox.account.instances()[0].expires_at > time.time() - DAY
