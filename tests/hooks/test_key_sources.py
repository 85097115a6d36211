"""Every source of keys, through the connection: what is refused, what is bought with it, and what a user is shown."""

from __future__ import annotations

import json

import pytest

from airflow_provider_tcbilling.api.errors import CredentialsRefused, CredentialsUnavailable
from airflow_provider_tcbilling.api.key_sources import ID_NAMES, KEY_NAMES
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.sandbox.metadata import METADATA
from airflow_provider_tcbilling.sandbox.roles import OTHER_ACCOUNT, Role
from airflow_provider_tcbilling.task import masker
from tests.conftest import SECRET_KEY
from tests.support.keys import BUYER, OTHER_BUYER, WEB_ROLE

pytestmark = pytest.mark.airflow

NOBODY = "qcs::cam::uin/100000000001:roleName/nobody"


# Sources that give no key: nothing is sent, and the message names what to correct


def _no_role_on_the_machine(world):
    world.sandbox.keys.machine_role = ""
    world.connect("cvm_role")
    return CredentialsUnavailable, "it has no role. Compare cam_role_name"


def _another_role_than_the_machine_has(world):
    world.connect("cvm_role", cam_role_name="nobody")
    return CredentialsUnavailable, "it has no such role"


def _no_section(world):
    world.connect("profile", profile="buying")
    return CredentialsRefused, "it has no section [buying]"


def _no_file(world):
    world.connect("profile", credentials_file="/nowhere/credentials")
    return CredentialsRefused, "No such file"


def _no_variables(world):
    world.connect("environment")
    for name in (*ID_NAMES, *KEY_NAMES):
        world.monkeypatch.delenv(name, raising=False)
    return CredentialsRefused, "TENCENTCLOUD_SECRET_ID is not set"


def _two_variables_that_differ(world):
    world.connect("environment")
    world.set_environment(TENCENTCLOUD_SECRETID="AKIDANOTHER")
    return CredentialsRefused, "have different values"


def _no_pod(world):
    world.connect("tke_oidc")
    world.monkeypatch.delenv("TKE_ROLE_ARN")
    return CredentialsRefused, "TKE_ROLE_ARN is not set"


def _no_token_file(world):
    world.connect("tke_oidc")
    world.set_environment(TKE_WEB_IDENTITY_TOKEN_FILE="/nowhere/token")
    return CredentialsRefused, "No such file"


def _no_such_role(world):
    world.connect(assume_role_arn=NOBODY)
    return CredentialsRefused, "There is no such role"


def _no_sts(world):
    world.connect(assume_role_arn=BUYER, sts_endpoint="http://127.0.0.1:9")
    return CredentialsUnavailable, "no connection to http://127.0.0.1:9"


NO_KEYS = [
    *(_no_role_on_the_machine, _another_role_than_the_machine_has, _no_section, _no_file, _no_variables),
    *(_two_variables_that_differ, _no_pod, _no_token_file, _no_such_role, _no_sts),
]


@pytest.mark.parametrize("prepare", NO_KEYS, ids=lambda prepare: prepare.__name__.strip("_"))
def test_a_source_without_a_key_sends_nothing_and_names_what_to_correct(world, prepare):
    error, text = prepare(world)

    with TcBillingHook().session(attempts=1) as tencent, pytest.raises(error) as caught:
        tencent.buying.describe_account_balance()
    works, message = TcBillingHook().test_connection()
    checks = {check.name: check for check in TcBillingHook().preflight().checks}

    assert (type(caught.value), caught.value.ambiguous) == (error, False)
    assert text in str(caught.value)
    assert (works, text in message) == (False, True), message
    assert (checks["identity"].result, text in checks["identity"].about) == ("FAILED", True)
    assert world.sandbox.requests.keys() <= {"AssumeRole", METADATA}
    assert SECRET_KEY not in message + str(caught.value)


# Sources that give a key


SOURCES = {
    "connection": ("the owner of account 100000000001, from connection", False),
    "environment": ("the owner of account 100000000001, from environment", False),
    "profile": ("the owner of account 100000000001, from profile", False),
    "cvm_role": ("role 4611686018", True),
    "tke_oidc": ("role buyer of account 100000000001", True),
}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_buys_once_and_is_named(world, source):
    world.connect(source)
    about, is_temporary = SOURCES[source]

    result = world.buy()
    works, message = TcBillingHook().test_connection()

    assert (len(world.orders), world.purchases) == (1, 1)
    assert world.sandbox.account.numbered(result["order_id"])
    assert (works, about in message, f"from {source}" in message) == (True, True, True), message
    assert (", until " in message) is is_temporary
    assert bool(world.sandbox.keys.issued) is is_temporary


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_can_be_followed_by_a_role(world, source):
    world.connect(source, assume_role_arn=BUYER)

    world.buy()
    works, message = TcBillingHook().test_connection()

    assert (len(world.orders), world.purchases) == (1, 1)
    assert (works, "role buyer of account 100000000001" in message) == (True, True), message
    assert f"from {source}, role {BUYER}, until " in message
    assert world.sandbox.keys.issued[-1].principal.session == "Airflow_tcbilling_default"


