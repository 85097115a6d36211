"""A part of the random answers, records and connections that ``make schedules`` runs."""

from __future__ import annotations

import pytest

pytest.importorskip("airflow")

from verification.fuzz import KINDS


@pytest.mark.parametrize(
    ("kind", "first", "count"), [("answers", 0, 1000), ("records", 0, 400), ("connections", 0, 600)]
)
def test_only_designed_errors_leave_the_package_and_the_word_on_the_money_is_right(kind, first, count):
    wrong = {seed: faults for seed in range(first, first + count) if (faults := KINDS[kind](seed)[1])}

    assert not wrong, f"replay with: python -m verification.schedules --of {kind} --replay {next(iter(wrong))}"
