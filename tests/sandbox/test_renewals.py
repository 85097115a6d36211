"""What was bought, as time goes by: expiry, isolation, renewal by hand and by itself, and the list of it all."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.api.errors import OutcomeUnknown
from airflow_provider_tcbilling.sandbox.instances import ISOLATED_DAYS
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import PRICE, client_to
from tests.support.account import (
    AUTO,
    DAY,
    MANUAL,
    PRODUCT,
    added,
    bought,
    control,
    deals,
    epoch,
    listed,
    refunded,
    refusal,
    renewed,
    shown,
    stop_clock,
)

NO_SUCH, LOCKED = "InvalidParameter.ApiParamError", "InvalidParameter.ResourceLocked"


@pytest.mark.parametrize(
    ("zone", "delivered", "period", "expires"),
    [
        ("Asia/Shanghai", "2027-01-31T04:00:00Z", (1, "m"), "2027-02-28 12:00:00"),
        ("Asia/Shanghai", "2028-01-31T04:00:00Z", (1, "m"), "2028-02-29 12:00:00"),
        ("Asia/Shanghai", "2028-02-29T04:00:00Z", (1, "y"), "2029-02-28 12:00:00"),
        ("Asia/Shanghai", "2027-01-30T17:00:00Z", (1, "m"), "2027-02-28 01:00:00"),
        ("UTC", "2027-01-30T17:00:00Z", (1, "m"), "2027-02-28 17:00:00"),
        ("UTC", "2027-08-31T23:59:59Z", (6, "m"), "2028-02-29 23:59:59"),
    ],
)
def test_an_instance_expires_on_the_same_day_of_a_later_month_or_on_its_last(
    start_sandbox, zone, delivered, period, expires
):
    sandbox = start_sandbox(zone=zone)
    stop_clock(sandbox, delivered)
    (instance_id,) = bought(sandbox, period=period[0], period_unit=period[1]).instance_ids

    assert shown(sandbox, instance_id) == [("NORMAL", expires)]


def test_there_is_no_instance_before_its_order_is_delivered(start_sandbox):
    sandbox = start_sandbox(delivery_looks=1)
    bought(sandbox, quantity=3)

    assert listed(sandbox) == []
    deals(sandbox)
    deals(sandbox)
    assert sorted(one["InstanceId"] for one in listed(sandbox)) == sorted(sandbox.account.orders()[0].instance_ids)
    assert len(listed(sandbox)) == 3


def test_the_time_paid_for_begins_with_the_delivery_not_with_the_order(start_sandbox):
    sandbox = start_sandbox(delivery_seconds=60, zone="UTC")
    moment = stop_clock(sandbox, "2027-03-01T00:00:00Z")
    bought(sandbox)
    stop_clock(sandbox, moment + 3600)

    assert [one["ExpireTime"] for one in listed(sandbox)] == ["2027-04-01 01:00:00"]


@pytest.mark.parametrize("status", [5, 6, 7, 77])
def test_an_order_that_ends_otherwise_makes_no_instance(sandbox, status):
    sandbox.faults.add({"fault": "order-status", "status": status})
    bought(sandbox)

    assert listed(sandbox) == []


def test_an_expired_instance_is_isolated_and_then_gone(sandbox):
    expiry = epoch("2027-05-01T00:00:00Z")
    stop_clock(sandbox, expiry - DAY)
    instance_id = added(sandbox, expire_time="2027-05-01T00:00:00Z", name="edge")

    assert shown(sandbox, instance_id) == [("NORMAL", "2027-05-01 08:00:00")]
    stop_clock(sandbox, expiry)
    assert shown(sandbox, instance_id) == [("ISOLATED", "2027-05-01 08:00:00")]
    stop_clock(sandbox, expiry + ISOLATED_DAYS * DAY - 1)
    assert shown(sandbox, instance_id) == [("ISOLATED", "2027-05-01 08:00:00")]
    stop_clock(sandbox, expiry + ISOLATED_DAYS * DAY)
    assert shown(sandbox, instance_id) == []
    assert refusal(renewed, sandbox, instance_id) == NO_SUCH
    assert control(sandbox, "GET", "state").json()["subscriptions"] == []


def test_a_renewal_moves_the_expiry_when_it_is_delivered_and_takes_the_money_at_once(start_sandbox):
    sandbox = start_sandbox(delivery_seconds=60)
    moment = stop_clock(sandbox, "2027-01-01T00:00:00Z")
    instance_id = added(sandbox, expire_time="2027-01-31T04:00:00Z")
    order_id = renewed(sandbox, instance_id, period=2)

    assert sandbox.account.balance_cents == sandbox.options.balance_cents - 2 * PRICE
    (deal,) = deals(sandbox, order_id=order_id)
    assert (deal["Action"], deal["Status"], deal["ResourceId"]) == ("renew", 3, [instance_id])
    assert shown(sandbox, instance_id) == [("NORMAL", "2027-01-31 12:00:00")]
    stop_clock(sandbox, moment + 60)
    (deal,) = deals(sandbox, order_id=order_id)
    assert (deal["Status"], deal["RealTotalCost"], deal["TimeSpan"]) == (4, 2 * PRICE, 2.0)
    assert deal["ZoneCode"] == "ap-guangzhou-6"
    assert shown(sandbox, instance_id) == [("NORMAL", "2027-03-31 12:00:00")]


def test_every_renewal_adds_a_period(sandbox):
    stop_clock(sandbox, "2027-01-01T00:00:00Z")
    instance_id = added(sandbox, expire_time="2027-01-10T00:00:00Z")
    for token in "abc":
        renewed(sandbox, instance_id, token=token)

    assert shown(sandbox, instance_id) == [("NORMAL", "2027-04-10 08:00:00")]
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - 3 * PRICE
    assert len(deals(sandbox, resource_id=instance_id)) == 4


@pytest.mark.parametrize(
    ("rule", "expires"), [("from-expiry", "2027-06-01 08:00:00"), ("from-now", "2027-06-04 08:00:00")]
)
def test_a_renewal_brings_an_isolated_instance_back_and_counts_as_the_rule_says(start_sandbox, rule, expires):
    sandbox = start_sandbox(isolated_renewal=rule)
    stop_clock(sandbox, "2027-05-04T00:00:00Z")
    instance_id = added(sandbox, expire_time="2027-05-01T00:00:00Z")
    renewed(sandbox, instance_id)

    assert shown(sandbox, instance_id) == [("NORMAL", expires)]


@pytest.mark.parametrize("rule", ["from-expiry", "from-now"])
def test_a_renewal_before_the_expiry_counts_from_it_under_either_rule(start_sandbox, rule):
    sandbox = start_sandbox(isolated_renewal=rule, delivery_seconds=DAY)
    moment = stop_clock(sandbox, "2027-04-30T23:00:00Z")
    instance_id = added(sandbox, expire_time="2027-05-01T00:00:00Z")
    renewed(sandbox, instance_id)
    stop_clock(sandbox, moment + 10 * DAY)

    assert shown(sandbox, instance_id) == [("NORMAL", "2027-06-01 08:00:00")]


def test_an_instance_whose_renewal_is_under_way_does_not_disappear(start_sandbox):
    sandbox = start_sandbox(delivery_looks=1)
    moment = stop_clock(sandbox, "2027-05-07T00:00:00Z")
    instance_id = added(sandbox, expire_time="2027-05-01T00:00:00Z")
    order_id = renewed(sandbox, instance_id)
    stop_clock(sandbox, moment + 3 * DAY)

    assert shown(sandbox, instance_id) == [("ISOLATED", "2027-05-01 08:00:00")]
    deals(sandbox, order_id=order_id)
    deals(sandbox, order_id=order_id)
    assert shown(sandbox, instance_id) == [("NORMAL", "2027-06-01 08:00:00")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"instance_id": "ins-nowhere"},
        {"product_code": "p_other"},
        {"sub_product_code": "sp_other"},
        {"region_code": "ap-singapore"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
@pytest.mark.parametrize("call", [renewed, refunded])
def test_what_does_not_name_an_instance_rightly_is_refused_and_costs_nothing(sandbox, call, wrong):
    instance_id = added(sandbox)

    assert refusal(call, sandbox, **{"instance_id": instance_id, **wrong}) == NO_SUCH
    assert len(sandbox.account.orders()) == 1


@pytest.mark.parametrize("call", [renewed, refunded])
def test_a_locked_instance_is_neither_renewed_nor_given_back(sandbox, call):
    assert refusal(call, sandbox, added(sandbox, locked=True)) == LOCKED


def test_without_money_nothing_is_renewed(start_sandbox):
    sandbox = start_sandbox(balance_cents=PRICE - 1)
    instance_id = added(sandbox)

    assert refusal(renewed, sandbox, instance_id) == "FailedOperation.BalanceInsufficient"
    assert len(sandbox.account.orders()) == 1


def test_nothing_is_renewed_for_more_than_36_months_ahead(start_sandbox):
    sandbox = start_sandbox(delivery_looks=1)
    stop_clock(sandbox, "2027-01-01T00:00:00Z")
    instance_id = added(sandbox, expire_time="2027-02-01T00:00:00Z")

    assert refusal(renewed, sandbox, instance_id, period=36) == "FailedOperation.BusinessCheckErrCode"
    renewed(sandbox, instance_id, token="two years", period=2, period_unit="y")
    assert refusal(renewed, sandbox, instance_id, period=1, period_unit="y") == "FailedOperation.BusinessCheckErrCode"
    renewed(sandbox, instance_id, token="eleven months", period=11)


def test_what_has_no_expiry_is_listed_last_and_keeps_none_when_it_is_renewed(sandbox):
    without = added(sandbox, expire_time=None)
    dated = added(sandbox, expires_in_days=9999)
    renewed(sandbox, without)

    for reverse in (False, True):
        assert [one["InstanceId"] for one in listed(sandbox, reverse=reverse)] == [dated, without]
    assert shown(sandbox, without) == [("NORMAL", None)]
    assert [one["InstanceId"] for one in listed(sandbox, expire_time_start="2020-01-01 00:00:00")] == [dated]


def test_auto_renewals_happen_at_each_expiry_however_far_the_clock_jumps(sandbox):
    stop_clock(sandbox, "2027-01-31T04:00:00Z")
    (instance_id,) = bought(sandbox, renew_flag=AUTO).instance_ids
    stop_clock(sandbox, "2027-06-01T04:00:00Z")

    assert sandbox.account.balance_cents == sandbox.options.balance_cents - 5 * PRICE
    assert shown(sandbox, instance_id) == [("NORMAL", "2027-06-28 12:00:00")]
    renewals = [deal for deal in deals(sandbox, resource_id=instance_id) if deal["Action"] == "renew"]
    assert [deal["CreateTime"] for deal in renewals] == [f"2027-0{month}-28 12:00:00" for month in (5, 4, 3, 2)]
    assert {deal["Status"] for deal in renewals} == {4}
    assert [order.history[-1][0] for order in sandbox.account.orders()[1:3]] == [
        epoch("2027-02-28T04:00:00Z"),
        epoch("2027-03-28T04:00:00Z"),
    ]


def test_an_auto_renewal_takes_the_period_that_was_set(sandbox):
    moment = stop_clock(sandbox, "2027-01-01T00:00:00Z")
    instance_id = added(sandbox, expire_time="2027-01-10T00:00:00Z")
    setting = {"product_code": PRODUCT["product_code"], "region_code": PRODUCT["region_code"]}
    assert (
        client_to(sandbox).set_renewal(
            instance_id=instance_id, renew_flag=AUTO, renew_period="2", renew_period_unit="y", **setting
        )
        == []
    )
    stop_clock(sandbox, moment + 30 * DAY)

    (one,) = listed(sandbox)
    assert (one["ExpireTime"], one["RenewPeriod"], one["RenewPeriodUnit"]) == ("2029-01-10 08:00:00", 2, "y")
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - 24 * PRICE


def test_what_cannot_be_paid_at_its_expiry_lapses_even_if_money_comes_later(start_sandbox):
    sandbox = start_sandbox(balance_cents=PRICE)
    stop_clock(sandbox, "2027-01-01T00:00:00Z")
    late = added(sandbox, expire_time="2027-01-20T00:00:00Z", renew_flag=AUTO)
    early = added(sandbox, expire_time="2027-01-15T00:00:00Z", renew_flag=AUTO)
    given_back = added(sandbox, expire_time="2027-03-01T00:00:00Z", paid_cents=2 * PRICE, bought_days_ago=1)
    stop_clock(sandbox, "2027-01-21T00:00:00Z")

    assert shown(sandbox, early) == [("NORMAL", "2027-02-15 08:00:00")]
    assert shown(sandbox, late) == [("ISOLATED", "2027-01-20 08:00:00")]
    refunded(sandbox, given_back)
    assert sandbox.account.balance_cents > PRICE
    assert shown(sandbox, late) == [("ISOLATED", "2027-01-20 08:00:00")]
    client_to(sandbox).set_renewal(
        instance_id=late, renew_flag=AUTO, product_code=PRODUCT["product_code"], region_code=PRODUCT["region_code"]
    )
    assert shown(sandbox, late) == [("ISOLATED", "2027-01-20 08:00:00")]


@pytest.mark.parametrize("flag", [MANUAL, "DISABLE_NOTIFY_AND_MANUAL_RENEW", "A_FLAG_NOBODY_KNOWS"])
def test_only_the_flag_that_says_so_renews_by_itself(sandbox, flag):
    moment = stop_clock(sandbox, "2027-01-01T00:00:00Z")
    instance_id = added(sandbox, expires_in_days=1, renew_flag=flag)
    stop_clock(sandbox, moment + 2 * DAY)

    assert shown(sandbox, instance_id)[0][0] == "ISOLATED"
    assert listed(sandbox)[0]["RenewFlag"] == flag


def test_a_locked_instance_does_not_renew_itself(sandbox):
    moment = stop_clock(sandbox, "2027-01-01T00:00:00Z")
    instance_id = added(sandbox, expires_in_days=1, renew_flag=AUTO, locked=True)
    stop_clock(sandbox, moment + 2 * DAY)

    assert shown(sandbox, instance_id)[0][0] == "ISOLATED"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"instance_id": "ins-nowhere"}, "there is no instance ins-nowhere"),
        ({"product_code": "p_other"}, "ProductCode of"),
        ({"region_code": "ap-singapore"}, "RegionCode of"),
        ({"renew_period": "12", "renew_period_unit": "m"}, "at most 11 m"),
    ],
)
def test_a_renewal_that_cannot_be_set_is_named_in_the_answer_which_is_no_error(sandbox, wrong, message):
    instance_id = added(sandbox)
    request = {"product_code": PRODUCT["product_code"], "region_code": PRODUCT["region_code"], "renew_flag": AUTO}
    request = {**request, "instance_id": instance_id, **wrong}

    (failed,) = client_to(sandbox).set_renewal(**request)

    assert failed["InstanceId"] == request["instance_id"]
    assert isinstance(failed["Code"], int)
    assert message in failed["Message"]
    assert listed(sandbox)[0]["RenewFlag"] == MANUAL


@pytest.mark.parametrize(
    ("rule", "orders", "error"),
    [
        ("honour", 1, None),
        ("forget-after:60", 1, None),
        ("ignore", 2, None),
        ("reject-repeat", 1, "FailedOperation.InvalidDeal"),
    ],
)
def test_each_rule_for_the_token_of_a_renewal(start_sandbox, rule, orders, error):
    sandbox = start_sandbox(tokens=Tokens.parse(rule))
    moment = stop_clock(sandbox, "2027-01-01T00:00:00Z")
    instance_id = added(sandbox, expire_time="2027-02-01T00:00:00Z")
    first = renewed(sandbox, instance_id)

    if error:
        assert refusal(renewed, sandbox, instance_id) == error
    else:
        assert (renewed(sandbox, instance_id) == first) == (orders == 1)
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - orders * PRICE
    assert shown(sandbox, instance_id) == [("NORMAL", f"2027-0{2 + orders}-01 08:00:00")]
    if rule.startswith("forget"):
        stop_clock(sandbox, moment + 61)
        assert renewed(sandbox, instance_id) != first


def test_a_token_is_shared_by_all_that_spends(sandbox):
    (instance_id,) = bought(sandbox, token="mine").instance_ids

    assert refusal(renewed, sandbox, instance_id, token="mine") == NO_SUCH
    renewed(sandbox, instance_id, token="other")
    assert refusal(renewed, sandbox, instance_id, token="other", period=2) == NO_SUCH
    assert refusal(refunded, sandbox, instance_id, token="other") == NO_SUCH
    assert len(sandbox.account.orders()) == 2


@pytest.mark.parametrize("status", [5, 6, 7])
def test_a_renewal_that_ends_otherwise_leaves_the_expiry(sandbox, status):
    stop_clock(sandbox, "2027-01-01T00:00:00Z")
    instance_id = added(sandbox, expire_time="2027-02-01T00:00:00Z")
    sandbox.faults.add({"fault": "order-status", "status": status, "action": "RenewInstance"})
    renewed(sandbox, instance_id)

    assert shown(sandbox, instance_id) == [("NORMAL", "2027-02-01 08:00:00")]
    assert (sandbox.account.balance_cents == sandbox.options.balance_cents) == (status == 6)


def test_a_nameless_renewal_names_its_instance_when_it_is_delivered(start_sandbox):
    sandbox = start_sandbox(delivery_looks=1)
    instance_id = added(sandbox)
    sandbox.faults.add({"fault": "nameless"})
    order_id = renewed(sandbox, instance_id)

    assert [deals(sandbox, order_id=order_id)[0]["ResourceId"] for _ in range(2)] == [None, [instance_id]]


def test_an_expiry_can_be_late_in_the_list(sandbox):
    moment = stop_clock(sandbox, "2027-01-01T00:00:00Z")
    instance_id = added(sandbox, expire_time="2027-02-01T00:00:00Z")
    sandbox.faults.add({"fault": "expiry-late", "seconds": 90.0})
    renewed(sandbox, instance_id)
    renewed(sandbox, instance_id, token="again")

    assert shown(sandbox, instance_id) == [("NORMAL", "2027-02-01 08:00:00")]
    stop_clock(sandbox, moment + 89)
    assert shown(sandbox, instance_id) == [("NORMAL", "2027-02-01 08:00:00")]
    stop_clock(sandbox, moment + 90)
    assert shown(sandbox, instance_id) == [("NORMAL", "2027-04-01 08:00:00")]


@pytest.mark.parametrize("fault", ["drop", "cut", "no-order-id"])
def test_a_renewal_whose_answer_is_lost_has_happened_all_the_same(sandbox, fault):
    instance_id = added(sandbox)
    sandbox.faults.add({"fault": fault, "action": "RenewInstance"})

    with pytest.raises(OutcomeUnknown):
        renewed(sandbox, instance_id)

    assert sandbox.account.balance_cents == sandbox.options.balance_cents - PRICE
    assert (sandbox.journal[-1].order_id, sandbox.journal[-1].client_token) == (
        sandbox.account.orders()[-1].order_id,
        "renew",
    )
