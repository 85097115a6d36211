"""Prices, vouchers and the currency: set at the start and while the sandbox runs, and as the order book lists them."""

from __future__ import annotations

import argparse
import json
import random

import pytest

from airflow_provider_tcbilling.sandbox.errors import WrongControl
from airflow_provider_tcbilling.sandbox.options import Options, add_arguments
from airflow_provider_tcbilling.sandbox.prices import MOST_PRICES, Price, Prices
from tests.conftest import ORDER, PRICE, client_to
from tests.support.account import added, bought, control, deals, refunded, refusal, renewed, stop_clock

FIREWALL = ORDER["product_code"]
NO_CENTS = [None, -1, 1.5, True, "1", float("nan"), 10**16, [1], {}]


def paid(sandbox):
    """Return money, vouchers and currency of every order, the newest first."""
    return [(deal["RealTotalCost"], deal["VoucherDecline"], deal["Currency"]) for deal in deals(sandbox)]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        *[({"cents": value}, "cents") for value in NO_CENTS],
        ({}, "cents"),
        ({"cents": 1, "colour": "red"}, "colour"),
        ({"cents": 1, "action": "refund"}, "action"),
        ({"cents": 1, "action": ["renew"]}, "action"),
        ({"cents": 1, "product_code": 7}, "product_code"),
        ({"cents": 1, "product_code": "x" * 2000}, "product_code"),
        ({"cents": 1, "parameter": "pid"}, "parameter"),
        ({"cents": 1, "parameter": {"pid": float("inf")}}, "parameter"),
        ({"cents": 1, "period": 0}, "period"),
        ({"cents": 1, "period": True}, "period"),
        ({"cents": 1, "period_unit": "d"}, "period_unit"),
        ({"cents": 1, "currency": 5}, "currency"),
    ],
    ids=str,
)
def test_a_price_that_cannot_be_is_refused_at_the_start_and_while_it_runs(sandbox, wanted, field, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)

    answer = control(sandbox, "POST", "prices", wanted) if is_json(wanted) else None
    with pytest.raises(SystemExit):
        parser.parse_args(["--price", json.dumps(wanted)])

    assert answer is None or (answer.status_code == 400 and field in answer.json()["error"])
    assert "--price" in (said := capsys.readouterr().err)
    assert field in said
    assert sandbox.account.prices.listed() == []


def is_json(wanted):
    """Whether the HTTP library can write it."""
    try:
        return bool(json.dumps(wanted, allow_nan=False))
    except ValueError:
        return False


@pytest.mark.parametrize("text", ["", "900", "[]", "{", "[" * 5000, '{"cents": 1'])
def test_a_price_that_is_no_object_is_refused(text):
    with pytest.raises(WrongControl, match="JSON object"):
        Price.parse(text)


def test_there_are_only_so_many_prices():
    prices = Prices((), PRICE)
    for number in range(MOST_PRICES):
        prices.add({"cents": 1, "product_code": str(number)})

    with pytest.raises(WrongControl, match="that is the most"):
        prices.add({"cents": 1, "product_code": "one more"})
    assert prices.add({"cents": 2, "product_code": "0"}).cents == 2


@pytest.mark.parametrize(
    "wanted",
    [
        {"balance_cents": -1},
        {"balance_cents": 1.5},
        {"voucher_cents": True},
        {"voucher_cents": 10**16},
        {"currency": 5},
        {"currency": "x" * 2000},
        {"money": 1},
        {"balance_cents": 5, "voucher_cents": -5},
        {"balance_cents": None},
    ],
    ids=str,
)
def test_money_that_cannot_be_is_refused_and_nothing_of_it_is_set(sandbox, wanted):
    before = control(sandbox, "GET", "money").json()

    answer = control(sandbox, "POST", "money", wanted)

    assert (answer.status_code, control(sandbox, "GET", "money").json()) == (400, before)
    assert set(wanted) & set(answer.json()["error"].replace(":", " ").split())


def test_a_price_above_the_balance_buys_nothing(sandbox):
    control(sandbox, "POST", "prices", {"cents": 10**15})

    assert refusal(bought, sandbox) == "FailedOperation.BalanceInsufficient"
    assert refusal(bought, sandbox, quantity=9_999, period=36) == "FailedOperation.BalanceInsufficient"
    assert sandbox.account.orders() == []


def test_a_price_can_be_so_high_that_the_client_does_not_read_it(start_sandbox):
    sandbox = start_sandbox(balance_cents=10**15, prices=(Price(10**15),))

    order = bought(sandbox)

    (deal,) = client_to(sandbox).describe_deals(order_id=order.order_id)
    assert deal.paid_cents is None


