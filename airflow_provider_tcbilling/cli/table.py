"""Tables: drawn and wrapped in a terminal, plain columns in a pipe or a file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.cli.columns import columns


def table(head: Sequence[str], rows: Sequence[Sequence[Any]], width: int | None) -> str:
    """
    Return a table. Each value is data: it stays in its cell, and steers nothing.

    :param width: Cells of the terminal; ``None`` for plain columns, which are never wrapped.
    """
    if width is None:
        return "\n".join(columns([head, *rows]))
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*head, box=box.ROUNDED)
    for row in rows:
        drawn.add_row(*(Text(harmless(value, 1000)) for value in row))
    written = io.StringIO()
    Console(file=written, width=width, color_system=None, force_terminal=False).print(drawn)
    return "\n".join(line.rstrip() for line in written.getvalue().splitlines())
