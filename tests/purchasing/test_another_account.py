"""The account behind a source of keys changes: nothing is sent to the new one, and nothing is adopted from it."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.credentials import Credentials, FixedKey, Key
from airflow_provider_tcbilling.api.errors import AnotherAccount, CredentialsUnavailable
from airflow_provider_tcbilling.api.key_sources import CvmRole, Profile
from airflow_provider_tcbilling.api.rate_limit import UNLIMITED
from airflow_provider_tcbilling.api.sts import AssumedRole
from airflow_provider_tcbilling.ledger.memory import MemoryStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import PurchaseChanged
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.roles import OTHER_ACCOUNT, Role
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY, client_to
from tests.support.keys import BUYER, OTHER_BUYER

BASE = FixedKey(Key(SECRET_ID, SECRET_KEY))
RULES = Rules(lag=0.0, request_seconds=4.0, clock_margin=0.0)


@pytest.fixture
def store():
    return MemoryStore()


def keyed(sandbox, source, **options):
    return BillingClient(
        endpoint=sandbox.url,
        credentials=Credentials(source),
        rate_limiter=UNLIMITED,
        sleep=lambda seconds: None,
        read_timeout=5.0,
        **options,
    )


def purchase(client, store, **options):
    options = {"rules": RULES, "sleep": lambda seconds: time.sleep(min(seconds, 0.05)), **options}
    return Purchase("firewall", NewInstance(client, ORDER), store, **options)


def role(sandbox, arn):
    return AssumedRole(BASE, arn, "Airflow_tests", sts_endpoint=sandbox.url)


def nameless(start_sandbox):
    """A sandbox whose roles may not read their balance, and a client of its machine that knows no STS."""
    denied = ("DescribeAccountBalance",)
    roles = (Role("buyer", denied=denied), Role("other-buyer", OTHER_ACCOUNT, denied=denied))
    sandbox = start_sandbox(roles=roles)
    return sandbox, keyed(sandbox, CvmRole("", sandbox.url), sts_endpoint="")


def move_to_the_other_account(sandbox):
    sandbox.keys.machine_role = "other-buyer"
    sandbox.keys.expire()


def books(sandbox):
    return [len(account.orders()) for account in sandbox.accounts.values()]


def lose(sandbox, when):
    sandbox.faults.add({"fault": "drop", "action": "CreateInstance", "when": when})


@pytest.mark.parametrize("rules", [RULES, replace(RULES, trust_token=True)], ids=["usual", "trust_token"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_in_the_same_try_after_a_lost_answer_nothing_is_sent_to_the_new_account(sandbox, store, when, rules):
    lose(sandbox, when)

    def change(point):
        if point == "in doubt" and sandbox.keys.machine_role == "buyer":
            # An order that looks the same is in the other account's order book, and must not be adopted.
            client_to(sandbox, secret_id="AKIDSANDBOXOTHER", secret_key="sandbox-other-key").create_instance(
                client_token="theirs", **ORDER
            )
            move_to_the_other_account(sandbox)

    with pytest.raises(AnotherAccount):
        purchase(keyed(sandbox, CvmRole("", sandbox.url)), store, rules=rules, checkpoint=change).place()

    assert books(sandbox) == [1 if when == "after" else 0, 1]
    record = json.loads(store.text("firewall"))
    assert (record["account"], record["state"], record.get("order_id")) == ("100000000001", "intended", None)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["machine", "role"])
def test_in_the_next_try_after_a_lost_answer_nothing_is_sent_to_the_new_account(sandbox, store, when, kind):
    sources = {
        "machine": (CvmRole("", sandbox.url),) * 2,
        "role": (role(sandbox, BUYER), role(sandbox, OTHER_BUYER)),
    }[kind]
    lose(sandbox, when)

    def die(point):
        if point == "in doubt":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purchase(keyed(sandbox, sources[0]), store, checkpoint=die).place()
    move_to_the_other_account(sandbox)

    with pytest.raises(
        PurchaseChanged, match="begun with account 100000000001, and the key is of account 100000000002"
    ):
        purchase(keyed(sandbox, sources[1]), store).place()

    assert books(sandbox) == [1 if when == "after" else 0, 0]


def test_between_the_intent_and_the_request_nothing_is_sent_to_the_new_account(sandbox, store):
    def change(point):
        if point == "intent stored":
            move_to_the_other_account(sandbox)

    client = keyed(sandbox, CvmRole("", sandbox.url))
    with pytest.raises(AnotherAccount):
        purchase(client, store, checkpoint=change).place()

    assert books(sandbox) == [0, 0]
    # It surely bought nothing, so the next try may, with the account that it finds then.
    assert purchase(keyed(sandbox, CvmRole("", sandbox.url)), store).place().order_id
    assert books(sandbox) == [0, 1]


def test_a_key_that_rotates_within_its_account_changes_nothing(sandbox, store):
    lose(sandbox, "after")

    def rotate(point):
        sandbox.keys.expire()

    order = purchase(keyed(sandbox, role(sandbox, BUYER)), store, checkpoint=rotate).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]
    again = purchase(keyed(sandbox, CvmRole("", sandbox.url)), store).place()
    assert again.order_id == order.order_id


@pytest.mark.parametrize("is_first", [True, False])
def test_an_sts_that_is_down_declines_a_first_request_and_leaves_a_later_one_in_doubt(sandbox, store, is_first):
    def cut(point):
        if point == ("intent stored" if is_first else "in doubt"):
            sandbox.keys.expire()
            sandbox.faults.add({"fault": "http", "status": 500, "action": "AssumeRole", "times": None})

    if not is_first:
        lose(sandbox, "after")
    rules = replace(RULES, replay_window=1.0)
    with pytest.raises(CredentialsUnavailable) as failed:
        purchase(keyed(sandbox, role(sandbox, BUYER)), store, rules=rules, checkpoint=cut).place()
    assert (failed.value.transient, failed.value.ambiguous) == (True, False)
    sandbox.faults.clear()

    assert purchase(keyed(sandbox, role(sandbox, BUYER)), store).place().order_id
    assert books(sandbox) == [1, 0]


@pytest.mark.parametrize(("point", "when", "bought"), [("in doubt", "after", 1), ("queried", "before", 0)])
def test_where_nothing_tells_the_account_another_key_neither_queries_nor_sends_after_a_lost_answer(
    start_sandbox, store, point, when, bought
):
    sandbox, client = nameless(start_sandbox)
    lose(sandbox, when)

    def change(reached):
        if reached == point:
            move_to_the_other_account(sandbox)

    with pytest.raises(AnotherAccount, match="that of the key before, which nothing tells either"):
        purchase(client, store, checkpoint=change).place()

    assert books(sandbox) == [bought, 0]
    assert json.loads(store.text("firewall"))["state"] == "intended"
    with pytest.raises(PurchaseChanged):
        purchase(keyed(sandbox, CvmRole("", sandbox.url), sts_endpoint=""), store).place()
    assert books(sandbox) == [bought, 0]


def test_where_nothing_tells_the_account_a_key_that_changes_before_the_first_request_is_for_the_next_try(
    start_sandbox, store
):
    sandbox, client = nameless(start_sandbox)

    def rotate(point):
        if point == "intent stored":
            sandbox.keys.expire()

    with pytest.raises(AnotherAccount) as failed:
        purchase(client, store, checkpoint=rotate).place()
    assert (failed.value.transient, failed.value.ambiguous) == (True, False)
    assert books(sandbox) == [0, 0]

    again = keyed(sandbox, CvmRole("", sandbox.url), sts_endpoint="")
    assert purchase(again, store).place().order_id
    assert books(sandbox) == [1, 0]


def test_a_purchase_that_a_permanent_key_began_stays_in_the_account_of_that_key(sandbox, store, tmp_path):
    lose(sandbox, "after")

    def die(point):
        if point == "in doubt":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purchase(client_to(sandbox), store, checkpoint=die).place()
    assert json.loads(store.text("firewall"))["account"] == ""
    profile = tmp_path / "credentials"
    profile.write_text(f"[default]\nsecret_id = {SECRET_ID}\nsecret_key = {SECRET_KEY}\n")

    def change(point):
        if point == "in doubt":
            profile.write_text("[default]\nsecret_id = AKIDSANDBOXOTHER\nsecret_key = sandbox-other-key\n")
            code = "AuthFailure.SecretIdNotFound"
            sandbox.faults.add({"fault": "error", "code": code, "action": "DescribeDealsByCond", "when": "before"})

    with pytest.raises(AnotherAccount):
        purchase(keyed(sandbox, Profile(str(profile))), store, checkpoint=change).place()

    assert books(sandbox) == [1, 0]


@pytest.mark.parametrize("point", ["in doubt", "taken over", "order known"])
def test_a_purchase_that_is_only_presumed_goes_on_with_the_next_key_of_its_account(sandbox, store, point):
    begun_at = time.time() - 60

    def die(reached):
        if reached == point:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        purchase(keyed(sandbox, role(sandbox, BUYER)), store, checkpoint=die, presumed_since=begun_at).place()
    sandbox.keys.expire()

    def later():
        return time.time() + 60

    order = purchase(keyed(sandbox, role(sandbox, BUYER)), store, presumed_since=begun_at, clock=later).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]
    assert json.loads(store.text("firewall"))["account"] == "100000000001"


def test_a_purchase_that_is_only_presumed_is_not_sent_to_another_account(sandbox, store):
    def change(reached):
        if reached == "taken over":
            move_to_the_other_account(sandbox)

    client = keyed(sandbox, CvmRole("", sandbox.url))
    with pytest.raises(AnotherAccount):
        purchase(client, store, checkpoint=change, presumed_since=time.time() - 60).place()

    assert books(sandbox) == [0, 0]


def test_where_nothing_tells_the_account_the_next_purchase_of_a_client_begins_with_its_next_key(start_sandbox, store):
    sandbox, client = nameless(start_sandbox)
    first = purchase(client, store).place()
    sandbox.keys.expire()

    second = Purchase("another", NewInstance(client, ORDER), store, rules=RULES).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [first.order_id, second.order_id]
