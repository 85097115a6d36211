"""``ledger verify``: a change behind the ledger's back is named, and a ledger that was only used is not."""

from __future__ import annotations

import json
import time

import pytest

from airflow_provider_tcbilling.ledger.database_form import compressed
from airflow_provider_tcbilling.ledger.database_rows import StoredText, id_of
from airflow_provider_tcbilling.purchasing.approval import Approval
from airflow_provider_tcbilling.purchasing.prices import Acceptance
from tests.api.test_text import steers
from tests.conftest import PRICE
from tests.support.nasty import nasty
from tests.support.shop import KEY, LATE, delivered, paid_twice, refused_after_a_lost_try, said_to_be_paid

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]


@pytest.fixture
def shop(in_sqlite):
    """A shop whose ledger is in SQLite."""
    in_sqlite.sandbox.account.balance_cents = 10**12
    return in_sqlite


def verified(run):
    code, out, _ = run("ledger", "verify", "--json")
    result = json.loads(out)
    assert code == (0 if result["holds"] else 1)
    return result


def set_price(shop, run):
    """Deliver a purchase, and let the ledger learn its price."""
    delivered(shop)
    today = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 86_400))
    run("reconcile", "--from", today, "--to", time.strftime("%Y-%m-%d", time.gmtime(time.time() + 172_800)))
    assert shop.record().gross_cents == PRICE


def edit_record(shop, **changes):
    """Change a record in its row and nowhere else."""
    ((stored,),) = shop.rows(f"SELECT record FROM tcbilling_purchases WHERE id = '{id_of(KEY)}'")
    record = {**json.loads(StoredText.of(stored, 0)), **changes}
    text = json.dumps(record)
    shop.execute("UPDATE tcbilling_purchases SET record = :record", record=compressed(text))


EDITS = (
    pytest.param("UPDATE tcbilling_purchases SET gross_cents = 1", "its gross_cents is 1", id="a lower price"),
    pytest.param("UPDATE tcbilling_purchases SET counted_cents = 0", "its counted_cents is 0", id="counts nothing"),
    pytest.param("UPDATE tcbilling_purchases SET counted_at = 1", "its counted_at is 1", id="counts in another month"),
    pytest.param("UPDATE tcbilling_purchases SET paid_cents = NULL", "its paid_cents is none", id="no price"),
    pytest.param("UPDATE tcbilling_purchases SET currency = 'CNY'", "its currency is CNY", id="another currency"),
    pytest.param("UPDATE tcbilling_purchases SET state = 'declined'", "its state is declined", id="not bought"),
    pytest.param("UPDATE tcbilling_purchases SET run = 'another'", "its run is another", id="another run"),
    pytest.param("UPDATE tcbilling_purchases SET run = ''", "its run is ,", id="no run"),
    pytest.param("UPDATE tcbilling_purchases SET \"key\" = 'another'", "its key was edited", id="another key"),
    pytest.param("UPDATE tcbilling_purchases SET order_id = '7'", "its order is 7", id="another order"),
    pytest.param("UPDATE tcbilling_orders SET purchase = 'x'", "is not assigned to it", id="its order is another's"),
    pytest.param("DELETE FROM tcbilling_orders", "is not assigned to it", id="its order is nobody's"),
    pytest.param("DELETE FROM tcbilling_purchases", "its row is gone", id="no row"),
    pytest.param("UPDATE tcbilling_purchases SET record = 'x'", "its record cannot be read", id="no record"),
)


@pytest.mark.parametrize(("edit", "named"), EDITS)
def test_a_row_that_was_changed_by_hand_is_named(shop, run, edit, named):
    set_price(shop, run)
    assert verified(run)["holds"]

    shop.execute(edit)

    result = verified(run)
    assert result["events"] == []
    assert any(named in flaw for flaw in result["purchases"]), result["purchases"]


@pytest.mark.parametrize(
    ("changes", "columns"),
    [
        pytest.param({"gross_cents": 1, "paid_cents": 1}, "gross_cents = 1, paid_cents = 1, counted_cents = 1", id="1"),
        pytest.param({"gross_cents": 0, "paid_cents": 0}, "gross_cents = 0, paid_cents = 0, counted_cents = 0", id="0"),
    ],
)
def test_a_price_that_was_lowered_in_row_and_record_alike_is_named_by_the_events(shop, run, changes, columns):
    set_price(shop, run)

    edit_record(shop, **changes)
    shop.execute(f"UPDATE tcbilling_purchases SET {columns}")

    (flaw,) = verified(run)["purchases"]
    assert f"the last amount of its events is {PRICE}" in flaw


