"""A client whose keys change: the same bytes go out once, with a key of the right account, or nothing does."""

from __future__ import annotations

import threading
import time

import pytest

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.credentials import Credentials, FixedKey, Key, credentials_of
from airflow_provider_tcbilling.api.errors import (
    AnotherAccount,
    AuthError,
    CredentialsUnavailable,
    InvalidRequest,
    OutcomeUnknown,
    Unreachable,
)
from airflow_provider_tcbilling.api.key_sources import CvmRole, Profile
from airflow_provider_tcbilling.api.rate_limit import UNLIMITED
from airflow_provider_tcbilling.api.sts import AssumedRole
from airflow_provider_tcbilling.sandbox.roles import Role
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY, client_to
from tests.support.keys import BUYER, OTHER_BUYER

ACCOUNT, OTHER_ACCOUNT = "100000000001", "100000000002"
BASE = FixedKey(Key(SECRET_ID, SECRET_KEY))


def role(sandbox, arn=BUYER, base=BASE):
    return AssumedRole(base, arn, "Airflow_tests", sts_endpoint=sandbox.url)


def keyed(sandbox, source, **options):
    options = {"sleep": lambda seconds: None, "rate_limiter": UNLIMITED, **options}
    return BillingClient(endpoint=sandbox.url, credentials=Credentials(source), **options)


def sent(sandbox, action="CreateInstance"):
    return [entry for entry in sandbox.journal if entry.action == action]


def buy(client, **options):
    return client.create_instance(client_token="t", **ORDER, **options)


@pytest.mark.parametrize("code", ["AuthFailure.TokenFailure", "AuthFailure.SecretIdNotFound"])
def test_a_key_that_expires_between_reserve_and_send_is_refreshed_once_and_the_same_bytes_are_sent(start_sandbox, code):
    sandbox = start_sandbox(expired_key=code)
    client = keyed(sandbox, role(sandbox))
    assert client.account == ACCOUNT
    sandbox.keys.expire()

    order = buy(client)

    assert [entry.outcome for entry in sent(sandbox)] == [code, "ok"]
    assert len({entry.body_sha256 for entry in sent(sandbox)}) == 1
    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]
    assert len(sent(sandbox, "AssumeRole")) == 2


def test_a_key_that_is_refused_again_is_refreshed_no_second_time(sandbox):
    client = keyed(sandbox, role(sandbox))
    sandbox.faults.add(
        {"fault": "error", "code": "AuthFailure.TokenFailure", "action": "DescribeDealsByCond", "times": None}
    )

    with pytest.raises(AuthError):
        client.describe_deals()

    assert (len(sent(sandbox, "DescribeDealsByCond")), len(sent(sandbox, "AssumeRole"))) == (2, 2)


def test_a_refusal_of_a_purchase_whose_key_is_good_elsewhere_is_no_refusal(sandbox):
    client = keyed(sandbox, role(sandbox))
    sandbox.faults.add(
        {"fault": "error", "code": "AuthFailure.TokenFailure", "action": "CreateInstance", "when": "after"}
    )

    with pytest.raises(OutcomeUnknown):
        buy(client)

    assert (len(sent(sandbox)), len(sandbox.account.orders())) == (1, 1)


def test_a_permanent_key_that_is_refused_is_not_sent_again(sandbox):
    with pytest.raises(AuthError):
        buy(client_to(sandbox, secret_id="AKIDnobody"))

    assert len(sandbox.journal) == 1


def test_the_deadline_counts_after_a_refresh(sandbox):
    now = [time.time()]
    client = keyed(sandbox, role(sandbox), clock=lambda: now[0])
    assert client.account
    sandbox.keys.expire()
    fetch = client.credentials.source.fetch

    class Slow:
        """Takes its time."""

        name, identity, base, is_lasting = "slow", "slow", None, False

        def fetch(self, within, base=None):
            now[0] += 100
            return fetch(30.0)

    client.credentials.source = Slow()
    with pytest.raises(Unreachable, match="its time had passed"):
        buy(client, send_by=now[0] + 50)

    assert [entry.outcome for entry in sent(sandbox)] == ["AuthFailure.TokenFailure"]
    assert sandbox.account.orders() == []


