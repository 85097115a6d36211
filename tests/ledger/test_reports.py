"""The report of a month: what each line says, and in which month it stands."""

from __future__ import annotations

import pytest

from airflow_provider_tcbilling.api.models import Deal
from airflow_provider_tcbilling.ledger.reports import MEANINGS, Kind, report_of
from airflow_provider_tcbilling.ledger.reports_book import Book
from airflow_provider_tcbilling.ledger.reports_entry import Entry, Price, entry_of_stored
from airflow_provider_tcbilling.ledger.reports_join import ASSUMED, Scope
from airflow_provider_tcbilling.ledger.reports_span import Span, last_month
from airflow_provider_tcbilling.ledger.reports_summary import by_product, totals_of

NOVEMBER = Span.of_month("2026-11")
SCOPE = Scope("server", "100", "our key")
LATER = 1.8e9


def row(number="1", made="2026-11-15 12:00:00", cents=100, **other):
    fields = {"OrderId": number, "Status": 4, "Action": "purchase", "CreateTime": made, "RealTotalCost": cents}
    return {**fields, "Currency": "USD", "ProductCode": "p_cloudfirewall", **other}


def reported(entries=(), rows=(), span=NOVEMBER, now=LATER, **more):
    deals = [Deal.from_wire(one) for one in rows]
    book = Book({deal.order_id: deal for deal in deals}, listed_at=now)
    return report_of(entries, book, span, SCOPE, **more)


def kinds(report):
    return [(line.kind, line.order_id) for line in report.lines]


# The month


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "UTC", "America/New_York", "Asia/Kathmandu"])
@pytest.mark.parametrize("beside", [-28_801, -28_800, -1, 0, 1, 28_799, 28_800])
def test_an_order_at_the_edge_of_two_months_is_in_exactly_one_of_them(zone, beside):
    spans = [Span.of_month(month, zone) for month in ("2026-10", "2026-11", "2026-12")]
    at = spans[1].since + beside
    entry = Entry("k", "", state="intended", at=at)

    found = [span.name for span in spans if reported([entry], span=span).lines]

    assert found == ["2026-11" if beside >= 0 else "2026-10"]


@pytest.mark.parametrize(
    ("book_zone", "in_november"),
    [pytest.param("UTC", False, id="UTC"), pytest.param("Asia/Shanghai", True, id="UTC+8")],
)
def test_the_purchases_of_the_ledger_tell_in_which_zone_the_order_book_writes(book_zone, in_november):
    """30 November 20:00 is still November in Shanghai, and in UTC it is 4 o'clock on 1 December there."""
    noon = Span.between("2026-11-15T12:00", "2026-11-15T13:00", book_zone).since
    entry = Entry("k", "1", at=noon - 30, until=noon + 60, price=Price(100, 100, "USD"), server="server")

    report = reported([entry], [row(), row("2", "2026-11-30 20:00:00")])

    assert report.book_zone == (book_zone, "1 of 1 purchases")
    assert ((Kind.NOBODY, "2") in kinds(report)) is in_november


def test_times_that_would_lie_ahead_tell_the_zone_where_the_ledger_is_empty():
    now = Span.between("2026-11-15T12:00", "2026-11-15T13:00").since

    assert reported((), [row()], now=now).book_zone[0] == "Asia/Shanghai"
    assert reported((), [row()], now=now).book_zone[1] != ASSUMED


def test_where_nothing_tells_the_zone_the_report_says_what_it_assumed():
    report = reported((), [row()])

    assert report.book_zone == ("Asia/Shanghai", ASSUMED)
    assert any("was assumed" in note for note in report.notes)


def test_a_month_that_is_not_over_says_so():
    assert any("not over" in note for note in reported(now=NOVEMBER.since + 1).notes)
    assert not any("not over" in note for note in reported().notes)


@pytest.mark.parametrize("month", ["2026-13", "2026-00", "2026-1", "26-11", "", "november", "2026-11-01"])
def test_a_month_that_is_none_is_refused(month):
    with pytest.raises(ValueError, match="month"):
        Span.of_month(month)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        pytest.param("2026-11-30", "2026-11-01", id="backwards"),
        pytest.param("2026-11-31", "2026-12-01", id="a day that is none"),
        pytest.param("2026-11", "2026-12", id="months"),
        pytest.param("2020-01-01", "2026-01-01", id="six years"),
        pytest.param("2026-11-01T08:00", "2026-11-01T08:00", id="no time at all"),
    ],
)
def test_a_span_that_is_none_is_refused(first, last):
    with pytest.raises(ValueError, match=r"\d"):
        Span.between(first, last)


def test_a_zone_that_is_none_is_refused():
    with pytest.raises(ValueError, match="zone"):
        Span.of_month("2026-11", "Mars/Olympus")


