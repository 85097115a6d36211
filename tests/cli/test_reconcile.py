"""``reconcile`` against a sandbox: the books of a month, what is put right, and what the exit code says."""

from __future__ import annotations

import json
import time

import pendulum
import pytest

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.ledger.database import DatabaseStore
from airflow_provider_tcbilling.ledger.reports_span import ZONE
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.record import State
from airflow_provider_tcbilling.purchasing.reservation import Counted, Reservation
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.sandbox.other_orders import add_orders
from tests.api.test_text import steers
from tests.conftest import PRICE, SECRET_ID, client_to
from tests.support.database_shop import database_shop
from tests.support.nasty import nasty
from tests.support.shop import KEY, LATE, QUIET, Shop, an_order_with_status, delivered, paid_twice, two_orders_match

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]

DAY = 86_400


@pytest.fixture
def shop(in_sqlite):
    """A shop whose ledger is in SQLite, late enough in a month that nothing of these tests is in another one."""
    in_sqlite.sandbox.account.balance_cents = 10**12
    return in_sqlite


def around():
    """Return the options of a span from yesterday until tomorrow, whatever day it is."""
    today = pendulum.from_timestamp(time.time(), tz=ZONE)
    return ("--from", today.subtract(days=2).to_date_string(), "--to", today.add(days=2).to_date_string())


def reconciled(run, *options, code=None):
    """Return the report of a run of the command; its exit code is 0 only if it says that all agrees."""
    exit_code, out, err = run("reconcile", *around(), *options, "--json")
    assert out, err
    report = json.loads(out)
    assert exit_code == (0 if report["agrees"] else 1)
    assert code in (None, exit_code)
    return report


def kinds(report):
    return sorted((line["kind"], line["purchase_key"]) for line in report["lines"])


# What differs


def test_an_order_of_somebody_else_is_owned_by_nobody(shop, run):
    delivered(shop)
    (order,) = add_orders(shop.sandbox.account, {"product_code": "p_waf", "cents": 33_300, "days_ago": 0.5})

    report = reconciled(run, code=1)

    assert kinds(report) == [("owned by nobody", None), ("settled now", KEY)]
    (line,) = [line for line in report["lines"] if line["kind"] == "owned by nobody"]
    assert (line["order_id"], line["book_cents"], line["product"]) == (order.order_id, 33_300, "p_waf")
    assert report["totals"]["USD"]["nobody_cents"] == 33_300


class TestAtAServerThatIgnoresTokens:
    @pytest.fixture
    def shop(self, request, start_sandbox, connect, tmp_path, passing_time, monkeypatch):
        sandbox = start_sandbox(tokens=Tokens("ignore"))
        return database_shop("sqlite", request, sandbox, connect, tmp_path / "ledger", passing_time, monkeypatch)

    def test_a_second_order_of_a_repeat_is_owned_by_nobody_and_names_its_purchase(self, shop, run):
        paid_twice(shop)

        report = reconciled(run, code=1)

        (line,) = [line for line in report["lines"] if line["kind"] == "owned by nobody"]
        assert line["reason"] == f"a second order of {KEY}"
        assert len(report["close_together"]) == 1


def test_an_amount_that_was_changed_in_the_ledger_differs(shop, run):
    delivered(shop)
    reconciled(run)
    shop.edit(gross_cents=PRICE - 1)

    report = reconciled(run, code=1)

    assert [(line["kind"], line["book_cents"], line["ledger_cents"]) for line in report["lines"]] == [
        ("amount differs", PRICE, PRICE - 1)
    ]


def test_a_currency_that_was_changed_differs(shop, run):
    delivered(shop)
    reconciled(run)
    shop.edit(currency="CNY")

    assert kinds(reconciled(run, code=1)) == [("amount differs", KEY)]


def test_an_order_that_the_book_does_not_list_is_in_the_ledger_only(shop, run):
    delivered(shop)
    shop.sandbox.account.__init__(shop.sandbox.options)

    assert kinds(reconciled(run, code=1)) == [("in the ledger only", KEY)]


