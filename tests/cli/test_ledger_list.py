"""The list of purchases: what a user wants to see, in the order that the user wants, aligned, and obeyed by nothing."""

from __future__ import annotations

import json

import pytest

from airflow_provider_tcbilling.cli.columns import cells_wide, columns
from tests.api.test_text import steers
from tests.support.database_shop import database_shop
from tests.support.nasty import nasty
from tests.support.shop import KEY, Shop

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]


@pytest.fixture(params=["folder", "sqlite"])
def shop(request, sandbox, connect, tmp_path, passing_time, monkeypatch):
    """A shop with a ledger of each kind, whose answers are the same."""
    if request.param != "folder":
        return database_shop(request.param, request, sandbox, connect, tmp_path / "ledger", passing_time, monkeypatch)
    shop = Shop(sandbox, tmp_path / "ledger", passing_time)
    connect(host=sandbox.url, extra={"ledger_uri": shop.folder.as_uri()})
    return shop


@pytest.fixture
def three(shop):
    """Three purchases: one was ordered by another DAG, one is delivered, one is declined, in this order."""
    shop.ordered("beta", placed_by={"dag_id": "other", "run_id": "r", "task_id": "t", "map_index": -1})
    shop.edit("beta", paid_cents=900)
    shop.clock.sleep(86_400)
    purchase = shop.purchase("alpha")
    purchase.note_delivery(purchase.place())
    shop.edit("alpha", paid_cents=100)
    shop.clock.sleep(86_400)
    shop.declined("gamma")
    return shop


def keys(run, *options):
    code, out, _ = run("ledger", "list", *options, "--json")
    assert code == 0
    return [row["key"] for row in json.loads(out)]


def test_a_damaged_record_is_counted_where_it_may_match(three, run):
    three.damaged("broken")

    code, out, _ = run("ledger", "list", "--state", "delivered")

    assert code == 0
    assert out.splitlines()[-1] == "Records that cannot be used, and may match: 1. --state unusable names them."
    assert "broken" in run("ledger", "list", "--state", "unusable")[1]
    assert "may match: 1" in run("ledger", "list", "--dag-id", "shop", "--json")[2]
    assert "may match" not in run("ledger", "list")[1]


@pytest.mark.parametrize("since", ["yesterday", "12:00", "2026-13-01", "2026-11-31", "99999-01-01", "2026-11-01/P1D"])
def test_a_date_that_is_none_is_wrong_usage(shop, run, since):
    code, out, err = run("ledger", "list", "--since", since)

    assert (code, out) == (2, "")
    assert err == "list: --since is a date such as 2026-11-01, or a time such as 2026-11-01T08:00:00+08:00\n"


def test_a_negative_limit_is_wrong_usage(shop, run):
    assert run("ledger", "list", "--limit", "-1")[0] == 2


CASES = [
    pytest.param((), ["gamma", "alpha", "beta"], id="the last change first"),
    pytest.param(("--reverse",), ["beta", "alpha", "gamma"], id="the last change last"),
    pytest.param(("--sort", "intended"), ["gamma", "alpha", "beta"], id="the latest intent first"),
    pytest.param(("--sort", "paid"), ["beta", "alpha", "gamma"], id="the highest amount first, and then none"),
    pytest.param(("--sort", "paid", "--reverse"), ["alpha", "beta", "gamma"], id="the lowest amount first, none last"),
    pytest.param(("--sort", "key"), ["alpha", "beta", "gamma"], id="by key"),
    pytest.param(("--sort", "key", "--reverse"), ["gamma", "beta", "alpha"], id="by key, from the end"),
    pytest.param(("--state", "declined"), ["gamma"], id="state"),
    pytest.param(("--dag-id", "other"), ["beta"], id="DAG"),
    pytest.param(("--product", "p_cloudfirewall", "--state", "delivered"), ["alpha"], id="product"),
    pytest.param(("--product", "p_cloudfirewall", "--dag-id", "other"), ["beta"], id="product and DAG"),
    pytest.param(("--product", "p_cvm"), [], id="another product"),
    pytest.param(("--text", "BET"), ["beta"], id="text"),
    pytest.param(("--text", "FIREwall", "--sort", "key"), ["alpha", "beta", "gamma"], id="text of the product"),
    pytest.param(("--text", "a%"), [], id="a text with a character that a database may read as more"),
    pytest.param(("--since", "2999-01-01"), [], id="since"),
    pytest.param(("--since", "2020-01-01T00:00:00+08:00", "--limit", "1"), ["gamma"], id="limit"),
]


