"""A user's decision about a purchase: written where it is safe, refused where an order could be lost or doubled."""

from __future__ import annotations

import io
import json
import sys

import pytest

from airflow_provider_tcbilling.cli import commands as cli
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.ownership import Ownership
from tests.support.shop import (
    KEY,
    LATE,
    NOT_LISTED,
    QUIET,
    at_another_endpoint,
    delivered,
    lost_and_no_book,
    nothing_arrived,
    refused_after_a_lost_try,
    said_to_be_paid,
    two_orders_match,
)

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]


def settle(run, *decision):
    return run("settle", "--key", KEY, *decision)


def test_a_user_can_say_which_order_it_is_and_a_clear_returns_it(shop, run):
    two_orders_match(shop)

    code, out, _ = settle(run, "--order-id", shop.orders[0])

    assert code == 0
    assert out.startswith("It was: intended")
    assert f"It is:  ordered, order {shop.orders[0]}" in out
    assert shop.purchase().place().order_id == shop.orders[0]
    assert len(shop.orders) == 2
    before = shop.files()
    assert settle(run, "--order-id", shop.orders[0])[1].startswith("It stays: ordered")
    assert shop.files() == before


@pytest.mark.parametrize("end", ["", "/", "/?#"])
def test_a_record_of_the_same_server_written_differently_is_explained_and_settled(shop, run, end):
    shop.lost()
    shop.edit(endpoint=shop.sandbox.url.replace("127.0.0.1", "LocalHost.") + end)

    assert "another endpoint" not in run("explain", "--key", KEY)[1]
    assert settle(run, "--order-id", shop.orders[0])[0] == 0
    assert shop.purchase().place().order_id == shop.orders[0]


def test_a_user_can_say_that_nothing_was_bought_and_the_token_stays(shop, run):
    nothing_arrived(shop)
    token = shop.record().client_token

    code, out, _ = settle(run, "--not-bought")

    record = shop.record()
    assert code == 0
    assert "BUYS" in out
    assert (record.state.value, record.generation, record.client_token) == ("declined", 0, token)
    assert settle(run, "--not-bought")[1].startswith("It stays: declined")
    assert shop.purchase().place().client_token == token
    assert len(shop.orders) == 1


def test_what_was_bought_after_all_is_not_doubled_where_the_server_honours_tokens(shop, run):
    shop.lost(after=LATE)

    assert settle(run, "--not-bought", "--force")[0] == 0

    assert shop.purchase().place().order_id == shop.orders[0]
    assert len(shop.orders) == 1


def test_for_ten_minutes_no_user_can_say_that_nothing_was_bought(shop, run):
    shop.lost(carried_out=False)

    code, _, err = settle(run, "--not-bought")

    assert (code, "too early" in err, "--force" in err) == (1, True, False)
    shop.clock.sleep(600 - QUIET)
    assert settle(run, "--not-bought")[0] == 0


def test_a_refusal_that_is_right_does_not_offer_force(shop, run):
    shop.lost()
    assert "Clear the task: it adopts this order" in settle(run, "--not-bought")[2]
    shop.closed_book()
    assert "--force" not in settle(run, "--not-bought")[2]
    assert "--force" not in settle(run, "--order-id", shop.orders[0])[2]


REFUSED = {
    "an order that does not exist": (lambda shop: shop.lost(), NOT_LISTED, "does not list", True),
    "no book to ask about it": (lost_and_no_book, NOT_LISTED, "cannot be read", True),
    "another order": (lambda shop: (shop.ordered(), shop.somebody_elses()), None, "another order", True),
    "an order of another thing": (
        lambda shop: (shop.lost(), shop.somebody_elses(zone_code="ap-guangzhou-3")),
        None,
        "not those of this purchase",
        True,
    ),
    "of another endpoint": (at_another_endpoint, None, "The --conn-id", False),
    "it is ordered": (lambda shop: shop.ordered(), "not", "so it was bought", False),
    "it is delivered": (delivered, "not", "so it was bought", False),
    "one fits": (lambda shop: shop.lost(), "not", "exactly one order matches", True),
    "several fit": (two_orders_match, "not", "orders match", True),
    "too early": (lambda shop: shop.lost(carried_out=False, after=1), "not", "too early", True),
    "said to be paid": (said_to_be_paid, "not", "money was taken", False),
    "a repeat refused": (refused_after_a_lost_try, "not", "refused a repeat", False),
    "no book": (lambda shop: (nothing_arrived(shop), shop.closed_book()), "not", "cannot be read", True),
    "not bought elsewhere": (at_another_endpoint, "not", "the --conn-id", False),
    "a damaged neighbour": (
        lambda shop: (shop.lost(after=0), shop.damaged("other"), shop.clock.sleep(QUIET)),
        None,
        "may own the order",
        True,
    ),
    "damaged": (lambda shop: shop.damaged(), "not", "cannot be used", True),
}


