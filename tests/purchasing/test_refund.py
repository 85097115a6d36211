"""A refund is sent once, and only for what is there to be given back."""

from __future__ import annotations

import time

import pytest

from airflow_provider_tcbilling.api.errors import ApiError, DeliveryFailed, InvalidRequest
from airflow_provider_tcbilling.api.models import ENDINGS, DealStatus
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.refund import FULL_REFUND_DAYS, Refund
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch
from tests.conftest import PRICE, client_to
from tests.purchasing.test_renewal import LOST, SERVERS
from tests.support.account import DAY, PRODUCT, renewed, shown
from tests.support.crash import dying_in
from tests.support.shelf import Shelf

LAG = 10.0

pytestmark = pytest.mark.usefixtures("passing_time")


@pytest.fixture
def shelf():
    return Shelf()


def subscribed(sandbox, days=20.0, **more):
    return sandbox.account.add_instance(expires_at=time.time() + days * DAY, **more).instance_id


def giving_back(sandbox, instance, **fields):
    return Refund(client_to(sandbox, read_timeout=2.0), {**PRODUCT, "instance_id": instance, **fields})


def refund(sandbox, instance_id, store, *, key="give it back", fields=None, **options):
    rules = Rules(lag=LAG, request_seconds=5.0, trust_token=options.pop("trust_token", False))
    return Purchase(key, giving_back(sandbox, instance_id, **(fields or {})), store, rules, **options)


def refunds(sandbox):
    return [order.order_id for order in sandbox.account.orders() if order.action == "refund"]


def returned(sandbox):
    return sandbox.account.balance_cents - sandbox.options.balance_cents


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("fault", [None, *LOST])
def test_it_is_given_back_once(start_sandbox, shelf, server, fault):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    instance = subscribed(sandbox)
    if fault:
        sandbox.faults.add({"fault": fault, "action": "RefundInstance"})

    orders = [refund(sandbox, instance, shelf).place().order_id for _ in range(2)]

    assert refunds(sandbox) == orders[:1] == orders[1:]
    assert sandbox.requests["RefundInstance"] == 1
    assert returned(sandbox) == PRICE
    assert shown(sandbox, instance) == []


@pytest.mark.parametrize("server", SERVERS)
def test_a_lost_request_is_sent_again(start_sandbox, shelf, server):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "RefundInstance"})

    order = refund(sandbox, instance, shelf).place()

    assert refunds(sandbox) == [order.order_id]


@pytest.mark.parametrize("delivery_seconds", [0.0, 3600.0])
def test_the_next_try_of_one_that_died_finds_its_order(start_sandbox, shelf, delivery_seconds):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"), delivery_seconds=delivery_seconds)
    instance = subscribed(sandbox)
    with dying_in("airflow_provider_tcbilling.api.models.Order.from_wire"):
        refund(sandbox, instance, shelf).place()

    order = refund(sandbox, instance, shelf).place()

    assert refunds(sandbox) == [order.order_id]


@pytest.mark.parametrize("trust_token", [False, True])
def test_an_instance_that_is_gone_without_an_order_stops_it_and_nothing_more_is_ever_sent(
    start_sandbox, shelf, trust_token
):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "not-visible", "looks": 10_000, "action": "RefundInstance"})
    sandbox.faults.add({"fault": "drop", "action": "RefundInstance"})

    for _ in range(2):
        with pytest.raises(PurchaseOutcomeUnknown, match="was NORMAL and is not listed now, and no refund is listed"):
            refund(sandbox, instance, shelf, trust_token=trust_token).place()

    assert sandbox.requests["RefundInstance"] == 1


def test_a_refund_that_does_not_name_its_instance_stops_it(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"), delivery_seconds=1e6)
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "nameless", "action": "RefundInstance"})
    sandbox.faults.add({"fault": "drop", "action": "RefundInstance"})

    with pytest.raises(PurchaseOutcomeUnknown, match="cannot be compared: ResourceId") as stopped:
        refund(sandbox, instance, shelf).place()

    assert refunds(sandbox)[0] in str(stopped.value)
    assert sandbox.requests["RefundInstance"] == 1


# What cannot be given back


def test_what_was_given_back_is_not_given_back_again(sandbox, shelf):
    instance = subscribed(sandbox)
    first = refund(sandbox, instance, shelf).place()

    with pytest.raises(InvalidRequest, match=rf"order {first.order_id} refunds it already and is refunded \(6\)"):
        refund(sandbox, instance, shelf, key="somebody else").place()

    assert sandbox.requests["RefundInstance"] == 1


