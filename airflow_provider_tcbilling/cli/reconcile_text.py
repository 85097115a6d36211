"""The report of a reconciliation for a terminal: tables with colours, or plain columns where it is piped."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

from airflow_provider_tcbilling.api.text import amount, harmless, lines_of
from airflow_provider_tcbilling.cli.columns import columns
from airflow_provider_tcbilling.cli.command import Rendered
from airflow_provider_tcbilling.ledger.reports import MEANINGS, Kind, Line, Report
from airflow_provider_tcbilling.ledger.reports_summary import creator_of, totals_of, written

MOST_SHOWN = 200
"""Lines of a table; the JSON has all."""

HEAD = ("RESULT", "AT", "ORDER", "ORDER BOOK", "LEDGER", "RESERVED", "PRODUCT", "PURCHASE", "WHY")
RIGHT = frozenset({3, 4, 5})
SUMS = ("CURRENCY", "ORDER BOOK", "LEDGER", "RESERVED", "OWNED BY NOBODY", "REFUNDED")

QUIET = frozenset({Kind.AGREED, Kind.SETTLED, Kind.UNPRICED, Kind.UNCHARGED})
"""Kinds that are counted and not listed."""


def as_text(report: Report, width: int | None) -> str:
    """
    Return a report for a terminal.

    :param width: Columns of the terminal; ``None`` if the answer goes into a file or a pipe.
    """
    if width is None:
        return "\n".join(_plain_lines(report))
    return Rendered(_rendered(report, width))


def verdict(report: Report) -> str:
    """Return the result in one sentence."""
    differing = sum(line.kind.is_difference for line in report.lines)
    if not differing:
        return f"The books agree: {report.span.name}, {len(report.lines)} lines."
    return f"The books do NOT agree: {report.span.name}, {differing} of {len(report.lines)} lines differ."


def _plain_lines(report: Report) -> Iterator[str]:
    yield verdict(report)
    yield from ("", *columns([("RESULT", "LINES", "MEANING"), *_counts(report)], right=frozenset({1})))
    yield from ("", *columns([SUMS, *_sums(report)], right=frozenset(range(1, len(SUMS)))))
    if listed := _listed(report):
        yield from ("", *columns([HEAD, *(_cells(line, report.span.zone) for line in listed)], right=RIGHT))
    yield from ("", *_notes(report))


def _rendered(report: Report, width: int) -> str:
    """Return the same with the colours of a terminal. Each text is data: rich reads no markup in it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=width, highlight=False, emoji=False)

    def show(title: str, head: Sequence[str], rows: Sequence[tuple[Sequence[Any], str]], right: frozenset[int]) -> None:
        table = Table(title=title, title_justify="left", title_style="bold")
        for place, name in enumerate(head):
            table.add_column(name.capitalize(), justify="right" if place in right else "left", overflow="fold")
        for cells, style in rows:
            table.add_row(*(Text("-" if cell in (None, "") else harmless(cell)) for cell in cells), style=style)
        console.print(table)

    console.print(Text(verdict(report), style="bold green" if report.agrees else "bold red"))
    kinds = [kind for kind in MEANINGS if kind in report.counts]
    styles = ["red" if kind.is_difference else "" for kind in kinds]
    show("Results", ("Result", "Lines", "Meaning"), [*zip(_counts(report), styles, strict=True)], frozenset({1}))
    show("Sums", SUMS, [(row, "") for row in _sums(report)], frozenset(range(1, len(SUMS))))
    if listed := _listed(report):
        rows = [(_cells(line, report.span.zone), "red" if line.kind.is_difference else "") for line in listed]
        show("Lines", HEAD, rows, RIGHT)
    for line in _notes(report):
        console.print(Text(lines_of(line)))
    return stream.getvalue().rstrip("\n")


def _counts(report: Report) -> list[tuple[Any, ...]]:
    return [(kind.value, count, kind.about) for kind, count in report.counts.items()]


def _sums(report: Report) -> list[tuple[Any, ...]]:
    """Return the sums of each currency."""
    rows = []
    for currency, sums in totals_of(report).items():
        money = (sums.book_cents, sums.settled_cents, sums.reserved_cents, sums.nobody_cents, sums.refunded_cents)
        rows.append((currency or "not known", *map(plain_amount, money)))
    return rows


def plain_amount(cents: int) -> str:
    """Return an amount without its currency: ``100.00``."""
    return amount(cents, "-").removesuffix(" -")


def _listed(report: Report) -> list[Line]:
    return [line for line in report.lines if line.kind not in QUIET][:MOST_SHOWN]


def _cells(line: Line, zone: str) -> tuple[Any, ...]:
    at = None if line.at is None else written(line.at, zone)
    money = (line.book_cents, line.ledger_cents, line.reserved_cents or None)
    amounts = (None if cents is None else amount(cents, line.currency) for cents in money)
    why = line.reason or creator_of(line)
    return (line.kind.value, at, line.order_id, *amounts, line.product, line.key, why)


def _notes(report: Report) -> Iterator[str]:
    left = sum(line.kind not in QUIET for line in report.lines) - MOST_SHOWN
    if left > 0:
        yield f"{left} more lines; --json has all."
    for group in report.hints[:MOST_SHOWN]:
        numbers = ", ".join(line.order_id for line in group[:5])
        free = sum(line.entry is None for line in group)
        more = ", ..." if len(group) > 5 else ""
        yield (
            f"Hint: {len(group)} orders of the same thing were made close together, {free} of them owned by nobody: "
            f"{harmless(numbers)}{more}"
        )
    yield from (f"Note: {note}" for note in report.notes)
    yield (
        f"Days and times are of {report.span.zone}. The order book writes times of {report.book_zone[0]} "
        f"({report.book_zone[1]})."
    )
