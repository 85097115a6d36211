"""The matrix as a picture: SVG, readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from verification.kill_matrix import data
from verification.kill_matrix.cells import ALTERNATIVES, CONTENDERS, LINES, OURS, STORES
from verification.kill_matrix.columns import SERVERS, Column
from verification.kill_matrix.data import Panel, Results
from verification.kill_matrix.judge import FAILURES, KNOWN, LIMIT, STOPPED, WORDS
from verification.kill_matrix.rows import ROWS, Row

CELL, LEFT, TOP, BETWEEN = 17, 330, 190, 14
STYLE = """
  text { font: 11px system-ui, "Segoe UI", Roboto, sans-serif; fill: #1b2230; }
  .h { font-weight: 650; }
  .s { font-size: 9px; fill-opacity: .75; }
  .known { fill: #2f9e63; } .stopped { fill: #e3a008; } .limit { fill: #b45309; } .bad { fill: #c92a20; }
  .none { fill: #8a93a3; fill-opacity: .18; }
  @media (prefers-color-scheme: dark) { text { fill: #e7ebf2; } .known { fill: #3fbf7c; } .bad { fill: #ff6b60; } }
"""
KEY = {
    KNOWN: WORDS[KNOWN],
    STOPPED: WORDS[STOPPED],
    LIMIT: WORDS[LIMIT],
    "bad": "spent twice, lost, or another failure",
    "none": "does not meet, or not run",
}


PANELS: dict[Panel, str] = {
    **{(line, OURS, store): f"{STORES[store]}, {line}" for line, stores in LINES.items() for store in stores},
    **{("3.3", name, one.store): one.short for name, one in ALTERNATIVES.items() if one.spends == "purchase"},
}
"""From left to right, each with its heading: this provider, then the others."""

PANEL_WIDTH = len(SERVERS) * CELL + BETWEEN


def draw(results: Results) -> str:
    """Return an SVG: a row for each misfortune, a panel for each contender and store, a column for each server."""
    panels = data.run_panels(results, PANELS)
    width, height = LEFT + len(panels) * PANEL_WIDTH + 60, TOP + len(ROWS) * CELL + 10
    labels = (_label(row.about, LEFT - 8, TOP + place * CELL + 12) for place, row in enumerate(ROWS))
    drawn = (
        part
        for place, panel in enumerate(panels)
        for part in _panel(results, panel, PANELS[panel], LEFT + place * PANEL_WIDTH)
    )
    ours = sum(CONTENDERS[name].is_ours for _, name, _ in panels)
    body = "\n".join([*_key(), *_groups(ours), *labels, *drawn])
    about = "The kill matrix: rows of misfortunes, columns of servers, coloured by what became of the money"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{about}">\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _key() -> Iterator[str]:
    for place, (kind, label) in enumerate(KEY.items()):
        y = 8 + place * 20
        yield f'<rect class="{kind}" x="10" y="{y}" width="12" height="12" rx="3"/>'
        yield f'<text x="28" y="{y + 10}">{escape(label)}</text>'


def _groups(ours: int) -> Iterator[str]:
    yield f'<text class="h" x="{LEFT}" y="18">This provider, with ...</text>'
    yield f'<text class="h" x="{LEFT + ours * PANEL_WIDTH}" y="18">What others do</text>'


def _label(label: str, x: int, y: int) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="end">{escape(label)}</text>'


def _panel(results: Results, panel: Panel, heading: str, x: int) -> Iterator[str]:
    middle = x + len(SERVERS) * CELL // 2
    yield f'<text transform="translate({middle} {TOP - 62}) rotate(-30)">{escape(heading)}</text>'
    for place, column in enumerate(SERVERS):
        left = x + place * CELL
        yield f'<text class="s" transform="translate({left + 12} {TOP - 6}) rotate(-90)">{escape(column.id)}</text>'
        for number, row in enumerate(ROWS):
            kind, title = _cell(results, panel, row, column)
            yield (
                f'<rect class="{kind}" x="{left}" y="{TOP + number * CELL}" width="{CELL - 2}" height="{CELL - 2}" '
                f'rx="3">{title}</rect>'
            )


def _cell(results: Results, panel: Panel, row: Row, column: Column) -> tuple[str, str]:
    """Return the colour of a cell, and the title that a pointer shows."""
    result = results.get((*panel, row.id, column.id))
    if result is None:
        return "none", ""
    kind = "bad" if result["verdict"] in FAILURES else result["verdict"]
    return kind, f"<title>The server {escape(column.about)}: {WORDS[result['verdict']]}</title>"