@pytest.mark.parametrize("options", [{"fault": "delay", "seconds": 30.0}, {"fault": "http", "status": 500}])
def test_an_sts_that_gives_no_key_is_not_ambiguous_and_nothing_was_sent(sandbox, options):
    sandbox.faults.add({"action": "AssumeRole", "times": None, **options})
    began = time.monotonic()

    with pytest.raises(CredentialsUnavailable) as failed:
        buy(keyed(sandbox, role(sandbox)), send_by=time.time() + 1.0)

    assert time.monotonic() - began < 20
    assert (failed.value.transient, failed.value.ambiguous) == (True, False)
    assert sent(sandbox) == []


@pytest.mark.parametrize("fault", ["drop", "html", "delay"])
def test_an_account_that_cannot_be_read_is_not_ambiguous_and_nothing_was_sent(sandbox, fault):
    sandbox.faults.add({"fault": fault, "action": "DescribeAccountBalance", "times": None})

    with pytest.raises(CredentialsUnavailable) as failed:
        buy(keyed(sandbox, role(sandbox), account_id=ACCOUNT, read_timeout=0.3))

    assert (failed.value.transient, failed.value.ambiguous) == (True, False)
    assert sent(sandbox) == []


@pytest.mark.parametrize("act", [buy, BillingClient.describe_account_balance])
@pytest.mark.parametrize("is_permanent", [True, False])
def test_a_key_of_another_account_sends_nothing(sandbox, act, is_permanent):
    source = FixedKey(Key("AKIDSANDBOXOTHER", "sandbox-other-key")) if is_permanent else role(sandbox, OTHER_BUYER)
    client = keyed(sandbox, source, account_id=ACCOUNT)

    with pytest.raises(AnotherAccount, match=f"{OTHER_ACCOUNT}, and it is for account {ACCOUNT}") as failed:
        act(client)

    assert (failed.value.transient, failed.value.ambiguous) == (False, False)
    assert sent(sandbox) == []
    assert [a.orders() for a in sandbox.accounts.values()] == [[], []]


def test_the_right_account_is_compared_once_for_each_key(sandbox):
    client = keyed(sandbox, role(sandbox), account_id=ACCOUNT)
    for _ in range(3):
        client.describe_deals()
    sandbox.keys.expire()
    client.describe_deals()

    assert [entry.outcome for entry in sent(sandbox, "DescribeAccountBalance")] == ["ok", "ok"]


def test_a_key_that_may_not_read_its_balance_is_named_by_sts(start_sandbox):
    sandbox = start_sandbox(roles=(Role("buyer", denied=("DescribeAccountBalance",)),))
    client = keyed(sandbox, role(sandbox), account_id=ACCOUNT)

    assert buy(client).order_id
    assert client.account == ACCOUNT
    assert len(sent(sandbox, "GetCallerIdentity")) == 1


def test_a_key_whose_account_nothing_tells_sends_nothing_for_a_named_account(start_sandbox):
    sandbox = start_sandbox(roles=(Role("buyer", denied=("DescribeAccountBalance",)),))
    client = keyed(sandbox, role(sandbox), account_id=ACCOUNT, sts_endpoint="")

    with pytest.raises(AnotherAccount, match="an account that nothing tells"):
        buy(client)

    assert sent(sandbox) == []


def test_a_bound_client_does_not_follow_its_source_to_another_account(sandbox):
    client = keyed(sandbox, CvmRole("", sandbox.url))
    client.bind(client.account, client.key_id)
    assert client.describe_deals().total == 0
    sandbox.keys.machine_role = "other-buyer"
    sandbox.keys.expire()

    for act in (buy, BillingClient.describe_deals):
        with pytest.raises(AnotherAccount):
            act(client)

    assert [a.orders() for a in sandbox.accounts.values()] == [[], []]