@pytest.mark.parametrize("status", [8, 11])
def test_an_order_that_was_never_paid_gives_its_room_back_and_is_no_price(shop, run, status):
    an_order_with_status(shop, status)
    shop.edit(reserved_cents=PRICE, reserved_currency="USD", price_key="a" * 32)
    limit = Limit("fleet", Window.MONTH, PRICE, "USD")
    reservation = Reservation("another", PRICE, "USD", (limit,), server=server_name(shop.sandbox.url))
    assert shop.ledger.usage(reservation).counted[0].reserved == PRICE

    report = reconciled(run, code=0)

    assert [(line["book_cents"], line["ledger_cents"]) for line in report["lines"]] == [(0, 0)]
    assert list(shop.ledger.usage(reservation).counted) == [Counted(limit)]
    assert shop.ledger.price(reservation.server, "", "a" * 32).highest_cents is None
    assert kinds(reconciled(run, code=0)) == [("agreed", KEY)]


def test_an_order_of_another_month_is_not_missing(shop, run):
    """Its intent is of the span, and its order was made after it, where the order book is not read."""
    delivered(shop)
    order = shop.sandbox.account.orders()[0]
    order.created_at += 20 * DAY
    shop.clock.sleep(21 * DAY)
    (entry,) = [record for _, record in shop.ledger.all()]
    day = entry["intended_at"][:10]

    code, out, _ = run("reconcile", "--from", day, "--to", pendulum.parse(day).add(days=1).to_date_string(), "--json")

    assert (code, json.loads(out)["lines"]) == (0, [])


def test_an_order_under_way_is_unsettled_and_says_why(shop, run):
    shop.sandbox.faults.add({"fault": "order-status", "status": 3})
    shop.ordered()

    (line,) = reconciled(run, code=1)["lines"]

    assert (line["kind"], line["purchase_key"]) == ("unsettled", KEY)
    assert "its delivery is not over" in line["reason"]


def test_a_record_that_cannot_be_used_is_named(shop, run):
    shop.damaged()

    (line,) = reconciled(run, code=1)["lines"]

    assert (line["kind"], line["purchase_key"], line["order_id"]) == ("unreadable", "broken", shop.orders[0])


def test_an_order_book_that_cannot_be_read_says_nothing(shop, run):
    delivered(shop)
    shop.closed_book()

    code, out, err = run("reconcile", *around())

    assert (code, out) == (1, "")
    assert "DescribeDealsByCond" in err


# What is put right


def test_a_price_that_is_missing_is_added_once(shop, run):
    shop.ordered()
    assert shop.record().gross_cents is None

    first, second = reconciled(run, code=0), reconciled(run, code=0)

    assert kinds(first) == [("settled now", KEY)]
    assert kinds(second) == [("agreed", KEY)]
    assert (shop.record().gross_cents, shop.record().paid_cents, shop.record().currency) == (PRICE, PRICE, "USD")
    assert shop.record().state is State.ORDERED


def test_vouchers_are_part_of_the_price_that_is_added(shop, run):
    shop.sandbox.account.voucher_cents = 300
    shop.ordered()

    reconciled(run, code=0)

    assert (shop.record().gross_cents, shop.record().paid_cents) == (PRICE, PRICE - 300)


def test_a_price_above_its_reservation_is_added_and_blocks_that_price(shop, run):
    shop.ordered()
    shop.edit(reserved_cents=PRICE - 1, reserved_currency="USD")

    (line,) = reconciled(run, code=0)["lines"]

    assert line["kind"] == "settled now"
    assert "until a user accepts its price" in line["reason"]
    assert shop.record().is_overrun
    assert shop.ledger.events_of(KEY)[-1]["kind"] == "overrun"


def test_nothing_is_written_with_no_settle(shop, run):
    shop.ordered()
    shop.lost("another", carried_out=False, after=LATE)

    report = reconciled(run, "--no-settle", code=1)

    assert kinds(report) == [("reserved without order", "another"), ("unsettled", KEY)]
    assert "no order matches" in next(line for line in report["lines"] if line["purchase_key"] == "another")["reason"]


