"""Random schedules of faults, crashes and clocks: spent at most once, and known or explained."""

from __future__ import annotations

import pytest

pytest.importorskip("greenlet")

from verification.schedules.world import MONEY_ACTIONS, World


@pytest.mark.parametrize("first", [0, 100, 200])
@pytest.mark.parametrize("spends_on", MONEY_ACTIONS)
def test_no_schedule_spends_twice_or_loses_an_order(spends_on, first):
    wrong = {seed: faults for seed in range(first, first + 100) if (faults := World(seed, spends_on).run())}

    assert not wrong, f"replay with: python -m verification.schedules --of {spends_on} --replay {next(iter(wrong))}"
