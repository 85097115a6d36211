"""Workers whose clocks are wrong: an order is found by whoever looks for it, and nothing is bought twice."""

from __future__ import annotations

import contextlib
import random
import time

import pytest

from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support.shelf import Shelf

FARTHEST = 900.0
"""Seconds by which a worker's clock may be wrong in these tests. Two of them differ by less than the margin."""

pytestmark = pytest.mark.usefixtures("passing_time")


class Died(BaseException):
    """What no handler catches, like the end of the process."""


def dies(seconds):
    raise Died


def two_clocks(seed):
    """Return by how much the clocks of two workers are ahead of the server's."""
    chance = random.Random(seed)
    first = chance.uniform(-FARTHEST, FARTHEST)
    return first, first + chance.choice((0.0, chance.uniform(-1, 1) * (CLOCK_MARGIN - 10)))


def purchase(sandbox, store, ahead, sleep=None, key="firewall", window=None):
    def clock():
        return time.time() + ahead

    client = client_to(sandbox, read_timeout=2.0, clock=clock)
    rules = Rules(lag=10.0, request_seconds=5.0, replay_window=window)
    return Purchase(key, NewInstance(client, ORDER), store, rules, clock=clock, sleep=sleep or time.sleep)


KNOWN = [(400, 250), (-400, -250), (-310, -290), (400, 400), (290, 0), (0, -290)]


@pytest.mark.parametrize(("first", "second"), [*KNOWN, *map(two_clocks, range(40))])
def test_a_worker_finds_the_order_of_another_one_whichever_clock_is_wrong(start_sandbox, first, second):
    sandbox, store = start_sandbox(tokens=Tokens("ignore")), Shelf()
    sandbox.faults.add({"fault": "drop", "action": "CreateInstance"})

    with pytest.raises(Died):
        purchase(sandbox, store, first, sleep=dies).place()
    order = purchase(sandbox, store, second).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]


@pytest.mark.parametrize("ahead", [0.0, -700.0, 700.0, -310.0])
@pytest.mark.parametrize("window", [None, 3600.0])
def test_an_older_purchase_of_the_same_is_seen_as_a_rival_whichever_clock_is_wrong(start_sandbox, ahead, window):
    sandbox, store = start_sandbox(tokens=Tokens("ignore")), Shelf()
    sandbox.faults.add({"fault": "drop", "action": "CreateInstance"})
    with pytest.raises(Died):
        purchase(sandbox, store, ahead, dies, "one", window).place()
    time.sleep(700.0)
    sandbox.faults.add({"fault": "drop", "action": "CreateInstance", "when": "before"})

    taken = []
    for key in ("two", "one"):
        with contextlib.suppress(PurchaseOutcomeUnknown):
            taken.append(purchase(sandbox, store, ahead, key=key, window=window).place().order_id)

    assert len(set(taken)) == len(taken)
    tokens = [order.client_token for order in sandbox.account.orders()]
    assert len(set(tokens)) == len(tokens)
