"""STS of the sandbox: the keys that it refuses to give, and those that it gives."""

from __future__ import annotations

import functools
import threading
import time

import pytest
import requests
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sts.v20180813 import errorcodes

from airflow_provider_tcbilling.api.sts_actions import STS_ACTIONS
from airflow_provider_tcbilling.sandbox import sts as service
from airflow_provider_tcbilling.sandbox.roles import OTHER_ACCOUNT, Role
from tests.conftest import SECRET_ID, SECRET_KEY
from tests.support.keys import (
    BUYER,
    OTHER_BUYER,
    OTHER_KEY,
    ROLE,
    WEB_ROLE,
    answered,
    assumed,
    billing,
    code,
    parts,
    sts,
    web_identity,
)

COMMON = {"MissingParameter", "UnknownParameter", "InvalidAction", "NoSuchVersion"}
"""Codes of the gateway, which every service of Tencent shares."""

ARN = "qcs::cam::uin/100000000001:roleName/"


def without(name):
    return {key: value for key, value in ROLE.items() if key != name}


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        pytest.param({**ROLE, "RoleArn": f"{ARN}nobody"}, "ResourceNotFound.RoleNotFound", id="no such role"),
        pytest.param(
            {**ROLE, "RoleArn": "qcs::cam::uin/100000000009:roleName/buyer"},
            "ResourceNotFound.RoleNotFound",
            id="the role of an account that does not exist",
        ),
        pytest.param({**ROLE, "RoleArn": "buyer"}, "InvalidParameter.ResouceError", id="a name, not an ARN"),
        pytest.param({**ROLE, "RoleArn": f"{BUYER}\n"}, "InvalidParameter.ResouceError", id="an ARN and a newline"),
        pytest.param(without("RoleArn"), "MissingParameter", id="no role"),
        pytest.param(without("RoleSessionName"), "MissingParameter", id="no session"),
        pytest.param({**ROLE, "RoleSessionName": "a:b"}, "InvalidParameter.ParamError", id="a colon in the session"),
        pytest.param({**ROLE, "DurationSeconds": 43_201}, "InvalidParameter.OverTimeError", id="too long"),
        pytest.param({**ROLE, "DurationSeconds": 0}, "InvalidParameter.OverTimeError", id="no time at all"),
        pytest.param({**ROLE, "DurationSeconds": "7200"}, "InvalidParameter.ParamError", id="a duration as text"),
        pytest.param({**ROLE, "Colour": 1}, "UnknownParameter", id="an unknown field"),
    ],
)
def test_a_wrong_request_gets_no_key_and_its_code(sandbox, body, wanted):
    assert code(sts(sandbox, "AssumeRole", body)) == wanted
    assert (sandbox.keys.issued, sandbox.journal[-1].outcome) == ([], wanted)
    assert wanted in COMMON or wanted in vars(errorcodes).values()


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        pytest.param({"X-TC-Region": None}, "MissingParameter", id="no region"),
        pytest.param({"version": "2018-07-09"}, "NoSuchVersion", id="the version of billing"),
        pytest.param({"key": (SECRET_ID, "wrong", "")}, "AuthFailure.SignatureFailure", id="a wrong secret"),
        pytest.param({"key": (SECRET_ID, SECRET_KEY, "token")}, "AuthFailure.TokenFailure", id="a token of nothing"),
        pytest.param({"key": ("AKIDnobody", SECRET_KEY, "")}, "AuthFailure.SecretIdNotFound", id="an unknown id"),
        pytest.param({"Authorization": "SKIP"}, "AuthFailure.InvalidAuthorization", id="unsigned"),
    ],
)
@pytest.mark.parametrize("action", ["AssumeRole", "GetCallerIdentity"])
def test_a_request_that_is_signed_wrongly_gets_nothing(sandbox, action, options, wanted):
    assert code(sts(sandbox, action, ROLE if action == "AssumeRole" else {}, **options)) == wanted
    assert sandbox.keys.issued == []


def test_a_signature_for_billing_opens_no_sts_and_the_other_way_round(sandbox):
    crossed = answered(sandbox, "AssumeRole", ROLE, service="billing", version="2018-08-13").json()["Response"]
    back = answered(sandbox, "DescribeAccountBalance", service="sts", version="2018-07-09").json()["Response"]

    assert (code(crossed), code(back)) == ("AuthFailure.SignatureFailure",) * 2


