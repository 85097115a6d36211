"""make kill-matrix: run the cells, say how each ended, and publish that."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Sequence

from verification.kill_matrix import data, tables
from verification.kill_matrix.cells import CONTENDERS, Cell, cells
from verification.kill_matrix.drive import Result, run_line
from verification.kill_matrix.judge import FAILURES

JOBS = 10
"""Cells in flight: most of them wait most of the time."""


def chosen(arguments: argparse.Namespace) -> list[Cell]:
    """Return the cells that are to be run."""
    runnable = [cell for cell in cells() if not cell.unfit]
    if arguments.only:
        wanted = [set(part.split("|")) for part in arguments.only.split("/")]
        runnable = [cell for cell in runnable if all(part & set(cell.name.split("/")) for part in wanted)]
    if arguments.missing:
        published = data.read()
        runnable = [cell for cell in runnable if cell.identity not in published]
    if arguments.subset:
        return random.Random(arguments.seed).sample(runnable, min(arguments.subset, len(runnable)))
    return runnable


def run(selected: Sequence[Cell], jobs: int = JOBS, *, keep: bool = False, publish: bool = False) -> list[Result]:
    """
    Run cells, line by line, and print how each ended.

    :param keep: Leave Airflow's home behind, with its logs.
    :param publish: Store each result in the published data at once, so that an interrupted run can go on.
    """
    results: list[Result] = []

    def note(result: Result) -> None:
        results.append(result)
        name = "/".join(data.cell_of(result))
        orders = f"{result['orders']} of {result['wanted']}"
        count = f"{len(results):4}/{len(selected)}"
        print(f"{count}  {name:52} {orders}  {result['seconds']:5.1f} s  {result['ended']}", flush=True)
        if publish:
            data.merge([result])

    for line in data.ALL_LINES:
        of_line = [cell for cell in selected if cell.line == line]
        if of_line:
            run_line(line, of_line, jobs, note, keep=keep)
    return results


def parser() -> argparse.ArgumentParser:
    """Return the options of the command line."""
    options = argparse.ArgumentParser(prog="make kill-matrix", description=__doc__)
    options.add_argument("--only", default="", help="cells whose names hold these parts: ROW/COLUMN, one|another")
    options.add_argument("--subset", type=int, default=0, metavar="N", help="so many cells, drawn by --seed")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--jobs", type=int, default=JOBS, metavar="N", help="cells in flight (%(default)s)")
    options.add_argument("--missing", action="store_true", help="only what the published data lacks")
    options.add_argument("--publish", action="store_true", help="publish a partial run, too")
    options.add_argument("--keep", action="store_true", help="leave Airflow's home behind")
    options.add_argument("--list", action="store_true", help="run nothing, name the cells")
    return options


def main(given: Sequence[str] | None = None) -> int:
    """Run the program."""
    arguments = parser().parse_args(given)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    selected = chosen(arguments)
    if arguments.list:
        print("\n".join(cell.name for cell in selected))
        return 0
    publish = arguments.publish or not (arguments.only or arguments.subset)
    began = time.monotonic()
    results = run(selected, arguments.jobs, keep=arguments.keep, publish=publish)
    print(f"\n{tables.summary(results)}\n{len(results)} cells in {time.monotonic() - began:.0f} s")
    return any(result["verdict"] in FAILURES for result in results if CONTENDERS[result["contender"]].is_ours)


if __name__ == "__main__":
    sys.exit(main())
