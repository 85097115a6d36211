"""A key that is being replaced while a purchase is in doubt is waited for: nobody decides what a query will tell."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.key_sources import Profile
from airflow_provider_tcbilling.purchasing.errors import PurchaseOutcomeUnknown
from tests.conftest import SECRET_ID, SECRET_KEY, client_to
from tests.purchasing.test_another_account import RULES, books, keyed, lose, purchase, store

__all__ = ["store"]

NOT_FOUND = "AuthFailure.SecretIdNotFound"
GOOD = f"[default]\nsecret_id = {SECRET_ID}\nsecret_key = {SECRET_KEY}\n"


@pytest.fixture
def profile(tmp_path):
    file = tmp_path / "credentials"
    file.write_text(GOOD)
    return file


def refuse(sandbox, action, times):
    sandbox.faults.add({"fault": "error", "code": NOT_FOUND, "action": action, "when": "before", "times": times})


@pytest.mark.parametrize("trusts", [False, True], ids=["usual", "trust_token"])
@pytest.mark.parametrize("is_missing", [False, True], ids=["refused", "missing"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_key_that_is_replaced_while_the_order_book_is_queried_stops_nothing(
    sandbox, store, profile, when, is_missing, trusts
):
    lose(sandbox, when)
    reached = []

    def change(point):
        reached.append(point)
        if reached.count("in doubt") == 1 and point == "in doubt":
            refuse(sandbox, "DescribeDealsByCond", 1)
            if is_missing:
                profile.unlink()
        if reached.count("in doubt") == 3:
            profile.write_text(GOOD)

    rules = replace(RULES, trust_token=trusts)
    order = purchase(keyed(sandbox, Profile(str(profile))), store, rules=rules, checkpoint=change).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]
    queries = [entry.outcome for entry in sandbox.journal if entry.action == "DescribeDealsByCond"]
    assert "ok" in queries, "nothing is sent again before a query"


def test_a_key_that_is_replaced_while_the_repeat_is_sent_stops_nothing(sandbox, store, profile):
    lose(sandbox, "before")
    reached = []

    def change(point):
        reached.append(point)
        if point == "taken over" and reached.count("taken over") == 1:
            refuse(sandbox, "CreateInstance", 1)
            refuse(sandbox, "DescribeAccountBalance", 1)

    order = purchase(keyed(sandbox, Profile(str(profile))), store, checkpoint=change).place()

    assert reached.count("taken over") == 2
    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]


@pytest.mark.parametrize("is_permanent", [False, True])
def test_a_key_that_nobody_replaces_stops_the_purchase_and_leaves_it_in_doubt(sandbox, store, profile, is_permanent):
    lose(sandbox, "after")

    def change(point):
        if point == "in doubt" and not sandbox.faults.listed():
            refuse(sandbox, "DescribeDealsByCond", None)

    client = client_to(sandbox) if is_permanent else keyed(sandbox, Profile(str(profile)))
    with pytest.raises(PurchaseOutcomeUnknown, match="the order book cannot be read"):
        purchase(client, store, rules=replace(RULES, replay_window=0.5), checkpoint=change).place()

    queries = [entry for entry in sandbox.journal if entry.action == "DescribeDealsByCond"]
    assert (len(queries) == 1) is is_permanent
    assert json.loads(store.text("firewall"))["state"] == "intended"
    sandbox.faults.clear()
    assert purchase(client, store).place().order_id
    assert books(sandbox) == [1, 0]
