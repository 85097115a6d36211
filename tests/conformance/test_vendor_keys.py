"""The vendor's library as an oracle for keys: it gets the same ones. Where it is silent, ours raises an error."""

from __future__ import annotations

import functools
import json
import time
from types import SimpleNamespace

import pytest
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sts.v20180813 import models, sts_client

from airflow_provider_tcbilling.api import sts as sts_module
from airflow_provider_tcbilling.api.credentials import Credentials, FixedKey, Key
from airflow_provider_tcbilling.api.errors import CredentialsRefused, CredentialsUnavailable
from airflow_provider_tcbilling.api.key_sources import CvmRole, Environment, Profile
from airflow_provider_tcbilling.api.sts import AssumedRole, TkeOidc, caller_identity, sts_endpoint_of
from airflow_provider_tcbilling.sandbox.roles import FIRST_ACCOUNT
from tests.conformance.test_vendor_sdk import purchase, sdk
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY, client_to
from tests.support.keys import (
    BUYER,
    SECURITY_CREDENTIALS,
    WEB_ROLE,
    assumed,
    billing,
    code,
    metadata,
    sts,
    web_identity,
)

OF_SIGNING = ("X-TC-Action", "X-TC-Version", "X-TC-Region", "X-TC-Language", "Content-Type", "Host")
"""Headers that mean the same to STS, whichever library sends them."""

WITHIN = 60.0


def address(sandbox):
    return sandbox.url.partition("//")[2]


def triple(key):
    return key.secret_id, key.secret_key, key.token


@pytest.fixture(autouse=True)
def over_http(monkeypatch, tmp_path):
    """Let the official library speak http, and find no key of the user who runs this."""
    monkeypatch.setattr(credential, "HttpProfile", functools.partial(HttpProfile, protocol="http"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def sent(sandbox, monkeypatch):
    """The requests that the sandbox has received, with their headers and bodies."""
    received, arrive = [], sandbox.arrive

    def recorded(headers, body):
        received.append(SimpleNamespace(headers={name.lower(): value for name, value in headers.items()}, body=body))
        return arrive(headers, body)

    monkeypatch.setattr(sandbox, "arrive", recorded)
    return received


@pytest.fixture
def later(monkeypatch):
    """The clock of both libraries' keys, which a test moves by ``seconds``. Signatures keep to the real time."""
    clock = SimpleNamespace(seconds=0.0, time=lambda: time.time() + clock.seconds)
    monkeypatch.setattr(credential, "time", clock)
    return clock


@pytest.fixture
def pod(monkeypatch, tmp_path):
    """The variables of a pod, and the file with its web identity."""
    file = tmp_path / "web-identity"
    file.write_text(WEB_ROLE["WebIdentityToken"])
    values = ("ap-guangzhou", WEB_ROLE["ProviderId"], str(file), BUYER)
    for name, value in zip(sts_module.TKE_NAMES, values, strict=True):
        monkeypatch.setenv(name, value)
    return file


def their_role(sandbox, duration=900):
    return credential.STSAssumeRoleCredential(SECRET_ID, SECRET_KEY, BUYER, "tests", duration, address(sandbox))


def our_role(sandbox, duration=900):
    return AssumedRole(FixedKey(Key(SECRET_ID, SECRET_KEY)), BUYER, "tests", duration, sts_endpoint=sandbox.url)


def their_pod(sandbox):
    provider = credential.DefaultTkeOIDCRoleArnProvider().get_credential()
    provider.endpoint = address(sandbox)
    return provider


def our_pod(sandbox):
    return TkeOidc("tests", sts_endpoint=sandbox.url)


def their_machine(sandbox):
    provider = credential.CVMRoleCredential()
    provider._role_endpoint = f"{sandbox.url}{SECURITY_CREDENTIALS}"
    return provider


def our_machine(sandbox):
    return CvmRole(endpoint=sandbox.url)


PAIRS = {
    "AssumeRole": (their_role, our_role, lambda sandbox: sts(sandbox, "AssumeRole", key_request())),
    "AssumeRoleWithWebIdentity": (their_pod, our_pod, web_identity),
    "metadata": (their_machine, our_machine, lambda sandbox: metadata(sandbox, "buyer").json()),
}
"""For each request that gives keys: their provider, our source, and the answer as it is."""


def key_request():
    return {"RoleArn": BUYER, "RoleSessionName": "tests", "DurationSeconds": 900}


@pytest.mark.parametrize("action", PAIRS)
def test_the_same_answer_is_the_same_key_to_both(sandbox, pod, action):
    theirs, ours, answer_of = PAIRS[action]
    answer = {name: value for name, value in answer_of(sandbox).items() if name != "RequestId"}
    theirs, ours = theirs(sandbox), ours(sandbox)
    if action == "metadata":
        theirs.role, ours = "buyer", CvmRole("buyer", sandbox.url)
    sandbox.faults.add({"fault": "answer", "action": action, "response": answer, "times": 2, "when": "before"})

    their_key, our_key = theirs.get_credential_info(), ours.fetch(WITHIN)

    assert len(sandbox.keys.issued) == 1
    assert their_key == triple(our_key) == triple(sandbox.keys.issued[0])
    assert our_key.expires_at == pytest.approx(answer["ExpiredTime"], abs=5)


@pytest.mark.parametrize("action", [name for name in PAIRS if name != "metadata"])
def test_both_send_the_same_request_to_sts_but_for_the_sessions_name(sandbox, pod, sent, action):
    theirs, ours, _ = PAIRS[action]
    theirs(sandbox).get_credential_info()
    ours(sandbox).fetch(WITHIN)

    their_request, our_request = sent
    bodies = [json.loads(request.body) for request in sent]
    names = [body.pop("RoleSessionName") for body in bodies]
    # Ours leaves out a duration that is the server's default, theirs sends it.
    bodies = [{"DurationSeconds": sts_module.DEFAULT_DURATION, **body} for body in bodies]
    assert bodies[0] == bodies[1]
    assert "tests" in names
    headers = {name: (their_request.headers[name.lower()], our_request.headers[name.lower()]) for name in OF_SIGNING}
    assert {name: pair for name, pair in headers.items() if pair[0] != pair[1] and name != "X-TC-Language"} == {}
    is_signed = ["TC3-HMAC-SHA256" in request.headers["authorization"] for request in sent]
    assert is_signed == [action == "AssumeRole"] * 2
    assert our_request.headers["authorization"] == "SKIP" or "/sts/tc3_request" in our_request.headers["authorization"]


@pytest.mark.parametrize("action", PAIRS)
def test_a_key_of_theirs_buys_with_our_client_and_a_key_of_ours_with_theirs(sandbox, pod, action):
    theirs, ours, _ = PAIRS[action]
    secret_id, secret_key, token = theirs(sandbox).get_credential_info()
    our_client = client_to(sandbox, secret_id=secret_id, secret_key=secret_key, token=token)
    their_client = sdk(address(sandbox))
    their_client.credential = credential.Credential(*triple(ours(sandbox).fetch(WITHIN)))

    bought = [our_client.create_instance(client_token="t", **{**ORDER, "parameter": {"pid": 1002147}}).order_id]
    bought.append(their_client.CreateInstance(purchase(ClientToken="t")).OrderId)

    assert len(sandbox.account.orders()) == 1
    assert set(bought) == {sandbox.account.orders()[0].order_id}
    assert {entry.principal for entry in sandbox.journal if entry.action == "CreateInstance"} == {
        f"{FIRST_ACCOUNT}:role/buyer"
    }


@pytest.mark.parametrize("is_role", [False, True], ids=["a permanent key", "a role's key"])
def test_both_read_the_same_identity(sandbox, is_role):
    key = assumed(sandbox) if is_role else (SECRET_ID, SECRET_KEY, "")
    profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=address(sandbox)))
    client = sts_client.StsClient(credential.Credential(*key), "ap-guangzhou", profile)

    theirs = client.GetCallerIdentity(models.GetCallerIdentityRequest())
    ours = caller_identity(Key(*key), sandbox.url)

    assert (ours.account, ours.principal, ours.arn, ours.type, ours.user_id) == (
        theirs.AccountId,
        theirs.PrincipalId,
        theirs.Arn,
        theirs.Type,
        theirs.UserId,
    )


