"""The guards of loops: each iteration is a purchase of its own, and none is taken for another."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

TESTS = "tests/task/test_loops.py"

LOOPS = (
    Mutant(
        "an iteration's place left out of the key",
        "task_run_key",
        'place = [] if loop_index is None else ["loop", loop_index]',
        "place = []",
        f"{TESTS}::test_each_iteration_buys_once_however_often_it_is_tried",
    ),
    Mutant(
        "the first try of an iteration trusted after a clear",
        "may_have_run_before",
        '(is_in_loop and getattr(context["dag_run"], "clear_number", None) != 0)',
        "False",
        f"{TESTS}::test_a_later_iteration_that_a_clear_made_anew_looks_before_it_sends",
    ),
    Mutant(
        "an iteration guessed",
        "loop_index_of",
        'if "loop" in repeated or region_index not in (None, -1, ti.map_index):',
        "if False:",
        f"{TESTS}::test_an_iteration_that_cannot_be_told_from_another_is_refused_and_nothing_is_sent",
    ),
    Mutant(
        "the orders of other iterations taken",
        "may_have_twins",
        "if loop_index_of(context) is not None:",
        "if False:",
        f"{TESTS}::test_without_a_ledger_an_iteration_does_not_take_what_may_be_of_another_one",
    ),
)