def test_a_role_gives_its_key_to_nobody_whom_it_does_not_trust(start_sandbox):
    roles = (
        Role("own", trusts=(100000000001,)),
        Role("secret", external_id="only we know"),
        Role("first-only", chained=False),
    )
    sandbox = start_sandbox(roles=roles)
    temporary = assumed(sandbox, f"{ARN}own")

    def refused(name, key=(SECRET_ID, SECRET_KEY, ""), **fields):
        return code(sts(sandbox, "AssumeRole", {**ROLE, "RoleArn": f"{ARN}{name}", **fields}, key=key))

    assert refused("own", OTHER_KEY) == "UnauthorizedOperation"
    assert refused("secret") == "UnauthorizedOperation"
    assert refused("secret", ExternalId="another") == "UnauthorizedOperation"
    assert refused("first-only", temporary) == "InvalidParameter.AccessKeyNotSupport"
    assert len(sandbox.keys.issued) == 1
    assert refused("secret", ExternalId="only we know") is None
    assert refused("own", temporary) is None
    assert refused("first-only") is None


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        pytest.param({"WebIdentityToken": "eyJhbGciOi.x\n"}, "InvalidParameter.WebIdentityTokenError", id="a newline"),
        pytest.param({"WebIdentityToken": " eyJhbGciOi.x"}, "InvalidParameter.WebIdentityTokenError", id="a blank"),
        pytest.param({"WebIdentityToken": ""}, "MissingParameter", id="an empty token"),
        pytest.param({"ProviderId": "github"}, "InvalidParameter.WebIdentityTokenError", id="another provider"),
        pytest.param({"RoleArn": f"{ARN}nobody"}, "ResourceNotFound.RoleNotFound", id="no such role"),
        pytest.param({"RoleArn": f"{ARN}people"}, "UnauthorizedOperation", id="a role that trusts no provider"),
        pytest.param({"DurationSeconds": 50_000}, "InvalidParameter.OverTimeError", id="too long"),
    ],
)
def test_a_web_identity_that_is_wrong_gets_no_key(start_sandbox, changes, wanted):
    sandbox = start_sandbox(roles=(Role("buyer"), Role("people", web_identity=False)))

    answer = web_identity(sandbox, **changes)

    assert (code(answer), sandbox.keys.issued) == (wanted, [])
    assert (changes.get("WebIdentityToken") or WEB_ROLE["WebIdentityToken"]).strip() not in str(answer)


def test_an_action_that_a_role_may_not_call_is_refused_and_buys_nothing(start_sandbox):
    sandbox = start_sandbox(roles=(Role("buyer", denied=("CreateInstance", "GetCallerIdentity")),))
    key = assumed(sandbox)

    assert code(billing(sandbox, "CreateInstance", key=key)) == "AuthFailure.UnauthorizedOperation"
    assert code(sts(sandbox, "GetCallerIdentity", key=key)) == "AuthFailure.UnauthorizedOperation"
    assert billing(sandbox, "DescribeAccountBalance", key=key)["Uin"] == 100000000001


@pytest.mark.parametrize("seconds", [None, 1, 900, 43_200])
def test_a_key_has_the_shape_of_the_real_one_and_lives_as_long_as_was_wanted(sandbox, seconds):
    before = time.time()
    answer = sts(sandbox, "AssumeRole", ROLE | ({"DurationSeconds": seconds} if seconds else {}))

    assert set(answer) == {"Credentials", "ExpiredTime", "Expiration", "RequestId"}
    assert set(answer["Credentials"]) == {"TmpSecretId", "TmpSecretKey", "Token"}
    assert before - 1 <= answer["ExpiredTime"] - (seconds or 7200) <= time.time()
    assert time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(answer["ExpiredTime"])) == answer["Expiration"]
    assert STS_ACTIONS["AssumeRole"].check_answer(answer) == []


def test_each_identity_says_which_account_it_is_of(sandbox):
    permanent = sts(sandbox, "GetCallerIdentity")
    role = sts(sandbox, "GetCallerIdentity", key=assumed(sandbox, OTHER_BUYER))
    other = sts(sandbox, "GetCallerIdentity", key=OTHER_KEY)

    assert {permanent[name] for name in ("AccountId", "UserId", "PrincipalId")} == {"100000000001"}
    assert (permanent["Type"], other["AccountId"]) == ("CAMUser", "100000000002")
    number = sandbox.keys.roles[OTHER_BUYER].role_id
    assert (role["AccountId"], role["PrincipalId"], role["Type"]) == (str(OTHER_ACCOUNT), "100000000001", "CAMRole")
    assert (role["UserId"], role["Arn"]) == (f"{number}:tests", f"qcs::sts:100000000002:assumed-role/{number}")


def test_a_web_identity_gets_a_key_without_a_signature(sandbox):
    key = parts(web_identity(sandbox))

    assert billing(sandbox, "DescribeAccountBalance", key=key)["Uin"] == 100000000001
    assert [entry.principal for entry in sandbox.journal] == ["", "100000000001:role/buyer"]


