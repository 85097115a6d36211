"""A refusal of an expired key is believed only if the key has expired: a machine in between may have made it up."""

from __future__ import annotations

import json

import pytest

from airflow_provider_tcbilling.api.errors import AuthError
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import client_to
from tests.purchasing.test_another_account import keyed, purchase, role, store
from tests.support.keys import BUYER

__all__ = ["store"]

CODES = ["AuthFailure.TokenFailure", "AuthFailure.SecretIdNotFound"]


def forge(sandbox, when, code="AuthFailure.TokenFailure", times=1):
    sandbox.faults.add({"fault": "error", "code": code, "action": "CreateInstance", "when": when, "times": times})


def outcomes(sandbox, action="CreateInstance"):
    return [entry.outcome for entry in sandbox.journal if entry.action == action]


@pytest.mark.parametrize("tokens", ["honour", "ignore", "reject-repeat"])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_refusal_that_was_made_up_after_the_purchase_makes_no_second_one(start_sandbox, store, tokens, code, times):
    sandbox = start_sandbox(tokens=Tokens.parse(tokens))
    forge(sandbox, "after", code, times)

    order = purchase(keyed(sandbox, role(sandbox, BUYER)), store).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]
    assert purchase(keyed(sandbox, role(sandbox, BUYER)), store).place().order_id == order.order_id
    assert len(sandbox.account.orders()) == 1


def test_a_refusal_that_was_made_up_before_the_purchase_is_followed_by_a_query_and_the_same_token(sandbox, store):
    forge(sandbox, "before")

    order = purchase(keyed(sandbox, role(sandbox, BUYER)), store).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]
    assert len({entry.body_sha256 for entry in sandbox.journal if entry.action == "CreateInstance"}) == 1
    assert outcomes(sandbox, "DescribeDealsByCond")


@pytest.mark.parametrize(
    "fault", [{"fault": "http", "status": 500}, {"fault": "error", "code": "UnauthorizedOperation"}]
)
def test_a_refusal_that_nothing_confirms_leaves_the_purchase_in_doubt(sandbox, store, fault):
    client = keyed(sandbox, role(sandbox, BUYER))
    forge(sandbox, "after")

    def lose_the_query(point):
        if point == "sending":
            sandbox.faults.add({**fault, "action": "DescribeAccountBalance", "when": "before", "times": None})
        if point == "in doubt":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purchase(client, store, checkpoint=lose_the_query).place()

    assert json.loads(store.text("firewall"))["state"] == "intended"


@pytest.mark.parametrize("code", CODES)
def test_a_key_that_has_expired_is_replaced_and_the_same_bytes_are_sent_at_once(start_sandbox, store, code):
    sandbox = start_sandbox(expired_key=code)

    def expire(point):
        if point == "sending":
            sandbox.keys.expire()

    purchase(keyed(sandbox, role(sandbox, BUYER)), store, checkpoint=expire).place()

    assert outcomes(sandbox) == [code, "ok"]
    assert not outcomes(sandbox, "DescribeDealsByCond")
    assert json.loads(store.text("firewall"))["is_resent"] is False


def test_a_refused_key_uses_no_token_up(sandbox, store):
    forge(sandbox, "after", "AuthFailure.SecretIdNotFound")
    with pytest.raises(AuthError):
        purchase(client_to(sandbox), store).place()

    order = purchase(client_to(sandbox), store).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]
