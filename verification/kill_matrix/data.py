"""The published results, from which the page and its pictures can be written again at any time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from verification import published
from verification.kill_matrix.cells import CONTENDERS, LINES, LOOP_LINES, STORES
from verification.kill_matrix.columns import COLUMNS
from verification.kill_matrix.rows import LOOPED, REFRESHED, ROWS

Result = Mapping[str, Any]
Identity = tuple[str, str, str, str, str]
Results = Mapping[Identity, Result]
Panel = tuple[str, str, str]
"""Line, contender and store."""

ALL_ROWS, ALL_LINES = (*ROWS, *REFRESHED, *LOOPED), (*LINES, *LOOP_LINES)
DATA = Path(__file__).with_name("results.json.xz")


def cell_of(result: Result) -> Identity:
    """Return which cell a result is of: line, contender, store, row, column."""
    return result["line"], result["contender"], result["store"], result["row"], result["column"]


def read() -> Results:
    """Return the published results, of the cells that there are today."""
    stored = published.read(DATA) or {"results": []}
    found = {cell_of(result): result for result in stored["results"]}
    rows, columns = {row.id for row in ALL_ROWS}, {column.id for column in COLUMNS}
    return {
        cell: result
        for cell, result in found.items()
        if cell[0] in ALL_LINES
        and cell[1] in CONTENDERS
        and cell[2] in STORES
        and cell[3] in rows
        and cell[4] in columns
    }


def run_panels(results: Results, panels: Iterable[Panel]) -> list[Panel]:
    """Return the panels of which a cell was run: one that waits for its first run is not shown."""
    run = {cell[:3] for cell in results}
    return [panel for panel in panels if panel in run]


def merge(results: Sequence[Result]) -> None:
    """Publish results, in place of older ones of the same cells."""
    merged = {**read(), **{cell_of(result): result for result in results}}
    orders = [ALL_LINES, list(CONTENDERS), list(STORES), [row.id for row in ALL_ROWS], [c.id for c in COLUMNS]]
    kept = sorted(merged, key=lambda cell: [order.index(name) for order, name in zip(orders, cell, strict=True)])
    lines = ",\n".join(json.dumps(merged[cell]) for cell in kept)
    published.write(DATA, f'{{"results": [\n{lines}\n]}}\n')


def stamp() -> dict[str, str]:
    """Return when and with which version of the provider a result was made."""
    return {"date": datetime.now(timezone.utc).date().isoformat(), "provider": version("airflow-provider-tcbilling")}
