"""A request without secrets is the same request, whichever key has sealed its fingerprint."""

from __future__ import annotations

import json

import pytest

from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.support.crash import dying_at, dying_before_the_answer_is_read
from tests.support.purchases import orders, purchase
from tests.support.shelf import Shelf


@pytest.mark.parametrize("server", ["ignore", "honour"])
def test_identical_purchases_share_their_orders_over_a_rotation_of_keys(start_sandbox, server, passing_time):
    sandbox, ledger = start_sandbox(tokens=Tokens.parse(server)), Shelf(replaces_conditionally=True)
    with dying_at("sending"):
        purchase(sandbox, ledger, key="one").place()
    with dying_before_the_answer_is_read():
        purchase(sandbox, ledger, key="two").place()
    stored = json.loads(ledger.texts["two"])
    sealed = stored["fingerprint"]
    head, _, tail = sealed.partition(":")
    key, _, seal = tail.partition(":")
    stored["fingerprint"] = ":".join(filter(None, [head, "f" * len(key), seal]))
    ledger.texts["two"] = json.dumps(stored, indent=2) + "\n"
    passing_time.sleep(340)

    found = [purchase(sandbox, ledger, key=key).place().order_id for key in ("one", "two")]

    assert sorted(found) == sorted(orders(sandbox))
    assert len(found) == 2
