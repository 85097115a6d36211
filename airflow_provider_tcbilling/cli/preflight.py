"""Preflight: everything about a connection that can be tested without buying, for a terminal."""

from __future__ import annotations

from collections import Counter

from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.cli.command import Rendered
from airflow_provider_tcbilling.cli.table import table
from airflow_provider_tcbilling.hooks._checks import FAILED, NOT_TESTED, WARNING
from airflow_provider_tcbilling.hooks.preflight import Preflight

HEAD = ("Result", "Check", "Finding")
STYLES = {FAILED: "bold red", WARNING: "yellow", NOT_TESTED: "dim"}


def as_text(preflight: Preflight, width: int | None) -> str:
    """
    Return the result line by line, and below it whether all is well.

    :param width: Cells of a terminal, in which a table is drawn; ``None`` for plain columns.
    """
    rows = [(check.result, check.name, check.about) for check in preflight.checks]
    counts = Counter(check.result for check in preflight.checks)
    end = ", ".join(f"{count} {result}" for result, count in counts.items())
    verdict = "has passed" if preflight.has_passed else f"has FAILED: correct each line {FAILED}"
    name = harmless(preflight.conn_id)
    text = f"{table(HEAD, rows, width, STYLES)}\nConnection {name} {verdict} ({end}). Nothing was bought."
    return text if width is None else Rendered(text)
