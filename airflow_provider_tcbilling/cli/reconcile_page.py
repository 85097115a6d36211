"""
The report of a reconciliation as one HTML page that can be mailed.

It loads nothing and runs nothing. All texts of the server and of the ledger are escaped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from airflow_provider_tcbilling.api.text import amount, harmless
from airflow_provider_tcbilling.cli.reconcile_picture import NARROW, PARTS, WIDE, days_of, products_of
from airflow_provider_tcbilling.ledger.reports import MEANINGS, Kind, Line, Report
from airflow_provider_tcbilling.ledger.reports_summary import (
    by_currency,
    by_day,
    by_product,
    creator_of,
    sums_of,
    written,
)

MOST_ROWS = 2_000
"""Rows of a table. A page that is mailed must not grow without a limit; the export has all."""

UNKNOWN = "currency not known"

CSS = {"Made": "time", "Order": "time", "Order book": "money", "Ledger": "money", "Reserved": "money"}
"""The class of a column, by its name."""

HEAD = ("Made", "Order", "Product", "Order book", "Ledger", "Reserved", "Purchase", "Why")


def page_of(report: Report) -> str:
    """Return the whole page."""
    title = f"Purchases at Tencent Cloud, {report.span.name}"
    page = Template(files(__package__).joinpath("books.html").read_text(encoding="utf-8"))
    return page.substitute(title=_text(title), body="\n".join(_body(report, title)))


def _body(report: Report, title: str) -> Iterator[str]:
    scope = report.scope
    account = f", account {scope.account}" if scope.account else ""
    yield f"<h1>{_text(title)}</h1>"
    yield f'<p class="soft">Compared: the ledger of purchases, and the order book of {_text(scope.server + account)}. '
    yield f"Days and times are of {_text(report.span.zone)}.</p>"
    differing = sum(line.kind.is_difference for line in report.lines)
    said = f"{differing} of {len(report.lines)} lines differ" if differing else "The books agree"
    yield f'<p class="verdict{" differs" * bool(differing)}">{said}</p>'
    for currency, lines in by_currency(report.lines).items():
        yield from _of_currency(report, currency, lines)
    yield from _kinds(report)
    yield from _hints(report)
    yield from _notes(report)


def _of_currency(report: Report, currency: str, lines: list[Line]) -> Iterator[str]:
    """Yield the sums and the pictures of one currency."""
    sums, name = sums_of(lines), currency or UNKNOWN
    figures = (
        ("Order book", sums.book_cents, ""),
        ("Settled", sums.settled_cents, "key settled"),
        ("Reserved", sums.reserved_cents, "key reserved"),
        ("Owned by nobody", sums.nobody_cents, "key nobody"),
        ("Came back", sums.refunded_cents, ""),
    )
    yield f'<h2>{_text(name)}</h2><dl class="sums">'
    for words, cents, css in figures:
        yield f'<div class="{css}"><dt>{words}</dt><dd>{money(cents, currency)}</dd></div>'
    yield "</dl>"
    legend = "".join(f'<li><i class="{css}"></i>{words}</li>' for css, words in PARTS)
    yield f'<h3>Each day</h3><ul class="legend">{legend}</ul>'
    days, products = by_day(report, lines), by_product(lines)
    yield _two_sizes(lambda width: days_of(days, name, width))
    yield "<h3>Each product</h3>"
    yield _two_sizes(lambda width: products_of(products, name, width))


def _two_sizes(draw: Callable[[int], str]) -> str:
    """Return a picture for a wide page and for a phone, of which the page shows one."""
    return f'<figure class="wide">{draw(WIDE)}</figure><figure class="narrow">{draw(NARROW)}</figure>'


def _kinds(report: Report) -> Iterator[str]:
    """Yield the table of each kind; the kinds that agree are folded."""
    for kind in MEANINGS:
        if not (lines := report.of(kind)):
            continue
        table = "".join(_table(lines, report.span.zone))
        head, about = f"{len(lines)} {_text(kind.value)}", f"<p>{_text(kind.about)}</p>"
        if kind.is_difference:
            yield f"<h2>{head}</h2>{about}{table}"
        else:
            yield f"<details><summary>{head}</summary>{about}{table}</details>"


def _table(lines: list[Line], zone: str) -> Iterator[str]:
    """Yield a table, without the columns that are empty in each line."""
    rows = [_cells(line, zone) for line in lines[:MOST_ROWS]]
    shown = [place for place, column in enumerate(zip(*rows, strict=True)) if any(column)]
    heads = "".join(f"<th{_css(name, name)}>{name}</th>" for name in (HEAD[place] for place in shown))
    yield f'<table class="rows"><thead><tr>{heads}</tr></thead><tbody>'
    for row in rows:
        yield f"<tr>{''.join(_cell(HEAD[place], row[place]) for place in shown)}</tr>"
    yield "</tbody></table>"
    if len(lines) > MOST_ROWS:
        yield f"<p>{len(lines) - MOST_ROWS} more are not shown. The export has all.</p>"


def _cell(name: str, value: str) -> str:
    return f'<td data-name="{name}"{_css(name, value)}>{value}</td>'


def _css(name: str, value: str) -> str:
    """Return the class of a cell: amounts are aligned, and a phone leaves out what is empty."""
    found = " ".join(filter(None, [CSS.get(name, ""), "" if value else "none"]))
    return f' class="{found}"' if found else ""


def _cells(line: Line, zone: str) -> tuple[str, ...]:
    """Return the cells of a line, escaped."""
    at = "" if line.at is None else written(line.at, zone)[:16].replace("T", " ")
    amounts = (line.book_cents, line.ledger_cents, line.reserved_cents or None)
    is_said = line.kind is Kind.AGREED or line.status in line.reason
    why = ", ".join(filter(None, [line.reason, "" if is_said else line.status, creator_of(line)]))
    texts = map(_text, (at, line.order_id, line.product))
    return (*texts, *(money(cents, line.currency) for cents in amounts), _text(line.key), _text(why))


def money(cents: int | None, currency: str) -> str:
    """Return an amount as the page shows it, escaped: ``14,955.14 USD``; empty if it is not known."""
    if cents is None:
        return ""
    whole, rest = divmod(abs(cents), 100)
    return _text(f"{'-' if cents < 0 else ''}{whole:,}.{rest:02} {currency}".strip())


def _hints(report: Report) -> Iterator[str]:
    if not report.hints:
        return
    yield "<h2>The same thing, close together</h2>"
    yield (
        "<p>Orders of the same thing that were made within minutes. This is no difference. It may be meant, as when "
        "ten of a kind are bought at once; or one order is too many.</p>"
    )
    yield _items(_hint(group, report.span.zone) for group in report.hints[:MOST_ROWS])


def _hint(group: tuple[Line, ...], zone: str) -> str:
    free = sum(line.entry is None for line in group)
    numbers, more = ", ".join(line.order_id for line in group[:10]), ", ..." if len(group) > 10 else ""
    return (
        f"{len(group)} orders of {group[0].product}, {amount(group[0].book_cents, group[0].currency or UNKNOWN)} each, "
        f"from {written(group[0].at or 0.0, zone)[:16].replace('T', ' ')}, {free} of them owned by nobody: "
        f"{numbers}{more}"
    )


def _notes(report: Report) -> Iterator[str]:
    zone, how = report.book_zone
    yield "<h2>How this was made</h2>"
    made = f"Made at {written(time.time(), report.span.zone)}, from what both had then."
    yield _items([made, *report.notes, f"The order book writes times of {zone} ({how})."])


def _items(texts: Iterable[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{_text(text)}</li>" for text in texts)}</ul>'


def _text(value: Any) -> str:
    """Return a text as HTML shows it: no markup, no control character, of bounded length."""
    return escape(harmless(value), quote=True)
