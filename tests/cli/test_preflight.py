"""Preflight: each part of a connection that cannot work is a line, nothing is bought, and no key is shown."""

from __future__ import annotations

import json
import re
import sys

import pytest

from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.ledger.memory import MemoryStore
from airflow_provider_tcbilling.purchasing.prices import Acceptance
from tests.api.test_text import steers
from tests.conftest import PRICE, SECRET_ID, SECRET_KEY
from tests.support.nasty import nasty
from tests.support.shop import KEY

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]

READING = {"GetCallerIdentity", "DescribeAccountBalance", "DescribeDealsByCond", "DescribeRenewInstances"}
LEDGER = {"ledger_conn_id": "ledger"}
FLEET = {"name": "fleet", "window": "month", "max_cents": 5 * PRICE, "currency": "USD"}
MONEY = ("limits", "approval", "prices")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SERVER = ("site", "identity", "account", "clock", "order book", "renewals", "balance", "currency")


@pytest.fixture
def shop(in_sqlite):
    """A shop whose ledger is in SQLite."""
    return in_sqlite


@pytest.fixture
def preflight(shop, connect, run):
    """Run the command with some fields of the connection; return its exit code and its checks by their names."""

    def preflight(login=SECRET_ID, **extra):
        connect(host=shop.sandbox.url, login=login, extra={**LEDGER, **extra})
        shop.sandbox.journal.clear()
        code, out, _ = run("preflight", "--json")
        assert {entry.action for entry in shop.sandbox.journal} <= READING
        answer = json.loads(out)
        assert (answer["connection"], answer["passed"]) == ("tcbilling_default", code == 0)
        assert (code == 0) is ("FAILED" not in {check["result"] for check in answer["checks"]})
        return code, {check["name"]: (check["result"], check["about"]) for check in answer["checks"]}

    return preflight


def results(checks, *names):
    return {checks[name][0] for name in names}


# A connection that cannot be used


def test_each_mistake_of_a_connection_is_a_line_and_nothing_is_sent(shop, connect, run):
    connect(host=shop.sandbox.url, login="", extra={**LEDGER, "spending_limits": [{**FLEET, "max_cents": 0}]})

    code, out, _ = run("preflight")

    assert code == 1
    assert out.splitlines()[1].startswith("FAILED      connection  login (SecretId) is missing")
    assert "FAILED      connection  extra spending_limits: limit 'fleet': max_cents: 0 is not" in out
    assert out.count("not tested  ") == len((*SERVER, "ledger", *MONEY, "purchases"))
    assert shop.sandbox.requests == {}


def test_a_connection_that_is_not_there_is_named(shop, run):
    code, out, _ = run("preflight", "--conn-id", "nobody_made_it")

    assert code == 1
    assert "nobody_made_it" in out


def test_a_server_that_is_not_there_fails_and_the_ledger_is_tested_all_the_same(shop, connect, run):
    connect(host="http://127.0.0.1:9", extra={**LEDGER, "spending_limits": [FLEET], "connect_timeout": 1})

    code, out, _ = run("preflight", "--json")

    checks = {check["name"]: (check["result"], check["about"]) for check in json.loads(out)["checks"]}
    assert code == 1
    assert checks["identity"][0] == "FAILED"
    assert "no connection to http://127.0.0.1:9" in checks["identity"][1]
    assert results(checks, "clock", "order book", "renewals", "balance", "currency") == {"not tested"}
    assert results(checks, "site", "ledger: schema", "limit fleet", "prices") == {"ok"}


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"code": "AuthFailure.SecretIdNotFound"}, "the wrong site"),
        ({"code": "AuthFailure.SignatureFailure"}, "Enter it again"),
        ({"code": "AuthFailure.TokenFailure"}, "The session token has expired"),
    ],
)
def test_a_key_that_is_refused_is_named_with_its_remedy(shop, preflight, fault, text):
    shop.sandbox.faults.add({"fault": "error", "times": None, **fault})

    code, checks = preflight()

    assert (code, checks["identity"][0]) == (1, "FAILED")
    assert text in checks["identity"][1]
    assert results(checks, *SERVER[2:]) == {"not tested"}


# An account that lacks something


def denied(action):
    return {"fault": "error", "action": action, "code": "UnauthorizedOperation", "times": None}


def test_a_key_that_may_not_read_orders_fails_and_the_permission_is_named(shop, preflight):
    shop.sandbox.faults.add(denied("DescribeDealsByCond"))

    code, checks = preflight()

    assert (code, checks["order book"][0], checks["currency"][0]) == (1, "FAILED", "not tested")
    assert "Grant it QCloudFinanceFullAccess or narrower" in checks["order book"][1]


