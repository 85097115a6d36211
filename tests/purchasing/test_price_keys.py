"""The price of a smaller thing is not remembered as that of a larger one."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.ledger.memory import MemoryStore
from airflow_provider_tcbilling.purchasing.authorization import Authorization
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_errors import PriceUnknown
from airflow_provider_tcbilling.purchasing.money_rules import MoneyRules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.waiting.delivery import with_price
from tests.conftest import ORDER, PRICE, client_to

RULES = MoneyRules((Limit("team", Window.MONTH, 100 * PRICE, "USD"),))

SIZES = [
    ({"licenses": 10}, {"licenses": 1000}),
    ({"tokenCount": 1000}, {"tokenCount": 1_000_000}),
    ({"tokenCount": "1000"}, {"tokenCount": "1000000"}),
    ({"name": "token", "value": 5}, {"name": "token", "value": 500}),
]


@pytest.fixture
def bought(sandbox, passing_time):
    store = MemoryStore(replaces_conditionally=True)

    def bought(key, parameter, rules=None):
        client = client_to(sandbox)
        action = NewInstance(client, {**ORDER, "parameter": parameter})
        purchase = Purchase(key, action, store, authorization=Authorization(store, action, rules))
        order = purchase.place()
        purchase.note_delivery(with_price(client, order, "CreateInstance", 60.0))
        return order

    return bought


@pytest.mark.parametrize(("smaller", "larger"), SIZES)
def test_a_masked_number_that_is_another_one_has_a_price_that_is_not_known(sandbox, bought, smaller, larger):
    bought("before", smaller)

    with pytest.raises(PriceUnknown):
        bought("larger", larger, RULES)

    bought("the same", smaller, RULES)
    assert len(sandbox.account.orders()) == 2


def test_another_password_has_the_same_price(sandbox, bought):
    bought("before", {"password": "correct horse"})

    bought("again", {"password": "battery staple"}, RULES)

    assert len(sandbox.account.orders()) == 2
