"""TC3-HMAC-SHA256 against the examples that Tencent publishes."""

from __future__ import annotations

import hashlib

import pytest

from airflow_provider_tcbilling.api.signing import (
    Tc3Auth,
    canonical_request,
    credential_scope,
    signature,
    signing_key,
    string_to_sign,
)

BODY = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
TIMESTAMP = 1551113065
HEADERS = {"content-type": "application/json; charset=utf-8", "host": "cvm.tencentcloudapi.com"}

EXAMPLES = [
    pytest.param(
        "*" * 32,
        {**HEADERS, "x-tc-action": "DescribeInstances"},
        "7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84",
        "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
        id="current manual",
    ),
    pytest.param(
        "Gu5t9xGARNpq86cd98joQYCN3*******",
        HEADERS,
        "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
        "2230eefd229f582d8b1b891af7107b91597240707d778ab3738f756258d7652c",
        id="older manual",
    ),
    pytest.param(
        "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
        HEADERS,
        "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031",
        "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
        id="international manual",
    ),
]


@pytest.mark.parametrize(("secret_key", "headers", "hashed_request", "expected"), EXAMPLES)
def test_every_step_gives_what_the_manual_prints(secret_key, headers, hashed_request, expected):
    canonical = canonical_request(headers, BODY)
    scope = credential_scope(TIMESTAMP, "cvm")
    text = string_to_sign(TIMESTAMP, scope, canonical)

    assert hashlib.sha256(canonical.encode()).hexdigest() == hashed_request
    assert text == f"TC3-HMAC-SHA256\n1551113065\n2019-02-25/cvm/tc3_request\n{hashed_request}"
    assert signature(signing_key(secret_key, scope), text) == expected


def test_the_date_is_utc_although_it_is_tomorrow_in_china():
    assert credential_scope(TIMESTAMP, "cvm") == "2019-02-25/cvm/tc3_request"


def test_the_key_turns_with_the_utc_day():
    now = [1551139199.0]
    auth = Tc3Auth("id", "secret", "billing", clock=lambda: now[0])

    before = auth.headers("h", "application/json", b"")["Authorization"]
    now[0] += 1
    after = auth.headers("h", "application/json", b"")["Authorization"]

    assert "id/2019-02-25/billing" in before
    assert "id/2019-02-26/billing" in after
    fresh = Tc3Auth("id", "secret", "billing", clock=lambda: now[0])
    assert after == fresh.headers("h", "application/json", b"")["Authorization"]


def test_only_a_temporary_key_sends_a_token():
    temporary = Tc3Auth("id", "secret", "billing", token="t").headers("h", "application/json", b"")
    permanent = Tc3Auth("id", "secret", "billing").headers("h", "application/json", b"")

    assert temporary["X-TC-Token"] == "t"
    assert "X-TC-Token" not in permanent
