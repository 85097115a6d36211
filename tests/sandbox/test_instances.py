"""The list of renewals, page by page, and the instances that the control interface adds."""

from __future__ import annotations

import pytest

from tests.conftest import PRICE, client_to
from tests.support.account import (
    AUTO,
    DAY,
    MANUAL,
    added,
    bought,
    control,
    deals,
    listed,
    page,
    refusal,
    renewed,
    stop_clock,
)


def pages(sandbox, between=lambda ids: None, **filters):
    """Return all pages; *between* is called after each."""
    token, read = None, []
    while token is not None or not read:
        answer = page(sandbox, next_token=token, **filters)
        read.append([one["InstanceId"] for one in answer["InstanceList"]])
        token = answer["NextToken"]
        between(read[-1])
    return read


def joined(read):
    return [instance_id for ids in read for instance_id in ids]


@pytest.mark.parametrize("reverse", [False, True])
def test_five_thousand_instances_are_fifty_pages_in_the_order_of_their_expiry(sandbox, reverse):
    made = control(sandbox, "POST", "instances", {"count": 5000, "name": "web"}).json()["instances"]
    read = pages(sandbox, reverse=reverse)

    assert [len(ids) for ids in read] == [100] * 50
    in_order = [one["instance_id"] for one in made]
    assert joined(read) == (in_order[::-1] if reverse else in_order)


def test_instances_of_the_same_expiry_are_told_apart_by_the_cursor(sandbox):
    ids = [added(sandbox, expire_time="2099-01-01T00:00:00Z") for _ in range(7)]
    ids += [added(sandbox, expire_time=None) for _ in range(3)]

    read = pages(sandbox, max_results=2)
    assert sorted(joined(read)) == sorted(ids)
    assert len(read) == 5


def test_a_renewal_between_two_pages_hides_no_other_instance(sandbox):
    control(sandbox, "POST", "instances", {"count": 30})
    every = [one["InstanceId"] for one in listed(sandbox)]

    def renew_the_first(ids):
        if ids[0] == every[0]:
            renewed(sandbox, ids[0])

    read = joined(pages(sandbox, renew_the_first, max_results=10))
    assert set(read) == set(every)
    assert read.count(every[0]) == 2, "it is met again where it has moved to"


def test_the_filters_are_all_kept_at_once(sandbox):
    stop_clock(sandbox, "2027-01-01T00:00:00Z")
    first = added(sandbox, expire_time="2027-02-01T00:00:00Z", renew_flag=AUTO)
    second = added(sandbox, expire_time="2027-03-01T00:00:00Z")
    third = added(sandbox, expire_time="2027-04-01T00:00:00Z", renew_flag=AUTO)

    def found(**filters):
        return [one["InstanceId"] for one in listed(sandbox, **filters)]

    assert found(renew_flag_list=[AUTO]) == [first, third]
    assert found(renew_flag_list=[AUTO, MANUAL], reverse=True) == [third, second, first]
    assert found(instance_id_list=[second, "ins-nowhere"]) == [second]
    assert found(expire_time_start="2027-03-01 08:00:00") == [second, third]
    assert found(expire_time_end="2027-03-01 08:00:00") == [first, second]
    assert found(expire_time_start="2027-03-01 08:00:01", renew_flag_list=[MANUAL]) == []


@pytest.mark.parametrize("token", ["nonsense", "bnVsbA==", "WzFd", "é"])
def test_a_cursor_that_comes_from_nowhere_is_refused(sandbox, token):
    added(sandbox)

    assert refusal(client_to(sandbox).describe_renew_instances, next_token=token) == "InvalidParameter"


def test_a_cursor_is_good_for_its_own_direction_only(sandbox):
    control(sandbox, "POST", "instances", {"count": 2})
    token = page(sandbox, max_results=1)["NextToken"]

    assert refusal(client_to(sandbox).describe_renew_instances, next_token=token, reverse=True) == "InvalidParameter"


def test_a_time_that_is_none_is_refused_also_where_nothing_is_listed(sandbox):
    query = client_to(sandbox).describe_renew_instances

    assert refusal(query, expire_time_start="2027-13-01 00:00:00") == "InvalidParameterValue"


