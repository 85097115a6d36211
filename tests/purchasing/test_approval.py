"""An approval counts for exactly one payload at one price, from a user who may give it, and for its time."""

from __future__ import annotations

import math
import random
import re
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.purchasing.approval import (
    CLOCK_MARGIN,
    MAX_CENTS,
    UNKNOWN_REQUESTER,
    Question,
    code_of,
    is_named,
    payload_fingerprint,
    refusal_of,
)
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from tests.conftest import ORDER, client_to

NOW = 1_790_000_000.0
DAY = 86_400.0
BOUND = {
    "account": "100000000001",
    "endpoint": "https://billing.intl.tencentcloudapi.com",
    "key": "web",
    "generation": 0,
    "fingerprint": "hmac-sha256:00:11",
    "max_cents": 10_000,
    "currency": "USD",
}


def question_of(rules=None, requester="", **changed):
    bound = {**BOUND, **changed}
    return Question(
        code=code_of(**bound), action="CreateInstance", payload_shown={"ProductCode": "p_test"},
        price_from="max_cents", rules=rules or ApprovalRules(0), requester=requester, **bound,
    )  # fmt: skip


QUESTION = question_of()
APPROVAL = QUESTION.approved("alice", NOW)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("account", "100000000002"),
        ("account", ""),
        ("endpoint", "https://billing.tencentcloudapi.com"),
        ("endpoint", "http://127.0.0.1:8080"),
        ("key", "web "),
        ("generation", 1),
        ("fingerprint", "hmac-sha256:00:12"),
        ("max_cents", 10_001),
        ("max_cents", 9_999),
        ("max_cents", 90_000),
        ("currency", "CNY"),
        ("currency", "usd"),
    ],
)
def test_an_approval_of_anything_else_is_refused(name, value):
    changed = question_of(**{name: value})

    assert changed.code != QUESTION.code
    assert refusal_of(APPROVAL, changed, NOW)
    assert refusal_of(changed.approved("alice", NOW), QUESTION, NOW)


def test_no_two_of_many_different_purchases_have_one_code():
    chance = random.Random(20_261_130)
    values = {
        "account": ["", "1", "11", "100000000001"],
        "endpoint": ["https://a.tencentcloudapi.com", "https://b.tencentcloudapi.com", "http://127.0.0.1:1"],
        "key": ["a", "b", '["a"]', "a,1", "ä", "a\n"],
        "generation": [0, 1, 11],
        "fingerprint": ["", "1", "x:1"],
        "max_cents": [0, 1, 11, 100, MAX_CENTS],
        "currency": ["USD", "CNY", "USD,1"],
    }
    bounds = [{name: chance.choice(choices) for name, choices in values.items()} for _ in range(3_000)]

    different = {tuple(bound.values()) for bound in bounds}
    assert len(different) > 1_000
    assert len({code_of(**bound) for bound in bounds}) == len(different)
    for _ in range(3_000):
        one, other = (question_of(**bound) for bound in chance.sample(bounds, 2))
        assert bool(refusal_of(one.approved("alice", NOW), other, NOW)) == (one.code != other.code)


def test_a_question_with_the_code_of_another_one_is_refused():
    forged = replace(question_of(max_cents=90_000), code=QUESTION.code)

    assert refusal_of(replace(APPROVAL, cents=90_000), forged, NOW)


def test_the_spelling_of_the_server_makes_no_difference():
    assert question_of(endpoint="HTTPS://Billing.Intl.TencentCloudApi.com:443/").code == QUESTION.code


def test_a_code_is_short_and_has_no_letters_that_look_like_others():
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){4}", QUESTION.code)


def test_a_code_stays_the_same_in_later_versions():
    """Approvals in a ledger are found by it."""
    assert QUESTION.code == code_of(**BOUND) == "SXNB-06WP-QWPA-1N4Z-0MVG"


@pytest.mark.parametrize("cents", [-1, MAX_CENTS + 1, True, 1.0, "100", None, math.nan])
def test_what_is_no_price_has_no_code(cents):
    with pytest.raises(InvalidRequest, match="price"):
        code_of(**{**BOUND, "max_cents": cents})


@pytest.mark.parametrize("currency", ["", " ", None])
def test_a_price_without_a_currency_has_no_code(currency):
    with pytest.raises(InvalidRequest, match="currency"):
        code_of(**{**BOUND, "currency": currency})


def test_an_approval_counts_until_its_time_is_over():
    assert refusal_of(APPROVAL, QUESTION, NOW) == ""
    assert refusal_of(APPROVAL, QUESTION, NOW + DAY - 1) == ""
    assert "expired" in refusal_of(APPROVAL, QUESTION, NOW + DAY)


def test_stricter_rules_count_for_earlier_approvals_too():
    stricter = question_of(ApprovalRules(0, ("bob",), valid_for=60.0))

    assert "expired" in refusal_of(replace(APPROVAL, approved_by="bob"), stricter, NOW + 60)
    assert "not one of the approvers" in refusal_of(APPROVAL, stricter, NOW)
    assert refusal_of(replace(APPROVAL, approved_by="bob"), stricter, NOW + 59) == ""


