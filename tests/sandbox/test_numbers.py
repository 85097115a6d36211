"""Numbers of orders and ids of instances: no two sandboxes have the same, unless they have the same seed."""

from __future__ import annotations

import re

import pytest
import requests

from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.account import Account
from airflow_provider_tcbilling.sandbox.options import Options as ServerRules
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import running
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY, client_to
from tests.support.shelf import Shelf


def numbers(sandbox, count=3):
    """Buy, and return all numbers and ids that come back."""
    client = client_to(sandbox)
    orders = [client.create_instance(client_token=str(number), **ORDER) for number in range(count)]
    found = [order.big_deal_id for order in sandbox.account.orders()]
    return {text for order in orders for text in (order.order_id, order.request_id, *order.instance_ids)} | set(found)


def test_the_numbers_differ_from_one_start_to_the_next(start_sandbox):
    assert not numbers(start_sandbox()) & numbers(start_sandbox())


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_the_numbers_differ_from_one_reset_to_the_next(start_sandbox, seed):
    sandbox = start_sandbox(seed=seed)
    before = numbers(sandbox)
    requests.post(f"{sandbox.url}/_sandbox/reset", timeout=5)

    assert not before & numbers(sandbox)


def test_with_a_seed_the_numbers_are_the_same_after_each_start_and_each_reset(start_sandbox):
    first, second, other = start_sandbox(seed=7), start_sandbox(seed=7), start_sandbox(seed=8)
    for _ in range(2):
        assert numbers(first) == numbers(second)
        for sandbox in (first, second):
            sandbox.reset()
    assert not numbers(first) & numbers(other)


def test_the_numbers_look_as_the_documentation_shows_them(start_sandbox):
    for _ in range(5):
        sandbox = start_sandbox()
        numbers(sandbox)
        for order in sandbox.account.orders():
            assert re.fullmatch(r"20\d{6}\d{12}811", order.order_id)
            assert order.big_deal_id == f"{order.order_id[:-3]}801"


def test_no_two_instances_have_the_same_id(monkeypatch):
    account = Account(ServerRules())
    drawn = iter([5, 5, 5, 6])
    monkeypatch.setattr(account.ids._source, "getrandbits", lambda bits: next(drawn))

    assert [account.ids.instance_id() for _ in range(2)] == ["ins-00000005", "ins-00000006"]


def test_a_record_of_before_a_restart_owns_no_order_of_the_new_sandbox():
    """It would take the new order for that of the other purchase, and buy again."""
    shelf, port, rules = Shelf(), 0, Rules(lag=0.0, request_seconds=5.0)
    for key, is_lost in (("first", False), ("second", True)):
        key_rules = {"secret_id": SECRET_ID, "secret_key": SECRET_KEY, "rate_limit": 0}
        sandbox = Sandbox(ServerRules(**key_rules, tokens=Tokens("ignore")))
        with running(sandbox, port=port) as sandbox.url:
            port = int(sandbox.url.rpartition(":")[2])
            if is_lost:
                sandbox.faults.add({"fault": "drop", "action": "CreateInstance"})
            order = Purchase(key, NewInstance(client_to(sandbox), ORDER), shelf, rules).place()

            assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]
