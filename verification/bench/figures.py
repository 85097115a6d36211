"""Samples, figures, tables and targets: what a part of the benchmarks returns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

BASELINE = "baseline: "
COLUMNS = ("", "unit", "n", "min", "median", "p99", "max", "ratio")


@dataclass(frozen=True)
class Table:
    """Rows under columns, and how they were taken. The first column names the row."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: list[list[Any]]

    def show(self) -> None:
        """Print it."""
        lines = [[written(cell) for cell in row] for row in [list(self.columns), *self.rows]]
        widths = [max(len(line[n]) for line in lines) for n in range(len(self.columns))]
        print(f"\n{self.title}\n{self.note}")
        for first, *rest in lines:
            cells = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
            print("  ".join([first.ljust(widths[0]), *cells]).rstrip(), flush=True)


@dataclass(frozen=True)
class Target:
    """What was to be reached, and what was."""

    what: str
    wanted: str
    reached: str
    is_met: bool

    @classmethod
    def at_most(cls, what: str, reached: float, limit: float, unit: str = "") -> Target:
        return cls(what, f"at most {written(limit)}{unit}", f"{written(reached)}{unit}", reached <= limit)

    @classmethod
    def at_least(cls, what: str, reached: float, limit: float, unit: str = "") -> Target:
        return cls(what, f"at least {written(limit)}{unit}", f"{written(reached)}{unit}", reached >= limit)


@dataclass
class Part:
    """
    What one part of the benchmarks found.

    :param lines: For the pictures: by picture, by line, the points.
    """

    tables: list[Table] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)
    lines: dict[str, dict[str, list[tuple[float, float]]]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def written(value: Any) -> str:
    """Write a figure with three significant digits, and anything else as it is."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{float(f'{value:.3g}'):g}"


def compared(title: str, note: str, taken: Mapping[str, list[float]], unit: str) -> Table:
    """Return our figures, each with its ratio to the first of the baselines, and then the baselines."""
    base = next((samples for name, samples in taken.items() if name.startswith(BASELINE)), [])
    below = statistics.median(base) if base else 0.0
    rows = []
    for name, samples in sorted(taken.items(), key=lambda item: item[0].startswith(BASELINE)):
        median = statistics.median(samples)
        p99 = percentile(samples, 99) if len(samples) >= 100 else None
        ratio = median / below if below > 0.01 and samples is not base else None
        rows.append([name, unit, len(samples), min(samples), median, p99, max(samples), ratio])
    return Table(title, note, COLUMNS, rows)


def ratio_of(table: Table, name: str) -> float:
    """Return the ratio of a row to its baseline."""
    return float(next(row for row in table.rows if row[0] == name)[-1])


def percentile(samples: list[float], percent: int) -> float:
    """Return a percentile; of a single sample, that."""
    return statistics.quantiles(samples, n=100)[percent - 1] if len(samples) > 1 else samples[0]


def in_turn(cases: Mapping[str, Callable[[], T]], rounds: int, unmeasured: int = 1) -> dict[str, list[T]]:
    """Take samples A B A B, so that whatever else the machine does hits all alike; the first rounds fill caches."""
    taken = [{name: sample() for name, sample in cases.items()} for _ in range(rounds + unmeasured)]
    return {name: [samples[name] for samples in taken[unmeasured:]] for name in cases}


def mean(call: Callable[[], object], repetitions: int, per_second: float) -> float:
    """Return what one call takes on average, in units of which a second has *per_second*."""
    start = time.perf_counter()
    for _ in range(repetitions):
        call()
    return (time.perf_counter() - start) / repetitions * per_second
