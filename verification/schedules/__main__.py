"""Random schedules of purchases, renewals or refunds, and random answers, records and connections, each from a seed."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from verification.fuzz import KINDS
from verification.schedules.cohort import Cohort
from verification.schedules.limited import Limited
from verification.schedules.rotating import Rotating
from verification.schedules.world import MONEY_ACTIONS, World

WORLDS: Mapping[str, Callable[[int], World]] = {
    **{name: partial(World, spends_on=name) for name in MONEY_ACTIONS},
    "cohorts": Cohort,
    "limits": Limited,
    "keys": Rotating,
}
"""By the name of a kind of schedule, what makes one from a seed."""

COUNTS = {
    **dict.fromkeys(WORLDS, 10_000),
    "limits": 30_000,
    "answers": 60_000,
    "records": 20_000,
    "connections": 20_000,
}
"""How many of each are run."""


def judged(kind: str, seed: int) -> tuple[int, str, str, str, list[str]]:
    """Run one schedule; return its seed, server, store, how it ended, and what is wrong."""
    logging.disable(logging.CRITICAL)
    if kind in KINDS:
        ended, wrong = KINDS[kind](seed)
        what, _, how = ended.partition(": ")
        return seed, what, "", "wrong" if wrong else how, wrong
    world = WORLDS[kind](seed)
    wrong = world.run()
    ended = "stopped and explained" if any(b.stop and not b.order_id for b in world.buyers) else "once and known"
    return seed, world.server, world.kind, "wrong" if wrong else ended, wrong


def run_many(
    kind: str, seeds: Iterable[int], jobs: int
) -> tuple[Counter[tuple[str, str, str]], list[tuple[int, list[str]]]]:
    """Run schedules; return how many ended how, by server and store, and the seeds that went wrong."""
    counts: Counter[tuple[str, str, str]] = Counter()
    wrong = []
    with ProcessPoolExecutor(jobs) as pool:
        for seed, server, store, ended, faults in pool.map(partial(judged, kind), seeds, chunksize=50):
            counts[server, store, ended] += 1
            if faults:
                wrong.append((seed, faults))
    return counts, wrong


def replay(kind: str, seed: int) -> int:
    """Run one schedule, and print all that happened."""
    if kind in KINDS:
        logging.basicConfig(level=logging.DEBUG)
        ended, wrong = KINDS[kind](seed)
        print(ended, *wrong, sep="\n")
        return 1 if wrong else 0
    world = WORLDS[kind](seed)
    wrong = world.run()
    print(f"{kind}, server {world.server}, store {world.kind}", *world.trace, *wrong, sep="\n")
    return 1 if wrong else 0


def main() -> int:
    """Run schedules, or replay one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", choices=tuple(COUNTS), help="only these; all by default")
    parser.add_argument("--count", type=int, help="how many of each")
    parser.add_argument("--first", type=int, default=0, help="the first seed (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run this one and print all that happened")
    chosen = parser.parse_args()
    counted = {kind: chosen.count or count for kind, count in COUNTS.items() if chosen.of in (None, kind)}
    if chosen.replay is not None:
        return replay(next(iter(counted)), chosen.replay)
    began = time.monotonic()
    failed = 0
    for kind, number in counted.items():
        counts, wrong = run_many(kind, range(chosen.first, chosen.first + number), chosen.jobs)
        for (server, store, ended), count in sorted(counts.items()):
            print(f"{kind:11} {server:16} {store:12} {ended:22} {count:6}")
        for seed, faults in wrong[:20]:
            print(f"seed {seed} (replay with --of {kind} --replay {seed}): {'; '.join(faults)}")
        failed += len(wrong)
    print(f"{sum(counted.values())} of {', '.join(counted)}: {failed} wrong, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