def test_our_address_of_sts_is_that_of_the_official_client():
    assert sts_endpoint_of("https://billing.intl.tencentcloudapi.com") == "https://sts.intl.tencentcloudapi.com"
    mainland = sts_endpoint_of("https://billing.tencentcloudapi.com").partition("//")[2]
    assert mainland == credential.STSAssumeRoleCredential._endpoint
    assert mainland != sts_endpoint_of("https://billing.intl.tencentcloudapi.com"), "theirs asks the mainland for all"


def test_both_read_the_same_variables_and_only_ours_the_token(sandbox, monkeypatch):
    secret_id, secret_key, token = assumed(sandbox)
    for name, value in (("ID", secret_id), ("KEY", secret_key)):
        monkeypatch.setenv(f"TENCENTCLOUD_SECRET_{name}", value)
    monkeypatch.setenv("TENCENTCLOUD_TOKEN", token)

    theirs = credential.EnvironmentVariableCredential().get_credential().get_credential_info()
    ours = triple(Environment().fetch(WITHIN))

    assert theirs == (*ours[:2], None)
    assert code(billing(sandbox, "DescribeAccountBalance", key=(*theirs[:2], ""))) == "AuthFailure.TokenFailure"
    assert billing(sandbox, "DescribeAccountBalance", key=ours)["Uin"] == FIRST_ACCOUNT


def profile(tmp_path, text):
    file = tmp_path / ".tencentcloud" / "credentials"
    file.parent.mkdir()
    file.write_text(text)


