"""Money rules: two sides that both set rules make them stricter, and never looser."""

from __future__ import annotations

import itertools
import random

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules, MoneyRules, stricter


def test_approvers_whom_no_side_shares_are_a_mistake_and_do_not_let_everybody_approve():
    with pytest.raises(InvalidRequest, match="nobody is both in ann, bob and in carl"):
        ApprovalRules(1, ("ann", "bob")).stricter(ApprovalRules(1, ("carl",)))


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (ApprovalRules(0), ApprovalRules(500), ApprovalRules(0)),
        (ApprovalRules(1, ("ann",)), ApprovalRules(2), ApprovalRules(1, ("ann",))),
        (ApprovalRules(1, ("ann", "bob")), ApprovalRules(1, ("bob", "carl")), ApprovalRules(1, ("bob",))),
        (ApprovalRules(1, valid_for=60.0), ApprovalRules(1), ApprovalRules(1, valid_for=60.0)),
        (ApprovalRules(1, not_by_requester=True), ApprovalRules(1), ApprovalRules(1, not_by_requester=True)),
        (
            ApprovalRules(9, ("ann",), 60.0, True),
            ApprovalRules(3, ("bob", "ann"), 90.0),
            ApprovalRules(3, ("ann",), 60.0, True),
        ),
    ],
)
def test_the_stricter_of_each_rule_counts_whichever_side_has_it(one, other, both):
    assert one.stricter(other) == other.stricter(one) == both


def test_no_rule_gets_looser_whatever_the_sides_are():
    dice, names = random.Random(19), ("ann", "bob", "carl")

    def any_rules():
        some = tuple(dice.sample(names, dice.randint(0, 3)))
        return ApprovalRules(dice.randint(0, 3), some, float(dice.randint(1, 3)), dice.random() < 0.5)

    for _ in range(2_000):
        one, other = any_rules(), any_rules()
        if one.approvers and other.approvers and not set(one.approvers) & set(other.approvers):
            continue
        both = one.stricter(other)
        for side in (one, other):
            assert both.above_cents <= side.above_cents
            assert both.valid_for <= side.valid_for
            assert both.not_by_requester >= side.not_by_requester
            assert not side.approvers or (both.approvers and set(both.approvers) <= set(side.approvers))
        assert both.stricter(one) == both


def test_a_side_without_rules_changes_nothing():
    rules = ApprovalRules(7, ("ann",))

    assert (stricter(rules, None), stricter(None, rules), stricter(None, None)) == (rules, rules, None)
    assert stricter(rules, ApprovalRules(3)) == ApprovalRules(3, ("ann",))


RULES = {
    "limits": (Limit("l", Window.DAY, 1, "USD"),),
    "max_cents": 0,
    "min_balance_cents": 0,
    "approval": ApprovalRules(0),
}


@pytest.mark.parametrize("names", [names for count in range(1, 5) for names in itertools.combinations(RULES, count)])
def test_any_rule_is_in_force_also_one_of_zero(names):
    assert MoneyRules(**{name: RULES[name] for name in names}).is_in_force


def test_a_zone_and_a_currency_alone_refuse_nothing():
    assert not MoneyRules(zone="UTC", currency="USD").is_in_force
