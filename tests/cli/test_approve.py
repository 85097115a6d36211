"""A user approves a plan on the command line: what it shows, for a time, and nothing else."""

from __future__ import annotations

import io
import json
import sys
import time
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.purchasing.approval import Question, refusal_of
from airflow_provider_tcbilling.purchasing.approval_plan import entry_of, plan_of
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from tests.conftest import ORDER, client_to

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]

RULES = ApprovalRules(0)
DAY = 86_400


@pytest.fixture
def shop(in_sqlite):
    return in_sqlite


def question(shop, key="web", cents=10_000, currency="USD", account=None, endpoint=None, rules=RULES):
    client = client_to(shop.sandbox, endpoint=endpoint or shop.sandbox.url)
    return Question.of(
        NewInstance(client, ORDER), key=key, account=account or str(shop.sandbox.account.uin), generation=0,
        max_cents=cents, currency=currency, price_from="max_cents", rules=rules,
    )  # fmt: skip


@pytest.fixture
def approve(shop, run, tmp_path, monkeypatch):
    """Approve a plan of some questions; *typed* is the line that the user types."""

    def approve(questions, *options, typed=None, plan=None):
        file = tmp_path / "plan.json"
        file.write_text(plan or json.dumps(plan_of([entry_of(one) for one in questions])))
        if typed is not None:
            monkeypatch.setattr(sys, "stdin", io.StringIO(f"{typed}\n"))
        by = () if "--by" in options else ("--by", "alice")
        return run("approve", "--plan", str(file), *by, *options)

    return approve


def is_approved(shop, one, after=0.0):
    approval = shop.ledger.approval(one.code)
    return approval is not None and not refusal_of(approval, one, time.time() + after)


def test_each_purchase_of_a_plan_is_approved_once_its_total_is_typed(shop, approve):
    batch = [question(shop, "web"), question(shop, "db", 5_000)]

    code, out, err = approve(batch, typed="150.00")

    assert code == 0
    assert out.startswith("Approved by alice until ")
    assert all(is_approved(shop, one) for one in batch)
    assert "Total: 150.00 USD for 2 purchases." in err
    assert err.index("100.00 USD") < err.index("web") < err.index("Total:")


@pytest.mark.parametrize("typed", ["150.00", " 150.00 usd ", "150.00 USD"])
def test_the_total_may_have_its_currency(shop, approve, typed):
    assert approve([question(shop, "web"), question(shop, "db", 5_000)], typed=typed)[0] == 0


@pytest.mark.parametrize("typed", ["", "yes", "y", "150", "150.0", "150.000", "15000", "150.00 CNY", "0150.00"])
def test_anything_else_than_the_total_approves_nothing(shop, approve, typed):
    batch = [question(shop, "web"), question(shop, "db", 5_000)]

    code, out, err = approve(batch, typed=typed)

    assert (code, out) == (1, "")
    assert "was not typed" in err
    assert not any(is_approved(shop, one) for one in batch)


def test_a_script_names_the_total_in_cents(shop, approve):
    one = question(shop)

    assert approve([one], "--yes-total", "9999")[0] == 1
    assert not is_approved(shop, one)

    assert approve([one], "--yes-total", "10000")[0] == 0
    assert is_approved(shop, one)


def test_it_counts_as_long_as_the_user_says_and_never_longer_than_the_connection_allows(shop, approve, connect):
    short, long = question(shop, "short"), question(shop, "long")

    approve([short], "--until", "PT1H", "--yes-total", "10000")
    approve([long], "--until", "P30D", "--yes-total", "10000")

    assert is_approved(shop, short, 3_500)
    assert not is_approved(shop, short, 3_700)
    assert is_approved(shop, long, DAY - 100)
    assert not is_approved(shop, replace(long, rules=ApprovalRules(0, valid_for=99 * DAY)), DAY + 100)


@pytest.mark.parametrize("until", ["0", "-1", "P0D", "tomorrow", "", "2026-12-01"])
def test_no_span_is_wrong_usage(shop, approve, until):
    assert approve([question(shop)], "--until", until, "--yes-total", "10000")[0] == 2


