"""The generated parts of the pages: tables of results, and the counts that stand in the README."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from verification.kill_matrix import data
from verification.kill_matrix.cells import (
    ALTERNATIVES,
    BOOKS,
    CONTENDERS,
    LINES,
    LOOP_LINES,
    NETWORK,
    OURS,
    PROXIED,
    REFUNDS,
    RENEWS,
    SELECTED_ROWS,
    SERVERS,
    STORES,
    Cell,
    Column,
    cells,
)
from verification.kill_matrix.data import Identity, Result, Results
from verification.kill_matrix.judge import DOUBLE, FAILURES, KNOWN, LIMIT, LOST, STOPPED, WORDS
from verification.kill_matrix.rows import FAMILIES, LOOPED, ROWS, Row

Panel = tuple[str, str, str]
"""Line, contender and store."""

DASH = "\N{EN DASH}"
SIGNS = {KNOWN: "once", STOPPED: "stop", LIMIT: "**twice**, documented", DOUBLE: "**twice**", LOST: "**lost**"}
"""What stands in a cell; any other failure stands there in full."""

COUNTED = {
    "Purchases, a ledger": ("3.3", OURS, "ledger"),
    "Purchases, the task state store": ("3.3", OURS, "state"),
    "Purchases, no record, Airflow 3.2": ("3.2", OURS, "nothing"),
    "Renewals, a ledger": ("3.3", RENEWS, "ledger"),
    "Renewals, the task state store": ("3.3", RENEWS, "state"),
    "Refunds, a ledger": ("3.3", REFUNDS, "ledger"),
}
"""What the README counts, by its heading."""


def parts() -> dict[str, str]:
    """Return every generated part by its name."""
    results = data.read()
    made: dict[str, Callable[[Results], Iterable[str]]] = {
        "kill_matrix_counts": _counts,
        "kill_matrix_families": _families,
        "kill_matrix_ours": partial(_ours, OURS),
        "kill_matrix_loops": _loops,
        "kill_matrix_renewals": partial(_ours, RENEWS),
        "kill_matrix_refunds": partial(_ours, REFUNDS),
        "kill_matrix_totals": _totals,
        "kill_matrix_others": _others,
        "kill_matrix_left_out": _left_out,
    }
    return {name: "\n".join([*lines(results), ""]) for name, lines in made.items()}


def summary(results: Iterable[Result]) -> str:
    """Return the counts of a run as text, a line for each contender."""
    found = list(results)
    counts = {name: Counter(r["verdict"] for r in found if r["contender"] == name) for name in CONTENDERS}
    return "\n".join(f"{CONTENDERS[name].words}: {_in_words(count)}" for name, count in counts.items() if count)


def _counts(results: Results) -> Iterator[str]:
    count = Counter(result["verdict"] for result in results.values() if CONTENDERS[result["contender"]].is_ours)
    dates = sorted({result["date"] for result in results.values()})
    when = " to ".join(dict.fromkeys([*dates[:1], *dates[-1:]]))
    airflows = ", ".join(sorted({result["airflow"] for result in results.values()}))
    bad = sum(count[verdict] for verdict in FAILURES)
    yield f"**{count.total()} cells of this provider**, run {when} on Airflow {airflows}: {_in_words(count)}."
    yield f"**{bad} failures of ours.**"


def _in_words(count: Counter[str]) -> str:
    return ", ".join(f"{number} {WORDS[verdict]}" for verdict, number in count.most_common())


def _families(results: Results) -> Iterator[str]:
    """Yield how often each family of misfortunes ends how, before all kinds of servers."""
    yield from _head("What happens", list(COUNTED))
    for family in FAMILIES:
        rows = [row for row in ROWS if row.family == family]
        yield _line(family, [_sum(results, panel, rows, SERVERS) for panel in COUNTED.values()])
    ways = {
        f"one of {len(NETWORK)} faults of the network strikes the request, alone or with one of these": NETWORK,
        f"one of {len(PROXIED)} faults of the network strikes it behind a proxy": PROXIED,
        f"the worker is killed, and the order book is distorted in one of {len(BOOKS)} ways": BOOKS,
    }
    for words, columns in ways.items():
        yield _line(words, [_sum(results, panel, ROWS, columns) for panel in COUNTED.values()])


def _sum(results: Results, panel: Panel, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    found = [results.get((*panel, row.id, column.id)) for row in rows for column in columns]
    count = Counter(result["verdict"] for result in found if result)
    if set(count) == {KNOWN}:
        return f"once, all {count[KNOWN]}"
    return (
        ", ".join(f"{SIGNS.get(verdict, WORDS[verdict])} {count[verdict]}" for verdict in WORDS if count[verdict])
        or DASH
    )


def _ours(contender: str, results: Results) -> Iterator[str]:
    for line, stores in LINES.items():
        for store in stores:
            panel = (line, contender, store)
            if not _meets(panel, SERVERS):
                continue
            yield f"### {CONTENDERS[contender].heading} Airflow {line}, with {STORES[store]}\n"
            yield from _table(results, panel, ROWS, "The server ...")
            if _meets(panel, NETWORK):
                yield "\nEach fault of the network as well, before a server that ignores tokens:\n"
                yield from _table_turned(results, panel, NETWORK, "At the first request that spends, the server ...")
            if _meets(panel, PROXIED):
                yield "\nThe same behind a proxy, by a tunnel with TLS:\n"
                yield from _table_turned(results, panel, PROXIED, "At the first request that spends, the server ...")
            if _meets(panel, BOOKS):
                yield "\nA distorted order book, before a server that ignores tokens:\n"
                yield from _table_turned(results, panel, BOOKS, "In the order book ...")
            yield ""


def _meets(panel: Panel, columns: Sequence[Column]) -> bool:
    """Whether any row is run before these columns."""
    return _is_met(panel, ROWS, columns)


def _is_met(panel: Panel, rows: Iterable[Row], columns: Sequence[Column]) -> bool:
    return any(not Cell(*panel, row, column).unfit for row in rows for column in columns)


def _table(results: Results, panel: Panel, rows: Iterable[Row], corner: str) -> Iterator[str]:
    yield from _head(corner, [column.words for column in SERVERS])
    for row in rows:
        if row.id in SELECTED_ROWS and not _is_met(panel, [row], SERVERS):
            continue
        yield _line(row.words, [_text(results, Cell(*panel, row, column)) for column in SERVERS])


def _table_turned(results: Results, panel: Panel, columns: Sequence[Column], corner: str) -> Iterator[str]:
    """Yield it turned around: there are more columns than a page is wide."""
    rows = [row for row in ROWS if _is_met(panel, [row], columns)]
    yield from _head(corner, [row.words for row in rows])
    for column in columns:
        if _is_met(panel, rows, [column]):
            yield _line(column.words, [_text(results, Cell(*panel, row, column)) for row in rows])


def _text(results: Results, cell: Cell) -> str:
    found = results.get(cell.identity)
    if found is None:
        return DASH if cell.unfit else "not run"
    verdict = found["verdict"]
    if verdict == DOUBLE and found["orders"] > 2:
        return f"**{found['orders']} orders**"
    return SIGNS.get(verdict) or f"**{WORDS[verdict]}**"


def _loops(results: Results) -> Iterator[str]:
    for line, stores in LOOP_LINES.items():
        for store in stores:
            yield f"### A loop on Airflow {line}, with {STORES[store]}\n"
            yield from _table(results, (line, OURS, store), LOOPED, "The server ...")
            yield ""


def _totals(results: Results) -> Iterator[str]:
    """Yield what each contender makes of the rows that all can meet, on Airflow 3.3."""
    heads = ["cells", "once and known", "stopped", "spent twice", "lost", "other failures", "cents too much"]
    yield from _head("On the same rows and servers", heads, "---:")
    panels = [("3.3", name, store) for name in (OURS, RENEWS) for store in LINES["3.3"]]
    panels += [("3.3", name, contender.store) for name, contender in ALTERNATIVES.items()]
    for panel in panels:
        _, name, store = panel
        words = CONTENDERS[name].words + (f", with {STORES[store]}" if CONTENDERS[name].is_ours else "")
        yield _line(words, _sums([results[cell] for cell in _comparable(panel) if cell in results]))


def _comparable(panel: Panel) -> list[Identity]:
    return [(*panel, row.id, column.id) for row in ROWS if row.is_for_all for column in SERVERS]


def _sums(found: Sequence[Result]) -> list[str]:
    count = Counter(result["verdict"] for result in found)
    twice = count[DOUBLE] + count[LIMIT]
    others = sum(count[verdict] for verdict in FAILURES) - count[DOUBLE] - count[LOST]
    too_much = sum(max(0, r["orders"] - r["wanted"]) * r["cents"] // max(1, r["orders"]) for r in found)
    return [*map(str, (len(found), count[KNOWN], count[STOPPED], twice, count[LOST], others)), f"{too_much:,}"]


def _others(results: Results) -> Iterator[str]:
    rows = [row for row in ROWS if row.is_for_all]
    for name, contender in ALTERNATIVES.items():
        yield f"### {contender.words[0].upper()}{contender.words[1:]}\n"
        yield from _table(results, ("3.3", name, contender.store), rows, "The server ...")
        yield ""


def _left_out(results: Results) -> Iterator[str]:
    everything = list(cells())
    reasons = Counter(cell.unfit or "not run" for cell in everything if cell.unfit or cell.identity not in results)
    yield from _head("Cells", ["Why"])
    for reason, number in reasons.most_common():
        yield _line(str(number), [reason])


def _head(corner: str, heads: Sequence[str], rule: str = "---") -> Iterator[str]:
    yield _line(corner, heads)
    yield _line("---", [rule] * len(heads))


def _line(first: str, texts: Sequence[str]) -> str:
    return f"| {' | '.join([first, *texts])} |"
