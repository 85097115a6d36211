"""Temporary keys of the sandbox: they expire on its clock, and then sign nothing."""

from __future__ import annotations

import threading
import time
from email.utils import parsedate_to_datetime

import pytest
import requests

from airflow_provider_tcbilling.api.signing import Tc3Auth
from airflow_provider_tcbilling.sandbox import keys as module
from airflow_provider_tcbilling.sandbox.errors import WrongControl
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.roles import Role
from tests.conftest import SECRET_ID, SECRET_KEY
from tests.sandbox.test_server import WIRE_ORDER
from tests.support.keys import (
    OTHER_BUYER,
    ROLE,
    WEB_ROLE,
    answered,
    assumed,
    billing,
    code,
    metadata,
    parts,
    sts,
    web_identity,
)

LIVES = 7200
EXPIRED = ["AuthFailure.TokenFailure", "AuthFailure.SecretIdNotFound"]


def forward(sandbox, seconds):
    sandbox.account.clock.offset += seconds


def source(name):
    """Return a way to get a temporary key."""
    return {
        "AssumeRole": assumed,
        "AssumeRoleWithWebIdentity": lambda sandbox: parts(web_identity(sandbox)),
        "metadata": lambda sandbox: parts(metadata(sandbox, "buyer").json()),
    }[name]


@pytest.mark.parametrize("expired", EXPIRED)
@pytest.mark.parametrize("name", ["AssumeRole", "AssumeRoleWithWebIdentity", "metadata"])
def test_an_expired_key_buys_nothing(start_sandbox, name, expired):
    sandbox = start_sandbox(expired_key=expired)
    key = source(name)(sandbox)
    forward(sandbox, LIVES - 60)
    before = billing(sandbox, "DescribeAccountBalance", key=key)
    forward(sandbox, 61)

    assert code(billing(sandbox, "CreateInstance", WIRE_ORDER, key=key)) == expired
    assert code(sts(sandbox, "GetCallerIdentity", key=key)) == expired
    assert before["Balance"] == sandbox.account.balance_cents
    assert sandbox.account.orders() == []
    assert (sandbox.journal[-1].outcome, sandbox.journal[-1].principal) == (expired, "")


@pytest.mark.parametrize("skew", [-3600, 3600])
@pytest.mark.parametrize("name", ["AssumeRole", "AssumeRoleWithWebIdentity", "metadata"])
def test_the_expiry_and_the_date_are_by_the_same_wrong_clock(sandbox, name, skew):
    sandbox.faults.add({"fault": "clock-skew", "seconds": skew})
    headers = {"X-TC-Timestamp": "0", "Authorization": "SKIP"} if name == "AssumeRoleWithWebIdentity" else {}
    if name == "AssumeRole":
        key = Tc3Auth(SECRET_ID, SECRET_KEY, "sts", clock=lambda: time.time() + skew)
        answer = answered(sandbox, name, ROLE, auth=key)
    else:
        answer = metadata(sandbox, "buyer") if name == "metadata" else answered(sandbox, name, WEB_ROLE, **headers)

    date = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    body = answer.json()
    assert abs(body.get("Response", body)["ExpiredTime"] - LIVES - date) <= 2
    assert abs(date - skew - time.time()) <= 60


def test_a_key_that_is_expired_gives_no_other_one(sandbox):
    key = assumed(sandbox)
    sandbox.keys.expire()

    answer = sts(sandbox, "AssumeRole", {"RoleArn": OTHER_BUYER, "RoleSessionName": "next"}, key=key)

    assert (code(answer), len(sandbox.keys.issued)) == ("AuthFailure.TokenFailure", 1)


@pytest.mark.parametrize(
    ("spoilt", "wanted"),
    [
        pytest.param(lambda one, other: (one[0], one[1], ""), "AuthFailure.TokenFailure", id="no token"),
        pytest.param(lambda one, other: (*one[:2], other[2]), "AuthFailure.TokenFailure", id="token of another key"),
        pytest.param(lambda one, other: (*one[:2], f"{one[2]}x"), "AuthFailure.TokenFailure", id="longer token"),
        pytest.param(
            lambda one, other: (one[0], *other[1:]), "AuthFailure.SignatureFailure", id="secret of another key"
        ),
        pytest.param(lambda one, other: (SECRET_ID, SECRET_KEY, one[2]), "AuthFailure.TokenFailure", id="lasting key"),
    ],
)
def test_parts_of_two_keys_make_none(sandbox, spoilt, wanted):
    assert (
        code(billing(sandbox, "CreateInstance", WIRE_ORDER, key=spoilt(assumed(sandbox), assumed(sandbox)))) == wanted
    )
    assert sandbox.account.orders() == []