@pytest.mark.parametrize(
    ("fields", "mistake"),
    [
        ({"instance_id": "ins-nowhere"}, "there is no such instance"),
        ({"product_code": "p_cvm"}, "is of 'p_cloudfirewall', not of 'p_cvm'"),
        ({"region_code": "ap-tokyo"}, "is of 'ap-guangzhou', not of 'ap-tokyo'"),
    ],
)
def test_something_else_is_not_given_back(sandbox, shelf, fields, mistake):
    instance = subscribed(sandbox)

    with pytest.raises(InvalidRequest, match=mistake):
        refund(sandbox, instance, shelf, fields=fields).place()

    assert "RefundInstance" not in sandbox.requests
    assert shelf.texts == {}


@pytest.mark.parametrize("text", ["ins-1,ins-2", "ins-1 ins-2", "ins-1;ins-2", "", ["ins-1", "ins-2"]])
def test_only_one_instance_can_be_named(sandbox, shelf, text):
    with pytest.raises(InvalidRequest, match="instance_id: "):
        refund(sandbox, "x", shelf, fields={"instance_id": text})


def test_a_locked_instance_is_refused(sandbox, shelf):
    with pytest.raises(ApiError, match="ResourceLocked"):
        refund(sandbox, subscribed(sandbox, is_locked=True), shelf).place()

    assert returned(sandbox) == 0


@pytest.mark.parametrize("code", ["FailedOperation.NotAllowToRefund", "FailedOperation.ReturnCommonError"])
def test_a_refund_that_the_server_refuses_can_be_tried_again(sandbox, shelf, code):
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "error", "code": code, "when": "before", "action": "RefundInstance"})
    with pytest.raises(ApiError, match=code) as refused:
        refund(sandbox, instance, shelf).place()
    assert not refused.value.ambiguous

    order = refund(sandbox, instance, shelf).place()

    assert refunds(sandbox) == [order.order_id]


# How it ends


def test_refunded_is_success_here(sandbox, shelf):
    order = refund(sandbox, subscribed(sandbox), shelf).place()

    settled = DeliveryWatch(client_to(sandbox), order.order_id, action="RefundInstance").step().order

    assert settled is not None
    assert abs(settled.paid_cents) == PRICE


@pytest.mark.parametrize("status", sorted({*ENDINGS} - {DealStatus.REFUNDED, DealStatus.DELIVERY_FAILED}))
def test_every_other_ending_is_a_failure_in_which_nothing_was_returned(sandbox, shelf, status):
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "order-status", "status": int(status), "action": "RefundInstance"})
    order = refund(sandbox, instance, shelf).place()

    with pytest.raises(DeliveryFailed, match="nothing was returned"):
        DeliveryWatch(client_to(sandbox), order.order_id, action="RefundInstance").step()

    assert returned(sandbox) == 0
    assert [status for status, _ in shown(sandbox, instance)] == ["NORMAL"]


# The plan


def test_the_plan_adds_up_what_was_paid_and_sends_nothing(start_sandbox, passing_time):
    sandbox = start_sandbox(voucher_cents=300)
    instance = subscribed(sandbox, paid_cents=9_000, voucher_cents=1_000, bought_at=time.time() - 10 * DAY)
    renewed(sandbox, instance)
    before = dict(sandbox.requests)

    plan = giving_back(sandbox, instance).plan(time.time())

    assert [row["action"] for row in plan["orders"]] == ["renew", "purchase"]
    assert (plan["paid_cents"], plan["voucher_cents"]) == (9_000 + PRICE - 300, 1_300)
    assert (plan["age_days"], plan["is_within_full_refund"]) == (pytest.approx(10, abs=0.35), False)
    assert plan["obstacles"] == []
    assert any("vouchers" in rule for rule in plan["rules"])
    assert {name for name in sandbox.requests if sandbox.requests[name] != before.get(name, 0)} == {
        "DescribeDealsByCond",
        "DescribeRenewInstances",
    }


@pytest.mark.parametrize(("days", "is_within"), [(FULL_REFUND_DAYS - 0.5, True), (FULL_REFUND_DAYS + 0.5, False)])
def test_the_plan_says_whether_the_rule_of_the_first_days_can_count(start_sandbox, days, is_within):
    sandbox = start_sandbox(zone="Asia/Shanghai")
    instance = subscribed(sandbox, bought_at=time.time() - days * DAY)

    assert giving_back(sandbox, instance).plan(time.time())["is_within_full_refund"] is is_within


def test_the_plan_names_what_stands_against_it(sandbox, shelf):
    instance = subscribed(sandbox)
    order = refund(sandbox, instance, shelf).place()

    plan = giving_back(sandbox, instance).plan(time.time())

    assert [order.order_id in obstacle for obstacle in plan["obstacles"]] == [True]
    assert giving_back(sandbox, "ins-nowhere").plan(time.time())["age_days"] is None