def test_a_thread_signs_with_its_own_key_whatever_the_others_do(sandbox):
    auth = keyed(sandbox, role(sandbox))._transport.auth
    auth.key = Key("AKIDmine", "mine", "my-token")
    other = threading.Thread(target=setattr, args=(auth, "key", Key("AKIDtheirs", "theirs", "their-token")))
    other.start()
    other.join()

    headers = auth.headers("h", "application/json", b"")

    assert "Credential=AKIDmine/" in headers["Authorization"]
    assert headers["X-TC-Token"] == "my-token"


def test_twenty_threads_whose_key_changes_all_the_time_never_mix_two_keys(sandbox):
    credentials, failures = Credentials(role(sandbox)), []

    def query():
        client = BillingClient(endpoint=sandbox.url, credentials=credentials, rate_limiter=UNLIMITED)
        for _ in range(10):
            try:
                client.credentials.after(client.credentials.key())
                client.describe_account_balance()
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=query) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert {entry.outcome for entry in sent(sandbox, "DescribeAccountBalance")} == {"ok"}


def test_a_profile_that_is_replaced_is_read_when_the_old_key_is_refused(sandbox, tmp_path):
    file = tmp_path / "credentials"
    file.write_text("[default]\nsecret_id = AKIDdeleted\nsecret_key = old\n")
    client = keyed(sandbox, Profile(str(file)))
    assert client.key_id
    file.write_text(f"[default]\nsecret_id = {SECRET_ID}\nsecret_key = {SECRET_KEY}\n")

    assert buy(client).order_id


def test_a_thousand_clients_of_one_role_assume_it_once_for_each_of_its_keys(sandbox):
    source = role(sandbox)
    clients = [
        BillingClient(endpoint=sandbox.url, credentials=credentials_of(source), rate_limiter=UNLIMITED)
        for _ in range(1000)
    ]
    for lifetime in range(6):
        threads = [
            threading.Thread(target=lambda part: [c.describe_account_balance() for c in part], args=(clients[n::8],))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(sent(sandbox, "AssumeRole")) == lifetime + 1
        sandbox.account.clock.offset += 7201
    assert {entry.outcome for entry in sent(sandbox, "DescribeAccountBalance")} <= {"ok", "AuthFailure.TokenFailure"}


def test_the_temporary_keys_of_a_role_have_one_queue_of_requests(sandbox):
    credentials = Credentials(role(sandbox))
    one = BillingClient(endpoint=sandbox.url, credentials=credentials)
    names = {one.key_id}
    queue = one._rate_limiter._account
    sandbox.keys.expire()
    one.describe_account_balance()
    names.add(one.key_id)
    other = BillingClient(endpoint=sandbox.url, credentials=Credentials(role(sandbox)))
    names.add(other.key_id)

    assert len(names) == 3
    assert one._rate_limiter._account == other._rate_limiter._account == queue


def test_a_seal_lasts_as_long_as_the_key_that_assumes_the_role(sandbox):
    permanent, assumed, machine = (
        keyed(sandbox, source) for source in (BASE, role(sandbox), role(sandbox, base=CvmRole("", sandbox.url)))
    )

    assert permanent.seal("f") == assumed.seal("f") == keyed(sandbox, role(sandbox)).seal("f")
    assert machine.seal("f") != keyed(sandbox, role(sandbox, base=CvmRole("", sandbox.url))).seal("f")
    assert [bool(client.lasting_secret) for client in (permanent, assumed, machine)] == [True, True, False]


@pytest.mark.parametrize("account_id", [100000000001, " 100000000001 "])
def test_the_number_of_an_account_may_be_a_number(sandbox, account_id):
    assert client_to(sandbox, account_id=account_id).describe_account_balance().uin == 100000000001
    with pytest.raises(AnotherAccount, match="is for account 100000000002"):
        client_to(sandbox, account_id=100000000002).describe_account_balance()


def test_a_client_without_any_key_is_refused(sandbox):
    with pytest.raises(InvalidRequest, match="there is no key"):
        BillingClient(endpoint=sandbox.url)

    assert not sandbox.journal