@pytest.mark.parametrize("distortion", ["fraction", "overflow"])
def test_the_order_book_can_list_an_amount_in_another_notation(sandbox, distortion):
    bought(sandbox)
    sandbox.faults.add({"fault": "book", "distortion": distortion, "field": "RealTotalCost"})

    (deal,) = deals(sandbox)

    assert deal["RealTotalCost"] == {"fraction": PRICE + 0.25, "overflow": float("inf")}[distortion]


def test_a_price_counts_from_the_next_order_on_and_for_the_orders_that_it_names(start_sandbox):
    sandbox = start_sandbox(prices=(Price(7_000, product_code=FIREWALL),))
    order = bought(sandbox, "first")
    control(sandbox, "POST", "prices", {"cents": 900, "product_code": FIREWALL, "action": "renew"})
    control(sandbox, "POST", "prices", {"cents": 8_000, "product_code": FIREWALL, "action": "purchase"})
    bought(sandbox, "second")
    bought(sandbox, "other", product_code="p_other")
    renewed(sandbox, order.instance_ids[0], period=2)

    assert [cents for cents, _, _ in paid(sandbox)] == [1_800, PRICE, 8_000, 7_000]


def test_a_price_for_a_period_is_that_of_the_whole_period(start_sandbox):
    sandbox = start_sandbox(prices=(Price.of({"cents": 90_000, "period": 1, "period_unit": "y"}),))
    control(sandbox, "POST", "prices", {"cents": 25_000, "period": 3})

    bought(sandbox, "a year", period=1, period_unit="y", quantity=2)
    bought(sandbox, "twelve months", period=12)
    bought(sandbox, "three months", period=3)

    assert [cents for cents, _, _ in paid(sandbox)] == [25_000, 12 * PRICE, 180_000]


def test_a_price_for_a_parameter_counts_for_the_renewal_of_what_was_bought_with_it(sandbox):
    sandbox.account.prices.add({"cents": 500, "parameter": {"pid": 7}})
    small = bought(sandbox, "small", parameter={"pid": 7, "size": "s"})
    large = bought(sandbox, "large", parameter={"pid": 8})
    renewed(sandbox, small.instance_ids[0], "first")
    renewed(sandbox, large.instance_ids[0], "second")

    assert [cents for cents, _, _ in paid(sandbox)] == [PRICE, 500, PRICE, 500]


def test_the_prices_of_the_start_come_back(start_sandbox):
    start = (Price(700),)
    sandbox = start_sandbox(prices=start)
    for method, path in (("DELETE", "prices"), ("POST", "reset")):
        control(sandbox, "POST", "prices", {"cents": 900})
        assert control(sandbox, "GET", "prices").json()["prices"] == [{"cents": 900}]
        assert control(sandbox, method, path).status_code == 200
        assert control(sandbox, "GET", "prices").json() == {"prices": [{"cents": 700}], "month_price_cents": PRICE}


def test_vouchers_pay_no_more_than_their_part_of_a_price(start_sandbox):
    sandbox = start_sandbox(voucher_cents=PRICE, voucher_percent=30)

    for token in "abcd":
        bought(sandbox, token)

    part = PRICE * 3 // 10
    assert paid(sandbox)[::-1] == [(PRICE - cents, cents, "USD") for cents in (part, part, part, PRICE - 3 * part)]


def test_money_vouchers_and_currency_change_while_it_runs(sandbox):
    order = bought(sandbox, "first")
    control(sandbox, "POST", "money", {"balance_cents": PRICE, "voucher_cents": 10, "currency": "CNY"})
    bought(sandbox, "second")
    control(sandbox, "POST", "prices", {"cents": 5, "currency": "EUR"})
    bought(sandbox, "third")
    refunded(sandbox, order.instance_ids[0])

    assert paid(sandbox) == [(PRICE, 0, "CNY"), (5, 0, "EUR"), (PRICE - 10, 10, "CNY"), (PRICE, 0, "USD")]
    left = {"balance_cents": PRICE - (PRICE - 10) - 5 + PRICE, "voucher_cents": 0, "currency": "CNY"}
    assert control(sandbox, "GET", "money").json() == left


def test_the_options_are_read_from_the_command_line():
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    flags = ["--price", '{"cents": 5}', "--price", '{"cents": 6, "product_code": "p_waf"}', "--currency", "CNY"]

    chosen = parser.parse_args([*flags, "--voucher-percent", "20", "--suborder-quantity", "1"])

    assert chosen.prices == (Price(5), Price(6, product_code="p_waf"))
    assert (chosen.currency, chosen.voucher_percent, chosen.suborder_quantity) == ("CNY", 20, 1)
    assert parser.parse_args([]).prices == Options().prices == ()