def test_longer_rules_do_not_prolong_an_earlier_approval():
    assert "expired" in refusal_of(APPROVAL, question_of(ApprovalRules(0, valid_for=10 * DAY)), NOW + DAY)


@pytest.mark.parametrize("moment", [NOW + CLOCK_MARGIN + 1, math.inf, math.nan])
def test_an_approval_from_the_future_is_refused(moment):
    assert refusal_of(replace(APPROVAL, approved_at=moment, valid_until=math.inf), QUESTION, NOW)


def test_an_approval_without_an_end_is_refused():
    assert refusal_of(replace(APPROVAL, valid_until=math.nan), QUESTION, NOW)


@pytest.mark.parametrize("name", [None, "", " ", "Anonymous", "anonymous ", "None", UNKNOWN_REQUESTER, 7])
def test_nobody_is_no_approver(name):
    assert not is_named(name)
    assert "no named user" in refusal_of(replace(APPROVAL, approved_by=name), QUESTION, NOW)
    assert refusal_of(replace(APPROVAL, approved_by=name), question_of(ApprovalRules(0, (name,))), NOW)


def test_only_an_approver_approves():
    rules = ApprovalRules(0, ("alice", "bob"))

    assert refusal_of(APPROVAL, question_of(rules), NOW) == ""
    for name in ("Alice", "carol", "alice,bob", "ali", "alice "):
        assert "approvers" in refusal_of(replace(APPROVAL, approved_by=name), question_of(rules), NOW)


def test_a_requester_approves_nothing_of_their_own():
    rules = ApprovalRules(0, not_by_requester=True)

    assert "requested it" in refusal_of(APPROVAL, question_of(rules, "Alice"), NOW)
    assert "nothing says" in refusal_of(APPROVAL, question_of(rules, UNKNOWN_REQUESTER), NOW)
    assert refusal_of(APPROVAL, question_of(rules, "bob"), NOW) == ""
    assert refusal_of(APPROVAL, question_of(rules, ""), NOW) == ""
    assert refusal_of(APPROVAL, question_of(requester="alice"), NOW) == ""


def action_of(order, **key):
    return NewInstance(client_to(None, endpoint=BOUND["endpoint"], **key), order)


def test_an_edit_of_a_secret_counts_unless_the_key_is_temporary():
    one, other = with_password("one-long-password"), with_password("another-password")

    assert payload_fingerprint(action_of(one)) != payload_fingerprint(action_of(other))
    assert payload_fingerprint(action_of(one, token="t")) == payload_fingerprint(action_of(other, token="t"))
    assert payload_fingerprint(action_of(one, token="t")) != payload_fingerprint(
        action_of({**one, "quantity": 2}, token="t")
    )


def test_a_rotated_key_changes_nothing_for_a_request_without_secrets():
    assert payload_fingerprint(action_of(ORDER)) == payload_fingerprint(action_of(ORDER, secret_key="k" * 32))
    assert payload_fingerprint(action_of(ORDER)) != payload_fingerprint(action_of({**ORDER, "project_id": 2}))


def test_no_password_can_be_tried_on_a_fingerprint():
    guarded = action_of(with_password("hunter2hunter2"))

    assert guarded.plain_fingerprint not in payload_fingerprint(guarded)
    assert "hunter2" not in payload_fingerprint(guarded)


def test_a_question_is_about_the_action_as_it_is():
    terms = {"key": "web", "account": "1", "generation": 2, "max_cents": 5, "currency": "USD"}
    question = Question.of(action_of(ORDER), price_from="remembered", rules=ApprovalRules(0), **terms)

    assert question.code == question.own_code
    assert (question.action, question.price) == ("CreateInstance", "0.05 USD")
    assert question.is_as_shown
    for changed in ({"generation": 3}, {"max_cents": 6}, {"key": "db"}, {"account": "2"}, {"currency": "CNY"}):
        other = Question.of(action_of(ORDER), price_from="remembered", rules=ApprovalRules(0), **{**terms, **changed})
        assert refusal_of(question.approved("alice", NOW), other, NOW)
    other = Question.of(action_of({**ORDER, "project_id": 2}), price_from="remembered", rules=ApprovalRules(0), **terms)
    assert "another payload" in refusal_of(question.approved("alice", NOW), other, NOW)


def test_a_question_that_shows_another_request_than_its_code_binds_is_noticed():
    terms = {"key": "web", "account": "1", "generation": 0, "max_cents": 5, "currency": "USD"}
    for order in (ORDER, with_password("one-long-password")):
        question = Question.of(action_of(order), price_from="max_cents", rules=ApprovalRules(0), **terms)
        assert question.is_as_shown
        for changed in (
            {"payload_shown": {**question.payload_shown, "Quantity": 7}},
            {"action": "RenewInstance"},
            {"max_cents": 4},
            {"fingerprint": question.fingerprint.replace("shown:", "shown")},
            {"fingerprint": ""},
        ):
            assert not replace(question, **changed).is_as_shown


def with_password(password):
    return {**ORDER, "parameter": {"pid": 1, "LoginSettings": {"Password": password}}}
