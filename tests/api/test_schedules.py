"""Random schedules of faults, crashes and clocks: bought at most once, and known or explained."""

from __future__ import annotations

import pytest

pytest.importorskip("greenlet")

from scripts.schedules import World


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_no_schedule_buys_twice_or_loses_an_order(first):
    wrong = {seed: faults for seed in range(first, first + 100) if (faults := World(seed).run())}

    assert not wrong, f"replay with: python scripts/schedules.py --replay {next(iter(wrong))}"