def test_an_order_that_was_changed_in_row_record_and_orders_alike_is_named_by_the_events(shop, run):
    set_price(shop, run)

    edit_record(shop, order_id="7")
    shop.execute("UPDATE tcbilling_purchases SET order_id = '7'")
    shop.execute("UPDATE tcbilling_orders SET order_id = '7'")

    (flaw,) = verified(run)["purchases"]
    assert f"its order is 7, and {shop.orders[0]} by its events" in flaw


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param("UPDATE tcbilling_events SET cents = 1 WHERE cents IS NOT NULL", id="an amount"),
        pytest.param("UPDATE tcbilling_events SET at_ms = at_ms + 1 WHERE seq = 2", id="a moment"),
        pytest.param("UPDATE tcbilling_events SET who = 'somebody' WHERE seq = 1", id="a process"),
        pytest.param("DELETE FROM tcbilling_events WHERE seq = 2", id="one is gone"),
        pytest.param("DELETE FROM tcbilling_events WHERE seq > 2", id="the last ones are gone"),
    ],
)
def test_the_first_broken_event_is_named(shop, run, edit):
    set_price(shop, run)

    shop.execute(edit)

    result = verified(run)
    assert result["first_broken_event"] == result["events"][0]
    assert "book 1" in result["first_broken_event"]
    code, out, _ = run("ledger", "verify")
    assert code == 1
    assert out.startswith("The first broken event: book 1")


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param("UPDATE tcbilling_approvals SET cents = 900", id="an approval of more"),
        pytest.param("UPDATE tcbilling_approvals SET approved_by = 'mallory'", id="an approval of somebody else"),
        pytest.param("UPDATE tcbilling_prices SET accepted_cents = 900", id="a price of more"),
    ],
)
def test_a_decision_that_was_changed_by_hand_is_named(shop, run, edit):
    now = time.time()
    approval = Approval("code", KEY, 100, "USD", "alice", now, now + 60)
    shop.ledger.approve([approval], "server", "100")
    shop.ledger.accept_price("server", "100", "price key", Acceptance(100, "USD", "alice"))
    assert verified(run)["holds"]

    shop.execute(edit)

    (flaw,) = verified(run)["purchases"]
    assert "no event" in flaw


def settled_as_not_bought(shop, run):
    shop.lost(carried_out=False, after=LATE)
    assert run("settle", "--key", KEY, "--not-bought")[0] == 0


def settled_as_an_order(shop, run):
    shop.lost(after=LATE)
    shop.edit(reserved_cents=5, reserved_currency="USD")
    assert run("settle", "--key", KEY, "--order-id", shop.orders[0])[0] == 0


def refused_and_bought_again(shop, run):
    shop.declined()
    delivered(shop)


def free_of_charge(shop, run):
    shop.ordered()
    shop.edit(reserved_cents=PRICE, reserved_currency="USD")
    shop.edit(gross_cents=0, paid_cents=0, currency="USD")


def pruned(shop, run):
    set_price(shop, run)
    shop.ledger.prune(time.time() + 1)


HISTORIES = (
    lambda shop, run: None,
    set_price,
    settled_as_not_bought,
    settled_as_an_order,
    refused_and_bought_again,
    free_of_charge,
    pruned,
    lambda shop, run: paid_twice(shop),
    lambda shop, run: said_to_be_paid(shop),
    lambda shop, run: refused_after_a_lost_try(shop),
    lambda shop, run: shop.lost(),
)


@pytest.mark.parametrize("happened", HISTORIES)
def test_a_ledger_that_was_only_used_holds(shop, run, happened):
    happened(shop, run)

    assert verified(run) == {**verified(run), "holds": True, "events": [], "purchases": [], "first_broken_event": None}


def test_more_purchases_than_one_page_are_compared(shop, run, monkeypatch):
    monkeypatch.setattr("airflow_provider_tcbilling.ledger.database_verify.PAGE", 3)
    for number in range(8):
        shop.ordered(f"purchase {number}")
    assert verified(run)["holds"]

    shop.execute("UPDATE tcbilling_purchases SET state = 'declined'")

    assert len({flaw.partition(" (")[0] for flaw in verified(run)["purchases"]}) == 8


class TestOnPostgreSQL:
    """The same on a server: a test of it takes a new database."""

    @pytest.fixture
    def shop(self, in_postgres):
        return in_postgres

    def test_a_row_that_was_changed_by_hand_is_named(self, shop, run):
        set_price(shop, run)
        assert verified(run)["holds"]

        shop.execute("UPDATE tcbilling_purchases SET gross_cents = 1")

        assert "its gross_cents is 1" in verified(run)["purchases"][0]


def test_a_ledger_of_objects_has_no_events(connect, sandbox, tmp_path, run, shop):
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})

    code, out, err = run("ledger", "verify")

    assert (code, out) == (1, "")
    assert "only a ledger in a database" in err


def test_no_text_of_a_row_steers_a_terminal(shop, run):
    for number, text in enumerate(text for text in nasty(20) if "\ud800" not in text and "\0" not in text):
        shop.ordered(f"{number} {text}")
    shop.execute("UPDATE tcbilling_purchases SET currency = :text", text="\x1b[31mUSD\n")

    assert [c for c in steers(run("ledger", "verify")[1]) if c != "\n"] == []
    assert [c for c in steers(run("ledger", "verify", "--json")[1]) if c != "\n"] == []


def test_a_price_above_its_reservation_is_no_change_by_hand(shop, run):
    shop.ordered()
    record = shop.record()
    store, text = shop.ledger, shop.ledger.text(record.key)
    reserved = {**record.as_json(), "reserved_cents": 1, "reserved_currency": "USD"}
    assert store.replace(record.key, reserved, text)
    paid = {**reserved, "state": "delivered", "gross_cents": PRICE, "paid_cents": PRICE, "currency": "USD"}
    assert store.replace(record.key, paid, store.text(record.key))
    assert store.events_of(record.key)[-1]["kind"] == "overrun"

    assert verified(run)["holds"]


@pytest.mark.parametrize("table", ["approvals", "prices"])
def test_a_decision_of_a_user_that_was_deleted_is_named(shop, run, table):
    shop.ledger.approve([Approval("C-1", KEY, 100, "USD", "ada", 1e9, 2e9)], "127.0.0.1", "1")
    shop.ledger.accept_price("127.0.0.1", "1", "p" * 32, Acceptance(100, "USD", "ada"))
    assert verified(run)["holds"]

    shop.execute(f"DELETE FROM tcbilling_{table}")

    assert not verified(run)["holds"]
