"""Export: the sub-orders of a report as rows with stable columns, for a spreadsheet or another program."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_tcbilling.api.models import Deal, status_words
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.ledger.reports import Line, Report
from airflow_provider_tcbilling.ledger.reports_join import moment_of
from airflow_provider_tcbilling.ledger.reports_summary import written

COLUMNS = (
    *("order_id", "big_deal_id", "made_at", "action", "status", "product_code", "sub_product_code", "zone_code"),
    *("project_id", "time_span", "time_unit", "currency", "paid_cents", "voucher_cents", "gross_cents"),
    *("result", "purchase_key", "purchase_cents", "client_token", "instance_ids", "dag_id", "run_id", "task_id"),
    *("map_index", "approved_by", "account"),
)
"""The names of the columns, in their order. A later release may add columns at the end; none is renamed or removed."""

ORIGIN = ("dag_id", "run_id", "task_id", "map_index")

_FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
"""Texts that a spreadsheet may read as a formula, also in full width and after blanks."""


def rows_of(report: Report) -> Iterator[dict[str, Any]]:
    """
    Yield a row for each sub-order; an order that only the ledger has is a row, too. Amounts are whole cents.

    The amount that the ledger counts stands at the first sub-order of a purchase, so that each column can be summed.
    """
    for line in report.lines:
        if line.deals:
            yield from (_row(report, line, deal, is_first=not place) for place, deal in enumerate(line.deals))
        elif line.entry and line.entry.order_id:
            yield _row(report, line, None, is_first=True)


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV with a head. A text that a spreadsheet would read as a formula has an apostrophe before it."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([_cell(row[name]) for name in COLUMNS] for row in rows)
    return stream.getvalue().removesuffix("\n")


def _row(report: Report, line: Line, deal: Deal | None, *, is_first: bool) -> dict[str, Any]:
    row = dict.fromkeys(COLUMNS) | _of_deal(report, deal) | _of_purchase(report, line, deal)
    return row if is_first else {**row, "purchase_cents": None}


def _of_deal(report: Report, deal: Deal | None) -> dict[str, Any]:
    """Return the columns that the order book fills."""
    if deal is None:
        return {}
    moment = moment_of(deal, report.book_zone[0], -1.0)
    is_known = deal.paid_cents is not None and deal.voucher_cents is not None
    names = ("order_id", "big_deal_id", "action", "product_code", "sub_product_code", "zone_code", "time_unit")
    return {
        **{name: harmless(getattr(deal, name)) or None for name in names},
        "made_at": written(moment, report.span.zone) if moment >= 0 else None,
        "status": status_words(deal.status),
        "project_id": deal.project_id,
        "time_span": deal.time_span,
        "currency": harmless(deal.currency) or None,
        "paid_cents": deal.paid_cents,
        "voucher_cents": deal.voucher_cents,
        "gross_cents": (deal.paid_cents or 0) + (deal.voucher_cents or 0) if is_known else None,
    }


def _of_purchase(report: Report, line: Line, deal: Deal | None) -> dict[str, Any]:
    """Return the columns that the ledger fills."""
    entry = line.entry
    found: dict[str, Any] = {"result": line.kind.value, "account": report.scope.account or None}
    if entry is None:
        return found
    if deal is None:
        found |= {"order_id": entry.order_id, "currency": line.currency or None, "product_code": entry.product or None}
    origin = {name: value for name in ORIGIN if (value := entry.origin.get(name)) not in (None, "")}
    return {
        **found,
        **{name: value if isinstance(value, int) else harmless(value) for name, value in origin.items()},
        "purchase_key": harmless(entry.key),
        "purchase_cents": line.ledger_cents,
        "client_token": entry.client_token or None,
        "instance_ids": " ".join(map(harmless, entry.instance_ids)) or None,
        "approved_by": harmless(entry.approved_by) or None,
    }


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return "" if value is None else value
    text = harmless(value)
    return f"'{text}" if _FORMULA.match(text) else text
