"""Random schedules of faults, crashes and clocks: spent at most once, and known or explained."""

from __future__ import annotations

import pytest

pytest.importorskip("greenlet")

from verification.schedules.__main__ import WORLDS


@pytest.mark.parametrize("first", [0, *(pytest.param(first, marks=pytest.mark.system) for first in (100, 200))])
@pytest.mark.parametrize("kind", WORLDS)
def test_no_schedule_spends_twice_or_loses_an_order(kind, first):
    wrong = {seed: faults for seed in range(first, first + 100) if (faults := WORLDS[kind](seed).run())}

    assert not wrong, f"replay with: python -m verification.schedules --of {kind} --replay {next(iter(wrong))}"
