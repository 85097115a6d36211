"""make cluster: lose the machines of an Airflow on PostgreSQL, Redis and Celery, and count the orders."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

from tests.support.real_airflow import AirflowTrouble
from verification.cluster import machine, results
from verification.cluster.drive import Result, run
from verification.cluster.judge import Books
from verification.cluster.results import Identity
from verification.cluster.scenarios import IGNORE, SCENARIOS, SHORT
from verification.cluster.trial import STORES


def chosen(arguments: argparse.Namespace) -> list[Identity]:
    """Return the trials that are to be run."""
    found = [identity for identity in results.identities() if not SCENARIOS[identity[0]].unfit()]
    if arguments.short:
        found = [(name, store, IGNORE) for name, stores in SHORT.items() for store in stores]
    for place, wanted in enumerate((arguments.only, arguments.stores, arguments.tokens)):
        if wanted:
            found = [identity for identity in found if identity[place] in wanted.split(",")]
    if arguments.missing:
        published = results.read()
        found = [identity for identity in found if identity not in published]
    return found


def parser() -> argparse.ArgumentParser:
    """Return the options of the command line."""
    options = argparse.ArgumentParser(prog="make cluster", description=__doc__)
    options.add_argument("--short", action="store_true", help="two scenarios in some minutes")
    options.add_argument("--only", default="", metavar="NAMES", help=f"scenarios, of {','.join(SCENARIOS)}")
    options.add_argument("--stores", default="", metavar="NAMES", help=f"of {','.join(STORES)}")
    options.add_argument("--tokens", default="", metavar="RULES", help="of ignore,honour")
    options.add_argument("--missing", action="store_true", help="only what the published results lack")
    options.add_argument("--publish", action="store_true", help="publish a partial run, too")
    options.add_argument("--keep", action="store_true", help="leave the cluster's folder behind, with all logs")
    options.add_argument("--list", action="store_true", help="run nothing, name the trials")
    return options


def main(given: Sequence[str] | None = None) -> int:
    """Run the program; its exit code says whether a trial spent twice or lost an order, or a ledger needed a user."""
    arguments = parser().parse_args(given)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    selected = chosen(arguments)
    if arguments.list:
        print("\n".join("/".join(identity) for identity in selected))
        return 0
    if lacking := machine.missing():
        print(f"A cluster needs {' and '.join(lacking)}, which this machine does not have.", file=sys.stderr)
        return 2
    print("Each node has namespaces of its own." if machine.way_of_namespaces() else PLAIN, flush=True)
    is_published = arguments.publish or not (arguments.short or arguments.only or arguments.stores or arguments.tokens)
    bad: list[Result] = []
    count = 0

    def note(result: Result, books: Books) -> None:
        nonlocal count
        count += 1
        name = "/".join(results.identity_of(result))
        print(f"{count:4}/{len(selected)}  {name:36} {books!s:32} {result['seconds']:6.0f} s", flush=True)
        for reason, number in books.reasons.items():
            print(f"           {number} x {reason}", flush=True)
        if not is_as_promised(result, books):
            bad.append(result)
        if is_published:
            results.merge([result])

    print("wanted / orders / stopped for a user / double / lost")
    try:
        run(selected, note, keep=arguments.keep)
    except AirflowTrouble as trouble:
        print(f"The cluster failed, not the provider: {trouble}", file=sys.stderr)
        return 2
    print(f"\n{count} trials, {len(bad)} not as promised: {', '.join('/'.join(results.identity_of(r)) for r in bad)}")
    return bool(bad)


def is_as_promised(result: Result, books: Books) -> bool:
    """Whether a trial ended as the documentation promises for its store."""
    scenario = SCENARIOS[result["scenario"]]
    if scenario.is_striking and not result["struck"]:
        return False
    if scenario.order.allowed is not None:
        return books.is_safe and not books.unfinished and books.orders == scenario.order.allowed
    return books.is_safe and not books.unfinished if result["store"] in scenario.may_stop else books.is_good


PLAIN = "This machine allows no namespaces, so nodes are processes with folders of their own."

if __name__ == "__main__":
    sys.exit(main())
