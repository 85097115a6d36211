"""The page for finance: it loads nothing, runs nothing, and shows every text as text."""

from __future__ import annotations

import re
import shutil
import subprocess
from html import escape
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from airflow_provider_tcbilling.api.models import Deal
from airflow_provider_tcbilling.cli.reconcile_page import money, page_of
from airflow_provider_tcbilling.cli.reconcile_picture import NARROW, WIDE, days_of, products_of, round_step, short
from airflow_provider_tcbilling.cli.reconcile_text import as_text
from airflow_provider_tcbilling.ledger.reports import report_of
from airflow_provider_tcbilling.ledger.reports_book import Book
from airflow_provider_tcbilling.ledger.reports_entry import Entry, Price
from airflow_provider_tcbilling.ledger.reports_join import Scope
from airflow_provider_tcbilling.ledger.reports_span import Span
from airflow_provider_tcbilling.ledger.reports_summary import Sums
from tests.support.books import world_of
from tests.support.nasty import nasty

NOVEMBER = Span.of_month("2026-11")
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(1)>&amp;$body{{7*7}}'


MEASURED = (
    "const root = this.contentDocument.documentElement;"
    "document.title = `${root.scrollWidth} of ${this.contentWindow.innerWidth}`"
)
"""Says how wide a page is in its frame."""


class Read(HTMLParser):
    """Reads a page: its elements, its attributes and its text."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.attributes, self.text, self.open = [], [], "", []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "rect", "line"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page_with(text):
    """Return a page on which a text stands wherever one can come from the server or from a user."""
    row = {"OrderId": "1", "Status": 4, "CreateTime": "2026-11-15 12:00:00", "RealTotalCost": 100}
    deal = Deal.from_wire({**row, "ProductCode": text, "Currency": text, "Action": text})
    raw = {"order_id": "1", "big_deal_id": "", "status": 4, "action": "purchase", "resource_ids": ()}
    bare = Deal(
        **raw, created_at="2026-11-15 12:00:00", paid_cents=1, voucher_cents=0, currency=text, product_code=text
    )
    entries = [
        Entry(text or "k", "1", price=Price(1, 1, text), at=NOVEMBER.since, product=text),
        Entry(f"{text}.", "", state="unusable", reason=text, at=NOVEMBER.since),
        Entry(f"{text}..", "", state="intended", at=NOVEMBER.since, product=text, reserved_currency=text),
    ]
    deals = {"1": bare, "2": deal, "3": deal}
    return page_of(report_of(entries, Book(deals), NOVEMBER, Scope(text, text), notes=[text]))


@pytest.mark.parametrize("text", [EVIL, *nasty(40)], ids=ascii)
def test_no_text_becomes_markup_whatever_it_is(text):
    page = page_with(text.replace("\ud800", ""))
    read, plain = Read(page), Read(page_with("plain"))

    assert read.open == []
    assert set(read.elements) == set(plain.elements)
    assert {name for name, _ in read.attributes} == {name for name, _ in plain.attributes}
    assert not {"script", "img", "iframe", "a", "link", "object", "form"} & set(read.elements)


def test_an_evil_text_stands_on_the_page_as_it_is():
    assert EVIL[:40] in Read(page_with(EVIL)).text


def test_the_page_loads_nothing():
    page = page_of(world_of(7).report())

    assert "default-src 'none'" in page
    assert not re.search(r"(https?:)?//[a-z]", page)
    assert not re.search(r"\b(src|href)=|url\(", page)
    assert "@import" not in page


@pytest.mark.parametrize("seed", range(20))
def test_the_pictures_of_random_books_are_drawn_within_their_frame(seed):
    page = page_of(world_of(seed).report())

    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) % 4 == 0
    for drawing in drawings:
        root = ElementTree.fromstring(drawing)
        width, height = map(float, root.get("viewBox").split()[2:])
        for bar in root.iter("rect"):
            x, y, wide, high = (float(bar.get(name)) for name in ("x", "y", "width", "height"))
            assert -0.2 <= x <= x + wide <= width + 6.2
            assert -6.2 <= y <= y + high <= height + 0.2


def test_a_bar_says_its_amounts_when_it_is_pointed_at():
    sums = Sums(settled_cents=100, reserved_cents=200, nobody_cents=300)

    for drawing in (days_of({"2026-11-03": sums}, "USD", WIDE), products_of({"p_waf": sums}, "USD", NARROW)):
        (title,) = re.findall("<title>(.*?)</title>", drawing)
        assert title.endswith(": settled 1.00 USD, reserved 2.00 USD, owned by nobody 3.00 USD")
        assert [css for css in re.findall(r'<rect class="(\w+)"', drawing)] == ["settled", "reserved", "nobody"]


def test_the_rest_of_many_products_is_one_bar():
    products = {f"p_{number}": Sums(settled_cents=1) for number in range(30)}

    drawing = products_of(products, "USD", WIDE)

    assert "18 other products" in drawing
    assert drawing.count("<rect") == 13


@pytest.mark.parametrize("high", [0, 1, 99, 100, 12_345, 10**12])
def test_the_lines_of_a_picture_are_at_round_amounts(high):
    step = round_step(high)

    assert high <= 5 * step
    assert str(step).strip("0") in ("1", "2", "5")


def test_an_amount_is_written_short_and_in_full():
    assert [short(cents) for cents in (0, 50, 120_000, 10**9)] == ["0", "0.5", "1.2k", "10M"]
    assert money(1_495_514, "USD") == "14,955.14 USD"
    assert money(-5, "<b>") == "-0.05 &lt;b&gt;"
    assert money(None, "USD") == ""


@pytest.mark.parametrize("width", [None, 40, 80, 200])
def test_a_terminal_of_any_width_shows_the_result_first(width):
    for seed in range(5):
        report = world_of(seed).report()
        first = re.sub("\x1b\\[[0-9;]*m", "", as_text(report, width)).splitlines()[0]

        assert first.startswith("The books agree" if report.agrees else "The books do NOT agree")


@pytest.mark.skipif(not shutil.which("chromium"), reason="no browser is installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_a_desktop_and_a_phone(tmp_path, width):
    frame = f'<iframe style="border:0;height:900px;width:{width}px" srcdoc="PAGE" onload="{MEASURED}"></iframe>'
    path = tmp_path / "frame.html"
    path.write_text(frame.replace("PAGE", escape(page_of(world_of(3).report()))), encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", "--dump-dom"]

    done = subprocess.run(
        ["chromium", *options, "--window-size=1400,900", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    wide, inner = map(int, re.findall(r"<title>(\d+) of (\d+)</title>", done.stdout)[-1])
    assert wide <= inner == width