def test_a_record_that_a_task_changes_meanwhile_stays(shop, run, monkeypatch):
    shop.ordered()
    read = DatabaseStore.text

    def read_and_change(store, key):
        text = read(store, key)
        monkeypatch.setattr(DatabaseStore, "text", read)
        shop.edit(reason="a task was here")
        return text

    monkeypatch.setattr(DatabaseStore, "text", read_and_change)
    (line,) = reconciled(run, code=1)["lines"]

    assert line["kind"] == "unsettled"
    assert (shop.record().gross_cents, shop.record().reason) == (None, "a task was here")


def test_a_purchase_that_surely_bought_nothing_is_released(shop, run):
    shop.lost(carried_out=False, after=LATE)
    shop.edit(reserved_cents=PRICE, reserved_currency="USD")

    report = reconciled(run, code=0)

    assert kinds(report) == [("released now", KEY)]
    assert shop.record().state is State.DECLINED
    assert shop.record().counted_cents == 0
    assert "A comparison with the order book said that nothing was bought" in shop.record().reason
    assert reconciled(run, code=0)["lines"] == []


@pytest.mark.parametrize(
    ("happened", "expected"),
    [
        pytest.param(lambda shop: shop.lost(carried_out=False, after=0), "run explain again after", id="under way"),
        pytest.param(lambda shop: shop.lost(carried_out=False, after=QUIET), "too early", id="too early"),
        pytest.param(lambda shop: shop.lost(after=LATE), "exactly one order matches", id="an order matches"),
        pytest.param(two_orders_match, "more than one purchase or order", id="two orders match"),
    ],
)
def test_a_purchase_that_may_have_bought_something_stays_reserved(shop, run, happened, expected):
    happened(shop)
    shop.edit(reserved_cents=PRICE, reserved_currency="USD")
    before = shop.record()

    report = reconciled(run, code=1)

    (line,) = [line for line in report["lines"] if line["kind"] == "reserved without order"]
    assert expected in line["reason"]
    assert line["reserved_cents"] == PRICE
    assert shop.record() == before


def test_what_the_server_called_paid_is_never_released(shop, run):
    shop.lost(carried_out=False, code="FailedOperation.PaySuccDeliverFailed", after=LATE)

    assert kinds(reconciled(run, code=1)) == [("reserved without order", KEY)]
    assert shop.record().state is State.CHARGED


# What agrees


def test_a_refund_is_listed_apart_and_gives_no_room_back(shop, run):
    purchase = shop.purchase()
    order = purchase.place()
    purchase.note_delivery(order)
    (instance,) = shop.sandbox.account.instances()
    told = {"product_code": "p_cloudfirewall", "sub_product_code": "sp_cloudfirewall_svv1"}
    client_to(shop.sandbox).refund_instance(
        client_token="back", instance_id=instance.instance_id, region_code="ap-guangzhou", **told
    )

    report = reconciled(run, code=0)

    assert [kind for kind, _ in kinds(report)] == ["refund", "settled now"]
    assert report["totals"]["USD"]["refunded_cents"] > 0
    assert report["totals"]["USD"]["settled_cents"] == PRICE


def test_a_quantity_of_several_sub_orders_is_one_line(shop, run):
    object.__setattr__(shop.sandbox.options, "suborder_quantity", 2)
    shop.ordered(quantity=5)

    (line,) = reconciled(run, code=0)["lines"]

    assert len(line["sub_orders"]) == 3
    assert line["book_cents"] == line["ledger_cents"] == 5 * PRICE


def test_an_order_that_was_assigned_and_not_recorded_is_not_of_nobody(shop, run):
    shop.lost(after=LATE)
    (number,) = shop.orders
    shop.ledger.assign(server_name(shop.sandbox.url), number, KEY)

    report = reconciled(run, code=1)

    assert kinds(report) == [("unsettled", KEY)]


def test_a_purchase_that_was_pruned_still_has_its_order(shop, run):
    delivered(shop)
    reconciled(run)
    shop.ledger.prune(time.time() + 1)

    assert kinds(reconciled(run, code=0)) == [("agreed", KEY)]


def test_purchases_of_another_account_in_a_shared_ledger_are_left_out(shop, run):
    delivered(shop)
    shop.ordered("of another account")
    shop.edit("of another account", key_id="hash of another key", order_id="20261125000000001")

    report = reconciled(run, code=1)

    assert kinds(report) == [("owned by nobody", None), ("settled now", KEY)]
    assert report["left_out"] == 1
    assert any("other accounts or servers" in note for note in report["notes"])


