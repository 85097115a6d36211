"""The generated parts of the pages: tables of results, and the counts that stand in the README."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from verification.kill_matrix import data, grids
from verification.kill_matrix.cells import ALTERNATIVES, CONTENDERS, LINES, OURS, REFUNDS, RENEWS, STORES, cells
from verification.kill_matrix.columns import BOOKS, NETWORK, PROXIED, SERVERS, Column
from verification.kill_matrix.data import Identity, Panel, Result, Results
from verification.kill_matrix.judge import DOUBLE, FAILURES, KNOWN, LIMIT, LOST, STOPPED, WORDS
from verification.kill_matrix.markdown import DASH, head, row_of
from verification.kill_matrix.rows import FAMILIES, ROWS, Row

SHORT = {KNOWN: "once", STOPPED: "stop", LIMIT: "**twice**, documented", DOUBLE: "**twice**", LOST: "**lost**"}
"""The verdicts in short; any other failure is written in full."""

COUNTED = {
    "Purchases, a ledger": ("3.3", OURS, "ledger"),
    "Purchases, the task state store": ("3.3", OURS, "state"),
    "Purchases, no record, Airflow 3.2": ("3.2", OURS, "nothing"),
    "Renewals, a ledger": ("3.3", RENEWS, "ledger"),
    "Renewals, the task state store": ("3.3", RENEWS, "state"),
    "Refunds, a ledger": ("3.3", REFUNDS, "ledger"),
    "Purchases, PostgreSQL": ("3.3", OURS, "postgres"),
    "Purchases, SQLite": ("3.3", OURS, "sqlite"),
    "Renewals, PostgreSQL": ("3.3", RENEWS, "postgres"),
    "Refunds, PostgreSQL": ("3.3", REFUNDS, "postgres"),
}
"""What the README counts, by its heading."""


def parts() -> dict[str, str]:
    """Return every generated part by its name."""
    results = data.read()
    made: dict[str, Callable[[Results], Iterable[str]]] = {
        "kill_matrix_counts": _counts,
        "kill_matrix_families": _families,
        "kill_matrix_key": grids.key,
        "kill_matrix_lines": grids.by_line,
        "kill_matrix_totals": _totals,
        "kill_matrix_others": grids.others,
        "kill_matrix_left_out": _left_out,
    }
    return {name: "\n".join([*lines(results), ""]) for name, lines in made.items()}


def summary(results: Iterable[Result]) -> str:
    """Return the counts of a run as text, a line for each contender."""
    found = list(results)
    counts = {name: Counter(r["verdict"] for r in found if r["contender"] == name) for name in CONTENDERS}
    return "\n".join(f"{CONTENDERS[name].about}: {_in_words(count)}" for name, count in counts.items() if count)


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
    panels = data.run_panels(results, COUNTED.values())
    yield from head("What happens", [heading for heading, panel in COUNTED.items() if panel in panels])
    for family in FAMILIES:
        rows = [row for row in ROWS if row.family == family]
        yield row_of(family, [_sum(results, panel, rows, SERVERS) for panel in panels])
    ways = {
        f"one of {len(NETWORK)} faults of the network strikes the request, alone or with one of these": NETWORK,
        f"one of {len(PROXIED)} faults of the network strikes it behind a proxy": PROXIED,
        f"the worker is killed, and the order book is distorted in one of {len(BOOKS)} ways": BOOKS,
    }
    for label, columns in ways.items():
        yield row_of(label, [_sum(results, panel, ROWS, columns) for panel in panels])


def _sum(results: Results, panel: Panel, rows: Sequence[Row], columns: Sequence[Column]) -> str:
    found = [results.get((*panel, row.id, column.id)) for row in rows for column in columns]
    count = Counter(result["verdict"] for result in found if result)
    if set(count) == {KNOWN}:
        return f"once, all {count[KNOWN]}"
    return (
        ", ".join(f"{SHORT.get(verdict, WORDS[verdict])} {count[verdict]}" for verdict in WORDS if count[verdict])
        or DASH
    )


def _totals(results: Results) -> Iterator[str]:
    """Yield what each contender makes of the rows that all can meet, on Airflow 3.3."""
    heads = ["cells", "once and known", "stopped", "spent twice", "lost", "other failures", "cents too much"]
    yield from head("On the same rows and servers", heads, "---:")
    panels = data.run_panels(results, [("3.3", name, store) for name in (OURS, RENEWS) for store in LINES["3.3"]])
    panels += [("3.3", name, contender.store) for name, contender in ALTERNATIVES.items()]
    for panel in panels:
        _, name, store = panel
        label = CONTENDERS[name].about + (f", with {STORES[store]}" if CONTENDERS[name].is_ours else "")
        yield row_of(label, _sums([results[cell] for cell in _comparable(panel) if cell in results]))


def _comparable(panel: Panel) -> list[Identity]:
    return [(*panel, row.id, column.id) for row in ROWS if row.is_for_all for column in SERVERS]


def _sums(found: Sequence[Result]) -> list[str]:
    count = Counter(result["verdict"] for result in found)
    twice = count[DOUBLE] + count[LIMIT]
    others = sum(count[verdict] for verdict in FAILURES) - count[DOUBLE] - count[LOST]
    too_much = sum(max(0, r["orders"] - r["wanted"]) * r["cents"] // max(1, r["orders"]) for r in found)
    return [*map(str, (len(found), count[KNOWN], count[STOPPED], twice, count[LOST], others)), f"{too_much:,}"]


def _left_out(results: Results) -> Iterator[str]:
    published = {(line, store) for line, _, store, *_ in results}
    everything = [cell for cell in cells() if (cell.line, cell.store) in published]
    reasons = Counter(cell.unfit or "not run" for cell in everything if cell.unfit or cell.identity not in results)
    yield from head("Cells", ["Why"])
    for reason, number in reasons.most_common():
        yield row_of(str(number), [reason])
