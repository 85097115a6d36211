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


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(50200, id="a reservation that was released comes back with no room left"),
        pytest.param(50089, id="a sub-order that is listed twice has its price once"),
    ],
)
def test_a_fault_that_a_schedule_of_limits_has_found_stays_mended(seed):
    assert WORLDS["limits"](seed).run() == []
