"""A part of the kill matrix, drawn by a seed; and the judge, which must be able to say that we failed."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.support.databases import NotInstalled, PostgreSQL
from verification.kill_matrix import judge
from verification.kill_matrix.__main__ import run
from verification.kill_matrix.cells import (
    CONTENDERS,
    DATABASES,
    LEDGERS,
    OURS,
    REFUNDS,
    RENEWS,
    ROLE,
    SELECTED_COLUMNS,
    SELECTED_ROWS,
    STORES,
    Cell,
    cells,
)
from verification.kill_matrix.columns import SERVERS, Kind
from verification.kill_matrix.data import run_panels
from verification.kill_matrix.rows import LOOPED, REFRESHED, ROWS
from verification.kill_matrix.trial import EXPLAINED, Ending

SEED = 20261125
CAUGHT = (
    "3.3/fresh/nothing/before-answer/honour",
    "3.3/constant/nothing/after-record/ignore",
    "3.3/fresh-renews/nothing/before-answer/honour",
)
"""Cells in which the alternatives spend twice: a harness that does not see it proves nothing."""

DRAWN = {RENEWS: 8, REFUNDS: 4, ROLE: 2}
"""How many cells of each are run, beside one of each row of purchases that meets everything."""

DRAWN_OF_KIND = {Kind.PROXY: 2, Kind.BOOK: 2}
STANDING_STILL = ("paused-connecting", "paused-last-check", "paused-before-record")
LIMITED = ("limit-before-answer",)

SERVER = {column.id: column for column in SERVERS}
ROW = {row.id: row for row in ROWS}


def stores_here():
    """Return the stores whose programs are on this machine."""
    try:
        PostgreSQL.programs()
    except NotInstalled:
        return {*STORES} - {"postgres"}
    return {*STORES}


@pytest.mark.system
def test_no_cell_of_ours_fails_and_the_alternatives_are_caught_spending_twice():
    here = stores_here()
    fitting = [cell for cell in cells() if not cell.unfit and cell.line == "3.3" and not cell.row.phase]
    fitting = [cell for cell in fitting if cell.store in here]
    purchases = [cell for cell in fitting if cell.contender == OURS]
    rows = [row for row in ROWS if row.id not in SELECTED_ROWS or row.id in (*STANDING_STILL, *LIMITED)]
    ours = [[cell for cell in purchases if cell.row is row] for row in rows]
    drawn = [random.Random(f"{SEED} {of_row[0].row.id}").choice(of_row) for of_row in ours if of_row]
    for kind, number in DRAWN_OF_KIND.items():
        of_kind = [cell for cell in purchases if cell.column.kind is kind]
        drawn += random.Random(f"{SEED} {kind.name}").sample(of_kind, number)
    for name, number in DRAWN.items():
        drawn += random.Random(f"{SEED} {name}").sample([cell for cell in fitting if cell.contender == name], number)

    assert {cell.store for cell in drawn} >= {"ledger", "state", *DATABASES} & here

    results = run([*drawn, *(cell for cell in fitting if cell.name in CAUGHT)])

    assert len(results) == len(drawn) + len(CAUGHT)
    of_others = [r for r in results if not CONTENDERS[r["contender"]].is_ours]
    assert [r for r in results if r not in of_others and r["verdict"] in judge.FAILURES] == []
    assert [r["verdict"] for r in of_others] == [judge.DOUBLE] * len(CAUGHT)


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
    places = [("ledger", "ignore"), ("state", "ignore"), ("nothing", "honour"), ("nothing", "ignore")]
    told = {
        place: judge.judge(Cell("3.3", OURS, place[0], ROW["two-copies"], SERVER[place[1]]), twice) for place in places
    }

    assert told == dict(zip(places, [judge.DOUBLE, judge.DOUBLE, judge.DOUBLE, judge.LIMIT], strict=True))


def test_a_second_order_of_a_process_that_was_stopped_is_a_limit_only_past_the_last_check():
    twice = replace(GOOD, orders=["one", "two"])
    rows = ["paused-connecting", "paused-last-check", "paused-headers-sent", "paused-before-answer"]
    told = {
        (row, column.id): judge.judge(Cell("3.3", OURS, "ledger", ROW[row], column), twice)
        for row in rows
        for column in SERVERS
    }

    limits = [place for place, verdict in told.items() if verdict == judge.LIMIT]
    assert limits == [("paused-last-check", column) for column in ("forget", "ignore", "lists-late")]
    assert {verdict for place, verdict in told.items() if place not in limits} == {judge.DOUBLE}


def test_a_database_meets_every_row_that_a_folder_meets_but_the_clocks_of_two_machines_on_one_file():
    met = {(name, store): set() for name in (OURS, RENEWS, REFUNDS) for store in LEDGERS}
    for cell in cells():
        if cell.line == "3.3" and (cell.contender, cell.store) in met and not cell.unfit:
            met[cell.contender, cell.store].add(cell.row.id)

    limited = {row for row in met[OURS, "postgres"] if row.startswith("limit-")}
    assert len(limited) == 7, "a folder counts no money"
    assert met[OURS, "postgres"] == met[OURS, "ledger"] | limited
    assert met[OURS, "sqlite"] == {row for row in met[OURS, "ledger"] | limited if not row.startswith("skew-")}
    assert met[RENEWS, "postgres"] >= {row for row in met[RENEWS, "ledger"] if not row.startswith("skew-")}
    assert met[REFUNDS, "postgres"] == met[REFUNDS, "ledger"]


def test_a_table_waits_for_the_first_run_of_a_panel():
    assert run_panels({("3.3", OURS, "ledger", "a", "b"): {}}, [("3.3", OURS, "ledger"), ("3.3", OURS, "sqlite")]) == [
        ("3.3", OURS, "ledger")
    ]


def test_every_row_and_column_is_run_somewhere_and_the_selected_ones_stay_few():
    fitting = [cell for cell in cells() if not cell.unfit]
    selected = [cell for cell in fitting if cell.row.id in SELECTED_ROWS or cell.column.id in SELECTED_COLUMNS]

    assert {cell.row.id for cell in fitting} == {*ROW, *(row.id for row in (*REFRESHED, *LOOPED))}
    assert {cell.column.id for cell in selected} >= set(SELECTED_COLUMNS)
    assert len(selected) < 450


@pytest.mark.parametrize(
    ("contender", "proof"),
    [(RENEWS, {"new_expire_time": "2027-01-31 00:00:00"}), (REFUNDS, {"refunded_cents": 10_000})],
)
def test_a_renewal_and_a_refund_are_known_by_what_they_return(contender, proof):
    cell = Cell("3.3", contender, "ledger", ROW["while-waiting"], SERVER["ignore"])
    told = {"order_id": "one", **proof}

    assert judge.judge(cell, replace(GOOD, returned={-1: told})) == judge.KNOWN
    assert judge.judge(cell, replace(GOOD, returned={-1: {**told, next(iter(proof)): None}})) == judge.WRONG
    assert judge.judge(cell, replace(GOOD, orders=["one", "two"], returned={-1: told})) == judge.DOUBLE


def test_a_task_that_is_skipped_is_right_only_if_it_names_the_order():
    cell = Cell("3.3", RENEWS, "ledger", ROW["two-copies"], SERVER["ignore"])
    skipped = replace(FAILED, orders=["4711"], tasks=[(-1, "skipped", 2)], log="left alone, and nothing was sent")

    assert (
        judge.judge(cell, replace(skipped, log="it was left alone, and nothing was sent: order 4711")) == judge.STOPPED
    )
    assert judge.judge(cell, replace(skipped, log="it was left alone, and nothing was sent: it moved")) == judge.LOST
    assert judge.judge(cell, replace(skipped, log="order 4711")) == judge.UNSOLVED
