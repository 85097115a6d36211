"""The generated parts of the page about the cluster, and the line that stands on other pages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields

from verification.cluster import results
from verification.cluster.judge import Books
from verification.cluster.results import Identity, Result
from verification.cluster.scenarios import SCENARIOS
from verification.cluster.trial import DATABASE, STORES
from verification.kill_matrix.markdown import DASH, head, row_of

TOKENS = {"ignore": "ignored", "honour": "honoured"}
NOT_RUN = "not run"
Results = Mapping[Identity, Result]


def parts() -> dict[str, str]:
    """Return every generated part by its name."""
    found = results.read()
    made: dict[str, Callable[[Results], Iterable[str]]] = {
        "cluster_counts": _counts,
        "cluster_table": _table,
        "cluster_times": _times,
        "cluster_stops": _stops,
        "cluster_not_run": _not_run,
    }
    return {name: "\n".join([*lines(found), ""]) for name, lines in made.items()}


def books_of(result: Result) -> Books:
    """Return the books that a result holds."""
    return Books(**{each.name: result[each.name] for each in fields(Books)})


def _counts(found: Results) -> Iterator[str]:
    """Yield the sums of each store."""
    dates = sorted({result["date"] for result in found.values()})
    when = " to ".join(dict.fromkeys([*dates[:1], *dates[-1:]])) or NOT_RUN
    airflows = ", ".join(sorted({result["airflow"] for result in found.values()}))
    yield f"Run {when} on Airflow {airflows}, {len(found)} of {len(results.identities())} trials."
    yield ""
    yield from head("Store", ["trials", "wanted", "bought", "stopped", "double", "lost", "not ended"], "---:")
    for store, label in STORES.items():
        of_store = [result for (_, name, _), result in found.items() if name == store]
        sums = [sum(result[name] for result in of_store) for name in FIGURES]
        yield row_of(f"**{label}**" if store == DATABASE else label, [str(len(of_store)), *map(str, sums)])


FIGURES = ("wanted", "orders", "stopped", "double", "lost", "unfinished")


def _table(found: Results) -> Iterator[str]:
    """Yield the figures of each scenario, the stores side by side."""
    yield from _rows(found, lambda result: str(books_of(result)))


def _times(found: Results) -> Iterator[str]:
    """Yield how long each run took, and how many tries its tasks needed at most."""
    yield from _rows(found, lambda result: f"{result['seconds']:.0f} s, {result['tries']}")


def _rows(found: Results, show: Callable[[Result], str]) -> Iterator[str]:
    yield from head("Scenario", ["tokens", *STORES.values()])
    for name, scenario in SCENARIOS.items():
        for tokens in scenario.tokens:
            cells = [_cell(found, (name, store, tokens), show) for store in STORES]
            yield row_of(scenario.about, [TOKENS[tokens], *cells])


def _cell(found: Results, identity: Identity, show: Callable[[Result], str]) -> str:
    if identity[1] not in SCENARIOS[identity[0]].stores:
        return DASH
    return show(found[identity]) if identity in found else NOT_RUN


def _stops(found: Results) -> Iterator[str]:
    """Yield why tasks stopped, by store."""
    reasons: dict[str, Counter[str]] = {store: Counter() for store in STORES}
    for (scenario, store, tokens), result in found.items():
        for reason, number in result["reasons"].items():
            text = reason.replace("\\n", " ").replace("|", "/")
            reasons[store][f"{scenario}, tokens {TOKENS[tokens]}: {text}"] += number
    if not any(reasons.values()):
        yield "No task stopped."
        return
    yield from head("Store", ["messages", "scenario and message"])
    for store, counted in reasons.items():
        for text, number in counted.most_common():
            yield row_of(STORES[store], [str(number), text])


def _not_run(found: Results) -> Iterator[str]:
    """Yield the trials of which there is no result."""
    missing: Sequence[Identity] = [identity for identity in results.identities() if identity not in found]
    names = dict.fromkeys(name for name, _, _ in missing)
    if not names:
        yield "Every trial was run."
    for name in names:
        trials = [f"{STORES[store]} (tokens {TOKENS[tokens]})" for n, store, tokens in missing if n == name]
        yield f"- {SCENARIOS[name].about}: {', '.join(trials)}"
