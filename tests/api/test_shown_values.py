"""A value that the server shows is compared, whatever it is: 0 is a project, and false is no region."""

from __future__ import annotations

import itertools
import time

import pytest

from airflow_provider_tcbilling.api.instance_list import mismatches
from airflow_provider_tcbilling.api.models import Deal, RenewableInstance
from airflow_provider_tcbilling.purchasing import match
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.match import Match
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.renewal import Renewal, Terms
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.waiting.order_end import can_be_one
from tests.conftest import ORDER, client_to
from tests.support.account import PRODUCT
from tests.support.shelf import Shelf

FALSE = [0, 0.0, -0.0, "0", "", " ", False, [], {}, [0], "00"]
"""What Python, or somebody in a hurry, takes for nothing."""

SHOWN = {
    "ProductCode": "p_cloudfirewall",
    "SubProductCode": "sp_cloudfirewall_svv1",
    "ZoneCode": "ap-guangzhou-6",
    "ProjectId": 7,
    "TimeSpan": 1,
    "TimeUnit": "m",
    "Action": "purchase",
}
COMPARED = (
    match.product("p_cloudfirewall"),
    match.sub_product("sp_cloudfirewall_svv1"),
    match.zone("ap-guangzhou-6"),
    match.project(7),
    match.months(1),
    match.action("purchase"),
)


@pytest.mark.parametrize("value", FALSE, ids=repr)
@pytest.mark.parametrize("name", SHOWN)
def test_no_value_that_is_shown_counts_as_agreeing(name, value):
    assert match.match(SHOWN, COMPARED)[0] is Match.MATCHES
    assert match.match({**SHOWN, name: value}, COMPARED)[0] is not Match.MATCHES


@pytest.mark.parametrize("shown", [0, "0", 0.0])
def test_an_order_of_project_0_is_another_s_than_that_of_project_7(shown):
    assert match.match({**SHOWN, "ProjectId": shown}, COMPARED)[0] is Match.OF_ANOTHER


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("mine", "other"), [(7, None), (7, 0), (None, 7), (0, 7)])
def test_a_purchase_never_takes_an_order_of_another_project(start_sandbox, passing_time, mine, other, when):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    foreign = client_to(sandbox).create_instance(client_token="x", **ORDER, project_id=other).order_id
    sandbox.faults.add({"fault": "drop", "when": when, "action": "CreateInstance"})
    spending = NewInstance(client_to(sandbox, read_timeout=2.0), {**ORDER, "project_id": mine})

    order = Purchase("k", spending, Shelf(), Rules(lag=10.0, request_seconds=5.0)).place()

    assert order.order_id != foreign
    assert len(sandbox.account.orders()) == 2


def deal(**shown):
    made = {"CreateTime": "2026-11-25 10:00:00", "BigDealId": "9", "ZoneCode": "z", "Action": "purchase"}
    return Deal.from_wire({**made, **shown})


@pytest.mark.parametrize(
    ("one", "other"), [*itertools.combinations([0, 7, 0.5, -1, "abc", [], None, False, "x"], 2)], ids=repr
)
def test_sub_orders_that_show_different_projects_are_not_one_order(one, other):
    assert not can_be_one([deal(OrderId="1", ProjectId=one), deal(OrderId="2", ProjectId=other)])


@pytest.mark.parametrize(("one", "other"), [(0, "0"), (7, 7.0), ("7", " 7 "), (None, None)])
def test_sub_orders_that_show_the_same_project_are_one_order(one, other):
    assert can_be_one([deal(OrderId="1", ProjectId=one), deal(OrderId="2", ProjectId=other)])


def listed(**shown):
    named = {"InstanceId": "ins-1", "ProductCode": "p_cloudfirewall", "SubProductCode": "sp_cloudfirewall_svv1"}
    dates = {"RegionCode": "ap-guangzhou", "ExpireTime": "2027-01-31 08:00:00", "RenewFlag": "NOTIFY_AND_MANUAL_RENEW"}
    return RenewableInstance.from_wire({**named, **dates, "Status": "NORMAL", **shown})


@pytest.mark.parametrize("value", [0, 0.0, "0", False, [], {}, [0]], ids=repr)
@pytest.mark.parametrize("name", ["ProductCode", "SubProductCode", "RegionCode"])
def test_an_instance_that_shows_something_else_is_another_one(name, value):
    assert mismatches(listed(), PRODUCT) == []
    assert len(mismatches(listed(**{name: value}), PRODUCT)) == 1


@pytest.mark.parametrize("value", [0, "0", False, [], {}], ids=repr)
@pytest.mark.parametrize(("name", "reason"), [("Status", "its status"), ("RenewFlag", "its renew flag")])
def test_an_instance_whose_state_is_shown_and_not_known_is_not_renewed(sandbox, name, value, reason):
    renewal = Renewal(client_to(sandbox), {**PRODUCT, "instance_id": "ins-1"}, Terms(), clock=time.time)

    assert list(renewal._obstacles(listed(), [])) == []
    assert any(reason in obstacle for obstacle in renewal._obstacles(listed(**{name: value}), []))
