"""The rules of waiting, bad endings first."""

from __future__ import annotations

import time

import pytest

from airflow_provider_tcbilling.api.errors import AuthError, DeliveryFailed, DeliveryTimeout
from airflow_provider_tcbilling.api.models import ENDINGS, DealStatus, Order
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
from airflow_provider_tcbilling.waiting.delivery import LAST_QUERY_SECONDS, DeliveryWatch, priced_as
from tests.conftest import ORDER, PRICE, client_to

pytestmark = pytest.mark.usefixtures("waiting_only_reads")


def queries_until_ended(watch, at_most=20):
    for count in range(1, at_most + 1):
        if (order := watch.step().order) is not None:
            return count, order
    raise AssertionError(f"still open after {at_most} looks")


@pytest.mark.parametrize("status", sorted(ENDINGS))
def test_an_order_that_has_died_ends_the_wait_at_once_with_the_reason(start_sandbox, status):
    sandbox = start_sandbox(delivery_looks=1)
    client = client_to(sandbox)
    sandbox.faults.add({"fault": "order-status", "status": int(status)})
    order = client.create_instance(client_token="t", **ORDER)
    watch = DeliveryWatch(client, order.order_id)

    assert watch.step().order is None
    with pytest.raises(DeliveryFailed, match=DealStatus(status).name.lower().replace("_", " ")) as caught:
        watch.step()

    assert order.order_id in str(caught.value)
    assert ENDINGS[status] in str(caught.value)


@pytest.mark.parametrize("status", [1, 2, 3, 12, 13, 30, 77])
def test_an_open_or_unknown_status_is_waited_for_until_the_deadline(sandbox, client, status):
    sandbox.faults.add({"fault": "order-status", "status": status})
    order = client.create_instance(client_token="t", **ORDER)
    now = [time.time()]
    watch = DeliveryWatch(client, order.order_id, deadline=now[0] + 100, clock=lambda: now[0])

    assert watch.step().order is None
    now[0] += 100
    with pytest.raises(DeliveryTimeout, match=rf"\({status}\)" if status in range(13) else "not listed in any known"):
        watch.step()


def test_a_deadline_holds_while_the_server_refuses_every_look(start_sandbox):
    sandbox, now = start_sandbox(delivery_looks=1), [time.time()]
    client = client_to(sandbox, clock=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + 10))
    order = client.create_instance(client_token="t", **ORDER)
    sandbox.faults.add({"fault": "error", "code": "RequestLimitExceeded", "when": "before", "times": None})
    deadline = now[0] + 20

    with pytest.raises(DeliveryTimeout, match="could not be read"):
        DeliveryWatch(client, order.order_id, deadline=deadline, clock=lambda: now[0]).step()

    assert now[0] <= deadline + LAST_QUERY_SECONDS + 10


def test_a_deadline_holds_in_a_long_queue(start_sandbox):
    sandbox = start_sandbox(delivery_looks=1)
    client = client_to(sandbox, rate_limiter=RateLimiter(sandbox.url, "slow", 0.01))
    order = client.create_instance(client_token="t", **ORDER)
    client.describe_deals()

    with pytest.raises(DeliveryTimeout, match="its time had passed, so nothing was sent"):
        DeliveryWatch(client, order.order_id, deadline=time.time()).step()

    assert sandbox.requests["DescribeDealsByCond"] == 1


def test_an_unknown_status_that_the_server_lists_anyway_is_open(client, sandbox):
    deal = {"OrderId": "9", "BigDealId": "8", "Status": 77}
    sandbox.faults.add({"fault": "answer", "response": {"Deals": [deal]}, "times": None})

    assert DeliveryWatch(client, "9").step().order is None


def test_delayed_ids_arrive_with_what_was_paid(start_sandbox):
    sandbox = start_sandbox(delivery_looks=3)
    client = client_to(sandbox)
    order = client.create_instance(client_token="t", quantity=2, **ORDER)
    assert order.instance_ids == ()

    count, delivered = queries_until_ended(DeliveryWatch(client, order.order_id))

    assert count == 4
    assert list(delivered.instance_ids) == sandbox.account.orders()[0].instance_ids
    assert len(delivered.instance_ids) == 2
    assert (delivered.paid_cents, delivered.currency) == (2 * PRICE, "USD")
    assert sandbox.requests["CreateInstance"] == 1


def test_an_order_that_is_not_listed_yet_is_waited_for(start_sandbox):
    sandbox = start_sandbox()
    client = client_to(sandbox)
    sandbox.faults.add({"fault": "not-visible", "looks": 4})
    order = client.create_instance(client_token="t", **ORDER)

    count, delivered = queries_until_ended(DeliveryWatch(client, order.order_id))

    assert count > 1
    assert delivered.instance_ids


def test_an_order_number_that_is_a_big_deal_is_found(client, sandbox):
    sandbox.faults.add({"fault": "big-deal-id"})
    order = client.create_instance(client_token="t", **ORDER)

    delivered = DeliveryWatch(client, order.order_id).step().order

    assert delivered.order_id == order.order_id == sandbox.account.orders()[0].big_deal_id
    assert list(delivered.instance_ids) == sandbox.account.orders()[0].instance_ids