@pytest.mark.parametrize(
    ("action", "name", "text"),
    [
        ("DescribeRenewInstances", "renewals", "only tasks that list what expires, renew, refund"),
        ("DescribeAccountBalance", "identity", "so it does not name the account"),
    ],
)
def test_a_permission_that_not_every_task_needs_is_a_warning(shop, preflight, action, name, text):
    shop.sandbox.faults.add(denied(action))

    code, checks = preflight()

    assert (code, checks[name][0]) == (0, "warning")
    assert text in checks[name][1]
    assert checks["order book"][0] == "ok"


def test_a_least_balance_needs_the_permission_to_read_the_balance(shop, preflight):
    shop.sandbox.faults.add(denied("DescribeAccountBalance"))

    code, checks = preflight(min_balance_cents=1)

    assert (code, checks["balance"][0]) == (1, "FAILED")
    assert "min_balance_cents needs it" in checks["balance"][1]


@pytest.mark.parametrize(("seconds", "side"), [(1000, "behind"), (-1000, "ahead of"), (100, "behind")])
def test_a_clock_that_is_off_is_a_warning(shop, preflight, seconds, side):
    shop.sandbox.faults.add({"fault": "clock-skew", "seconds": seconds, "times": None})

    code, checks = preflight()

    assert (code, checks["clock"][0]) == (0, "warning")
    assert re.fullmatch(rf".* is \d+ s {side} the server's: set it\..*", checks["clock"][1])


@pytest.mark.parametrize(
    ("least", "result"), [(None, "ok"), (1_000_000, "warning"), (999_999, "ok"), (2_000_000, "warning")]
)
def test_a_balance_that_refuses_every_purchase_is_a_warning(shop, preflight, least, result):
    code, checks = preflight(**({} if least is None else {"min_balance_cents": least}))

    assert (code, checks["balance"][0]) == (0, result)
    assert ("every purchase is refused" in checks["balance"][1]) is (result == "warning")


def test_limits_in_another_currency_than_the_orders_fail(shop, preflight):
    shop.ordered()

    code, checks = preflight(spending_limits=[{**FLEET, "currency": "CNY"}])

    assert (code, checks["currency"]) == (1, ("FAILED", "the limits are in CNY, and the orders of the account in USD"))


def test_without_an_order_the_currency_is_not_tested(preflight):
    code, checks = preflight(spending_limits=[FLEET])

    assert (code, checks["currency"][0]) == (0, "not tested")
    assert "The limits are in USD" in checks["currency"][1]


# A ledger that lacks something


def test_a_connection_without_a_ledger_is_warned(shop, connect, run):
    connect(host=shop.sandbox.url)

    code, out, _ = run("preflight")

    assert code == 0
    assert "warning     ledger      the connection names none" in out
    assert "warning     limits      none is set" in out
    assert "not tested  prices" in out


def test_a_ledger_that_cannot_be_opened_fails_and_limits_are_not_tested(shop, preflight):
    shop.use(conn_type="http", host="127.0.0.1")

    code, checks = preflight(spending_limits=[FLEET])

    assert (code, checks["ledger"][0]) == (1, "FAILED")
    assert checks["limit fleet"] == checks["prices"] == ("not tested", "since ledger failed")


def test_a_ledger_without_its_tables_fails_and_limits_are_not_tested(shop, preflight):
    shop.execute("UPDATE tcbilling_alembic_version SET version_num = '9999'")

    code, checks = preflight(spending_limits=[FLEET])

    assert (code, checks["ledger: schema"][0]) == (1, "FAILED")
    assert checks["ledger: may write"] == ("not tested", "since schema failed")
    assert checks["limit fleet"] == ("not tested", "since ledger: schema failed")


def test_an_event_that_was_edited_fails(shop, preflight):
    shop.ordered()
    shop.execute("UPDATE tcbilling_events SET cents = 7")

    code, checks = preflight()

    assert (code, checks["ledger: events"][0]) == (1, "FAILED")


def test_a_ledger_of_ones_own_class_is_not_tested(shop, connect, monkeypatch):
    connect(host=shop.sandbox.url, extra={"ledger_uri": "s3://x"})
    monkeypatch.setattr("airflow_provider_tcbilling.task.store.open_ledger", lambda settings: MemoryStore())

    checks = {check.name: check for check in TcBillingHook().preflight().checks}

    assert checks["ledger"].result == "not tested"
    assert "MemoryStore, which has no tests here" in checks["ledger"].about


# Limits, approvals, prices


def settled(shop, key=KEY, cents=PRICE, **more):
    """Buy something, which is delivered at a price."""
    purchase = shop.purchase(key, placed_by={"dag_id": "shop", "run_id": "r", "task_id": "buy"})
    purchase.place()
    facts = {"state": "delivered", "paid_cents": cents, "gross_cents": cents, "currency": "USD", "price_key": "k" * 32}
    shop.edit(key, **{**facts, **more})


