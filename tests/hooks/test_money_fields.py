"""The fields of the connection that guard money: no slip and no odd value switches one of them off."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.get_provider_info import get_provider_info
from airflow_provider_tcbilling.hooks.connection import EXTRA_FIELDS, Settings
from airflow_provider_tcbilling.hooks.money_fields import MONEY_FIELDS
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules, MoneyRules
from tests.conftest import SECRET_ID, SECRET_KEY

pytestmark = pytest.mark.airflow

LEDGER = {"ledger_conn_id": "ledger"}
FLEET = {"name": "fleet", "window": "month", "max_cents": 500_000, "currency": "USD"}


def settings(**extra):
    fields = {"conn_id": "c", "host": None, "port": None, "login": SECRET_ID, "password": SECRET_KEY}
    return Settings.read(SimpleNamespace(**fields, extra_dejson=extra))


def mistakes_of(**extra):
    with pytest.raises(InvalidRequest) as caught:
        settings(**extra)
    return caught.value.mistakes


SLIPS = {
    "spending_limits": (
        *("spending_limit", "spendings_limits", "spending-limits", "SPENDING_LIMITS", "spendinglimits", "spend_limits"),
        *("limits", "limit", "Limits", "budget", "budgets", "max_cents", "max_cent", "spending_caps"),
    ),
    "limits_zone": ("limit_zone", "limits-zone", "limitszone"),
    "min_balance_cents": ("min_balance", "min_balance_cent", "minimum_balance_cents", "min-balance-cents"),
    "approve_above_cents": ("approve_above", "approve_above_cent", "approval_above_cents"),
    "approvers": ("approver", "aprovers", "Approvers"),
    "approval_valid_for": ("approval_valid", "approvals_valid_for", "approval-valid-for"),
    "approver_is_not_requester": ("approver_is_not_requestor", "approvers_is_not_requester"),
    "ledger_conn_id": ("ledger_con_id", "ledgerconnid"),
    "ledger_uri": ("ledger_url",),
}


@pytest.mark.parametrize(("meant", "slip"), [(meant, slip) for meant, slips in SLIPS.items() for slip in slips])
def test_a_slip_in_the_name_of_a_guard_does_not_leave_it_out(meant, slip):
    (mistake,) = mistakes_of(**{slip: [FLEET]})

    assert mistake.startswith(f"extra {slip!r} is not known here, and would leave out ")
    assert mistake.endswith(f": is {meant} meant?")


@pytest.mark.parametrize(
    "name",
    ["verify", "region", "zone", "timezone", "rate_limit", "max_retries", "proxy", "tags", "max_connections"],
)
def test_another_name_is_ignored_as_before(name):
    assert settings(**{name: "x"}).spending_limits == ()


ODD_AMOUNTS = (
    -1,
    -0.5,
    0.5,
    "a",
    "-1",
    "1.5",
    True,
    False,
    [],
    {},
    [5],
    math.nan,
    math.inf,
    10**15,
    10**400,
    " ",
    "\x00",
)
ODD = {
    "min_balance_cents": ODD_AMOUNTS,
    "approve_above_cents": ODD_AMOUNTS,
    "limits_zone": ("asia/shanghai", "+08:00", "local", "localtime", "Mars/Base", 8, True, [], {}, " UTC", "../UTC"),
    "approvers": ([], {}, [""], ["ann", ""], ["ann", 7], "ann,,bob", ",", " ", 7, True, "a\nb", ["a\x1b"], ["x" * 129]),
    "approval_valid_for": (0, -1, "P0D", "1 day", "P", "nan", math.inf, True, [], {}, "P101Y", 10**400, "\ud800"),
    "approver_is_not_requester": ("yes", 1, 0, "1", [], {}, " ", "maybe"),
    "spending_limits": ([], {}, "[]", "fleet", " ", 0, 7, True, False, [FLEET, FLEET], [{**FLEET, "max_cents": 0}]),
}


@pytest.mark.parametrize(("name", "odd"), [(name, odd) for name, odds in ODD.items() for odd in odds])
def test_an_odd_value_of_a_guard_is_a_mistake_that_names_it_also_if_python_takes_it_for_nothing(name, odd):
    (mistake,) = mistakes_of(**LEDGER, **{name: odd})

    assert mistake.startswith(f"extra {name}")
    assert mistake.encode()


@pytest.mark.parametrize("ledger", [{}, {"ledger_uri": "file:///mnt/ledger"}, {"ledger_conn_id": ""}])
@pytest.mark.parametrize(
    ("name", "value"), [("spending_limits", [FLEET]), ("min_balance_cents", 0), ("approve_above_cents", 0)]
)
def test_a_guard_without_a_ledger_in_a_database_is_a_mistake(ledger, name, value):
    (mistake,) = mistakes_of(**ledger, **{name: value})

    assert mistake == f"extra {name} needs a ledger in a database, which ledger_conn_id names: only that counts money"


def test_every_mistake_in_the_guards_is_named_at_once():
    mistakes = mistakes_of(
        spending_limits=[{**FLEET, "max_cents": "5"}, {**FLEET, "name": "two", "currency": "CNY", "origin": "shop"}],
        limits_zone="Shanghai",
        approvers="",
        approval_valid_for="soon",
        spending_limit=[],
    )

    assert [mistake[:44] for mistake in mistakes] == [
        "extra 'spending_limit' is not known here, an",
        "extra spending_limits: limit 'fleet': max_ce",
        "extra spending_limits: limit 'two': 'origin'",
        "extra spending_limits: they are in CNY and U",
        "extra limits_zone must be a time zone of the",
        "extra approval_valid_for must be a number of",
        "extra spending_limits needs a ledger in a da",
    ]


def test_a_mistake_stops_the_hook_before_anything_is_sent(connect, sandbox):
    connect(host=sandbox.url, extra={**LEDGER, "spending_limits": [{**FLEET, "max_cents": 0}]})

    works, message = TcBillingHook().test_connection()

    assert not works
    assert "extra spending_limits: limit 'fleet': max_cents: 0 is not a whole number" in message
    assert sandbox.requests == {}


def test_a_connection_without_guards_reads_as_before():
    read = settings()

    assert (read.spending_limits, read.limits_zone, read.min_balance_cents) == ((), "Asia/Shanghai", None)
    assert (read.approve_above_cents, read.approvers, read.approval_valid_for) == (None, (), 86_400.0)
    assert read.approver_is_not_requester is False
    assert read.money_rules() == MoneyRules()
    assert not read.money_rules().is_in_force


@pytest.mark.parametrize("form", [lambda limits: limits, json.dumps])
def test_the_guards_are_read_from_json_and_from_the_text_of_a_form(form):
    read = settings(
        **LEDGER,
        spending_limits=form([{**FLEET, "dag": "shop", "product": "p_cvm"}]),
        limits_zone="UTC",
        min_balance_cents="10000",
        approve_above_cents="0",
        approvers=" ann, bob ,ann",
        approval_valid_for="PT1H",
        approver_is_not_requester="True",
    )

    assert read.spending_limits == (Limit("fleet", Window.MONTH, 500_000, "USD", "p_cvm", "shop"),)
    assert (read.limits_zone, read.min_balance_cents, read.approve_above_cents) == ("UTC", 10_000, 0)
    assert (read.approvers, read.approval_valid_for) == (("ann", "bob"), 3_600.0)
    assert read.approver_is_not_requester is True


@pytest.mark.parametrize("nothing", ["", None])
def test_a_field_that_a_form_leaves_empty_is_not_given(nothing):
    assert settings(**{field.name: nothing for field in MONEY_FIELDS}) == settings()


def test_an_approval_above_zero_is_not_taken_for_no_approval():
    rules = settings(**LEDGER, approve_above_cents=0, min_balance_cents=0).money_rules()

    assert (rules.approval, rules.min_balance_cents) == (ApprovalRules(0), 0)


CONNECTION = settings(
    **LEDGER,
    spending_limits=[FLEET],
    approve_above_cents=500,
    approvers=["ann", "bob"],
    approval_valid_for=3600,
)


@pytest.mark.parametrize(
    ("own", "approval"),
    [
        ({}, ApprovalRules(500, ("ann", "bob"), 3600.0)),
        ({"approve_above_cents": 900}, ApprovalRules(500, ("ann", "bob"), 3600.0)),
        ({"approve_above_cents": 100}, ApprovalRules(100, ("ann", "bob"), 3600.0)),
        ({"approvers": ("bob", "carl")}, ApprovalRules(500, ("bob",), 3600.0)),
        ({"approval_valid_for": 60.0}, ApprovalRules(500, ("ann", "bob"), 60.0)),
        ({"approval_valid_for": 86_400.0}, ApprovalRules(500, ("ann", "bob"), 3600.0)),
        ({"approver_is_not_requester": True}, ApprovalRules(500, ("ann", "bob"), 3600.0, True)),
    ],
)
def test_arguments_of_a_purchase_make_the_rules_stricter_and_never_looser(own, approval):
    assert CONNECTION.money_rules(**own).approval == approval


def test_approvers_whom_nobody_shares_are_a_mistake():
    with pytest.raises(InvalidRequest, match="nobody is both in ann, bob and in carl"):
        CONNECTION.money_rules(approvers=("carl",))


def test_who_may_approve_is_the_connections_also_where_only_a_purchase_asks_for_it():
    connection = replace(CONNECTION, approve_above_cents=None)

    assert connection.money_rules().approval is None
    assert connection.money_rules(approvers=("ann",)).approval is None
    assert connection.money_rules(approve_above_cents=7).approval == ApprovalRules(7, ("ann", "bob"), 3600.0)


def test_the_rules_have_the_limits_and_the_price_of_the_purchase():
    rules = CONNECTION.money_rules(max_cents=100)

    assert (rules.limits, rules.zone) == (CONNECTION.spending_limits, "Asia/Shanghai")
    assert (rules.max_cents, rules.currency) == (100, "USD")
    assert CONNECTION.money_rules(max_cents=100, currency="CNY").currency == "CNY"
    assert rules.is_in_force


def test_the_form_of_airflow_has_every_field():
    fields = get_provider_info()["connection-types"][0]["conn-fields"]

    assert set(fields) == {field.name for field in EXTRA_FIELDS}
    assert {field.name for field in MONEY_FIELDS} < set(fields)
    assert fields["spending_limits"]["schema"] == {"type": ["string", "null"], "format": "multiline"}
    assert fields["min_balance_cents"]["schema"] == {"type": ["number", "null"]}
    assert fields["approver_is_not_requester"]["schema"] == {"type": ["boolean", "null"]}
    assert all(field["label"] and field["description"] for field in fields.values())