def test_a_purchase_of_several_can_be_several_sub_orders_of_one_big_deal(start_sandbox):
    sandbox = start_sandbox(suborder_quantity=2, voucher_cents=PRICE + 1)

    order = bought(sandbox, quantity=5)
    again = bought(sandbox, quantity=5)

    assert again == type(again)(**{**vars(order), "request_id": again.request_id})
    assert len(order.instance_ids) == 5
    listed = deals(sandbox)[::-1]
    assert [len(deal["ResourceId"]) for deal in listed] == [2, 2, 1]
    assert [deal["TotalCost"] for deal in listed] == [2 * PRICE, 2 * PRICE, PRICE]
    assert [deal["VoucherDecline"] for deal in listed] == [PRICE + 1, 0, 0]
    assert len({deal["OrderId"] for deal in listed}) == 3
    assert {deal["BigDealId"] for deal in listed} == {listed[0]["BigDealId"]}
    assert order.order_id == listed[0]["OrderId"]


def test_each_sub_order_is_refunded_by_itself(start_sandbox):
    sandbox = start_sandbox(suborder_quantity=1)
    stop_clock(sandbox, "2027-01-01T00:00:00Z")
    order = bought(sandbox, quantity=2)
    refunded(sandbox, order.instance_ids[1])

    refund, second, _ = deals(sandbox)

    assert (refund["Action"], refund["RealTotalCost"]) == ("refund", PRICE)
    assert refund["RefReturnDeals"] == second["OrderId"]


@pytest.mark.parametrize("seed", range(8))
def test_no_cent_is_lost_between_prices_vouchers_and_sub_orders(start_sandbox, seed):
    """The money equation of every test here reckons up the account after it."""
    chance = random.Random(seed)
    most = chance.choice([0, 1, 2, 3, 7])
    percent = chance.choice([0, 33, 50, 99, 100])
    sandbox = start_sandbox(suborder_quantity=most, voucher_percent=percent, voucher_cents=chance.randrange(90_000))
    known = [added(sandbox)]
    for number in range(40):
        sandbox.account.prices.add(price(chance))
        quantity, period = chance.randint(1, 9), chance.randint(1, 3)
        if chance.random() < 0.7:
            order = bought(sandbox, str(number), quantity=quantity, period=period)
            known += order.instance_ids
        elif (instance := known.pop(chance.randrange(len(known)))) and chance.random() < 0.5:
            renewed(sandbox, instance, str(number), period=period)
        else:
            refunded(sandbox, instance, str(number))
        known = known or [added(sandbox)]

    placed = sandbox.account.orders()
    assert all(0 <= order.voucher_cents <= order.cost_cents for order in placed)
    assert not most or max(order.quantity for order in placed) <= most
    spent = [order for order in placed if order.moves_money and order.action != "refund"]
    assert sum(order.voucher_cents for order in spent) <= sandbox.options.voucher_cents


def price(chance):
    wanted = {"cents": chance.choice([0, 1, 7, 99, 333, 1_001])}
    if chance.random() < 0.5:
        wanted["action"] = chance.choice(["purchase", "renew"])
    if chance.random() < 0.3:
        wanted |= {"period": chance.randint(1, 3), "period_unit": "m"}
    return wanted


@pytest.mark.parametrize("seed", range(3))
def test_no_control_call_about_money_makes_the_server_fail(sandbox, seed):
    chance = random.Random(seed)
    names = ["cents", "action", "product_code", "parameter", "period", "period_unit", "currency", "balance_cents", ""]
    names += ["voucher_cents", "creator", "create_time", "days_ago", "status", "instance_id", "quantity", "\ud800"]
    values = [
        None,
        -1,
        1.5,
        True,
        "1",
        10**16,
        [1],
        {},
        0,
        1,
        5,
        12,
        "m",
        "y",
        "renew",
        "purchase",
        "\ud800",
        "2026-12-31",
        "0",
        {"pid": 1},
        -100_000,
    ]
    for _ in range(200):
        body = {chance.choice(names): chance.choice(values) for _ in range(chance.randint(0, 4))}

        answer = control(sandbox, "POST", chance.choice(["prices", "money", "orders"]), body)

        assert answer.status_code in (200, 201, 400), (answer.text, body)
        assert answer.status_code != 400 or answer.json()["error"]
        for path in ("state", "orders", "prices", "money"):
            assert control(sandbox, "GET", path).status_code == 200, body
    assert client_to(sandbox).describe_account_balance().balance_cents == sandbox.account.balance_cents
