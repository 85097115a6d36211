"""The grids of the page, by line of Airflow: one sign for each cell, coloured by its verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from verification.kill_matrix import data
from verification.kill_matrix.cells import ALTERNATIVES, CONTENDERS, LINES, LOOP_LINES, OURS, Cell
from verification.kill_matrix.columns import BOOKS, KEYS, NETWORK, PROXIED, SERVERS, Column
from verification.kill_matrix.data import Panel, Result, Results
from verification.kill_matrix.judge import (
    DOUBLE,
    HANGING,
    KNOWN,
    LIMIT,
    LOST,
    RESENT,
    STOPPED,
    UNREACHED,
    UNSOLVED,
    WORDS,
    WRONG,
)
from verification.kill_matrix.markdown import DASH, head, row_of
from verification.kill_matrix.rows import LOOPED, REFRESHED, ROWS, Row

SIGNS = {
    KNOWN: "1",
    STOPPED: "s",
    LIMIT: "d",
    DOUBLE: "2",
    LOST: "L",
    WRONG: "w",
    RESENT: "r",
    UNSOLVED: "f",
    HANGING: "h",
    UNREACHED: "u",
}
MANY, APART, NOT_RUN = "+", "\N{MIDDLE DOT}", "?"
ONCE, STOP, DOCUMENTED, BAD, NEUTRAL = "v-once", "v-stop", "v-limit", "v-bad", ""
COLOURS = {SIGNS[KNOWN]: ONCE, SIGNS[STOPPED]: STOP, SIGNS[LIMIT]: DOCUMENTED, APART: NEUTRAL, NOT_RUN: NEUTRAL}
"""The CSS class of a sign; any other sign is bad."""

DEEDS = {"purchase": "Buys", "renewal": "Renews", "refund": "Refunds"}
STORE_NAMES = {
    "ledger": "ledger",
    "sqlite": "SQLite",
    "postgres": "PostgreSQL",
    "state": "task state",
    "nothing": "no record",
}
FAULTS, PROXIES = "faults of the network", "faults behind a proxy"
REFUSALS = "faults of the keys of a role"
DISTORTIONS = "distortions of the order book"
Axis = Sequence[tuple[Row, Column]]
"""The cells of one place in a grid, in the order of their signs."""


def key(results: Results) -> Iterator[str]:
    """Yield the meaning of each sign, and the order of the servers."""
    shown = {_sign_of(result) for result in results.values()}
    meanings = {sign: WORDS[verdict] for verdict, sign in SIGNS.items()} | {MANY: "spent more than twice"}
    meanings[APART] = "the row and the column are not combined"
    wanted = [sign for sign in meanings if sign in shown or sign == APART]
    yield f"{'; '.join(f'{_coloured(sign)} {meanings[sign]}' for sign in wanted)}.\n"
    servers = "; ".join(f"one that {column.about}" for column in SERVERS)
    yield f"The five signs of a place are five servers, in this order: {servers}."


def by_line(results: Results) -> Iterator[str]:
    """Yield the grids of this provider: a section for each line of Airflow."""
    for line, stores in LINES.items():
        ours = [name for name, contender in CONTENDERS.items() if contender.is_ours]
        panels = data.run_panels(results, [(line, name, store) for name in ours for store in stores])
        yield f"### Airflow {line}\n"
        yield from _grid(results, panels, "This provider ...", [(row.about, _before_servers(row)) for row in ROWS])
        yield f"<details>\n<summary>Airflow {line}: {', '.join(_more(panels))}</summary>\n"
        yield from _faults(results, panels, NETWORK, FAULTS)
        yield from _faults(results, panels, PROXIED, PROXIES)
        yield from _faults(results, panels, KEYS, REFUSALS)
        yield from _faults(results, panels, BOOKS, DISTORTIONS)
        yield "</details>\n"
    for line, stores in LOOP_LINES.items():
        yield f"### Airflow {line}: a loop of three\n"
        panels = [(line, OURS, store) for store in stores]
        yield from _grid(results, panels, "This provider ...", [(row.about, _before_servers(row)) for row in LOOPED])


def others(results: Results) -> Iterator[str]:
    """Yield one grid of all alternatives."""
    panels = [("3.3", name, contender.store) for name, contender in ALTERNATIVES.items()]
    rows = [(row.about, _before_servers(row)) for row in ROWS if row.is_for_all]
    yield from _grid(results, panels, "What others do", rows)


def _before_servers(row: Row) -> Axis:
    return [(row, column) for column in SERVERS]


def _more(panels: Sequence[Panel]) -> Iterator[str]:
    for columns, what in ((NETWORK, FAULTS), (PROXIED, PROXIES), (KEYS, REFUSALS), (BOOKS, DISTORTIONS)):
        if _rows_met(panels, columns):
            yield what


def _faults(results: Results, panels: Sequence[Panel], columns: Sequence[Column], what: str) -> Iterator[str]:
    """Yield a grid with a row for each fault: there are more faults than a page is wide."""
    rows = _rows_met(panels, columns)
    if rows:
        yield f"**{what[0].upper()}{what[1:]}**, before a server that ignores tokens. The order of the signs:"
        yield f"{'; '.join(row.about for row in rows)}.\n"
        corner = "In the order book ..." if columns is BOOKS else "At the first request that spends, the server ..."
        yield from _grid(results, panels, corner, [(c.about, [(row, c) for row in rows]) for c in columns])


def _grid(results: Results, panels: Sequence[Panel], corner: str, lines: Sequence[tuple[str, Axis]]) -> Iterator[str]:
    """Yield a table with a column for each panel, without the panels and the rows in which no cell is run."""
    columns = {panel: [_signs(results, panel, axis) for _, axis in lines] for panel in panels}
    kept = {panel: texts for panel, texts in columns.items() if set(texts) != {DASH}}
    yield from head(corner, [_heading(panel) for panel in kept])
    for place, (label, _) in enumerate(lines):
        texts = [texts[place] for texts in kept.values()]
        if set(texts) != {DASH}:
            yield row_of(label, texts)
    yield ""


def _heading(panel: Panel) -> str:
    _, name, store = panel
    contender = CONTENDERS[name]
    with_role = ", a role" if contender.has_role else ""
    return f"{DEEDS[contender.spends]}, {STORE_NAMES[store]}{with_role}" if contender.is_ours else contender.short


def _rows_met(panels: Iterable[Panel], columns: Sequence[Column]) -> list[Row]:
    return [
        row
        for row in (*ROWS, *REFRESHED)
        if any(not Cell(*panel, row, one).unfit for panel in panels for one in columns)
    ]


def _signs(results: Results, panel: Panel, axis: Axis) -> str:
    signs = [_sign(results, Cell(*panel, row, column)) for row, column in axis]
    return DASH if set(signs) <= {APART} else _coloured("".join(signs))


def _sign(results: Results, cell: Cell) -> str:
    result = results.get(cell.identity)
    if result is None:
        return APART if cell.unfit else NOT_RUN
    return _sign_of(result)


def _sign_of(result: Result) -> str:
    is_many = result["verdict"] == DOUBLE and result["orders"] > result["wanted"] + 1
    return MANY if is_many else SIGNS[result["verdict"]]


def _coloured(signs: str) -> str:
    """Return signs as HTML: a piece for each run of one colour. Where classes are dropped, the signs remain."""
    runs = ((colour, "".join(run)) for colour, run in groupby(signs, lambda sign: COLOURS.get(sign, BAD)))
    pieces = (f"<span class={colour}>{run}</span>" if colour else run for colour, run in runs)
    return f"<code class=signs>{''.join(pieces)}</code>"