@pytest.mark.parametrize("action", STS_ACTIONS)
def test_the_journal_names_no_key_and_no_token(sandbox, action):
    temporary = assumed(sandbox)
    web_identity(sandbox)
    sts(sandbox, action, key=temporary)

    shown = "".join(
        requests.get(f"{sandbox.url}/_sandbox/{path}", timeout=60).text for path in ("journal", "state", "keys")
    )
    secrets = [SECRET_KEY, OTHER_KEY[1], *temporary[1:], WEB_ROLE["WebIdentityToken"]]
    secrets += [part for key in sandbox.keys.issued for part in (key.secret_key, key.token)]
    assert [secret for secret in secrets if secret in shown] == []
    assert all(secret not in repr(sandbox.keys.issued) for secret in secrets)
    assert {"AssumeRole", "AssumeRoleWithWebIdentity", action} <= {entry.action for entry in sandbox.journal}


FAULTS = [
    ({"fault": "error", "code": "InternalError.GetSeedTokenError"}, "InternalError.GetSeedTokenError"),
    ({"fault": "http", "status": 500}, 500),
    ({"fault": "html"}, "text/html"),
    ({"fault": "charset"}, "application/json; charset=utf-8"),
    ({"fault": "truncated"}, "cut"),
    ({"fault": "drop"}, "lost"),
    ({"fault": "answer", "response": {"Credentials": None}}, "no key"),
]


def _outcome(sandbox, fault):
    sandbox.faults.add({**fault, "action": "AssumeRole"})
    try:
        answer = answered(sandbox, "AssumeRole", ROLE)
    except requests.ConnectionError:
        return {"lost"}
    try:
        response = answer.json()["Response"]
    except ValueError:
        response, found = {}, {"cut"}
    else:
        found = {code(response)} | ({"no key"} if response.get("Credentials", 0) is None else set())
    return found | {answer.status_code, answer.headers["Content-Type"]}


@pytest.mark.parametrize(("fault", "outcome"), [pytest.param(*one, id=str(one[1])) for one in FAULTS])
def test_every_fault_strikes_sts_too_and_leaves_billing_alone(sandbox, fault, outcome):
    assert billing(sandbox, "DescribeAccountBalance")["Uin"] == 100000000001
    assert outcome in _outcome(sandbox, fault)
    assert assumed(sandbox)


def test_an_sts_that_hangs_holds_up_no_other_request(sandbox):
    sandbox.faults.add({"fault": "delay", "seconds": 60, "when": "before", "action": "AssumeRole"})
    hung = []

    def hang():
        try:
            assumed(sandbox)
        except requests.RequestException as error:
            hung.append(error)

    thread = threading.Thread(target=hang, daemon=True)
    thread.start()
    while not sandbox.requests["AssumeRole"]:
        time.sleep(0.005)
    began = time.monotonic()

    assert billing(sandbox, "DescribeAccountBalance")["Uin"] == 100000000001
    assert web_identity(sandbox)["Credentials"]
    assert time.monotonic() - began < 30
    assert thread.is_alive()
    assert [entry.outcome for entry in sandbox.journal] == ["", "ok", "ok"]


def test_sts_has_limits_of_its_own(start_sandbox, one_second):
    sandbox = start_sandbox(rate_limit=3)

    identities = [code(sts(sandbox, "GetCallerIdentity")) for _ in range(21)]
    roles = [code(sts(sandbox, "AssumeRole", ROLE)) for _ in range(30)]

    assert identities == [None] * 20 + ["RequestLimitExceeded"]
    assert roles == [None] * 30


def test_every_action_of_the_tables_is_played():
    assert set(service._HANDLERS) == set(STS_ACTIONS)


@pytest.fixture
def over_http(monkeypatch):
    """Let the official library speak http: its providers have no option for it."""
    monkeypatch.setattr(credential, "HttpProfile", functools.partial(HttpProfile, protocol="http"))


def test_the_official_library_assumes_a_role_here(sandbox, over_http):
    endpoint = sandbox.url.partition("//")[2]
    theirs = credential.STSAssumeRoleCredential(SECRET_ID, SECRET_KEY, BUYER, "tests", 900, endpoint=endpoint)

    key = theirs.get_credential_info()

    (issued,) = sandbox.keys.issued
    assert key == (issued.secret_id, issued.secret_key, issued.token)
    assert billing(sandbox, "DescribeAccountBalance", key=key)["Uin"] == 100000000001


def test_the_official_library_assumes_a_role_with_a_web_identity_here(sandbox, over_http):
    endpoint = sandbox.url.partition("//")[2]

    def theirs(token):
        provider = credential.OIDCRoleArnCredential("ap-guangzhou", "tke", token, BUYER, "tests", endpoint=endpoint)
        return provider.get_credential_info()

    with pytest.raises(TencentCloudSDKException, match="did not issue this token"):
        theirs("token\n")
    assert billing(sandbox, "DescribeAccountBalance", key=theirs("token"))["Uin"] == 100000000001
