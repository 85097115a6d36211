"""Random schedules: purchases, renewals or refunds, and what goes wrong with them, each made from a seed."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from scripts.schedule_world import SPENDINGS, World


def judged(spends_on: str, seed: int) -> tuple[int, str, str, str, list[str]]:
    """Run one schedule; return its seed, server, store, how it ended, and what is wrong."""
    logging.disable(logging.CRITICAL)
    world = World(seed, spends_on)
    wrong = world.run()
    ended = "stopped and explained" if any(b.stop and not b.order_id for b in world.buyers) else "once and known"
    return seed, world.server, world.kind, "wrong" if wrong else ended, wrong


def run_many(
    spends_on: str, seeds: Iterable[int], jobs: int
) -> tuple[Counter[tuple[str, str, str]], list[tuple[int, list[str]]]]:
    """Run schedules; return how many ended how, by server and store, and the seeds that went wrong."""
    counts: Counter[tuple[str, str, str]] = Counter()
    wrong = []
    with ProcessPoolExecutor(jobs) as pool:
        for seed, server, store, ended, faults in pool.map(partial(judged, spends_on), seeds, chunksize=50):
            counts[server, store, ended] += 1
            if faults:
                wrong.append((seed, faults))
    return counts, wrong


def replay(spends_on: str, seed: int) -> int:
    """Run one schedule, and print all that happened."""
    world = World(seed, spends_on)
    wrong = world.run()
    print(f"{spends_on}, server {world.server}, store {world.kind}", *world.trace, *wrong, sep="\n")
    return 1 if wrong else 0


def main() -> int:
    """Run schedules, or replay one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--of", choices=tuple(SPENDINGS), help="only schedules of these; all by default")
    parser.add_argument("--count", type=int, default=10_000, help="how many of each (%(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run this one and print all that happened")
    chosen = parser.parse_args()
    kinds = [chosen.of] if chosen.of else list(SPENDINGS)
    if chosen.replay is not None:
        return replay(kinds[0], chosen.replay)
    began = time.monotonic()
    failed = 0
    for spends_on in kinds:
        counts, wrong = run_many(spends_on, range(chosen.first, chosen.first + chosen.count), chosen.jobs)
        for (server, store, ended), count in sorted(counts.items()):
            print(f"{spends_on:10} {server:16} {store:12} {ended:22} {count:6}")
        for seed, faults in wrong[:20]:
            print(f"seed {seed} (replay with --of {spends_on} --replay {seed}): {'; '.join(faults)}")
        failed += len(wrong)
    print(f"{chosen.count * len(kinds)} schedules, {failed} wrong, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