def test_a_plan_that_was_edited_approves_nothing(shop, approve):
    one = question(shop)
    plan = json.dumps(plan_of([entry_of(one)])).replace('"max_cents": 10000', '"max_cents": 90000')

    code, _, err = approve([], "--yes-total", "90000", plan=plan)

    assert code == 1
    assert "edited" in err
    assert not is_approved(shop, one)


@pytest.mark.parametrize(
    "plan", ["", "{", "[]", "null", '{"format": "airflow-provider-tcbilling purchase"}', "[" * 9999]
)
def test_what_is_no_plan_approves_nothing(shop, approve, plan):
    code, out, err = approve([], "--yes-total", "1", plan=plan)

    assert (code, out) == (1, "")
    assert "Nothing was approved" in err


def test_a_plan_of_another_account_or_server_approves_nothing(shop, approve):
    for one, why in (
        (question(shop, account="100000000002"), "account"),
        (question(shop, endpoint="https://billing.intl.tencentcloudapi.com"), "it is for https://billing"),
    ):
        code, _, err = approve([one], "--yes-total", "10000")
        assert code == 1
        assert why in err


def test_what_is_approved_already_is_left_and_the_total_is_that_of_the_rest(shop, approve):
    first, second = question(shop, "web"), question(shop, "db", 5_000)
    approve([first], "--by", "bob", "--yes-total", "10000")

    code, _, err = approve([first, second], "--yes-total", "5000")

    assert code == 0
    assert "approved already by bob" in err
    assert shop.ledger.approval(first.code).approved_by == "bob"
    code, _, err = approve([first, second], "--yes-total", "0")
    assert code == 1
    assert "each purchase of the plan is approved already" in err


def test_a_purchase_that_stands_twice_in_a_plan_approves_nothing(shop, approve):
    code, _, err = approve([question(shop)] * 2, "--yes-total", "20000")

    assert code == 1
    assert "stands in it 2 times" in err


@pytest.mark.parametrize("name", ["", " ", "Anonymous", "?"])
def test_a_name_that_names_nobody_approves_nothing(shop, approve, name, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: name)

    code, _, err = approve([question(shop)], "--by", name, "--yes-total", "10000")

    assert code == 1
    assert "no named user" in err


def test_only_an_approver_of_the_connection_approves(shop, approve, connect):
    connect(host=shop.sandbox.url, extra={"ledger_conn_id": "ledger", "approvers": "carol"})
    one = question(shop, rules=ApprovalRules(0, ("carol",)))

    assert approve([one], "--by", "alice", "--yes-total", "10000")[0] == 1
    assert approve([one], "--by", "carol", "--yes-total", "10000")[0] == 0
    assert is_approved(shop, one)


def test_without_a_ledger_in_a_database_nothing_is_approved(shop, approve, connect, tmp_path):
    one = question(shop)
    for extra in ({}, {"ledger_uri": (tmp_path / "objects").as_uri()}):
        connect(host=shop.sandbox.url, extra=extra)
        code, _, err = approve([one], "--yes-total", "10000")
        assert code == 1
        assert "only a ledger in a database" in err


def test_a_plan_from_the_standard_input_needs_its_total_in_an_option(shop, run, monkeypatch):
    one = question(shop)
    plan = json.dumps(plan_of([entry_of(one)]))

    monkeypatch.setattr(sys, "stdin", io.StringIO(plan))
    assert run("approve", "--plan", "-", "--by", "alice")[0] == 2

    monkeypatch.setattr(sys, "stdin", io.StringIO(plan))
    assert run("approve", "--plan", "-", "--by", "alice", "--yes-total", "10000")[0] == 0
    assert is_approved(shop, one)


def test_no_text_of_a_plan_steers_the_terminal(shop, approve):
    one = question(shop, key="web\x1b[2J\nTotal: 0.01 USD for 1 purchase.\u202e")

    _, out, err = approve([one], "--yes-total", "10000")

    assert "\x1b" not in out + err
    assert "\u202e" not in out + err
    assert "\nTotal: 0.01 USD" not in err
