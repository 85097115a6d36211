"""A repeat keeps reserved what its first request may have spent, whatever a user has edited meanwhile."""

from __future__ import annotations

import contextlib
import time

import pytest

from airflow_provider_tcbilling.ledger.memory import MemoryStore
from airflow_provider_tcbilling.purchasing.authorization import Authorization
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_errors import LimitReached, MixedCurrencies
from airflow_provider_tcbilling.purchasing.money_rules import MoneyRules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record
from tests.conftest import ORDER, PRICE, client_to
from tests.support import ledgers
from tests.support.crash import at, dying_at

LIMIT = Limit("team", Window.MONTH, PRICE + 1, "USD")
SMALLER = {**ORDER, "parameter": {"pid": 7}}


@pytest.fixture(params=["memory", "SQLite", "PostgreSQL"])
def store(request, tmp_path, monkeypatch):
    if request.param == "memory":
        return MemoryStore(replaces_conditionally=True)
    ledgers.with_the_time_of_the_test(monkeypatch)
    return ledgers.new_ledger(request.param, request, tmp_path)


@pytest.fixture
def purchase(sandbox, store, passing_time):
    sandbox.gateway._clock = time.time

    def purchase(key, rules, order=ORDER, checkpoint=None):
        action = NewInstance(client_to(sandbox), order)
        how = Rules(lag=10.0, request_seconds=5.0)
        authorization = Authorization(store, action, rules)
        return Purchase(key, action, store, how, authorization=authorization, checkpoint=checkpoint)

    return purchase


def lost(sandbox, passing_time, purchase):
    """Send a purchase whose answer is lost, and let its process die; the order is listed late."""
    sandbox.faults.add({"fault": "not-visible", "looks": 2})
    sandbox.faults.add({"fault": "drop", "when": "after", "action": "CreateInstance"})
    with dying_at("in doubt"):
        purchase("first", MoneyRules((LIMIT,), max_cents=PRICE)).place()
    passing_time.sleep(335.0)


def test_a_repeat_with_a_lower_price_reserves_what_the_first_request_may_have_spent(
    sandbox, store, purchase, passing_time
):
    lost(sandbox, passing_time, purchase)

    def meanwhile():
        with contextlib.suppress(LimitReached):
            purchase("another", MoneyRules((LIMIT,), max_cents=PRICE), SMALLER).place()

    purchase("first", MoneyRules((LIMIT,), max_cents=1), checkpoint=at("taken over", meanwhile)).place()

    assert len(sandbox.account.orders()) * PRICE <= LIMIT.max_cents


def test_a_repeat_in_another_currency_is_refused(sandbox, store, purchase, passing_time):
    lost(sandbox, passing_time, purchase)
    sent = sandbox.requests["CreateInstance"]

    with pytest.raises(MixedCurrencies):
        purchase("first", MoneyRules(max_cents=PRICE, currency="CNY")).place()

    assert sandbox.requests["CreateInstance"] == sent
    assert Record.from_json(store.read("first"), "here").reserved_currency == "USD"
