"""Our tables against what others wrote down: the facts file, the vendor's SDK, our own signatures."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from airflow_provider_tcbilling.api.actions import ACTIONS, CREATE_INSTANCE, VERSION
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.error_codes import ERROR_CODES
from airflow_provider_tcbilling.api.models import Deal, DealStatus
from tests.support.facts import FACTS, PUBLISHED_CODES

PACKAGE = Path(__file__).parents[2] / "airflow_provider_tcbilling"


@pytest.mark.parametrize("name", ACTIONS)
def test_a_table_equals_the_facts(name):
    action, facts = ACTIONS[name], FACTS["actions"][name]

    assert {field.name for field in action.fields} == set(facts["request"])
    assert action.moves_money is facts["moves_money"]
    for field in action.fields:
        fact = facts["request"][field.name]
        assert field.required is fact["required"], field.name
        kind = "string holding a JSON object" if fact.get("format") == "JSON text" else fact["type"]
        assert field.kind.value == kind, field.name
        assert field.default == fact.get("default"), field.name
        assert field.maximum == fact.get("maximum"), field.name
        assert field.max_length == fact.get("max_length"), field.name
        assert field.max_items == fact.get("max_items"), field.name
        assert list(field.choices) == fact.get("enum", []), field.name
        assert field.is_ascii is (fact.get("charset") == "ascii"), field.name


def test_every_action_of_the_facts_has_a_table():
    assert set(ACTIONS) == set(FACTS["actions"])
    assert FACTS["version"] == VERSION


def test_statuses_and_error_codes_are_the_facts():
    documented = {int(number) for number, words in FACTS["deal_status"].items() if "mainland" not in words}

    assert {int(status) for status in DealStatus} == documented
    assert set(PUBLISHED_CODES) <= set(ERROR_CODES)


def test_the_published_deal_can_be_read():
    example = FACTS["examples"]["DescribeDealsByCond"]["response"]["Response"]["Deals"][0]

    deal = Deal.from_wire(example)

    assert deal.status == DealStatus.DELIVERED
    assert (deal.resource_ids, deal.paid_cents, deal.currency) == (("ins-abscde",), 17000, "CNY")


def test_the_published_purchase_passes_the_check():
    assert CREATE_INSTANCE.check(FACTS["examples"]["CreateInstance"]["request"]) == []


@pytest.mark.parametrize("name", ACTIONS)
def test_a_table_has_the_fields_of_the_vendors_sdk(name):
    from tencentcloud.billing.v20180709 import models

    request = getattr(models, f"{name}Request")()

    assert {field.name for field in ACTIONS[name].fields} == {attribute.lstrip("_") for attribute in vars(request)}


@pytest.mark.parametrize("method", ["create_instance", "renew_instance", "refund_instance", "set_renewal"])
def test_a_method_has_the_fields_of_its_table(method):
    action = next(a for a in ACTIONS.values() if a.name.lower() == method.replace("_", ""))
    signature = inspect.signature(getattr(BillingClient, method))

    assert set(signature.parameters) - {"self", "send_by"} == {field.arg for field in action.fields}


def test_the_operator_has_the_fields_of_its_table_and_renders_them_all():
    from airflow_provider_tcbilling.operators.base import SpendingOperator
    from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator

    fields = {field.arg for field in CREATE_INSTANCE.fields}
    kinds = (CreateInstanceOperator, SpendingOperator)
    parameters = {name for kind in kinds for name in inspect.signature(kind.__init__).parameters}

    assert fields <= parameters
    assert fields <= set(CreateInstanceOperator.template_fields)


def test_no_file_of_the_package_is_too_long_to_hold_in_the_head():
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}

    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_api_facts_stand_in_the_tables_only():
    wire_name = re.compile(r'"(?:ClientToken|SubProductCode|StatusSet|InstanceIdList|PeriodUnit)"')
    airflow_side = ("operators", "sensors", "triggers", "hooks", "links")
    files = [path for folder in airflow_side for path in (PACKAGE / folder).rglob("*.py")]

    assert files
    assert [path.name for path in files if wire_name.search(path.read_text(encoding="utf-8"))] == []
