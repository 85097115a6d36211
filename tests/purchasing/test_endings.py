"""A purchase comes to an end, and says what it proves, whatever the order book and the store do."""

from __future__ import annotations

import json

import pytest

from airflow_provider_tcbilling.api.errors import OutcomeUnknown, TcBillingError
from airflow_provider_tcbilling.ledger.memory import MemoryStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import PurchaseOutcomeUnknown, StoreFailed
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support.crash import at, dying_at
from tests.support.shelf import Shelf

pytestmark = pytest.mark.usefixtures("passing_time")


def purchase(sandbox, store, **options):
    rules = Rules(lag=1.0, request_seconds=5.0, trust_token=options.pop("trust_token", False))
    return Purchase("firewall", NewInstance(client_to(sandbox), ORDER), store, rules, **options)


@pytest.mark.parametrize("lost", [{"fault": "drop", "when": "before"}, {"fault": "drop", "when": "after"}])
def test_a_trusted_token_is_not_sent_for_ever_where_the_order_book_is_refused_and_answers_are_lost(sandbox, lost):
    refused = {"fault": "error", "code": "UnauthorizedOperation.CamNoAuth", "when": "before", "times": None}
    sandbox.faults.add({**refused, "action": "DescribeDealsByCond"})
    sandbox.faults.add({**lost, "action": "CreateInstance", "times": None})

    with pytest.raises(OutcomeUnknown):
        purchase(sandbox, Shelf(), trust_token=True).place()

    assert len(sandbox.account.orders()) <= 1


def test_a_repeat_that_is_refused_for_good_stops_a_trusted_token_where_the_order_book_is_refused(sandbox):
    refused = {"fault": "error", "code": "UnauthorizedOperation.CamNoAuth", "when": "before", "times": None}
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "CreateInstance"})
    sandbox.faults.add({**refused, "action": "DescribeDealsByCond"})
    sandbox.faults.add({**refused, "action": "CreateInstance"})

    with pytest.raises(PurchaseOutcomeUnknown):
        purchase(sandbox, Shelf(), trust_token=True).place()

    assert sandbox.requests["CreateInstance"] == 2


class Overtaken(MemoryStore):
    """A store that compares as it replaces, lets both of two create, and is overtaken while it creates."""

    def __init__(self, meanwhile):
        super().__init__(is_shared=False, replaces_conditionally=True)
        self.meanwhile = [meanwhile]

    def _create(self, key, text):
        while self.meanwhile:
            self.meanwhile.pop()()
        return super()._create(key, text)


def test_of_two_first_requests_one_is_sent_where_a_store_compares_and_lets_both_create(start_sandbox):
    sandbox, orders = start_sandbox(tokens=Tokens("ignore")), []
    store = Overtaken(lambda: orders.append(purchase(sandbox, store).place()))

    mine = purchase(sandbox, store).place()

    assert [one.order_id for one in sandbox.account.orders()] == [mine.order_id]
    assert [order.order_id for order in orders] == [mine.order_id]


class Normalising(MemoryStore):
    """A store whose comparison never agrees, such as a column that writes JSON in its own way."""

    def __init__(self, texts):
        super().__init__(texts, replaces_conditionally=True)

    def _replace(self, key, text, expected):
        return expected is None and super()._replace(key, text, expected)


def test_a_store_whose_comparison_never_agrees_fails_and_does_not_spin(sandbox):
    shelf = Shelf()
    with dying_at("intent stored"):
        purchase(sandbox, shelf).place()

    with pytest.raises(StoreFailed, match="refuses to replace a record that has not changed"):
        purchase(sandbox, Normalising(shelf.texts)).place()

    assert sandbox.account.orders() == []


def test_an_order_that_another_process_has_placed_meanwhile_is_not_called_unbought(sandbox):
    shelf = Shelf()

    def another_one_buys():
        purchase(sandbox, shelf).place()

    mine = purchase(sandbox, shelf, checkpoint=at("begin", another_one_buys))
    order = mine.place()

    assert (mine.is_in_doubt, mine.order_id) == (True, order.order_id)


def test_a_purchase_that_gave_up_can_be_placed_again(sandbox):
    shelf = Shelf()
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "CreateInstance", "times": None})
    mine = purchase(sandbox, shelf, trust_token=True)
    with pytest.raises(TcBillingError):
        mine.place()
    sandbox.faults.clear()

    order = mine.place()

    assert [one.order_id for one in sandbox.account.orders()] == [order.order_id]


def test_an_unreadable_store_is_not_taken_for_an_unreadable_order_book(sandbox, passing_time, monkeypatch):
    shelf = Shelf()
    sandbox.faults.add({"fault": "drop", "when": "after", "action": "CreateInstance"})

    def fails():
        raise OSError("the ledger is gone")

    monkeypatch.setattr(shelf, "_list", fails)
    began = passing_time.slept

    with pytest.raises(StoreFailed, match="the ledger is gone"):
        purchase(sandbox, shelf, trust_token=True).place()

    assert passing_time.slept - began < 60
    assert json.loads(shelf.texts["firewall"])["state"] == "intended"
