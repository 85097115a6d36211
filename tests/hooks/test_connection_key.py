"""Keys that change behind one connection: no other account pays, and all of them wait in one queue."""

from __future__ import annotations

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_tcbilling.api import rate_limit
from airflow_provider_tcbilling.api.errors import AnotherAccount, AuthError, CredentialsRefused, CredentialsUnavailable
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.sandbox.roles import FIRST_ACCOUNT, OTHER_ACCOUNT, Role
from tests.conftest import ORDER, SECRET_ID
from tests.support.keys import BUYER, OTHER_BUYER, OTHER_KEY, assumed

pytestmark = pytest.mark.airflow


# A key of another account


def test_a_key_of_another_account_than_the_connection_names_buys_nothing(world):
    world.connect("profile", profile="other", account_id=FIRST_ACCOUNT)

    with pytest.raises(AirflowFailException, match=f"the key is of account {OTHER_ACCOUNT}"):
        world.buy()
    works, message = TcBillingHook().test_connection()
    checks = {check.name: check for check in TcBillingHook().preflight().checks}

    assert world.purchases == 0
    assert (works, str(OTHER_ACCOUNT) in message, checks["identity"].result) == (False, True, "FAILED")


def test_a_temporary_key_that_a_backend_replaces_by_one_of_another_account_buys_nothing(world):
    world.put_key(assumed(world.sandbox), account_id=FIRST_ACCOUNT)

    with TcBillingHook().session(attempts=1) as tencent:
        assert tencent.buying.account == str(FIRST_ACCOUNT)
        world.sandbox.keys.expire()
        world.put_key(assumed(world.sandbox, OTHER_BUYER, key=OTHER_KEY), account_id=FIRST_ACCOUNT)
        with pytest.raises(AnotherAccount):
            tencent.buying.create_instance(client_token="t", **ORDER)

    # The request with the expired key was refused.
    assert world.sandbox.requests["CreateInstance"] == 1
    assert len(world.orders) == 0


# A temporary key of a connection, which a secrets backend replaces


def test_a_key_that_expires_during_a_task_is_read_from_the_connection_anew(world):
    world.put_key(assumed(world.sandbox))

    with TcBillingHook().session(attempts=1) as tencent:
        tencent.buying.describe_account_balance()
        world.sandbox.keys.expire()
        world.put_key(new := assumed(world.sandbox), read_timeout=7)
        order = tencent.buying.create_instance(client_token="t", **ORDER)
        tencent.waiting.describe_deals(order_id=order.order_id)

        assert tencent.waiting.credentials is tencent.buying.credentials
        assert tencent.buying.credentials.key().secret_id == new[0]
        assert tencent.settings.read_timeout == 60, "only the key is taken"
    assert len(world.orders) == 1


def test_the_key_that_assumes_a_role_is_read_from_the_connection_anew(world):
    world.put_key(assumed(world.sandbox), assume_role_arn=BUYER)

    with TcBillingHook().session(attempts=1) as tencent:
        tencent.buying.describe_account_balance()
        world.sandbox.keys.expire()
        world.put_key(assumed(world.sandbox), assume_role_arn=BUYER)
        tencent.buying.create_instance(client_token="t", **ORDER)

    assert len(world.orders) == 1
    assert world.sandbox.requests["CreateInstance"] == 2, "the first was refused, since its key had expired"


def test_a_key_that_expires_and_is_not_replaced_is_refused_as_before(world):
    world.put_key(assumed(world.sandbox))
    world.sandbox.keys.expire()

    with TcBillingHook().session(attempts=1) as tencent, pytest.raises(AuthError):
        tencent.buying.create_instance(client_token="t", **ORDER)

    assert world.sandbox.requests == {"AssumeRole": 1, "CreateInstance": 1, "DescribeAccountBalance": 1}


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda world: world.monkeypatch.delenv("AIRFLOW_CONN_TCBILLING_DEFAULT"), CredentialsUnavailable, "NotFound"),
        (lambda world: world.put_key((SECRET_ID, "", "x")), CredentialsRefused, "password (SecretKey) is missing"),
        (lambda world: world.connect("cvm_role"), CredentialsUnavailable, "names another source or role"),
        (lambda world: world.connect(assume_role_arn=BUYER), CredentialsUnavailable, "names another source or role"),
    ],
    ids=["the connection is gone", "it has a mistake", "it has another source", "it has a role"],
)
def test_a_connection_that_gives_no_new_key_ends_the_request_and_nothing_is_ambiguous(world, change, error, text):
    world.put_key(assumed(world.sandbox))

    with TcBillingHook().session(attempts=1) as tencent:
        tencent.buying.describe_account_balance()
        world.sandbox.keys.expire()
        change(world)
        with pytest.raises(error) as caught:
            tencent.buying.create_instance(client_token="t", **ORDER)

    assert (type(caught.value), caught.value.ambiguous) == (error, False)
    assert text in str(caught.value)
    assert len(world.orders) == 0


# The queue of requests, and the server that names an account


@pytest.mark.parametrize("extra", [{}, {"account_id": FIRST_ACCOUNT}])
def test_two_temporary_keys_of_one_connection_wait_in_one_queue(world, monkeypatch, extra):
    names = []
    machine = rate_limit.limiter_of_machine
    monkeypatch.setattr(
        rate_limit, "limiter_of_machine", lambda name, rate: (names.append(name), machine(name, rate))[1]
    )

    for _ in range(2):
        world.put_key(assumed(world.sandbox), **extra)
        with TcBillingHook().session() as tencent:
            tencent.buying.describe_account_balance()

    assert len(names) > len(set(names)) == len(names) / 2
    assert world.sandbox.keys.issued[0].secret_id != world.sandbox.keys.issued[1].secret_id


def test_the_account_of_a_key_that_may_not_read_its_balance_comes_from_the_sts_that_the_connection_names(
    worker, start_sandbox
):
    world = worker(start_sandbox(roles=(Role("buyer", denied=("DescribeAccountBalance",)),)))

    world.connect("cvm_role", account_id=FIRST_ACCOUNT)
    with TcBillingHook().session(attempts=1) as tencent:
        assert tencent.buying.account == str(FIRST_ACCOUNT)
    world.connect("cvm_role", account_id=FIRST_ACCOUNT, sts_endpoint="http://127.0.0.1:9")
    with TcBillingHook().session(attempts=1) as tencent, pytest.raises(CredentialsUnavailable, match=r"127\.0\.0\.1:9"):
        tencent.buying.create_instance(client_token="t", **ORDER)

    assert world.purchases == 0
