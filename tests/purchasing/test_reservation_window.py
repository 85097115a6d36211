"""The window that a reservation is checked in is the one that it counts in, however long a process stands still."""

from __future__ import annotations

import contextlib

import pytest

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.ledger.memory import MemoryStore
from airflow_provider_tcbilling.purchasing.authorization import Authorization
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_errors import LimitReached
from airflow_provider_tcbilling.purchasing.money_rules import MoneyRules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.reservation import Reservation
from tests.conftest import ORDER, PRICE, client_to
from tests.support import ledgers
from tests.support.crash import at

MIDNIGHT = 1_792_080_000.0
"""2026-10-16 00:00 in Shanghai."""


class Clock:
    def __init__(self, now):
        self.now = now


@pytest.fixture(params=["memory", *ledgers.KINDS])
def store(request, tmp_path):
    if request.param == "memory":
        return MemoryStore(replaces_conditionally=True)
    return ledgers.new_ledger(request.param, request, tmp_path)


@pytest.mark.parametrize("window", [Window.DAY, Window.MONTH])
def test_a_process_that_stands_still_over_midnight_reserves_nothing_in_a_window_that_is_full(
    sandbox, store, window, monkeypatch
):
    midnight = MIDNIGHT if window is Window.DAY else MIDNIGHT + 16 * 86_400
    clock = Clock(midnight - 1)
    monkeypatch.setattr(type(store), "now", lambda store: clock.now)
    limit = Limit("team", window, PRICE, "USD")

    def bought(key, checkpoint=None):
        action = NewInstance(client_to(sandbox, clock=lambda: clock.now), ORDER)
        rules = MoneyRules((limit,), max_cents=PRICE)
        authorization = Authorization(store, action, rules)
        return Purchase(key, action, store, authorization=authorization, checkpoint=checkpoint).place()

    def meanwhile():
        bought("meanwhile")
        clock.now = midnight + 1

    sandbox.gateway._clock = lambda: clock.now
    with contextlib.suppress(LimitReached):
        bought("stands still", at("begin", meanwhile))

    clock.now = midnight - 1
    reservation = Reservation("none", None, "USD", (limit,), server=server_name(sandbox.url))
    (counted,) = store.usage(reservation).counted
    assert counted.settled + counted.reserved == PRICE
    assert len(sandbox.account.orders()) == 1
