"""Kill points lie at code of the package: a renamed function must not leave a point that no process reaches."""

from __future__ import annotations

import inspect

import pytest

pytest.importorskip("airflow")

from airflow_provider_tcbilling.purchasing.purchase import Purchase
from verification.kill_matrix import points
from verification.kill_matrix.points import CHECKPOINT, DEATHS, MEETING, PAUSES, PLACES, owner_of
from verification.kill_matrix.rows import LOOPED, REFRESHED, ROWS

OURS = {**PLACES["ours"], "the meeting of two copies": MEETING["ours"]}
AFTER_EXECUTE = "after-success"


@pytest.mark.parametrize("point", OURS)
def test_a_kill_point_lies_at_code_that_exists(point):
    path, side = OURS[point]

    assert path in Purchase.CHECKPOINTS if side == CHECKPOINT else callable(inspect.getattr_static(*owner_of(path)))


@pytest.mark.parametrize("row", [row for row in (*ROWS, *REFRESHED, *LOOPED) if row.point], ids=lambda row: row.id)
def test_the_point_of_a_row_is_defined(row):
    on_the_wire = PAUSES if row.plan.get("pauses") else DEATHS

    assert row.point in {*on_the_wire, *PLACES["ours"], AFTER_EXECUTE}


def test_a_strike_at_a_checkpoint_comes_once_the_purchase_reaches_it(monkeypatch):
    monkeypatch.setattr(Purchase, "checkpoint", Purchase.checkpoint)
    struck = []

    points._strike("begin", CHECKPOINT, lambda: struck.append("begin"))
    for name in Purchase.CHECKPOINTS:
        Purchase.checkpoint(name)

    assert struck == ["begin"]