def test_an_instance_is_described_as_the_manual_has_it(sandbox):
    stop_clock(sandbox, "2027-01-01T00:00:00Z")
    added(sandbox, expire_time="2027-02-01T00:00:00Z", name="edge", product_code="p_x", sub_product_code="sp_x")

    (one,) = listed(sandbox)
    assert one == {
        "InstanceId": one["InstanceId"],
        "ProductCode": "p_x",
        "SubProductCode": "sp_x",
        "RegionCode": "ap-guangzhou",
        "Status": "NORMAL",
        "RenewFlag": MANUAL,
        "ExpireTime": "2027-02-01 08:00:00",
        "InstanceName": "edge",
        "ProductName": "p_x",
        "ProjectName": "Default Project",
        "RenewPeriod": 1,
        "RenewPeriodUnit": "m",
    }


def test_what_was_asked_for_in_the_purchase_is_listed(sandbox):
    bought(sandbox, renew_flag=AUTO, project_id=7)

    (one,) = listed(sandbox)
    assert (one["RenewFlag"], one["ProjectName"], one["InstanceName"]) == (AUTO, "project 7", None)


def test_added_instances_are_numbered_an_hour_apart_and_have_their_orders(sandbox):
    moment = stop_clock(sandbox, "2027-02-01T00:00:00Z")
    wanted = {"count": 3, "name": "web", "expires_in_days": 10, "bought_days_ago": 40, "voucher_cents": 5}
    answer = control(sandbox, "POST", "instances", {**wanted, "paid_cents": 995})

    assert answer.status_code == 201
    made = answer.json()["instances"]
    assert [one["name"] for one in made] == ["web-1", "web-2", "web-3"]
    assert [one["expires_at"][11:13] for one in made] == ["00", "01", "02"]
    assert control(sandbox, "GET", "instances").json()["instances"] == made
    booked = deals(sandbox)
    assert [deal["ResourceId"][0] for deal in booked[::-1]] == [one["instance_id"] for one in made]
    assert {(d["Action"], d["Status"], d["RealTotalCost"], d["VoucherDecline"]) for d in booked} == {
        ("purchase", 4, 995, 5)
    }
    assert {deal["CreateTime"] for deal in booked} == {sandbox.account.clock.written(moment - 40 * DAY)}
    assert sandbox.account.balance_cents == sandbox.options.balance_cents


def test_orders_stay_in_the_order_of_time_when_older_ones_are_added(sandbox):
    bought(sandbox)
    added(sandbox, bought_days_ago=3)

    assert [bool(order.client_token) for order in sandbox.account.orders()] == [False, True]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"count": 0}, "count must be a whole number from 1"),
        ({"count": True}, "count must be"),
        ({"count": 10_001}, "to 10000"),
        ({"expires_in_days": "soon"}, "expires_in_days must be a number"),
        ({"expire_time": "soon"}, "expire_time must be a time such as"),
        ({"expire_time": "P1D"}, "expire_time must be a time such as"),
        ({"expire_time": 5}, "expire_time must be a time such as"),
        ({"expire_time": None, "expires_in_days": 1}, "not both"),
        ({"locked": "yes"}, "locked must be true or false"),
        ({"paid_cents": -1}, "paid_cents must be a whole number"),
        ({"bought_days_ago": -1}, "bought_days_ago must be"),
        ({"name": 5, "renew_flag": None}, "name must be text of at most 1000 characters; renew_flag must be text"),
        ({"colour": "red"}, "colour: not known here; there are count"),
        ([1], "must be a JSON object"),
    ],
)
def test_a_wrong_description_of_instances_is_answered_in_words(sandbox, wanted, message):
    answer = control(sandbox, "POST", "instances", wanted)

    assert answer.status_code == 400
    assert message in answer.json()["error"]
    assert control(sandbox, "GET", "instances").json() == {"instances": []}


def test_the_state_tells_what_expires_and_a_reset_forgets_it(sandbox):
    instance_id = added(sandbox, expires_in_days=1, name="edge", renew_flag=AUTO)

    (one,) = control(sandbox, "GET", "state").json()["subscriptions"]
    assert (one["instance_id"], one["name"], one["status"], one["renews_by_itself"]) == (
        instance_id,
        "edge",
        "NORMAL",
        True,
    )
    assert set(one) == {
        *("instance_id", "name", "product", "region", "renew_flag", "status", "expires_at", "renews_by_itself")
    }
    control(sandbox, "POST", "clock", {"advance": DAY + 1})
    assert control(sandbox, "GET", "health").json()["balance_cents"] == sandbox.options.balance_cents - PRICE
    control(sandbox, "POST", "reset")
    assert control(sandbox, "GET", "state").json()["subscriptions"] == []


def test_an_instance_can_be_added_without_http(sandbox):
    instance = sandbox.account.add_instance(name="edge", expires_at=None)

    assert [one["InstanceName"] for one in listed(sandbox)] == ["edge"]
    assert sandbox.account.instances() == [instance]