def test_both_read_the_same_profile(tmp_path):
    profile(tmp_path, f"[default]\nsecret_id = {SECRET_ID} \nsecret_key={SECRET_KEY}\n[other]\nsecret_id=x\n")

    theirs = credential.ProfileCredential().get_credential().get_credential_info()

    assert theirs == (SECRET_ID, SECRET_KEY, None)
    assert triple(Profile().fetch(WITHIN)) == (SECRET_ID, SECRET_KEY, "")


def test_a_profile_with_quotes_is_a_wrong_key_to_theirs_and_a_refusal_by_ours(tmp_path):
    profile(tmp_path, f'[default]\nsecret_id="{SECRET_ID}"\nsecret_key="{SECRET_KEY}"\n')

    theirs = credential.ProfileCredential().get_credential()
    with pytest.raises(CredentialsRefused, match="quotes around it") as ours:
        Profile().fetch(WITHIN)

    assert theirs.secret_id == f'"{SECRET_ID}"'
    assert SECRET_KEY not in str(ours.value)


def test_a_profile_without_its_section_is_an_attribute_error_of_theirs_and_a_refusal_by_ours(tmp_path):
    profile(tmp_path, f"[other]\nsecret_id={SECRET_ID}\nsecret_key={SECRET_KEY}\n")

    with pytest.raises(AttributeError):
        credential.ProfileCredential().get_credential()
    with pytest.raises(CredentialsRefused, match=r"no section \[default\]"):
        Profile().fetch(WITHIN)


def test_while_the_metadata_service_is_down_theirs_returns_the_expired_key_and_ours_none(start_sandbox, later):
    sandbox = start_sandbox(key_seconds=600)
    theirs, ours = their_machine(sandbox), Credentials(our_machine(sandbox), clock=later.time)
    before, our_key = theirs.get_credential_info(), ours.key()
    sandbox.faults.add({"fault": "http", "status": 500, "action": "metadata", "when": "before", "times": None})

    later.seconds = sandbox.account.clock.offset = 601.0

    assert theirs.get_credential_info() == before
    assert code(billing(sandbox, "DescribeAccountBalance", key=before)) == sandbox.keys.expired_code
    assert our_key.expires_at is not None
    with pytest.raises(CredentialsUnavailable, match="gave no key, so nothing was sent"):
        ours.key()
    with pytest.raises(CredentialsUnavailable):
        client_to(sandbox, credentials=ours).create_instance(client_token="t", **ORDER)
    assert sandbox.requests["CreateInstance"] == 0


def test_a_machine_without_a_role_has_three_times_none_with_theirs_and_no_key_with_ours(start_sandbox):
    sandbox = start_sandbox(machine_role="")

    assert their_machine(sandbox).get_credential_info() == (None, None, None)
    with pytest.raises(CredentialsUnavailable, match="it has no role"):
        our_machine(sandbox).fetch(WITHIN)


def test_an_error_with_a_charset_is_a_key_error_of_theirs_and_has_its_code_with_ours(sandbox):
    wanted = {"fault": "error", "code": "ResourceNotFound.RoleNotFound", "when": "before", "times": 2}
    sandbox.faults.add({**wanted, "action": "AssumeRole"})
    sandbox.faults.add({"fault": "charset", "when": "before", "times": 2, "action": "AssumeRole"})

    with pytest.raises(KeyError, match="Credentials"):
        their_role(sandbox).get_credential_info()
    with pytest.raises(CredentialsRefused, match="RoleNotFound"):
        our_role(sandbox).fetch(WITHIN)


def test_one_fault_of_sts_ends_theirs_while_its_key_is_good_and_ours_goes_on(sandbox, later):
    theirs, ours = their_role(sandbox, 7200), Credentials(our_role(sandbox, 7200), clock=later.time)
    before, our_key = theirs.get_credential_info(), ours.key()
    fault = {"fault": "error", "code": "InternalError", "when": "before", "times": None, "action": "AssumeRole"}
    sandbox.faults.add(fault)

    later.seconds = 7200 - 300.0

    assert billing(sandbox, "DescribeAccountBalance", key=before)["Uin"] == FIRST_ACCOUNT
    with pytest.raises(TencentCloudSDKException, match="InternalError"):
        theirs.get_credential_info()
    assert ours.key() is our_key
    assert billing(sandbox, "DescribeAccountBalance", key=triple(our_key))["Uin"] == FIRST_ACCOUNT


def test_a_line_break_at_the_end_of_the_web_identity_is_sent_by_theirs_and_not_by_ours(sandbox, pod, sent):
    pod.write_text(f"{WEB_ROLE['WebIdentityToken']}\n")

    with pytest.raises(TencentCloudSDKException, match="did not issue this token"):
        their_pod(sandbox).get_credential_info()
    key = our_pod(sandbox).fetch(WITHIN)

    tokens = [json.loads(request.body)["WebIdentityToken"] for request in sent]
    assert tokens == [f"{WEB_ROLE['WebIdentityToken']}\n", WEB_ROLE["WebIdentityToken"]]
    assert billing(sandbox, "DescribeAccountBalance", key=triple(key))["Uin"] == FIRST_ACCOUNT
