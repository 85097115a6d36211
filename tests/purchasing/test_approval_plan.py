"""A plan approves what it shows, and an edited one approves nothing."""

from __future__ import annotations

import copy
import json
import random

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.purchasing.approval import MAX_CENTS, Question
from airflow_provider_tcbilling.purchasing.approval_plan import _digest, entry_of, plan_of, questions_in
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from tests.conftest import ORDER
from tests.purchasing.test_approval import action_of, with_password

RULES = ApprovalRules(0)


def question_of(key="web", order=ORDER, cents=10_000, currency="USD", account="1"):
    return Question.of(
        action_of(order), key=key, account=account, generation=0, max_cents=cents, currency=currency,
        price_from="max_cents", rules=RULES,
    )  # fmt: skip


QUESTIONS = [question_of("web"), question_of("db", with_password("one-long-password"), 5_000)]
PLAN = json.loads(json.dumps(plan_of([entry_of(question) for question in QUESTIONS], note="more")))


def with_digest(plan):
    """Return an edited plan with a digest that agrees, as somebody makes it who has read our code."""
    return {**plan, "digest": _digest(plan)}


def test_a_plan_gives_back_the_questions_that_it_was_made_of():
    assert questions_in(PLAN, RULES) == QUESTIONS
    assert (PLAN["total_cents"], PLAN["currency"]) == (15_000, "USD")
    assert "one-long-password" not in json.dumps(PLAN)


def leaves(value, path=()):
    """Yield the path of every value in JSON data that is no object or list."""
    if isinstance(value, (dict, list)):
        for name, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, name))
    else:
        yield path


def edited(plan, path, value):
    copied = copy.deepcopy(plan)
    inner = copied
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return copied


@pytest.mark.parametrize("path", list(leaves(PLAN)), ids=lambda path: "-".join(map(str, path)))
@pytest.mark.parametrize("value", ["other", 1, 10_001, None, True, -1, 1e300, [], {}], ids=repr)
def test_no_edit_of_a_plan_approves_anything_else(path, value):
    plan = edited(PLAN, path, value)
    if plan == PLAN:
        return

    with pytest.raises(InvalidRequest):
        questions_in(plan, RULES)
    if path[-1] in ("note", "digest"):
        return
    if path[-1] == "price_from" and isinstance(value, str):
        return  # It says where the price is from, and nothing is bound to it.
    with pytest.raises(InvalidRequest):
        questions_in(with_digest(plan), RULES)


def test_an_entry_of_one_plan_is_good_in_another_one_and_a_mixture_of_two_is_not():
    one, other = PLAN["purchases"]
    assert questions_in(plan_of([other]), RULES) == QUESTIONS[1:]

    chance = random.Random(19)
    for _ in range(200):
        mixed = {name: chance.choice([one, other])[name] for name in one}
        if mixed not in (one, other) and {**mixed, "price_from": ""} not in ({**one, "price_from": ""},):
            with pytest.raises(InvalidRequest, match="code"):
                questions_in(plan_of([mixed]), RULES)


@pytest.mark.parametrize(
    ("purchases", "why"),
    [
        ([], "from 1 to"),
        ([entry_of(QUESTIONS[0])] * 2, "stands in it 2 times"),
        ([entry_of(question_of("web")), entry_of(question_of("web", cents=5))], "stands in it 2 times"),
        ([entry_of(question_of("web")), entry_of(question_of("db", currency="CNY"))], "currencies CNY, USD"),
        ([entry_of(question_of("web")), entry_of(question_of("db", account="2"))], "more than one account"),
        ([{**entry_of(QUESTIONS[0]), "max_cents": None, "approval_code": None}], "price is not known"),
        ([entry_of(question_of("web", cents=MAX_CENTS)), entry_of(question_of("db"))], "total"),
        ([{"currency": "USD", "max_cents": 1}], "a field is missing"),
    ],
)
def test_a_plan_that_cannot_be_approved_says_why(purchases, why):
    with pytest.raises(InvalidRequest, match=why):
        questions_in(plan_of(purchases), RULES)


@pytest.mark.parametrize("stored", [None, [], "text", {}, {"format": "airflow-provider-tcbilling purchase"}, 7])
def test_what_is_no_plan_is_refused(stored):
    with pytest.raises(InvalidRequest, match="not written by this package"):
        questions_in(stored, RULES)


@pytest.mark.parametrize("version", [2, "1", True, None])
def test_another_version_is_refused(version):
    with pytest.raises(InvalidRequest, match="version"):
        questions_in(with_digest({**PLAN, "version": version}), RULES)
