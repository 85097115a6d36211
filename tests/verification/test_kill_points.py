"""Kill points lie at functions of the package: a renamed function must not leave a point that no process reaches."""

from __future__ import annotations

import inspect

import pytest

pytest.importorskip("airflow")

from verification.kill_matrix.points import DEATHS, MEETING, PAUSES, PLACES, owner_of
from verification.kill_matrix.rows import LOOPED, ROWS

OURS = {**PLACES["ours"], "where two copies meet": MEETING["ours"]}
AFTER_EXECUTE = "after-success"


@pytest.mark.parametrize("point", OURS)
def test_a_kill_point_lies_at_a_function_that_exists(point):
    path, side = OURS[point]
    owner, name = owner_of(path)

    assert callable(inspect.getattr_static(owner, name))
    assert side in ("entry", "exit")


@pytest.mark.parametrize("row", [row for row in (*ROWS, *LOOPED) if row.point], ids=lambda row: row.id)
def test_the_point_of_a_row_is_defined(row):
    on_the_wire = PAUSES if row.plan.get("pauses") else DEATHS

    assert row.point in {*on_the_wire, *PLACES["ours"], AFTER_EXECUTE}
