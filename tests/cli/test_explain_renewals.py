"""The command line explains renewals and refunds without a clear end, and a user settles them."""

from __future__ import annotations

import time

import pytest

from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.refund import Refund
from airflow_provider_tcbilling.purchasing.renewal import Renewal
from tests.conftest import client_to
from tests.support.account import DAY, PRODUCT
from tests.support.crash import dying_at
from tests.support.shop import KEY, LAG, PLACED_BY, QUIET

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]

MONEY_ACTIONS = {"RenewInstance": Renewal, "RefundInstance": Refund}


@pytest.fixture(params=MONEY_ACTIONS)
def action(request):
    return request.param


@pytest.fixture
def purchase(shop, action):
    """Make tries to renew, or to give back, one instance."""
    instance = shop.sandbox.account.add_instance(expires_at=time.time() + 3 * DAY).instance_id

    def purchase():
        client = client_to(shop.sandbox, read_timeout=2.0)
        spending = MONEY_ACTIONS[action](client, {**PRODUCT, "instance_id": instance})
        return Purchase(KEY, spending, shop.ledger, Rules(lag=LAG, request_seconds=5.0), placed_by=PLACED_BY)

    return purchase


def lost(shop, action, purchase, **fault):
    shop.sandbox.faults.add({"fault": "drop", "action": action, **fault})
    with dying_at("in doubt"):
        purchase().place()
    shop.clock.sleep(QUIET)


def test_the_order_of_a_lost_answer_is_found_and_a_clear_adopts_it(shop, run, action, purchase):
    lost(shop, action, purchase)
    order_id = shop.orders[-1]

    code, out, _ = run("explain", "--key", KEY)

    assert code == 0
    assert "exactly one order matches" in out
    assert order_id in out
    assert action in out
    assert run("settle", "--key", KEY, "--not-bought")[0] == 1
    assert purchase().place().order_id == order_id
    assert shop.sandbox.requests[action] == 1


def test_what_has_moved_without_an_order_is_told_and_settled_only_by_force(shop, run, action, purchase):
    shop.sandbox.faults.add({"fault": "not-visible", "looks": 10_000, "action": action})
    lost(shop, action, purchase)

    _, out, _ = run("explain", "--key", KEY)

    assert "no order tells it, and the instance is not as it was before" in out
    assert ("moved from" if action == "RenewInstance" else "was NORMAL and is not listed now") in out
    assert run("settle", "--key", KEY, "--not-bought")[0] == 1
    assert run("settle", "--key", KEY, "--not-bought", "--force")[0] == 0


def test_a_user_can_say_which_order_it_is(shop, run, action, purchase):
    lost(shop, action, purchase)

    assert run("settle", "--key", KEY, "--order-id", shop.orders[0])[0] == 1, "that is the purchase of the instance"
    assert run("settle", "--key", KEY, "--order-id", shop.orders[-1])[0] == 0
    assert purchase().place().order_id == shop.orders[-1]


def test_an_order_that_came_to_its_end_is_told_as_what_it_is(shop, run, action, purchase):
    purchase().place()

    code, out, _ = run("explain", "--key", KEY)

    assert code == 0
    assert "the order is carried out" in out
