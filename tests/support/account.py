"""What the tests of instances share: a clock that stands still, and short ways to ask and to reckon."""

from __future__ import annotations

import pendulum
import pytest
import requests

from airflow_provider_tcbilling.api.actions import DESCRIBE_DEALS_BY_COND, DESCRIBE_RENEW_INSTANCES
from airflow_provider_tcbilling.api.errors import ApiError
from tests.conftest import ORDER, client_to

PRODUCT = {name: ORDER[name] for name in ("product_code", "sub_product_code", "region_code")}
AUTO, MANUAL = "NOTIFY_AND_AUTO_RENEW", "NOTIFY_AND_MANUAL_RENEW"
DAY = 86_400


def epoch(time):
    return pendulum.parse(time).timestamp()


def stop_clock(sandbox, time):
    """Let the account's clock stand still at a time."""
    moment = epoch(time) if isinstance(time, str) else time
    sandbox.account.clock.now = lambda: moment
    return moment


def control(sandbox, method, path, body=None):
    return requests.request(method, f"{sandbox.url}/_sandbox/{path}", json=body, timeout=60)


def added(sandbox, **wanted):
    """Add one instance over the control interface, and return its id."""
    (instance,) = control(sandbox, "POST", "instances", wanted).json()["instances"]
    return instance["instance_id"]


def bought(sandbox, token="buy", **options):
    return client_to(sandbox).create_instance(client_token=token, **{**ORDER, "parameter": {"pid": 1}, **options})


def renewed(sandbox, instance_id, token="renew", **options):
    order = client_to(sandbox).renew_instance(client_token=token, instance_id=instance_id, **{**PRODUCT, **options})
    return order.order_id


def refunded(sandbox, instance_id, token="refund", **options):
    order = client_to(sandbox).refund_instance(client_token=token, instance_id=instance_id, **{**PRODUCT, **options})
    return order.order_id


def deals(sandbox, **fields):
    """Return the order book as the server lists it, the newest first."""
    everything = {"start_time": "2020-01-01 00:00:00", "end_time": "2099-01-01 00:00:00", "limit": 200}
    payload = DESCRIBE_DEALS_BY_COND.payload({**everything, "status_set": list(range(1, 13)), **fields})
    answer = client_to(sandbox).call(DESCRIBE_DEALS_BY_COND, payload)
    return answer["Deals"]


def page(sandbox, **filters):
    """Return one page of the renewals as the server lists it."""
    payload = DESCRIBE_RENEW_INSTANCES.payload({"max_results": 100, **filters})
    return client_to(sandbox).call(DESCRIBE_RENEW_INSTANCES, payload)


def listed(sandbox, **filters):
    return page(sandbox, **filters)["InstanceList"]


def shown(sandbox, instance_id):
    """Return status and expiry of an instance as the list of renewals shows them, or nothing."""
    return [(one["Status"], one["ExpireTime"]) for one in listed(sandbox, instance_id_list=[instance_id])]


def refusal(call, *arguments, **options):
    with pytest.raises(ApiError) as caught:
        call(*arguments, **options)
    return caught.value.code


def reckoned(sandbox):
    """Return what must be left of money and vouchers: those of the start, what a test added, and the order book."""
    rules, wallet = sandbox.options, sandbox.account.wallet
    money, vouchers = rules.balance_cents + wallet.added_cents, rules.voucher_cents + wallet.added_voucher_cents
    for order in sandbox.account.orders():
        came_back = order.status == 6
        if order.action == "refund":
            money += order.cost_cents * came_back
        elif order.moves_money:
            money -= order.paid_cents * (not came_back)
            vouchers -= order.voucher_cents
    return money, vouchers