def test_a_limit_that_is_used_up_is_a_warning(shop, preflight):
    settled(shop)

    code, checks = preflight(spending_limits=[{**FLEET, "max_cents": PRICE}])

    assert (code, checks["limit fleet"][0]) == (0, "warning")
    assert checks["limit fleet"][1].endswith(
        "100.00 USD settled, 0.00 USD reserved, 0.00 USD left, so every purchase is refused until then"
    )


def test_a_purchase_whose_price_nothing_tells_is_a_warning_since_a_limit_refuses_until_it_is_known(shop, preflight):
    shop.ordered()

    code, checks = preflight(spending_limits=[FLEET])

    assert (code, checks["limit fleet"][0]) == (0, "warning")
    assert checks["limit fleet"][1].endswith("Purchases whose price is not known: 1. Until it is, each one is refused")


def test_a_purchase_in_another_currency_fails_a_limit(shop, preflight):
    settled(shop, currency="CNY")

    code, checks = preflight(spending_limits=[FLEET])

    assert (code, checks["limit fleet"][0]) == (1, "FAILED")
    assert checks["limit fleet"][1].endswith("Purchases in another currency: 1, so every purchase is refused")


def test_a_limit_is_shown_as_it_is_understood_with_its_window_and_its_sums(shop, connect, run):
    settled(shop)
    settled(
        shop, "two", state="ordered", gross_cents=None, paid_cents=None, reserved_cents=700, reserved_currency="USD"
    )
    product = {"product": "p_cloudfirewall", "dag": "shop"}
    limits = [
        FLEET,
        {**FLEET, "name": "a day", "window": "day", **product},
        {**FLEET, "name": "other", "window": "day", "dag": "other"},
        {**FLEET, "name": "each", "window": "order", "product": "p_cloudfirewall"},
        {**FLEET, "name": "run", "window": "run"},
    ]
    connect(host=shop.sandbox.url, extra={**LEDGER, "spending_limits": limits, "limits_zone": "UTC"})

    code, out, _ = run("preflight", "--json")

    answer = json.loads(out)
    texts = {check["name"]: check["about"] for check in answer["checks"]}
    sums = {limit["name"]: (limit["settled_cents"], limit["reserved_cents"]) for limit in answer["limits"]}
    assert code == 0
    assert texts["limit each"] == "each purchase of p_cloudfirewall may cost at most 500.00 USD"
    assert texts["limit run"] == "all purchases of one run together may cost at most 500.00 USD"
    assert texts["limit a day"].startswith(
        "all purchases of p_cloudfirewall by DAG shop of one day together may cost at most 500.00 USD. From 20"
    )
    assert " 00:00 (UTC): 100.00 USD settled, 7.00 USD reserved, 393.00 USD left" in texts["limit a day"]
    assert ". The ledger has no such purchase yet: compare the spelling" in texts["limit other"]
    assert [check["name"] for check in answer["checks"] if "spelling" in check["about"]] == ["limit other"]
    assert sums == {
        "fleet": (PRICE, 700),
        "a day": (PRICE, 700),
        "other": (0, 0),
        "each": (None, None),
        "run": (None, None),
    }
    fleet, day = answer["limits"][:2]
    assert (fleet["window"], fleet["dag"], day["dag"]) == ("month", None, "shop")
    assert fleet["begin"] <= day["begin"] < day["end"] <= fleet["end"]
    assert day["end"] - day["begin"] == 86_400


class TestInPostgres:
    """The same sums in PostgreSQL, whose words for them are others."""

    @pytest.fixture
    def shop(self, in_postgres):
        return in_postgres

    def test_a_limit_and_the_prices_are_counted(self, shop, preflight):
        settled(shop)
        settled(shop, "two", cents=900, reserved_cents=800, reserved_currency="USD", price_key="b" * 32)
        settled(shop, "three", cents=700, reserved_cents=800, reserved_currency="USD", price_key="b" * 32)

        _, checks = preflight(spending_limits=[FLEET])

        failed = {name for name, (result, _) in checks.items() if result == "FAILED"}
        assert failed <= {"ledger: survives a crash"}, "the server of the tests may forget, since that is faster"
        assert "116.00 USD settled, 0.00 USD reserved, 384.00 USD left" in checks["limit fleet"][1]
        assert checks["prices"] == (
            "warning",
            "price keys that have a price: 2, blocked: 1, since an order cost more than was reserved: "
            f"{'b' * 32} (9.00 USD)",
        )


