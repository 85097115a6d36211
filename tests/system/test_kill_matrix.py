"""A part of the kill matrix, drawn by a seed; and the judge, which must be able to say that we failed."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from scripts.kill_matrix import judge
from scripts.kill_matrix.__main__ import run
from scripts.kill_matrix.cells import OURS, SERVERS, Cell, cells
from scripts.kill_matrix.rows import ROWS
from scripts.kill_matrix.trial import EXPLAINED, Ending

SEED = 20261125
CAUGHT = ("3.3/fresh/nothing/before-answer/honour", "3.3/constant/nothing/after-record/ignore")
"""Cells in which the alternatives buy twice: a harness that does not see it proves nothing."""

SERVER = {column.id: column for column in SERVERS}
ROW = {row.id: row for row in ROWS}


@pytest.mark.system
def test_no_cell_of_ours_fails_and_the_alternatives_are_caught_buying_twice():
    fitting = [cell for cell in cells() if not cell.unfit and cell.line == "3.3" and not cell.row.phase]
    ours = [[cell for cell in fitting if cell.contender == OURS and cell.row is row] for row in ROWS]
    drawn = [random.Random(f"{SEED} {of_row[0].row.id}").choice(of_row) for of_row in ours if of_row]

    results = run([*drawn, *(cell for cell in fitting if cell.name in CAUGHT)])

    assert len(results) == len(drawn) + len(CAUGHT)
    assert [r for r in results if r["contender"] == OURS and r["verdict"] in judge.FAILURES] == []
    assert [r["verdict"] for r in results if r["contender"] != OURS] == [judge.DOUBLE] * len(CAUGHT)


GOOD = Ending(
    orders=["one"],
    cents=10_000,
    requests=1,
    tasks=[(-1, "success", 1)],
    returned={-1: {"order_id": "one", "instance_ids": ["i"]}},
    log="Placed: order one",
    is_over=True,
    was_struck=True,
)
FAILED = replace(GOOD, tasks=[(-1, "failed", 2)], returned={})


@pytest.mark.parametrize(
    ("verdict", "ending"),
    [
        (judge.KNOWN, GOOD),
        (judge.DOUBLE, replace(GOOD, orders=["one", "two"])),
        (judge.WRONG, replace(GOOD, orders=["two"])),
        (judge.WRONG, replace(GOOD, returned={-1: {"order_id": "one", "instance_ids": []}})),
        (judge.WRONG, replace(GOOD, returned={})),
        (judge.WRONG, replace(GOOD, orders=[])),
        (judge.WRONG, replace(GOOD, twin={"state": "success", "value": {"order_id": "two"}})),
        (judge.RESENT, replace(GOOD, requests=2)),
        (judge.UNREACHED, replace(GOOD, was_struck=False)),
        (judge.HANGING, replace(GOOD, is_over=False)),
        (judge.LOST, replace(FAILED, log="")),
        (judge.LOST, replace(FAILED, log=EXPLAINED[0])),
        (judge.UNSOLVED, FAILED),
        (judge.STOPPED, replace(FAILED, log=f"{EXPLAINED[0]}: order one")),
    ],
)
def test_the_judge_says_what_became_of_the_money(verdict, ending):
    cell = Cell("3.3", OURS, "ledger", ROW["while-waiting"], SERVER["ignore"])

    assert judge.judge(cell, ending) == verdict
    assert judge.WORDS[verdict] in judge.in_words(cell, ending, verdict)


def test_two_copies_that_buy_twice_are_a_limit_only_where_that_is_documented():
    twice = replace(GOOD, orders=["one", "two"])
    places = [("ledger", "ignore"), ("state", "honour"), ("state", "ignore")]
    told = {
        place: judge.judge(Cell("3.3", OURS, place[0], ROW["two-copies"], SERVER[place[1]]), twice) for place in places
    }

    assert told == dict(zip(places, [judge.DOUBLE, judge.DOUBLE, judge.LIMIT], strict=True))