def test_a_role_of_another_account_spends_the_money_of_that_account(world):
    world.connect(assume_role_arn=OTHER_BUYER)

    works, message = TcBillingHook().test_connection()

    assert (works, f"role other-buyer of account {OTHER_ACCOUNT}" in message) == (True, True), message


def test_a_role_of_the_machine_is_named_as_the_connection_names_it(world):
    world.connect("cvm_role", cam_role_name="buyer")

    assert "role buyer of account 100000000001, from cvm_role, until " in TcBillingHook().test_connection()[1]


def test_an_external_id_reaches_sts(worker, start_sandbox):
    world = worker(start_sandbox(roles=(Role("buyer", external_id="external-4711"),)))
    world.connect(assume_role_arn=BUYER)
    assert TcBillingHook().test_connection()[0] is False

    world.connect(assume_role_arn=BUYER, assume_role_external_id="external-4711", assume_role_session_name="night")

    assert TcBillingHook().test_connection()[0] is True
    assert world.sandbox.keys.issued[-1].principal.session == "night"


def test_a_permanent_key_works_where_nothing_but_the_billing_api_can_be_reached(world):
    world.connect(sts_endpoint="http://127.0.0.1:9")

    works, message = TcBillingHook().test_connection()

    assert works
    assert "a key of account 100000000001, from connection; principal: not known (" in message


# What preflight says of the account


@pytest.mark.parametrize("source", list(SOURCES)[1:])
def test_preflight_warns_where_nothing_names_the_account_of_a_source(world, source):
    world.connect(source)
    checks = {check.name: check for check in TcBillingHook().preflight().checks}
    assert (checks["account"].result, "Set it to 100000000001" in checks["account"].about) == ("warning", True)

    world.connect(source, account_id="100000000001")
    checks = {check.name: check for check in TcBillingHook().preflight().checks}
    assert checks["account"].result == "ok"


@pytest.mark.parametrize("extra", [{}, {"assume_role_arn": BUYER}])
def test_preflight_does_not_warn_where_the_account_is_sure(world, extra):
    world.connect(**extra)

    checks = {check.name: check for check in TcBillingHook().preflight().checks}

    assert checks["account"].result == "ok"


def test_a_role_that_may_not_read_the_balance_is_a_warning_with_the_account_that_sts_names(worker, start_sandbox):
    world = worker(start_sandbox(roles=(Role("buyer", denied=("DescribeAccountBalance",)),)))
    world.connect(assume_role_arn=BUYER)

    checks = {check.name: check for check in TcBillingHook().preflight().checks}

    assert checks["identity"].result == "warning"
    assert "DescribeAccountBalance" in checks["identity"].about
    assert "role buyer of account 100000000001" in checks["identity"].about


# What logs may show


def test_each_key_is_masked_once_before_it_is_used(world, monkeypatch):
    """The key that assumes the role as well, though no request of the billing API is signed with it."""
    masked = []
    monkeypatch.setattr(masker, "_mask_secret", masked.append)
    world.connect("cvm_role", assume_role_arn=BUYER)

    with TcBillingHook().session() as tencent:
        for _ in range(3):
            tencent.buying.describe_account_balance()
            tencent.waiting.describe_account_balance()
    with TcBillingHook().session() as tencent:
        tencent.buying.describe_account_balance()

    keys = world.sandbox.keys.issued
    assert len(keys) == 2
    assert masked == [text for key in keys for text in (key.secret_key, key.token)]
    assert world.sandbox.requests == {METADATA: 2, "AssumeRole": 1, "DescribeAccountBalance": 7}


@pytest.mark.parametrize("source", SOURCES)
def test_no_part_of_a_key_is_in_a_log_or_a_message(world, source, caplog, logged):
    caplog.set_level("DEBUG")
    world.connect(source, assume_role_arn=BUYER)

    result = world.buy()
    preflight = TcBillingHook().preflight().as_dict()

    text = logged() + json.dumps([result, preflight]) + "".join(TcBillingHook().test_connection()[1])
    keys = world.sandbox.keys.issued
    assert keys
    assert not [part for key in keys for part in (key.secret_key, key.token) if part in text]
    assert not [part for part in (SECRET_KEY, WEB_ROLE["WebIdentityToken"]) if part in text]
