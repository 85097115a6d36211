"""Names that users import from where they once stood."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.conftest import PRICE, SECRET_ID, SECRET_KEY

MOVED = (
    ("api.purchase", "client_token_for", "purchasing.key", "client_token_for"),
    ("api.purchase", "Purchase", "purchasing.purchase", "Purchase"),
    ("api.delivery", "DeliveryWatch", "waiting.delivery", "DeliveryWatch"),
    ("api.errors", "PurchaseChanged", "purchasing.errors", "PurchaseChanged"),
    ("api.errors", "PurchaseOutcomeUnknown", "purchasing.errors", "PurchaseOutcomeUnknown"),
    ("api.expiry", "renewable", "api.instance_list", "renewable"),
    ("api.expiry", "expiring", "waiting.expiry", "expiring"),
    ("api.filters", "like", "waiting.filters", "like"),
    ("sandbox.machine", "Sandbox", "sandbox.sandbox", "Sandbox"),
    ("api.purchase", "task_run_key", "task.dag_run", "task_run_key"),
    ("api.instance", "NewInstance", "purchasing.new_instance", "NewInstance"),
    ("api.renewal", "Terms", "purchasing.renewal", "Terms"),
    ("api.refund", "Refund", "purchasing.refund", "Refund"),
    ("api.record", "Record", "purchasing.record", "Record"),
    ("api.spending", "Spending", "purchasing.money_action", "MoneyAction"),
    ("api.client", "may_repeat", "api.caller", "may_repeat"),
    ("stores", "Ledger", "ledger.objects", "ObjectStore"),
    ("sandbox.ledger", "Ledger", "sandbox.account", "Account"),
    ("sandbox.rules", "Rules", "sandbox.options", "Options"),
)


@pytest.mark.parametrize(("old", "name", "new", "new_name"), MOVED)
def test_a_name_is_found_where_it_once_stood_and_a_warning_says_where_it_is(old, name, new, new_name):
    with pytest.warns(DeprecationWarning, match=f"import {new_name} from airflow_provider_tcbilling.{new}"):
        found = getattr(import_module(f"airflow_provider_tcbilling.{old}"), name)

    assert found is getattr(import_module(f"airflow_provider_tcbilling.{new}"), new_name)


def test_an_old_module_has_no_other_names():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        import_module("airflow_provider_tcbilling.api.purchase").Nothing  # noqa: B018


def test_the_account_of_a_sandbox_is_found_by_its_old_name(sandbox):
    with pytest.warns(DeprecationWarning, match="called Sandbox.account now"):
        assert sandbox.ledger is sandbox.account

    assert sandbox.options.price_cents == PRICE
    assert (sandbox.options.secret_id, sandbox.options.secret_key) == (SECRET_ID, SECRET_KEY)
