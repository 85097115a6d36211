"""A reservation holds only if everything that counts beside it leaves room, to the cent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_errors import (
    AmountUnknown,
    BalanceTooLow,
    LimitReached,
    MixedCurrencies,
    PriceBlocked,
)
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.purchasing.reservation import Counted, Reservation, Usage, usage_of

NOON = 1_792_036_800.0
"""2026-10-15 12:00 in Shanghai."""

ENDPOINT = "https://billing.example"
LIMIT = Limit("team", Window.DAY, 1_000, "USD")
MINE = Reservation("mine", 300, "USD", (LIMIT,), server=server_name(ENDPOINT), account="1", origin="shop", run="r")


def check(reservation, **usage):
    reservation.check(Usage(**usage), NOON, lambda limit: ["another purchase"])


def record(key="other", state=State.INTENDED, **fields):
    at = fields.pop("intended_at", NOON)
    order = {"order_id": "2026"} if state in (State.ORDERED, State.DELIVERED) else {}
    usual = {"reserved_cents": 100, "reserved_currency": "USD", "endpoint": ENDPOINT, "action": "CreateInstance"}
    of = {"placed_by": {"dag_id": "shop", "run_id": "r"}, "payload": {"ProductCode": "p_waf"}, "owner": "o"}
    given = {**of, **usual, **order, **fields}
    moments = dict.fromkeys(("intended_at", "sending_until", "replay_until", "changed_at"), at)
    return Record(key, "t", 0, "f", state=state, **moments, **given)


def counted(*records, reservation=MINE):
    (of_limit,) = usage_of(reservation, records, NOON).counted
    return of_limit.settled, of_limit.reserved


@pytest.mark.parametrize(("settled", "reserved"), [(701, 0), (0, 701), (400, 301), (1_000, 0)])
def test_a_cent_above_a_limit_is_refused_with_what_was_settled_and_reserved_and_is_needed(settled, reserved):
    with pytest.raises(LimitReached) as caught:
        check(MINE, counted=[Counted(LIMIT, settled, reserved)])

    refusal = caught.value
    assert (refusal.settled, refusal.reserved, refusal.needed) == (settled, reserved, 300)
    assert refusal.by == ("another purchase",)
    assert refusal.ends == LIMIT.span(NOON, MINE.zone)[1]


@pytest.mark.parametrize(("settled", "reserved"), [(700, 0), (0, 700), (400, 300), (0, 0)])
def test_the_last_cent_of_a_limit_may_be_spent(settled, reserved):
    check(MINE, counted=[Counted(LIMIT, settled, reserved)])


def test_each_of_several_limits_must_leave_room():
    small = replace(LIMIT, name="small", max_cents=299)
    with pytest.raises(LimitReached, match="small"):
        check(MINE, counted=[Counted(LIMIT), Counted(small)])


def test_a_purchase_of_which_nothing_tells_the_price_may_have_spent_everything():
    with pytest.raises(AmountUnknown):
        check(MINE, counted=[Counted(LIMIT, unknown=1)])


@pytest.mark.parametrize(
    ("counted", "currency"), [(Counted(LIMIT, foreign=1), "USD"), (Counted(LIMIT), "CNY"), (Counted(LIMIT), "")]
)
def test_amounts_of_two_currencies_are_never_added(counted, currency):
    with pytest.raises(MixedCurrencies):
        check(replace(MINE, currency=currency), counted=[counted])


def test_a_price_that_was_above_its_reservation_blocks_whatever_the_limits_leave():
    with pytest.raises(PriceBlocked):
        check(replace(MINE, limits=()), blocked_cents=0)


BALANCE = replace(MINE, limits=(), balance=1_000, balance_at=NOON, least_balance=500)


@pytest.mark.parametrize("usage", [{"under_way": 201}, {"unknown": 1}], ids=["a cent too much", "an unknown price"])
def test_the_account_never_falls_below_the_least_balance(usage):
    with pytest.raises(BalanceTooLow):
        check(BALANCE, **usage)


def test_the_least_balance_may_be_reached():
    check(BALANCE, under_way=200)
    check(replace(BALANCE, least_balance=None), under_way=10**9, unknown=1)


@pytest.mark.parametrize(
    "beside",
    [
        record("mine"),
        record(state=State.DECLINED),
        record(action="RefundInstance"),
        record(endpoint="https://elsewhere.example"),
        record(account="2"),
        record(intended_at=NOON - 86_400),
        record(reserved_at=NOON - 86_400),
    ],
    ids=["itself", "declined", "a refund", "another server", "another account", "the day before", "reserved before"],
)
def test_what_surely_spends_nothing_of_a_limit_does_not_count(beside):
    assert counted(beside) == (0, 0)


def test_a_declined_purchase_in_another_currency_stops_no_other():
    (of_limit,) = usage_of(MINE, [record(state=State.DECLINED, reserved_currency="CNY")], NOON).counted

    assert of_limit == Counted(LIMIT)


@pytest.mark.parametrize(
    ("beside", "sums"),
    [
        (record(), (0, 100)),
        (record(account="1"), (0, 100)),
        (record(state=State.CHARGED), (0, 100)),
        (record(state=State.REFUSED), (0, 100)),
        (record(state=State.ORDERED), (0, 100)),
        (record(action="RenewInstance"), (0, 100)),
        (record(state=State.DELIVERED, gross_cents=90, currency="USD"), (90, 0)),
        (record(state=State.DELIVERED, gross_cents=170, paid_cents=20, currency="USD"), (170, 0)),
        (record(state=State.ORDERED, paid_cents=130, currency="USD"), (0, 130)),
        (record(intended_at=NOON - 86_400, reserved_at=NOON), (0, 100)),
    ],
)
def test_all_else_counts_with_its_price_or_with_what_it_reserves(beside, sums):
    assert counted(beside) == sums


def test_keys_of_which_no_account_is_known_count_together():
    assert counted(record(account="2"), reservation=replace(MINE, account="")) == (0, 100)


@pytest.mark.parametrize(
    ("limit", "sums"),
    [
        (replace(LIMIT, window=Window.RUN), (0, 100)),
        (replace(LIMIT, window=Window.ORDER), (0, 0)),
        (replace(LIMIT, window=Window.MONTH), (0, 400)),
        (replace(LIMIT, window=Window.MONTH, origin="shop"), (0, 300)),
        (replace(LIMIT, window=Window.MONTH, product="p_disk"), (0, 100)),
    ],
)
def test_a_limit_counts_only_what_it_is_for(limit, sums):
    beside = [
        record("a"),
        record("b", placed_by={"dag_id": "shop", "run_id": "another"}, intended_at=NOON - 86_400),
        record("c", placed_by={"dag_id": "shop", "run_id": "third"}, payload={"ProductCode": "P_DISK"}),
        record("d", placed_by={"dag_id": "another", "run_id": "r"}),
    ]

    assert counted(*beside, reservation=replace(MINE, limits=(limit,))) == sums


def test_a_purchase_of_which_only_a_user_tells_counts_in_the_limit_of_each_product():
    of_product = replace(MINE, limits=(replace(LIMIT, product="p_disk"),))

    assert counted(record(payload={}), reservation=of_product) == (0, 100)


@pytest.mark.parametrize(
    ("beside", "cents"),
    [
        (record(intended_at=NOON - 86_400), 100),
        (record(state=State.DELIVERED, gross_cents=90, currency="USD", intended_at=NOON - 61), 0),
        (record(state=State.DELIVERED, gross_cents=90, currency="USD", intended_at=NOON - 60), 90),
    ],
    ids=["may have an order", "paid before", "paid a moment ago"],
)
def test_what_the_balance_may_not_show_yet_is_taken_from_it(beside, cents):
    assert usage_of(BALANCE, [beside], NOON).under_way == cents
