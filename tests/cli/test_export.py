"""``export``: one line for each sub-order, whole cents, stable columns, and no formula of anybody's."""

from __future__ import annotations

import csv
import io
import json

import pytest

from airflow_provider_tcbilling.api.models import Deal
from airflow_provider_tcbilling.cli.export import COLUMNS, as_csv, rows_of
from airflow_provider_tcbilling.ledger.reports import Kind, report_of
from airflow_provider_tcbilling.ledger.reports_book import Book
from airflow_provider_tcbilling.ledger.reports_entry import Entry, Price
from airflow_provider_tcbilling.ledger.reports_join import Scope
from airflow_provider_tcbilling.ledger.reports_span import Span
from airflow_provider_tcbilling.sandbox.other_orders import add_orders
from tests.cli.test_reconcile import around
from tests.conftest import PRICE
from tests.support.books import world_of
from tests.support.nasty import nasty
from tests.support.shop import KEY, NOT_LISTED, TASK

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]


@pytest.fixture
def shop(in_sqlite):
    """A shop whose ledger is in SQLite."""
    in_sqlite.sandbox.account.balance_cents = 10**12
    return in_sqlite


def exported(run, form="csv"):
    code, out, err = run("export", *around(), "--format", form)
    assert code == 0, err
    return json.loads(out) if form == "json" else [*csv.DictReader(io.StringIO(out))]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\ufeff=1", "\uff1d1", "\n-1"])
def test_a_text_that_a_spreadsheet_would_run_is_data(text):
    row = {**dict.fromkeys(COLUMNS), "purchase_key": text, "paid_cents": -5}

    (read,) = csv.DictReader(io.StringIO(as_csv([row])))

    assert read["purchase_key"][0] in "'\\"
    assert text.isascii() is False or not text.isprintable() or read["purchase_key"] == f"'{text}"
    assert read["paid_cents"] == "-5"


def test_no_cell_of_any_text_is_a_formula(shop, run):
    for number, text in enumerate(text for text in nasty(30) if "\ud800" not in text and "\0" not in text):
        shop.ordered(f"={number} {text}", placed_by={"dag_id": f"@{text}", "run_id": f"+{text}", "task_id": f"-{text}"})
        shop.edit(f"={number} {text}", currency=f"={text}")

    rows = exported(run)

    assert len(rows) == len(shop.orders)
    assert not [cell for row in rows for cell in row.values() if cell[:1] in tuple("=+-@\t\r\n")]


def test_the_columns_are_those_of_the_release_before():
    """Programs read them by name. Add new ones at the end."""
    assert COLUMNS[:26] == (
        "order_id", "big_deal_id", "made_at", "action", "status", "product_code", "sub_product_code", "zone_code",
        "project_id", "time_span", "time_unit", "currency", "paid_cents", "voucher_cents", "gross_cents", "result",
        "purchase_key", "purchase_cents", "client_token", "instance_ids", "dag_id", "run_id", "task_id", "map_index",
        "approved_by", "account",
    )  # fmt: skip


def test_each_sub_order_is_a_line_and_its_purchase_counts_once(shop, run):
    object.__setattr__(shop.sandbox.options, "suborder_quantity", 2)
    shop.sandbox.account.voucher_cents = 300
    shop.ordered(quantity=5)
    run("reconcile", *around())

    rows = exported(run)

    assert [int(row["gross_cents"]) for row in rows].count(PRICE) == 1
    assert sum(int(row["gross_cents"]) for row in rows) == 5 * PRICE
    assert sum(int(row["paid_cents"]) for row in rows) == 5 * PRICE - 300
    assert sum(int(row["purchase_cents"] or 0) for row in rows) == 5 * PRICE
    assert {row["purchase_key"] for row in rows} == {KEY}
    assert {row["big_deal_id"] for row in rows} == {order.big_deal_id for order in shop.sandbox.account.orders()}
    assert (rows[0]["dag_id"], rows[0]["run_id"], rows[0]["task_id"]) == (TASK[1], TASK[3], TASK[5])


def test_an_order_of_nobody_and_one_of_the_ledger_only_are_lines_too(shop, run):
    (other,) = add_orders(shop.sandbox.account, {"product_code": "p_waf", "cents": 33_300, "days_ago": 0.5})
    shop.ordered()
    shop.edit(order_id=NOT_LISTED)

    rows = {row["order_id"]: row for row in exported(run, "json")}

    assert rows[other.order_id]["result"] == "owned by nobody"
    assert rows[other.order_id]["purchase_key"] is None
    assert (rows[other.order_id]["gross_cents"], rows[other.order_id]["currency"]) == (33_300, "USD")
    assert (rows[NOT_LISTED]["result"], rows[NOT_LISTED]["status"]) == ("in the ledger only", None)
    assert set(map(tuple, rows.values())) == {COLUMNS}


def test_an_export_writes_nothing(shop, run):
    shop.ordered()
    before = shop.record()

    assert exported(run)[0]["result"] == "unsettled"
    assert shop.record() == before


def test_an_empty_month_has_a_head(shop, run):
    assert run("export", "--month", "2020-02")[1] == f"{','.join(COLUMNS)}\n"
    assert json.loads(run("export", "--month", "2020-02", "--format", "json")[1]) == []


def test_a_span_that_is_none_is_wrong_usage(shop, run):
    assert run("export")[0] == 2
    assert run("export", "--month", "2026-99")[0] == 2


def test_an_amount_that_cannot_be_read_is_an_empty_cell():
    span = Span.of_month("2026-11")
    row = {"OrderId": "1", "Status": 4, "CreateTime": "2026-11-15 12:00:00", "RealTotalCost": "much"}
    report = report_of([], Book({"1": Deal.from_wire(row)}), span, Scope())

    (line,) = rows_of(report)

    assert (line["paid_cents"], line["voucher_cents"], line["gross_cents"]) == (None, 0, None)


def test_the_amounts_of_an_export_are_those_of_the_report():
    for seed in range(300):
        report = world_of(seed).report()
        rows = [*rows_of(report)]

        of_book = [deal for line in report.lines for deal in line.deals]
        assert len(rows) == len(of_book) + len(report.of(Kind.LEDGER_ONLY)), f"seed {seed}"
        assert sum(row["purchase_cents"] or 0 for row in rows) == sum(
            line.ledger_cents or 0 for line in report.lines if line.deals or line.order_id
        )
        assert all(type(row[name]) in (int, type(None)) for row in rows for name in COLUMNS if name.endswith("_cents"))


def test_a_purchase_that_has_no_order_is_no_line():
    span = Span.of_month("2026-11")
    entry = Entry("k", state="intended", at=span.since, price=Price(), reserved_cents=5)

    assert [*rows_of(report_of([entry], Book(), span, Scope()))] == []
