"""The published figures: the generated parts of docs/explanation/performance.md and its pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from verification import published
from verification.bench.figures import written
from verification.bench.fleet import EIGHT
from verification.bench.polling import ONE, OURS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PUBLISHED = Path(__file__).with_name("results.json.xz")

PICTURES = {"requests": "polling", "late": "simulation"}
"""By the name of the picture, the part whose lines it shows."""

COLOURS = ("#2f9e63", "#c98a04", "#7a869c")
INK = "#7a869c"
"""Readable on light and on dark pages."""

Results = Mapping[str, Any]


def read() -> Results:
    """Return what was published, by part."""
    return dict(published.read(PUBLISHED))


def parts() -> dict[str, str]:
    """Return every generated part by its name."""
    results = read()
    return {
        "performance_headline": "\n".join([*_headline(results), ""]),
        "performance_targets": "\n".join([*_targets(results), ""]),
        **{f"performance_{name}": "\n".join(_tables(part)) for name, part in results.items()},
    }


def _headline(results: Results) -> Iterator[str]:
    ours, each = (_row(results["polling"], way, 10_000)["requests a minute"] for way in (OURS, ONE))
    eight = _row(results["fleet"], EIGHT)
    yield (
        f"**10,000 waiting tasks need {ours} requests a minute**; a poll for each needs {each}. {eight['purchases']} "
        f"purchases from eight processes reach {eight['% of the limit']} % of the limit, and {eight['duplicates']} are "
        "made twice."
    )


def _row(part: Mapping[str, Any], *begins: Any) -> dict[str, str]:
    """Return the first row that begins with these cells, written, by column."""
    for table in part["tables"]:
        for row in table["rows"]:
            if row[: len(begins)] == list(begins):
                return dict(zip(table["columns"], map(written, row), strict=True))
    raise LookupError(f"no row {begins}")


def _targets(results: Results) -> Iterator[str]:
    targets = [target for part in results.values() for target in part["targets"]]
    missed = [target for target in targets if not target["is_met"]]
    yield f"{len(targets) - len(missed)} of {len(targets)} targets are met" + (
        f"; missed: {'; '.join(target['what'] for target in missed)}." if missed else "."
    )
    yield from ("", "| | Wanted | Reached | |", "| --- | ---: | ---: | --- |")
    for target in targets:
        verdict = "met" if target["is_met"] else "**missed**"
        yield f"| {target['what']} | {target['wanted']} | {target['reached']} | {verdict} |"


def _tables(part: Mapping[str, Any]) -> Iterator[str]:
    taken = part["environment"]
    for table in part["tables"]:
        yield from (f"### {table['title']}", "", table["note"], "", ":::{container} figures")
        yield f"| {' | '.join(table['columns'])} |"
        yield f"| --- |{' ---: |' * (len(table['columns']) - 1)}"
        for row in table["rows"]:
            yield f"| {' | '.join(map(written, row))} |"
        yield from (":::", "")
    quick = ", with few samples" if taken["quick"] else ""
    yield (
        f"<small>Measured {taken['date']}{quick}: {taken['cpus']} processors ({taken['machine']}), Python "
        f"{taken['python']}, Airflow {taken['apache-airflow']}, tencentcloud-sdk-python-intl-en "
        f"{taken['tencentcloud-sdk-python-intl-en']}.</small>\n"
    )


def draw() -> None:
    """Draw the pictures anew."""
    results = read()
    for name, part in PICTURES.items():
        for title, lines in results[part]["lines"].items():
            _draw(DOCS / "_figures" / f"performance-{name}.svg", title, lines)


def _draw(path: Path, title: str, lines: Mapping[str, list[tuple[float, float]]]) -> None:
    import matplotlib

    matplotlib.use("svg")
    style: Any = {"svg.fonttype": "none", "svg.hashsalt": path.name, "font.family": "sans-serif"}
    style |= {f"{part}.color": INK for part in ("text", "xtick", "ytick")}
    matplotlib.rcParams.update({**style, "axes.edgecolor": INK, "axes.labelcolor": INK})
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.6))
    for (name, points), colour in zip(lines.items(), COLOURS, strict=False):
        axes.loglog(*zip(*points, strict=True), marker="o", color=colour, label=name)
    axes.set(title=title, xlabel="orders that wait")
    axes.grid(visible=True, color=INK, alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, transparent=True, bbox_inches="tight", metadata={"Date": None, "Creator": None})
    pyplot.close(figure)
