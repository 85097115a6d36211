"""An instance that needs no renewal is left alone, and one that cannot be renewed fails."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.api.errors import ApiError, InsufficientBalance, InvalidRequest
from airflow_provider_tcbilling.purchasing.errors import LeftAlone
from airflow_provider_tcbilling.purchasing.renewal import Terms
from tests.conftest import PRICE, client_to
from tests.support.account import AUTO, DAY, PRODUCT
from tests.support.renewals import renewal, renewals, spent, subscribed
from tests.support.shelf import Shelf

pytestmark = pytest.mark.usefixtures("passing_time")


@pytest.mark.parametrize(
    ("instance", "terms", "reason"),
    [
        pytest.param({"days": 30}, Terms(within=14 * DAY), "which is not within 14 days", id="not soon"),
        pytest.param({}, Terms(expire_time="2026-01-31 00:00:00"), "has been renewed already", id="moved since"),
        pytest.param({"renew_flag": AUTO}, Terms(), "vendor will renew it by itself", id="renews itself"),
    ],
)
def test_what_needs_no_renewal_is_left_alone(sandbox, shelf, instance, terms, reason):
    with pytest.raises(LeftAlone, match=reason):
        renewal(sandbox, subscribed(sandbox, **instance), shelf, terms=terms).place()

    assert shelf.texts == {}
    assert "RenewInstance" not in sandbox.requests


def test_one_that_is_being_renewed_is_left_alone(start_sandbox, shelf):
    sandbox = start_sandbox(delivery_seconds=3600.0)
    instance = subscribed(sandbox)
    first = renewal(sandbox, instance, shelf, key="one Dag").place()

    with pytest.raises(LeftAlone, match=f"order {first.order_id} renews it already and is"):
        renewal(sandbox, instance, shelf, key="another Dag").place()

    assert spent(sandbox) == PRICE


def test_a_daily_run_renews_once_a_month(sandbox, passing_time):
    instance = subscribed(sandbox, days=20)
    ends = []
    for day in range(40):
        try:
            renewal(sandbox, instance, Shelf(), key=f"run {day}", terms=Terms(within=14 * DAY)).place()
            ends.append(day)
        except LeftAlone:
            pass
        passing_time.sleep(DAY)

    assert len(ends) == len(renewals(sandbox)) == 2
    assert ends[1] - ends[0] >= 28


def test_it_renews_what_renews_itself_only_when_told_to(sandbox, shelf):
    instance = subscribed(sandbox, renew_flag=AUTO)

    with pytest.raises(InvalidRequest, match="it would be paid twice"):
        renewal(sandbox, instance, shelf, terms=Terms(on_auto_renew="fail")).place()
    order = renewal(sandbox, instance, shelf, terms=Terms(on_auto_renew="renew")).place()

    assert renewals(sandbox) == [order.order_id]


def test_what_should_have_renewed_itself_and_lapsed_is_not_waited_for(start_sandbox, shelf):
    sandbox = start_sandbox(balance_cents=PRICE)
    instance = subscribed(sandbox, days=-1, renew_flag=AUTO)

    order = renewal(sandbox, instance, shelf, terms=Terms(isolated=True)).place()

    assert renewals(sandbox) == [order.order_id]


@pytest.mark.parametrize(
    ("instance", "asked", "terms", "mistake"),
    [
        pytest.param(None, {}, Terms(), "there is no such instance", id="no such instance"),
        pytest.param({}, {"product_code": "p_cvm"}, Terms(), "is of 'p_cloudfirewall', not of 'p_cvm'", id="product"),
        pytest.param({}, {"region_code": "ap-tokyo"}, Terms(), "'ap-guangzhou', not of 'ap-tokyo'", id="region"),
        pytest.param({"days": -1}, {}, Terms(), "is isolated; renew_isolated=True would renew it", id="isolated"),
        pytest.param({"days": -8}, {}, Terms(isolated=True), "no such instance", id="expired beyond renewal"),
        pytest.param({"days": float("inf")}, {}, Terms(), "'not told', so nothing could show", id="no expiry"),
        pytest.param({"renew_flag": "SURPRISE"}, {}, Terms(), "'SURPRISE', so whether the vendor", id="unknown flag"),
    ],
)
def test_what_cannot_be_renewed_fails_and_nothing_is_sent(sandbox, shelf, instance, asked, terms, mistake):
    if instance is None:
        number = "ins-nowhere"
    elif instance.get("days") == float("inf"):
        number = sandbox.account.add_instance(expires_at=None).instance_id
    else:
        number = subscribed(sandbox, **instance)

    with pytest.raises(InvalidRequest, match=mistake):
        renewal(sandbox, number, shelf, fields=asked, terms=terms).place()

    assert shelf.texts == {}
    assert "RenewInstance" not in sandbox.requests
    assert spent(sandbox) == 0


@pytest.mark.parametrize(
    ("fields", "mistake"),
    [
        ({"period": 37}, "period: 37 is above the maximum"),
        ({"period": 0}, "period: 0 is below the minimum"),
        ({"period_unit": "d"}, "period_unit: "),
        ({"instance_id": "ins-1,ins-2"}, "the id of exactly one instance"),
        ({"instance_id": ""}, "instance_id: "),
    ],
)
def test_a_wrong_request_fails_before_anything_is_read(sandbox, shelf, fields, mistake):
    with pytest.raises(InvalidRequest, match=mistake):
        renewal(sandbox, "ins-1", shelf, fields=fields)

    assert sandbox.requests == {}


def test_a_period_over_the_servers_limit_is_refused_and_can_be_corrected(sandbox, shelf):
    instance = subscribed(sandbox, days=400)
    with pytest.raises(ApiError, match="BusinessCheckErrCode"):
        renewal(sandbox, instance, shelf, fields={"period": 36}).place()
    assert spent(sandbox) == 0

    renewal(sandbox, instance, shelf, fields={"period": 2}).place()

    assert spent(sandbox) == 2 * PRICE


def test_a_locked_instance_is_refused_and_nothing_is_spent(sandbox, shelf):
    with pytest.raises(ApiError, match="ResourceLocked"):
        renewal(sandbox, subscribed(sandbox, is_locked=True), shelf).place()

    assert spent(sandbox) == 0


def test_too_little_money_is_refused_and_the_next_try_renews(sandbox, shelf):
    instance = subscribed(sandbox)
    sandbox.account.balance_cents = 1
    with pytest.raises(InsufficientBalance):
        renewal(sandbox, instance, shelf).place()
    sandbox.account.balance_cents = sandbox.options.balance_cents

    renewal(sandbox, instance, shelf).place()

    assert spent(sandbox) == PRICE


def test_one_whose_paid_renewal_failed_is_for_a_person(sandbox, shelf, passing_time):
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "order-status", "status": 5, "action": "RenewInstance"})
    first = renewal(sandbox, instance, shelf).place()

    with pytest.raises(InvalidRequest, match=f"order {first.order_id} was paid to renew it and its delivery failed"):
        renewal(sandbox, instance, shelf, key="another run").place()

    assert len(renewals(sandbox)) == 1
    passing_time.sleep(60)
    client_to(sandbox).renew_instance(client_token="a person did", instance_id=instance, **PRODUCT)
    renewal(sandbox, instance, shelf, key="a month later").place()
    assert len(renewals(sandbox)) == 3
