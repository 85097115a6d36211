"""Tables: drawn, coloured and wrapped in a terminal, plain columns in a pipe or a file."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.cli.columns import columns

MAX_CELL = 2000
"""Characters of a cell in a terminal."""


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None, styles: Mapping[str, str]) -> str:
    """
    Return a table. Each value is data: it stays in its cell, and steers nothing.

    :param width: Cells of the terminal; ``None`` for plain columns, which are never wrapped.
    :param styles: Styles of ``rich`` by the value in the first column of a row.
    """
    if width is None:
        return "\n".join(columns([head, *rows]))
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.ROUNDED)
    for name in head:
        drawn.add_column(name, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(harmless(value, MAX_CELL)) for value in row), style=styles.get(row[0], ""))
    written = io.StringIO()
    Console(file=written, force_terminal=True, width=width, highlight=False, emoji=False).print(drawn)
    return written.getvalue().rstrip("\n")