def deal(number, status, ids, big="B"):
    return {
        "OrderId": number,
        "BigDealId": big,
        "Status": status,
        "ResourceId": ids,
        "RealTotalCost": 5,
        "Currency": "USD",
    }


def answered(client, sandbox, *deals, action="CreateInstance"):
    sandbox.faults.add({"fault": "answer", "response": {"Deals": list(deals)}, "times": None})
    return DeliveryWatch(client, "1", action=action).step().order


def test_the_instances_of_all_sub_orders_are_collected(client, sandbox):
    order = answered(client, sandbox, deal("1", 4, ["a"]), deal("2", 4, ["b", "a"]))

    assert (order.instance_ids, order.paid_cents) == (("a", "b"), 10)


def test_one_open_sub_order_keeps_the_whole_open(client, sandbox):
    assert answered(client, sandbox, deal("1", 4, ["a"]), deal("2", 3, None)) is None


def test_one_dead_sub_order_fails_the_whole_and_names_what_was_delivered(client, sandbox):
    with pytest.raises(DeliveryFailed, match="Delivered: a"):
        answered(client, sandbox, deal("1", 4, ["a"]), deal("2", 7, None))


@pytest.mark.parametrize(
    ("action", "listed", "is_told"),
    [
        ("RenewInstance", "refund", True),
        ("RenewInstance", "purchase", True),
        ("RefundInstance", "renew", True),
        ("RenewInstance", " Renew", False),
        ("RefundInstance", "refund", False),
        ("RenewInstance", "a word of next year", False),
        ("CreateInstance", "upgrade", False),
    ],
)
def test_an_order_of_another_action_is_told_and_not_waited_for(client, sandbox, action, listed, is_told):
    other = {**deal("1", 3, ["a"]), "Action": listed}
    if not is_told:
        assert answered(client, sandbox, other, action=action) is None
        return
    with pytest.raises(DeliveryFailed, match=f"1 .*calls it {listed}"):
        answered(client, sandbox, other, action=action)


def test_delivered_without_ids_is_waited_for(client, sandbox):
    assert answered(client, sandbox, deal("1", 4, None)) is None


def test_what_another_request_placed_under_the_same_big_deal_is_ignored(client, sandbox):
    mine = {**deal("1", 4, ["a"]), "CreateTime": "2026-11-28 10:00:00"}
    other = {**deal("2", 4, ["b"]), "CreateTime": "2026-11-28 12:00:00"}

    assert answered(client, sandbox, mine, other).instance_ids == ("a",)


def test_orders_that_were_not_asked_for_are_ignored(client, sandbox):
    assert answered(client, sandbox, deal("7", 4, ["x"], big="C"), deal("8", 7, None, big="D")) is None


@pytest.mark.parametrize("fault", ["drop", "http", "garbage", "truncated"])
def test_a_passing_failure_to_look_is_no_verdict(start_sandbox, fault):
    sandbox = start_sandbox()
    client = client_to(sandbox, attempts=1)
    order = client.create_instance(client_token="t", **ORDER)
    sandbox.faults.add({"fault": fault})
    watch = DeliveryWatch(client, order.order_id)

    assert watch.step().order is None
    assert watch.step().order.order_id == order.order_id


def test_a_look_that_keeps_failing_ends_at_the_deadline_and_says_why(client, sandbox):
    sandbox.faults.add({"fault": "http", "status": 503, "times": None})

    with pytest.raises(DeliveryTimeout, match="HTTP status 503"):
        DeliveryWatch(client, "1", deadline=0).step()


def test_a_refused_key_ends_the_wait(sandbox):
    with pytest.raises(AuthError):
        DeliveryWatch(client_to(sandbox, secret_key="wrong"), "1").step()


def test_the_last_look_comes_before_the_deadline_is_judged(client):
    order = client.create_instance(client_token="t", **ORDER)

    assert DeliveryWatch(client, order.order_id, deadline=0).step().order is not None


def test_waiting_never_buys(start_sandbox):
    sandbox = start_sandbox(delivery_looks=5)
    client = client_to(sandbox)
    order = client.create_instance(client_token="t", **ORDER)

    queries_until_ended(DeliveryWatch(client, order.order_id))

    assert sandbox.requests == {"CreateInstance": 1, "DescribeDealsByCond": sandbox.requests["DescribeDealsByCond"]}


@pytest.mark.parametrize(("ids", "gross"), [(("a",), None), (("a", "b"), 100), (("c", "d"), 100), ((), 100)])
def test_a_part_of_the_sub_orders_tells_no_price_of_the_whole_order(ids, gross):
    listed = Order("1", ids, paid_cents=100, currency="USD", voucher_cents=0)

    assert priced_as(Order("1", ("a", "b")), listed).gross_cents == gross


def test_a_sub_order_that_is_listed_twice_is_paid_once(start_sandbox):
    sandbox = start_sandbox()
    client = client_to(sandbox)
    order = client.create_instance(**ORDER, client_token="t")
    sandbox.faults.add({"fault": "book", "distortion": "twice", "field": "ProductCode", "times": None})

    listed = DeliveryWatch(client, order.order_id).step().order

    assert (listed.paid_cents, listed.gross_cents) == (PRICE, PRICE)