@pytest.mark.parametrize(("options", "expected"), CASES)
def test_the_list_has_the_purchases_that_a_user_wants(three, run, options, expected):
    assert keys(run, *options) == expected


class TestOnPostgreSQL:
    """The same on a server, all at once: each test of it takes a new database."""

    @pytest.fixture
    def shop(self, request, sandbox, connect, tmp_path, passing_time, monkeypatch):
        return database_shop("postgres", request, sandbox, connect, tmp_path / "ledger", passing_time, monkeypatch)

    def test_the_list_has_the_purchases_that_a_user_wants(self, three, run):
        answers = {case.id: keys(run, *case.values[0]) for case in CASES}

        assert answers == {case.id: case.values[1] for case in CASES}

    def test_a_damaged_record_is_counted_where_it_may_match(self, three, run):
        test_a_damaged_record_is_counted_where_it_may_match(three, run)


def test_since_is_the_moment_of_the_last_change(three, run):
    changed = {row["key"]: row["changed_at"] for row in json.loads(run("list", "--json")[1])}

    assert keys(run, "--since", changed["alpha"]) == ["gamma", "alpha"]


def test_a_long_list_says_how_many_are_left(three, run):
    place = three.ledger.about.removeprefix("the ledger ")
    out = run("ledger", "list", "--limit", "2")[1]

    assert out.splitlines()[-1] == f"2 of 3 in {place}; --limit 0 has all"
    assert run("ledger", "list", "--limit", "0")[1].splitlines()[-1] == f"3 in {place}"
    assert "2 of 3 in" in run("ledger", "list", "--limit", "2", "--json")[2]
    assert len(json.loads(run("list", "--json")[1])) == 3


def test_a_row_has_the_facts_of_a_purchase(three, run):
    (row,) = json.loads(run("ledger", "list", "--state", "delivered", "--json")[1])

    (order,) = [order for order in three.orders if order == row["order_id"]]
    assert {**row, "changed_at": "", "intended_at": "", "currency": ""} == {
        "state": "delivered",
        "changed_at": "",
        "order_id": order,
        "paid_cents": 100,
        "currency": "",
        "key": "alpha",
        "intended_at": "",
        "dag_id": "shop",
        "action": "CreateInstance",
        "product": "p_cloudfirewall",
    }


def test_wide_characters_break_no_column():
    lines = columns([("防火墙", 1, "x"), ("e\u0301", 200, "y"), ("plain text", None, "z")], right=frozenset({1}))

    assert [cells_wide(line) for line in lines] == [18, 18, 18]
    assert [line[-1] for line in lines] == ["x", "y", "z"]
    assert lines[2] == "plain text    -  z"


def test_no_text_of_a_record_leaves_its_cell(shop, run):
    shop.ordered()
    for number, text in enumerate(nasty(30)):
        if "\ud800" not in text:
            key = f"{number} {text}"
            shop.ledger.create(key, {**shop.ledger.read(KEY), "key": key, "state": "declined", "order_id": None})

    out = run("ledger", "list", "--limit", "0")[1]

    assert [c for c in steers(out) if c != "\n"] == []
    assert len(out.splitlines()) == len([*shop.ledger.all()]) + 2
    assert all(line.startswith(("ordered  ", "declined ")) for line in out.splitlines()[1:-1])
