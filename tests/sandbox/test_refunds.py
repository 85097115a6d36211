"""Refunds: what comes back, when, and what becomes of the instance; and the vouchers, which never come back."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.sandbox.instances import FULL_REFUND_DAYS
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import PRICE
from tests.support.account import (
    AUTO,
    DAY,
    added,
    bought,
    control,
    deals,
    listed,
    refunded,
    refusal,
    renewed,
    shown,
    stop_clock,
)

NO_SUCH, LOCKED = "InvalidParameter.ApiParamError", "InvalidParameter.ResourceLocked"


def test_the_money_comes_back_and_the_instance_goes_when_the_refund_is_carried_out(start_sandbox):
    sandbox = start_sandbox(delivery_seconds=60)
    moment = stop_clock(sandbox, "2027-01-01T00:00:00Z")
    bought(sandbox)
    stop_clock(sandbox, moment + 60)
    (instance,) = listed(sandbox)
    order_id = refunded(sandbox, instance["InstanceId"])

    assert sandbox.account.balance_cents == sandbox.options.balance_cents - PRICE
    assert deals(sandbox, order_id=order_id)[0]["Status"] == 3
    assert refusal(refunded, sandbox, instance["InstanceId"], token="again") == LOCKED
    assert refusal(renewed, sandbox, instance["InstanceId"]) == LOCKED
    stop_clock(sandbox, moment + 120)
    (deal,) = deals(sandbox, order_id=order_id)
    assert (deal["Action"], deal["Status"], deal["RealTotalCost"]) == ("refund", 6, PRICE)
    assert deal["ResourceId"] == [instance["InstanceId"]]
    assert sandbox.account.balance_cents == sandbox.options.balance_cents
    assert listed(sandbox) == []
    assert refusal(refunded, sandbox, instance["InstanceId"], token="again") == NO_SUCH
    assert refusal(renewed, sandbox, instance["InstanceId"]) == NO_SUCH


def test_only_the_first_refund_of_a_product_gives_all_of_it_back(sandbox):
    moment = stop_clock(sandbox, "2027-02-01T00:00:00Z")
    ids = bought(sandbox, quantity=3).instance_ids
    (other,) = bought(sandbox, token="other", product_code="p_other").instance_ids
    stop_clock(sandbox, moment + FULL_REFUND_DAYS * DAY)
    refunded(sandbox, ids[0], token="first")
    refunded(sandbox, ids[1], token="second")
    refunded(sandbox, other, token="other product", product_code="p_other")

    costs = [deal["RealTotalCost"] for deal in deals(sandbox) if deal["Action"] == "refund"]
    assert costs == [PRICE, PRICE * 23 // 28, PRICE]


def test_after_five_days_the_time_that_is_left_comes_back_in_whole_cents(sandbox):
    moment = stop_clock(sandbox, "2027-02-01T00:00:00Z")
    (instance_id,) = bought(sandbox).instance_ids
    renewed(sandbox, instance_id, period=2)
    stop_clock(sandbox, moment + FULL_REFUND_DAYS * DAY + 1)
    refunded(sandbox, instance_id)

    (refund, renewal, purchase) = deals(sandbox)
    whole = (28 + 31 + 30) * DAY
    assert refund["RealTotalCost"] == 3 * PRICE * (whole - FULL_REFUND_DAYS * DAY - 1) // whole
    assert refund["RefReturnDeals"] == f"{purchase['OrderId']},{renewal['OrderId']}"
    assert "30000 cents" in refund["Formula"]
    assert refund["ZoneCode"] == purchase["ZoneCode"]


@pytest.mark.parametrize("expiry", [{"expire_time": None}, {"expires_in_days": -3}])
def test_what_has_no_time_left_is_worth_nothing(sandbox, expiry):
    instance_id = added(sandbox, **expiry)
    refunded(sandbox, instance_id)

    assert deals(sandbox)[0]["RealTotalCost"] == 0
    assert listed(sandbox) == []


@pytest.mark.parametrize("status", [5, 7, 77])
def test_a_refund_that_ends_otherwise_gives_nothing_back_and_leaves_the_instance(sandbox, status):
    (instance_id,) = bought(sandbox).instance_ids
    sandbox.faults.add({"fault": "order-status", "status": status, "action": "RefundInstance"})
    refunded(sandbox, instance_id)

    assert deals(sandbox, status_set=[status])[0]["Action"] == "refund"
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - PRICE
    renewed(sandbox, instance_id)
    refunded(sandbox, instance_id, token="again")
    assert sandbox.account.balance_cents == sandbox.options.balance_cents


def test_nothing_is_given_back_while_its_renewal_is_under_way(start_sandbox):
    sandbox = start_sandbox(delivery_seconds=60)
    instance_id = added(sandbox)
    renewed(sandbox, instance_id)

    assert refusal(refunded, sandbox, instance_id) == LOCKED


def test_an_instance_does_not_renew_itself_while_its_refund_is_under_way(start_sandbox):
    sandbox = start_sandbox(delivery_looks=1)
    moment = stop_clock(sandbox, "2027-01-01T00:00:00Z")
    instance_id = added(sandbox, expires_in_days=1, renew_flag=AUTO)
    refunded(sandbox, instance_id)
    stop_clock(sandbox, moment + 2 * DAY)

    assert shown(sandbox, instance_id)[0][0] == "ISOLATED"
    assert sandbox.account.balance_cents == sandbox.options.balance_cents


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ("honour", None),
        ("forget-after:60", None),
        ("ignore", NO_SUCH),
        ("reject-repeat", "FailedOperation.InvalidDeal"),
    ],
)
def test_each_rule_for_the_token_of_a_refund(start_sandbox, rule, error):
    sandbox = start_sandbox(tokens=Tokens.parse(rule))
    moment = stop_clock(sandbox, "2027-01-01T00:00:00Z")
    (instance_id,) = bought(sandbox).instance_ids
    first = refunded(sandbox, instance_id)

    if error:
        assert refusal(refunded, sandbox, instance_id) == error
    else:
        assert refunded(sandbox, instance_id) == first
    if rule.startswith("forget"):
        stop_clock(sandbox, moment + 61)
        assert refusal(refunded, sandbox, instance_id) == NO_SUCH
    assert len(sandbox.account.orders()) == 2
    assert sandbox.account.balance_cents == sandbox.options.balance_cents


def test_a_nameless_refund_names_its_instance_when_it_is_carried_out(start_sandbox):
    sandbox = start_sandbox(delivery_looks=1)
    instance_id = added(sandbox)
    sandbox.faults.add({"fault": "nameless", "action": "RefundInstance"})
    order_id = refunded(sandbox, instance_id)

    assert [deals(sandbox, order_id=order_id)[0]["ResourceId"] for _ in range(2)] == [None, [instance_id]]


def test_vouchers_are_used_before_money_and_are_lost_in_a_refund(start_sandbox):
    sandbox = start_sandbox(voucher_cents=PRICE + PRICE // 4)
    stop_clock(sandbox, "2027-01-01T00:00:00Z")
    (instance_id,) = bought(sandbox).instance_ids
    renewed(sandbox, instance_id)

    (renewal, purchase) = deals(sandbox)
    assert (purchase["TotalCost"], purchase["RealTotalCost"], purchase["VoucherDecline"]) == (PRICE, 0, PRICE)
    assert (renewal["RealTotalCost"], renewal["VoucherDecline"]) == (PRICE * 3 // 4, PRICE // 4)
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - PRICE * 3 // 4
    refunded(sandbox, instance_id)
    assert deals(sandbox)[0]["RealTotalCost"] == PRICE * 3 // 4
    assert (sandbox.account.balance_cents, sandbox.account.voucher_cents) == (sandbox.options.balance_cents, 0)


def test_vouchers_and_money_together_can_be_enough(start_sandbox):
    sandbox = start_sandbox(balance_cents=PRICE // 2, voucher_cents=PRICE // 2)
    (instance_id,) = bought(sandbox).instance_ids

    assert sandbox.account.balance_cents == 0
    assert refusal(renewed, sandbox, instance_id) == "FailedOperation.BalanceInsufficient"


def test_vouchers_are_shared_by_the_instances_of_an_order_to_the_cent(start_sandbox):
    sandbox = start_sandbox(voucher_cents=100)
    bought(sandbox, quantity=3)

    instances = control(sandbox, "GET", "instances").json()["instances"]
    assert [one["voucher_cents"] for one in instances] == [34, 33, 33]
    assert sum(one["paid_cents"] for one in instances) == 3 * PRICE - 100