@pytest.mark.parametrize(("prepare", "decision", "why", "may_be_forced"), REFUSED.values(), ids=REFUSED)
def test_a_decision_that_may_be_wrong_is_refused(shop, run, prepare, decision, why, may_be_forced):
    prepare(shop)
    decided = ["--not-bought"] if decision == "not" else ["--order-id", decision or shop.orders[-1]]

    code, out, err = settle(run, *decided)

    assert (code, out) == (1, "")
    assert why.lower() in err.lower()
    assert (settle(run, *decided, "--force")[0] == 0) is may_be_forced


def test_an_order_that_another_record_owns_is_refused_by_either_number(shop, run, tmp_path):
    shop.ordered("another one")
    shop.lost(carried_out=False)
    order = shop.sandbox.account.orders()[0]

    for number in (order.order_id, order.big_deal_id):
        restored = shop.saved(tmp_path, state="ordered", order_id=number)
        for decision in (("--key", KEY, "--order-id", number), ("--restore", restored)):
            code, _, err = run("settle", *decision, "--force")
            assert code == 1
            assert "another record owns" in err


def test_a_record_that_changes_meanwhile_is_not_overwritten(shop, run, monkeypatch):
    nothing_arrived(shop)
    query = NewInstance.evidence
    monkeypatch.setattr(NewInstance, "evidence", lambda *args: (shop.edit(owner="another one"), query(*args))[1])

    assert cli.main(["settle", "--key", KEY, "--not-bought"]) == 1
    assert shop.record().state.value == "intended"


def test_a_decision_is_refused_where_the_store_says_that_the_record_has_changed(shop, run, monkeypatch, capsys):
    nothing_arrived(shop)
    monkeypatch.setattr(ObjectStore, "_replace", lambda *args: False)

    assert cli.main(["settle", "--key", KEY, "--not-bought"]) == 1
    assert "changes the record at this moment" in capsys.readouterr().err


def test_a_task_that_writes_at_the_same_moment_is_told(shop, run, monkeypatch, capsys):
    nothing_arrived(shop)
    put = Ownership.put
    monkeypatch.setattr(Ownership, "put", lambda *args: (put(*args), shop.edit(owner="a task"))[0])

    assert cli.main(["settle", "--key", KEY, "--not-bought"]) == 1
    assert "overwritten by a running task" in capsys.readouterr().err


def test_a_record_from_the_log_is_restored(shop, run, tmp_path):
    shop.ordered()
    saved, whole = shop.saved(tmp_path), shop.record()
    shop.path().write_text("{half of")

    code, out, _ = run("settle", "--restore", saved)

    assert code == 0
    assert out.startswith("It was: a record that cannot be used")
    assert shop.record().order == whole.order
    assert shop.purchase().place().order_id == whole.order_id


def test_a_record_is_restored_from_what_explain_tells_and_the_standard_input(shop, run, monkeypatch):
    shop.ordered()
    shop.ordered("another one")
    explanation = run("explain", "--key", KEY, "--json")[1]
    shop.path().unlink()
    monkeypatch.setattr(sys, "stdin", io.StringIO(explanation))

    code, out, _ = run("settle", "--restore", "-")

    assert code == 0
    assert out.startswith("It was: no record")
    assert shop.record().order_id == shop.orders[0]


@pytest.mark.parametrize(
    ("edit", "why"),
    [
        (lambda record: "{half of", "is not JSON"),
        (lambda record: "[]", "not written by this package"),
        (lambda record: json.dumps({**record, "version": 3}), "version 3"),
        (lambda record: json.dumps({**record, "state": "declined"}), "declined with an order"),
        (lambda record: json.dumps({**record, "state": "declined", "order_id": None}), "a clear would BUY"),
        (lambda record: json.dumps({**record, "order_id": NOT_LISTED}), "a record already"),
        (lambda record: json.dumps({**record, "state": "intended", "order_id": None}), "a record already"),
        (lambda record: json.dumps({**record, "endpoint": "https://elsewhere"}), "the --conn-id"),
    ],
)
def test_what_would_lose_an_order_is_not_restored(shop, run, tmp_path, edit, why):
    shop.ordered()
    saved = tmp_path / "record.json"
    saved.write_text(edit(shop.ledger.read(KEY)))

    code, _, err = run("settle", "--restore", str(saved))

    assert code == 1
    assert why in err


def test_a_file_that_is_not_there_is_told_in_words(run):
    assert "cannot be read" in run("settle", "--restore", "/nowhere.json")[2]


def test_a_restored_record_does_not_undo_what_the_server_said(shop, run, tmp_path):
    said_to_be_paid(shop)
    restored = shop.saved(tmp_path, state="intended", reason="")

    code, _, err = run("settle", "--restore", restored, "--force")

    assert code == 1
    assert "the money was taken" in err
    assert shop.record().state.value == "charged"