def test_expire_now_ends_every_temporary_key_and_no_permanent_one(sandbox):
    keys = [assumed(sandbox), assumed(sandbox, OTHER_BUYER), parts(metadata(sandbox, "buyer").json())]

    answer = requests.post(f"{sandbox.url}/_sandbox/keys", json={"expire": True}, timeout=60).json()

    assert [one["seconds_left"] for one in answer["issued"]] == [0, 0, 0]
    assert {code(billing(sandbox, "DescribeAccountBalance", key=key)) for key in keys} == {"AuthFailure.TokenFailure"}
    assert billing(sandbox, "DescribeAccountBalance")["Uin"] == 100000000001
    assert billing(sandbox, "DescribeAccountBalance", key=assumed(sandbox))["Uin"] == 100000000001


def test_a_fault_lets_keys_expire_as_one_request_arrives(sandbox):
    sandbox.faults.add({"fault": "expire", "action": "CreateInstance"})
    key = assumed(sandbox)

    before = billing(sandbox, "DescribeAccountBalance", key=key)
    refused = billing(sandbox, "CreateInstance", WIRE_ORDER, key=key)
    again = billing(sandbox, "CreateInstance", WIRE_ORDER, key=assumed(sandbox))

    assert (code(before), code(refused), code(again)) == (None, "AuthFailure.TokenFailure", None)
    assert len(sandbox.account.orders()) == 1
    assert [entry.faults for entry in sandbox.journal] == [[], [], ["expire"], [], []]


def test_the_fault_of_keys_strikes_a_request_of_a_permanent_key_and_leaves_it_alone(sandbox):
    sandbox.faults.add({"fault": "expire"})

    assert "Error" not in billing(sandbox, "CreateInstance", WIRE_ORDER)
    assert (sandbox.journal[-1].faults, sandbox.journal[-1].outcome) == (["expire"], "ok")


def test_two_temporary_keys_of_one_role_share_a_rate_limit(start_sandbox, one_second):
    sandbox = start_sandbox(rate_limit=4, roles=(Role("buyer"), Role("reader")))
    keys = [assumed(sandbox) for _ in range(2)]
    reader = assumed(sandbox, "qcs::cam::uin/100000000001:roleName/reader")

    outcomes = [code(billing(sandbox, "DescribeAccountBalance", key=key)) for key in keys * 3]

    assert outcomes == [None] * 4 + ["RequestLimitExceeded"] * 2
    assert code(billing(sandbox, "DescribeAccountBalance", key=reader)) is None


def test_a_reset_forgets_every_temporary_key_and_the_role_of_the_machine_is_that_of_the_start(sandbox):
    key = assumed(sandbox)
    sandbox.keys.machine_role = "other-buyer"

    sandbox.reset()

    assert code(billing(sandbox, "DescribeAccountBalance", key=key)) == "AuthFailure.SecretIdNotFound"
    assert (sandbox.keys.issued, sandbox.keys.machine_role) == ([], "buyer")


def test_the_oldest_keys_are_forgotten_when_there_are_too_many(sandbox, monkeypatch):
    monkeypatch.setattr(module, "MOST_ISSUED", 2)
    keys = [assumed(sandbox) for _ in range(3)]

    outcomes = [code(billing(sandbox, "DescribeAccountBalance", key=key)) for key in keys]

    assert outcomes == ["AuthFailure.SecretIdNotFound", None, None]
    assert len(sandbox.keys.issued) == 2


def test_each_key_differs_from_every_other_and_many_threads_get_one_each(sandbox):
    keys = []
    threads = [threading.Thread(target=lambda: keys.append(assumed(sandbox))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [len({key[part] for key in keys}) for part in range(3)] == [20] * 3
    assert {key[0] for key in keys} == {key.secret_id for key in sandbox.keys.issued}


def test_the_same_seed_gives_the_same_keys_and_roles_change_no_id_of_an_order(start_sandbox):
    def ids(sandbox, uses_roles):
        key = (SECRET_ID, SECRET_KEY, "")
        issued = assumed(sandbox) if uses_roles else None
        order = billing(sandbox, "CreateInstance", WIRE_ORDER, key=key)
        return issued, order["OrderId"]

    first, second = (ids(start_sandbox(seed=7), uses_roles=True) for _ in range(2))
    assert first == second
    assert ids(start_sandbox(seed=7), uses_roles=False)[1] == first[1]


@pytest.mark.parametrize("seconds", [0, -1, 43_201, 1.5, "7200", True])
def test_a_life_that_no_key_has_is_no_option(seconds):
    with pytest.raises(WrongControl, match="key_seconds must be a whole number from 1 to 43200"):
        Options(key_seconds=seconds)


def test_an_error_code_that_no_expired_key_gets_is_no_option():
    with pytest.raises(WrongControl, match=r"expired_key must be one of AuthFailure\.TokenFailure"):
        Options(expired_key="Expired")


@pytest.mark.parametrize("expired", EXPIRED)
def test_both_codes_for_an_expired_key_come_with_the_id_of_the_request(start_sandbox, expired):
    sandbox = start_sandbox(expired_key=expired)
    key = assumed(sandbox)
    sandbox.keys.expire()

    answer = answered(sandbox, "DescribeAccountBalance", service="billing", key=key)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json()["Response"]["RequestId"] == sandbox.journal[-1].request_id