def test_a_day_is_part_of_a_span_and_a_time_is_not():
    days = Span.between("2026-11-01", "2026-11-30")

    assert (days.since, days.until) == (NOVEMBER.since, NOVEMBER.until)
    assert len(days.days()) == 30
    assert Span.between("2026-11-01T00:00", "2026-12-01T00:00").until == NOVEMBER.until
    assert Span.between("2026-11-01T00:00Z", "2026-11-02T00:00Z").since == NOVEMBER.since + 28_800


def test_the_month_before_is_that_of_the_zone():
    first = Span.of_month("2026-12").since

    assert last_month(first) == "2026-11"
    assert last_month(first - 1) == "2026-10"
    assert last_month(first, "UTC") == "2026-10"


# The lines


def test_what_a_line_says_is_known_of_every_kind():
    assert set(MEANINGS) == set(Kind)


def test_a_price_of_zero_is_a_price():
    entry = Entry("k", "1", price=Price(0, 0, "USD"), at=NOVEMBER.since)

    assert kinds(reported([entry], [row(cents=0)])) == [(Kind.AGREED, "1")]


def test_an_order_that_ended_unpaid_and_that_the_ledger_counts_differs():
    entry = Entry("k", "1", price=Price(100, 100, "USD"), at=NOVEMBER.since)
    (line,) = reported([entry], [row(Status=8)]).lines

    assert line.kind is Kind.AMOUNT
    assert "never paid" in line.reason


def test_sub_orders_of_several_currencies_are_never_added_up():
    rows = [row("1", BigDealId="9"), row("2", BigDealId="9", Currency="CNY")]
    (line,) = reported([Entry("k", "9", price=Price(200, 200, "USD"))], rows).lines

    assert line.kind is Kind.AMOUNT
    assert "several currencies" in line.reason


def test_sub_orders_that_no_one_request_can_have_placed_belong_to_no_sibling():
    rows = [row("1", BigDealId="9"), row("2", "2026-11-16 12:00:00", BigDealId="9")]

    report = reported([Entry("k", "1", price=Price(100, 100, "USD"))], rows)

    assert kinds(report) == [(Kind.NOBODY, "2"), (Kind.AGREED, "1")]


def test_a_second_order_names_the_purchase_that_was_carried_out_twice():
    twin = "order 2, delivered (4), ins-1, 1.00 USD, made 2026-11-15 12:00:00 (server time, UTC or UTC+8)"
    entry = Entry("k", "1", price=Price(100, 100, "USD"), twins=(twin,))

    (line,) = reported([entry], [row(), row("2")]).of(Kind.NOBODY)

    assert line.reason == "a second order of k"


def test_purchases_of_two_zones_and_of_two_amounts_are_not_alike():
    rows = [row("1"), row("2", ZoneCode="ap-guangzhou-6"), row("3", cents=101), row("4", "2026-11-15 12:30:00")]

    assert reported((), rows).hints == ()


def test_what_the_ledger_knows_to_differ_is_not_alike():
    price = Price(100, 100, "USD")
    alike = [Entry("a", "1", price=price, thing="one"), Entry("b", "2", price=price, thing="one")]
    other = [alike[0], Entry("b", "2", price=price, thing="two")]

    assert len(reported(alike, [row("1"), row("2")]).hints) == 1
    assert reported(other, [row("1"), row("2")]).hints == ()


def test_renewals_within_minutes_are_no_hint():
    rows = [row("1", Action="renew"), row("2", Action="renew")]

    assert reported((), rows).hints == ()


def test_a_hint_is_no_difference():
    price = Price(100, 100, "USD")
    report = reported([Entry("a", "1", price=price), Entry("b", "2", price=price)], [row("1"), row("2")])

    assert len(report.hints) == 1
    assert report.agrees


def test_a_currency_that_nobody_names_has_sums_of_its_own():
    report = reported((), [row(Currency=None), row("2")])

    assert set(totals_of(report)) == {"", "USD"}


def test_the_products_with_the_highest_amounts_come_first():
    report = reported((), [row("1", ProductCode="p_low", cents=1), row("2", ProductCode="p_high", cents=9)])

    assert list(by_product(report.lines)) == ["p_high", "p_low"]


@pytest.mark.parametrize("stored", ["half of", None, {}, {"format": "x"}], ids=repr)
def test_a_record_that_cannot_be_used_is_a_difference_of_its_own(stored):
    entry = entry_of_stored(stored, "folder/name.json")

    assert entry.is_unusable
    assert kinds(reported([entry], [row()])) == [(Kind.NOBODY, "1"), (Kind.UNREADABLE, "")]


def test_a_record_that_cannot_be_used_keeps_the_order_that_it_names():
    entry = entry_of_stored({"order_id": "1"}, "folder/name.json")

    assert kinds(reported([entry], [row()])) == [(Kind.UNREADABLE, "1")]


def test_an_amount_below_zero_is_no_price_of_a_purchase():
    entry = Entry("k", "1", price=Price(-5, -5, "USD"))

    assert kinds(reported([entry], [row(cents=-5)])) == [(Kind.UNREADABLE, "1")]
