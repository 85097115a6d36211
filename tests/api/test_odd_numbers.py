"""An order whose number cannot be one: the order book decides; it is not lost, adopted or bought again."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, PRICE, client_to
from tests.support.shelf import Shelf

ODD = "{{ conn.tcbilling_default.password }}"


@pytest.fixture
def sold(start_sandbox, monkeypatch, passing_time):
    """A sandbox that forgets tokens and answers every purchase with a number that cannot be one."""
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    sandbox.faults.add({"fault": "answer", "response": {"OrderId": ODD}, "action": "CreateInstance", "times": None})
    return sandbox


def purchase(sandbox, **rules):
    return Purchase("edge", NewInstance(client_to(sandbox), ORDER), Shelf(), Rules(lag=1.0, **rules))


def test_the_order_book_names_the_order_that_the_answer_did_not(sold):
    order = purchase(sold).place()

    assert order.order_id == sold.account.orders()[0].order_id
    assert (sold.requests["CreateInstance"], sold.options.balance_cents - sold.account.balance_cents) == (1, PRICE)


def test_an_order_whose_number_cannot_be_one_is_neither_adopted_nor_bought_again(sold, monkeypatch):
    read = BillingClient.call

    def odd(client, action, *request):
        answer = read(client, action, *request)
        return {**answer, "Deals": [{**deal, "OrderId": ODD} for deal in answer.get("Deals") or ()]}

    monkeypatch.setattr(BillingClient, "call", odd)

    with pytest.raises(PurchaseOutcomeUnknown) as stopped:
        purchase(sold, replay_window=2.0).place()

    assert "{{" not in "".join(line for line in str(stopped.value).splitlines() if "order" not in line)
    assert (sold.requests["CreateInstance"], sold.options.balance_cents - sold.account.balance_cents) == (1, PRICE)
