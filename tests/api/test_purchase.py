"""A purchase keeps its token, and no two purchases share one."""

from __future__ import annotations

import itertools

from airflow_provider_tcbilling.api.purchase import Purchase, client_token_for, task_run_key
from tests.conftest import ORDER, PRICE


def test_the_token_of_a_key_never_changes():
    # A change of this value would buy everything again that is under way during an upgrade.
    assert client_token_for("edge-firewall-2026-12") == "96b07a96-9a67-586a-8efc-b203387aa823"
    assert client_token_for(task_run_key("shop", "manual__1", "buy", -1)) == "07db87a9-def2-55f3-a115-2dba6f206fd6"


def test_every_part_of_a_task_run_makes_another_token():
    runs = list(itertools.product(["d", "d/r"], ["r", "r/t"], ["t", "t/0"], [-1, 0, 1]))
    tokens = {client_token_for(task_run_key(*run)) for run in runs}

    assert len(tokens) == len(runs)
    assert all(len(token) == 36 and token.isascii() for token in tokens)


def test_placing_a_purchase_twice_buys_once(client, sandbox):
    purchase = Purchase(client_token_for("firewall"), ORDER)

    first, second = purchase.place(client), purchase.place(client)

    assert first.order_id == second.order_id
    assert sandbox.rules.balance_cents - sandbox.ledger.balance_cents == PRICE
