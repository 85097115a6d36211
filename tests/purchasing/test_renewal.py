"""A renewal happens once: its order shows it, and if there is none, the instance's own expiry decides."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.errors import ApiError, InsufficientBalance, InvalidRequest, OutcomeUnknown
from airflow_provider_tcbilling.api.server_time import SERVER_ZONES
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import LeftAlone, PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.renewal import Renewal, Terms
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import PRICE, client_to
from tests.support.account import AUTO, DAY, MANUAL, PRODUCT, epoch, shown
from tests.support.crash import dying_at, dying_in
from tests.support.shelf import Shelf

LAG = 10.0
LOST = ["drop", "reset", "cut", "http", "html", "truncated", "garbage", "no-order-id", "error"]
SERVERS = ["honour", "forget-after:1", "ignore", "reject-repeat"]

pytestmark = pytest.mark.usefixtures("passing_time")


@pytest.fixture
def shelf():
    return Shelf()


def subscribed(sandbox, days=3.0, **more):
    """Add an instance that expires in so many days, and return its id."""
    return sandbox.account.add_instance(expires_at=time.time() + days * DAY, **more).instance_id


def renewal(sandbox, instance_id, store, *, key="renew it", terms=None, fields=None, **options):
    rules = Rules(lag=LAG, request_seconds=5.0, trust_token=options.pop("trust_token", False))
    client = client_to(sandbox, read_timeout=2.0)
    told = {**PRODUCT, "instance_id": instance_id, **(fields or {})}
    return Purchase(key, Renewal(client, told, terms), store, rules, **options)


def renewals(sandbox):
    return [order.order_id for order in sandbox.account.orders() if order.action == "renew"]


def spent(sandbox):
    return sandbox.options.balance_cents - sandbox.account.balance_cents


def expiry(sandbox, instance_id):
    return shown(sandbox, instance_id)[0][1]


# Once


def test_a_renewal_is_paid_once_and_what_was_seen_before_is_recorded_before_it_is_sent(sandbox, shelf):
    instance = subscribed(sandbox)
    was = expiry(sandbox, instance)
    with dying_at("sending"):
        renewal(sandbox, instance, shelf).place()

    assert json.loads(shelf.texts["renew it"])["before"] == {"expire_time": was, "orders": []}
    assert renewals(sandbox) == []

    order = renewal(sandbox, instance, shelf).place()

    assert renewals(sandbox) == [order.order_id]
    assert spent(sandbox) == PRICE
    assert expiry(sandbox, instance) > was


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.parametrize("fault", LOST)
def test_a_lost_answer_renews_once(start_sandbox, shelf, server, fault):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": fault, "action": "RenewInstance"})

    order = renewal(sandbox, instance, shelf).place()

    assert renewals(sandbox) == [order.order_id]
    assert spent(sandbox) == PRICE


@pytest.mark.parametrize("server", SERVERS)
def test_a_lost_request_is_sent_again_while_the_expiry_stands(start_sandbox, shelf, server):
    sandbox = start_sandbox(tokens=Tokens.parse(server))
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "RenewInstance"})

    order = renewal(sandbox, instance, shelf).place()

    assert renewals(sandbox) == [order.order_id]
    assert spent(sandbox) == PRICE


@pytest.mark.parametrize("server", SERVERS)
def test_the_next_try_of_one_that_died_finds_its_order(start_sandbox, shelf, server):
    sandbox = start_sandbox(tokens=Tokens.parse(server), delivery_seconds=3600.0)
    instance = subscribed(sandbox)
    with dying_in("airflow_provider_tcbilling.api.models.Order.from_wire"):
        renewal(sandbox, instance, shelf).place()

    order = renewal(sandbox, instance, shelf).place()

    assert renewals(sandbox) == [order.order_id]
    assert spent(sandbox) == PRICE


def test_running_it_again_sends_nothing(sandbox, shelf):
    instance = subscribed(sandbox)

    first, second = (renewal(sandbox, instance, shelf).place() for _ in range(2))

    assert first.order_id == second.order_id
    assert sandbox.requests["RenewInstance"] == 1


@pytest.mark.parametrize("zone", SERVER_ZONES)
@pytest.mark.parametrize("trust_token", [False, True])
def test_an_expiry_that_moved_without_an_order_stops_it_and_nothing_more_is_ever_sent(
    start_sandbox, shelf, zone, trust_token
):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"), zone=zone)
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "not-visible", "looks": 10_000, "action": "RenewInstance"})
    sandbox.faults.add({"fault": "drop", "action": "RenewInstance"})

    for _ in range(2):
        with pytest.raises(PurchaseOutcomeUnknown, match=r"moved from .* just as by this renewal, and no order"):
            renewal(sandbox, instance, shelf, trust_token=trust_token).place()

    assert sandbox.requests["RenewInstance"] == 1


def test_an_expiry_that_somebody_else_moved_stops_it_too(sandbox, shelf):
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "RenewInstance", "times": None})
    with dying_at("in doubt"):
        renewal(sandbox, instance, shelf).place()
    sandbox.faults.clear()
    subscription = sandbox.account.instances()[0]
    sandbox.account.owned.extend(subscription, subscription.expires_at + 17 * DAY, time.time())

    with pytest.raises(PurchaseOutcomeUnknown, match="though not just as by this renewal"):
        renewal(sandbox, instance, shelf).place()

    assert spent(sandbox) == 0


def test_an_instance_that_is_gone_stops_it(sandbox, shelf):
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "not-visible", "looks": 10_000, "action": "RenewInstance"})
    sandbox.faults.add({"fault": "drop", "action": "RenewInstance"})
    with dying_at("in doubt"):
        renewal(sandbox, instance, shelf).place()
    sandbox.account.owned.remove(sandbox.account.instances()[0])

    with pytest.raises(PurchaseOutcomeUnknown, match="is not listed any more"):
        renewal(sandbox, instance, shelf).place()

    assert sandbox.requests["RenewInstance"] == 1


def test_a_renewal_that_does_not_name_its_instance_stops_it(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"), delivery_seconds=1e6)
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "nameless", "action": "RenewInstance"})
    sandbox.faults.add({"fault": "drop", "action": "RenewInstance"})

    with pytest.raises(PurchaseOutcomeUnknown, match="cannot be compared: ResourceId") as stopped:
        renewal(sandbox, instance, shelf).place()

    assert renewals(sandbox)[0] in str(stopped.value)
    assert sandbox.requests["RenewInstance"] == 1


def test_a_task_that_was_edited_and_has_no_record_does_not_renew_again(start_sandbox):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    instance = subscribed(sandbox)
    first = renewal(sandbox, instance, Shelf()).place()
    looks = sandbox.requests["DescribeDealsByCond"]

    with pytest.raises(PurchaseOutcomeUnknown, match=f"renewed, but with other terms than now: order {first.order_id}"):
        renewal(sandbox, instance, Shelf(), fields={"period": 2}, presumed_since=time.time() - 60).place()

    assert renewals(sandbox) == [first.order_id]
    assert sandbox.requests["DescribeDealsByCond"] == looks + 2, "nothing can clear this up, so it looks once"


def test_the_renewal_of_another_instance_is_not_taken(sandbox, shelf):
    instance, other = subscribed(sandbox), subscribed(sandbox)
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "RenewInstance"})
    with dying_at("in doubt"):
        renewal(sandbox, instance, shelf).place()
    theirs = renewal(sandbox, other, Shelf(), key="theirs").place()

    mine = renewal(sandbox, instance, shelf).place()

    assert renewals(sandbox) == [theirs.order_id, mine.order_id]


def test_a_renewal_of_before_is_not_taken_for_this_one(sandbox, shelf):
    instance = subscribed(sandbox)
    first = renewal(sandbox, instance, Shelf(), key="last month").place()
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "RenewInstance"})

    second = renewal(sandbox, instance, shelf).place()

    assert renewals(sandbox) == [first.order_id, second.order_id]
    assert spent(sandbox) == 2 * PRICE


def test_a_list_that_shows_the_old_expiry_for_a_while_renews_nothing_twice(start_sandbox, shelf):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "expiry-late", "seconds": 1e6, "action": "RenewInstance"})
    sandbox.faults.add({"fault": "drop", "action": "RenewInstance"})

    order = renewal(sandbox, instance, shelf).place()

    assert renewals(sandbox) == [order.order_id]


def test_a_try_without_a_record_stops_at_an_expiry_that_is_not_the_one_it_was_told(sandbox):
    instance = subscribed(sandbox)
    was = expiry(sandbox, instance)
    sandbox.faults.add({"fault": "not-visible", "looks": 10_000, "action": "RenewInstance"})
    client_to(sandbox).renew_instance(client_token="a try that nobody recorded", instance_id=instance, **PRODUCT)

    with pytest.raises(PurchaseOutcomeUnknown, match=f"moved from {was}"):
        renewal(sandbox, instance, Shelf(), terms=Terms(expire_time=was), presumed_since=time.time() - 60).place()

    assert sandbox.requests["RenewInstance"] == 1


def test_the_order_book_that_cannot_be_read_proves_nothing(sandbox, shelf):
    instance = subscribed(sandbox)
    sandbox.faults.add({"fault": "drop", "action": "RenewInstance"})
    with dying_at("in doubt"):
        renewal(sandbox, instance, shelf).place()
    sandbox.faults.add({"fault": "http", "action": "DescribeDealsByCond", "times": None})

    with pytest.raises(OutcomeUnknown):
        renewal(sandbox, instance, shelf).place()

    assert sandbox.requests["RenewInstance"] == 1


# When it is left alone


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


# What cannot be renewed


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


# The calendar


@pytest.mark.parametrize("zone", SERVER_ZONES)
@pytest.mark.parametrize(
    ("was", "period", "unit", "becomes"),
    [
        ("2027-01-31 10:00:00", 1, "m", "2027-02-28 10:00:00"),
        ("2028-01-31 10:00:00", 1, "m", "2028-02-29 10:00:00"),
        ("2028-02-29 10:00:00", 1, "y", "2029-02-28 10:00:00"),
        ("2026-12-31 23:30:00", 2, "m", "2027-02-28 23:30:00"),
    ],
)
def test_an_order_that_is_lost_is_told_from_the_expiry_at_month_ends_too(
    start_sandbox, shelf, passing_time, zone, was, period, unit, becomes
):
    sandbox = start_sandbox(zone=zone)
    moment = epoch(was.replace(" ", "T") + ("+08:00" if zone == "Asia/Shanghai" else "Z"))
    passing_time.sleep(moment - 3 * DAY - time.time())
    instance = sandbox.account.add_instance(expires_at=moment).instance_id
    assert expiry(sandbox, instance) == was
    sandbox.faults.add({"fault": "not-visible", "looks": 10_000, "action": "RenewInstance"})
    sandbox.faults.add({"fault": "drop", "action": "RenewInstance"})

    with pytest.raises(PurchaseOutcomeUnknown, match=f"moved from {was} to {becomes}, just as by this renewal"):
        renewal(sandbox, instance, shelf, fields={"period": period, "period_unit": unit}).place()


@pytest.mark.parametrize("zone", SERVER_ZONES)
def test_soon_is_meant_in_the_careful_direction_while_nobody_knows_the_zone(start_sandbox, zone):
    sandbox = start_sandbox(zone=zone)
    sure, early = subscribed(sandbox, days=13.9), subscribed(sandbox, days=14 + 8.1 / 24)

    renewal(sandbox, sure, Shelf(), terms=Terms(within=14 * DAY)).place()
    with pytest.raises(LeftAlone):
        renewal(sandbox, early, Shelf(), key="early", terms=Terms(within=14 * DAY)).place()


def test_a_manual_flag_changes_nothing(sandbox, shelf):
    instance = subscribed(sandbox, renew_flag=MANUAL)

    renewal(sandbox, instance, shelf, terms=replace(Terms(), on_auto_renew="fail")).place()

    assert spent(sandbox) == PRICE
