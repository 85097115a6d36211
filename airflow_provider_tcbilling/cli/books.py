"""
The commands of the books: reconcile, and export.

Airflow loads this module with each of its commands, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.cli.command import (
    CONN_ID,
    DONE,
    JSON,
    NOT_DONE,
    Answer,
    Command,
    Option,
    WrongUsage,
    as_json,
    connected,
    note,
)

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.reports_span import Span

FORMATS = ("csv", "json")


def reconcile(chosen: argparse.Namespace) -> Answer:
    """Compare the ledger with the order book of a month or a span."""
    from airflow_provider_tcbilling.cli import reconcile as work
    from airflow_provider_tcbilling.cli.reconcile_text import as_text
    from airflow_provider_tcbilling.ledger.reports_summary import plain_report

    _exactly_one_span(chosen)
    with connected(chosen.conn_id) as tencent:
        span = _wanted_span(chosen, work.report_zone(tencent.settings))
        _refuse_the_future(span)
        report = work.reconcile(tencent, span, settles=not chosen.no_settle)
    if chosen.html:
        from airflow_provider_tcbilling.cli.reconcile_page import page_of

        _write(chosen.html, page_of(report))
    text = as_json(plain_report(report)) if chosen.json else as_text(report, getattr(chosen, "width", None))
    return text, DONE if report.agrees else NOT_DONE


def export(chosen: argparse.Namespace) -> Answer:
    """Print each sub-order of a month or a span, with the purchase that has it."""
    from airflow_provider_tcbilling.cli import reconcile as work
    from airflow_provider_tcbilling.cli.export import as_csv, rows_of

    _exactly_one_span(chosen)
    with connected(chosen.conn_id) as tencent:
        span = _wanted_span(chosen, work.report_zone(tencent.settings))
        report = work.Reconciliation.of(tencent, span).report()
    for line in report.notes:
        note(line)
    rows = [*rows_of(report)]
    return as_json(rows) if chosen.format == "json" else as_csv(rows), DONE


def _exactly_one_span(chosen: argparse.Namespace) -> None:
    is_between = bool(chosen.first or chosen.last)
    if bool(chosen.month) == is_between or bool(chosen.first) != bool(chosen.last):
        raise WrongUsage("give --month, or --from and --to")


def _wanted_span(chosen: argparse.Namespace, zone: str) -> Span:
    """
    Return the span that the options name, in a zone.

    :raises WrongUsage: They name none.
    """
    from airflow_provider_tcbilling.ledger.reports_span import Span

    try:
        if chosen.month:
            return Span.of_month(chosen.month, zone)
        return Span.between(chosen.first, chosen.last, zone)
    except ValueError as error:
        raise WrongUsage(str(error)) from error


def _refuse_the_future(span: Span) -> None:
    """Refuse a span that has not begun: a slip in a month must not look like books that agree."""
    import time

    from airflow_provider_tcbilling.cli.lookup import Refused

    if span.since > time.time():
        raise Refused(f"{span.name} has not begun, so there is nothing to compare.")


def _write(path: str, text: str) -> None:
    from airflow_provider_tcbilling.cli.lookup import Refused

    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error}") from error


_SPAN = (
    Option("--month", "the month, such as 2026-11, in limits_zone of the connection"),
    Option("--from", "instead: the first day, or a time", {"dest": "first"}),
    Option("--to", "with --from: the last day, or a time that is not part of it", {"dest": "last"}),
)

BOOKS = (
    Command(
        "reconcile",
        "compare the ledger with the order book of a month; the exit code is 0 only if they agree",
        (
            *_SPAN,
            Option("--html", "write one HTML page that can be mailed, into this file"),
            Option(
                "--no-settle",
                "change nothing: add no missing price, and release no purchase that bought nothing",
                {"action": "store_true"},
            ),
            CONN_ID,
            JSON,
        ),
        reconcile,
    ),
    Command(
        "export",
        "the sub-orders of a month, one line each, with the purchases that have them",
        (*_SPAN, Option("--format", "the format", {"choices": FORMATS, "default": FORMATS[0]}), CONN_ID),
        export,
    ),
)