def test_a_price_that_is_blocked_is_a_warning_that_names_it(shop, preflight):
    settled(shop, cents=900, reserved_cents=800, reserved_currency="USD")

    code, checks = preflight()

    assert (code, checks["prices"][0]) == (0, "warning")
    assert f"blocked: 1, since an order cost more than was reserved: {'k' * 32} (9.00 USD)" in checks["prices"][1]


@pytest.mark.parametrize(("server", "account"), [("https://other.example", ""), ("", "another")])
def test_a_price_that_a_user_has_accepted_is_blocked_for_no_account(shop, preflight, server, account):
    settled(shop, cents=900, reserved_cents=800, reserved_currency="USD")
    price, uin = Acceptance(900, "USD", "ann"), str(shop.sandbox.account.uin)
    shop.ledger.accept_price(server or shop.sandbox.url, account or uin, "k" * 32, price)
    assert preflight()[1]["prices"][0] == "warning", "the acceptance of another server or account is none"

    shop.ledger.accept_price(shop.sandbox.url, uin, "k" * 32, price)

    assert preflight()[1]["prices"] == ("ok", "price keys that have a price: 1, blocked: none")


@pytest.mark.parametrize(
    ("extra", "text"),
    [
        ({}, "no purchase needs one, unless its DAG asks for it"),
        (
            {"approve_above_cents": 0},
            "above 0.00 of the account's currency, by each user who can answer, valid for 1 day",
        ),
        (
            {
                "approve_above_cents": 100,
                "approvers": "ann,bob",
                "approver_is_not_requester": True,
                "approval_valid_for": "PT1H",
                "spending_limits": [FLEET],
            },
            "above 1.00 USD, by ann, bob, but not by the user who started the run, valid for 1 hour",
        ),
    ],
)
def test_the_rules_of_approvals_are_shown_in_words(preflight, extra, text):
    assert preflight(**extra)[1]["approval"] == ("ok", text)


# What is shown


def test_a_sound_connection_passes_and_the_permission_to_buy_is_not_tested(shop, preflight):
    settled(shop)

    code, checks = preflight(spending_limits=[FLEET], min_balance_cents=500)

    assert code == 0
    assert {name for name, (result, _) in checks.items() if result != "ok"} == {"purchases"}
    assert checks["purchases"] == (
        "not tested",
        "finance:trade (the page prints finace:trade, a typo) cannot be tested without buying",
    )
    assert str(shop.sandbox.account.uin) in checks["identity"][1]
    assert checks["balance"][1] == "the account can spend 9900.00 USD, of which 5.00 USD must stay"


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_part_of_the_key_is_shown(shop, connect, run, options):
    shop.sandbox.faults.add({"fault": "error", "code": "AuthFailure.SignatureFailure", "action": "DescribeDealsByCond"})
    connect(host=shop.sandbox.url, extra={**LEDGER, "token": "session-token-4711"})

    _, out, err = run("preflight", *options)

    assert not [text for text in (SECRET_KEY, SECRET_ID, "session-token-4711") if text in out + err]


def test_the_hook_returns_the_same_checks(shop, connect, run):
    connect(host=shop.sandbox.url, extra=LEDGER)

    result = TcBillingHook().preflight()

    names = [check["name"] for check in json.loads(run("preflight", "--json")[1])["checks"]]
    assert [check.name for check in result.checks] == names
    assert result.has_passed
    assert set(shop.sandbox.requests) == READING


def test_a_terminal_gets_a_table_and_a_pipe_gets_plain_lines(shop, run, monkeypatch):
    plain = run("preflight")[1]
    in_a_terminal(monkeypatch, 90)

    drawn = COLOUR.sub("", coloured := run("preflight")[1])

    assert plain.isascii()
    assert coloured != drawn
    assert plain.splitlines()[0] == "Result      Check                           Finding"
    assert {len(line) for line in drawn.splitlines()[:-1]} <= set(range(91))
    assert "│ not tested │ purchases" in drawn
    assert plain.splitlines()[-1] == drawn.splitlines()[-1]
    assert plain.splitlines()[-1].endswith("Nothing was bought.")


def in_a_terminal(monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


@pytest.mark.parametrize("width", [None, 60])
def test_no_text_of_the_server_steers_the_terminal_or_makes_a_line(shop, run, monkeypatch, width):
    lines = run("preflight")[1].count("\n")
    if width:
        in_a_terminal(monkeypatch, width)
    for number, text in enumerate(nasty(6)):
        shop.sandbox.faults.clear()
        fault = {"fault": "error", "code": "FailedOperation.Odd", "message": text, "action": "DescribeDealsByCond"}
        shop.sandbox.faults.add(fault)

        code, out, _ = run("preflight")

        assert code == 1, number
        assert [character for character in steers(COLOUR.sub("", out)) if character != "\n"] == []
        assert width or out.count("\n") == lines