def test_an_empty_month_agrees(shop, run):
    code, out, _ = run("reconcile", "--month", "2020-02")

    assert code == 0
    assert out.startswith("The books agree: 2020-02, 0 lines.")


def test_a_ledger_of_objects_is_only_read(sandbox, connect, tmp_path, passing_time, run, shop):
    folder = Shop(sandbox, tmp_path / "objects", passing_time)
    connect(host=sandbox.url, extra={"ledger_uri": folder.folder.as_uri()})
    folder.ordered("in a folder")
    before = folder.files()

    report = reconciled(run, code=0)

    assert kinds(report) == [("price not kept", "in a folder")]
    assert any("only read" in note for note in report["notes"])
    assert folder.files() == before


# The command


@pytest.mark.parametrize(
    "options",
    [
        pytest.param((), id="no span"),
        pytest.param(("--month", "2026-13"), id="no month"),
        pytest.param(("--month", "2026-11", "--from", "2026-11-01", "--to", "2026-11-02"), id="two spans"),
        pytest.param(("--from", "2026-11-01"), id="half a span"),
        pytest.param(("--from", "2026-11-02", "--to", "2026-11-01"), id="backwards"),
        pytest.param(("--from", "yesterday", "--to", "today"), id="no days"),
    ],
)
def test_a_span_that_is_none_is_wrong_usage_and_queries_nothing(shop, run, options):
    code, out, err = run("reconcile", *options)

    assert (code, out) == (2, "")
    assert "reconcile: " in err  # On Airflow 2.11 log lines stand before it.
    assert shop.sandbox.requests["DescribeDealsByCond"] == 0


def test_a_connection_without_a_ledger_is_refused(shop, run, connect):
    connect(host=shop.sandbox.url)

    code, out, err = run("reconcile", *around())

    assert (code, out) == (1, "")
    assert "names no ledger" in err


def test_the_month_is_that_of_the_zone_of_the_connection(shop, run, connect):
    connect(host=shop.sandbox.url, extra={"ledger_conn_id": "ledger", "limits_zone": "America/New_York"})

    report = json.loads(run("reconcile", "--month", "2026-11", "--json")[1])

    assert report["from"] == "2026-11-01T00:00:00-04:00"
    assert report["to"] == "2026-12-01T00:00:00-05:00"


def test_what_is_piped_is_plain_and_what_a_terminal_shows_is_not(shop, run, monkeypatch):
    delivered(shop)
    shop.somebody_elses()
    plain = run("reconcile", *around())[1]

    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    shown = run("reconcile", *around())[1]

    assert "\x1b" not in plain
    assert plain.splitlines()[0].startswith("The books do NOT agree")
    assert "owned by nobody" in plain
    assert "\x1b[" in shown
    assert "owned by nobody" in shown


def test_no_text_of_a_record_or_of_the_server_steers_anything(shop, run, tmp_path):
    for number, text in enumerate(text for text in nasty(30) if "\ud800" not in text and "\0" not in text):
        shop.ordered(f"{number} {text}")
        shop.edit(f"{number} {text}", currency=text)
    page = tmp_path / "page.html"

    out = run("reconcile", *around(), "--html", str(page))[1]
    text = run("reconcile", *around(), "--json")[1]

    assert [c for c in steers(out) if c != "\n"] == []
    assert [c for c in steers(text) if c != "\n"] == []
    assert [c for c in steers(page.read_text(encoding="utf-8")) if c != "\n"] == []
    assert SECRET_ID not in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_named(shop, run, tmp_path):
    code, _, err = run("reconcile", *around(), "--html", str(tmp_path / "no" / "folder.html"))

    assert code == 1
    assert "cannot be written" in err


def test_a_month_that_has_not_begun_is_no_month_that_agrees(shop, run):
    code, out, err = run("reconcile", "--month", "2099-01")

    assert (code, out) == (1, "")
    assert "2099-01 has not begun, so there is nothing to compare." in err
