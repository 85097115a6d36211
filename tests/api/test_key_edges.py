"""Keys at their edges: one that changes while it signs, and one that expires before its account is read."""

from __future__ import annotations

import time

import pytest

from airflow_provider_tcbilling.api.account import account_of
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.credentials import Credentials, FixedKey, Key
from airflow_provider_tcbilling.api.errors import AuthError, CredentialsUnavailable
from airflow_provider_tcbilling.api.key_sources import CvmRole
from airflow_provider_tcbilling.api.rate_limit import UNLIMITED
from airflow_provider_tcbilling.api.signing import Tc3Auth
from airflow_provider_tcbilling.api.sts import AssumedRole
from airflow_provider_tcbilling.sandbox.roles import Role
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY, client_to
from tests.support.keys import BUYER, assumed
from tests.support.proxy import running_proxy

ACCOUNT = "100000000001"
MOMENT = 1_767_225_600.0
BLIND = Role("buyer", denied=("DescribeAccountBalance",))


def keyed(sandbox, source=None, **options):
    source = source or AssumedRole(FixedKey(Key(SECRET_ID, SECRET_KEY)), BUYER, "tests", sts_endpoint=sandbox.url)
    options = {"sleep": lambda seconds: None, "rate_limiter": UNLIMITED, **options}
    return BillingClient(endpoint=sandbox.url, credentials=Credentials(source), **options)


def actions(sandbox):
    return [entry.action for entry in sandbox.journal]


def test_a_key_that_is_replaced_while_it_signs_signs_to_the_end():
    first, second = Key("id-1", "key-1", "token-1"), Key("id-2", "key-2", "token-2")

    def clock():
        auth.key = second
        return MOMENT

    auth = Tc3Auth("", "", "billing", clock=clock)
    auth.key = first
    alone = Tc3Auth("id-1", "key-1", "billing", token="token-1", clock=lambda: MOMENT)

    assert auth.headers("host", "application/json", b"{}") == alone.headers("host", "application/json", b"{}")


def test_a_new_key_of_the_same_day_signs_with_its_own_secret():
    auth = Tc3Auth("id", "key-1", "billing", clock=lambda: MOMENT)
    auth.headers("host", "application/json", b"{}")
    auth.key = Key("id", "key-2")
    alone = Tc3Auth("id", "key-2", "billing", clock=lambda: MOMENT)

    assert auth.headers("host", "application/json", b"{}") == alone.headers("host", "application/json", b"{}")


def test_a_key_that_expires_before_its_account_is_read_is_refreshed_and_buys(sandbox):
    client = keyed(sandbox, account_id=ACCOUNT)
    assert client.key_id
    sandbox.keys.expire()

    assert client.create_instance(client_token="t", **ORDER).order_id

    balances = [entry.outcome for entry in sandbox.journal if entry.action == "DescribeAccountBalance"]
    assert balances == ["AuthFailure.TokenFailure", "ok"]
    assert "GetCallerIdentity" not in actions(sandbox)


def test_an_account_that_is_read_with_a_key_that_has_just_expired_is_read_again(sandbox):
    client = keyed(sandbox)
    assert client.key_id
    sandbox.keys.expire()

    assert client.account == ACCOUNT
    assert actions(sandbox).count("AssumeRole") == 2


@pytest.mark.parametrize("code", ["AuthFailure.UnauthorizedOperation", "AuthFailure.SignatureFailure"])
def test_a_refusal_for_another_reason_than_expiry_refreshes_no_key(sandbox, code):
    client = keyed(sandbox)
    sandbox.faults.add({"fault": "error", "code": code, "action": "CreateInstance", "when": "before"})

    with pytest.raises(AuthError):
        client.create_instance(client_token="t", **ORDER)

    assert actions(sandbox) == ["AssumeRole", "CreateInstance"]


def test_a_temporary_key_whose_account_sts_does_not_tell_now_is_tried_again_later(start_sandbox):
    sandbox = start_sandbox(roles=(BLIND,))
    client = keyed(sandbox, account_id=ACCOUNT)
    assert client.key_id
    sandbox.faults.add({"fault": "http", "status": 500, "action": "GetCallerIdentity", "times": None})

    with pytest.raises(CredentialsUnavailable) as failed:
        client.create_instance(client_token="t", **ORDER)

    assert (failed.value.transient, failed.value.ambiguous) == (True, False)
    assert "CreateInstance" not in actions(sandbox)


def test_a_permanent_key_does_not_need_sts(start_sandbox):
    sandbox = start_sandbox()
    sandbox.faults.add(
        {"fault": "error", "code": "UnauthorizedOperation", "action": "DescribeAccountBalance", "when": "before"}
    )
    sandbox.faults.add({"fault": "drop", "action": "GetCallerIdentity", "when": "before", "times": None})
    client = client_to(sandbox)

    assert account_of(client, client.credentials.key(), None, client.clock() + 60) == ""


def test_an_answer_of_sts_without_a_token_holds_no_key(sandbox):
    secret_id, secret_key, _ = assumed(sandbox)
    answer = {"Credentials": {"TmpSecretId": secret_id, "TmpSecretKey": secret_key, "Token": ""}}
    sandbox.faults.add({"fault": "answer", "response": answer, "action": "AssumeRole"})

    with pytest.raises(CredentialsUnavailable, match="has no token"):
        keyed(sandbox, attempts=1).create_instance(client_token="t", **ORDER)

    assert "CreateInstance" not in actions(sandbox)


def test_an_sts_that_hangs_holds_nobody_longer_than_its_own_time(sandbox):
    sandbox.faults.add({"fault": "delay", "seconds": 60.0, "action": "AssumeRole", "when": "before"})
    credentials, began = keyed(sandbox).credentials, time.monotonic()

    with pytest.raises(CredentialsUnavailable):
        credentials.key(1.0)

    # Its own time-out, without the time that is left, is 10 s.
    assert time.monotonic() - began < 8.0


def test_the_metadata_service_is_never_reached_through_a_proxy(sandbox, tmp_path, monkeypatch):
    with running_proxy(sandbox.url, tmp_path) as proxy:
        for name, value in proxy.environment.items():
            monkeypatch.setenv(name, value)

        assert CvmRole("", sandbox.url).fetch(60.0).is_temporary
        assert proxy.targets == []
