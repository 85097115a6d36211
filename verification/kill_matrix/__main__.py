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
    fitting = [cell for cell in cells() if not cell.unfit]
    if arguments.only:
        wanted = [set(part.split("|")) for part in arguments.only.split("/")]
        fitting = [cell for cell in fitting if all(part & set(cell.name.split("/")) for part in wanted)]
    if arguments.missing:
        known = data.read()
        fitting = [cell for cell in fitting if cell.identity not in known]
    if arguments.subset:
        return random.Random(arguments.seed).sample(fitting, min(arguments.subset, len(fitting)))
    return fitting


def run(asked: Sequence[Cell], jobs: int = JOBS, *, keep: bool = False, publish: bool = False) -> list[Result]:
    """
    Run cells, line by line, and print how each ended.

    :param keep: Leave Airflow's home behind, for a look at its logs.
    :param publish: Store each result in the published data at once, so that an interrupted run can go on.
    """
    results: list[Result] = []

    def note(result: Result) -> None:
        results.append(result)
        name = "/".join(data.cell_of(result))
        orders = f"{result['orders']} of {result['wanted']}"
        count = f"{len(results):4}/{len(asked)}"
        print(f"{count}  {name:52} {orders}  {result['seconds']:5.1f} s  {result['ended']}", flush=True)
        if publish:
            data.merge([result])

    for line in data.ALL_LINES:
        of_line = [cell for cell in asked if cell.line == line]
        if of_line:
            run_line(line, of_line, jobs, note, keep=keep)
    return results


def parser() -> argparse.ArgumentParser:
    """Return the words of the command line."""
    words = argparse.ArgumentParser(prog="make kill-matrix", description=__doc__)
    words.add_argument("--only", default="", help="cells whose names hold these parts: ROW/COLUMN, one|another")
    words.add_argument("--subset", type=int, default=0, metavar="N", help="so many cells, drawn by --seed")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--jobs", type=int, default=JOBS, metavar="N", help="cells in flight (%(default)s)")
    words.add_argument("--missing", action="store_true", help="only what the published data lacks")
    words.add_argument("--publish", action="store_true", help="publish a partial run, too")
    words.add_argument("--keep", action="store_true", help="leave Airflow's home behind")
    words.add_argument("--list", action="store_true", help="run nothing, name the cells")
    return words


def main(given: Sequence[str] | None = None) -> int:
    """Run the program."""
    arguments = parser().parse_args(given)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    asked = chosen(arguments)
    if arguments.list:
        print("\n".join(cell.name for cell in asked))
        return 0
    publish = arguments.publish or not (arguments.only or arguments.subset)
    began = time.monotonic()
    results = run(asked, arguments.jobs, keep=arguments.keep, publish=publish)
    print(f"\n{tables.summary(results)}\n{len(results)} cells in {time.monotonic() - began:.0f} s")
    return any(result["verdict"] in FAILURES for result in results if CONTENDERS[result["contender"]].is_ours)


if __name__ == "__main__":
    sys.exit(main())
