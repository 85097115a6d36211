"""The guards of stops: which of them are needed, what releases one, and which order its last message names."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

UNRECORDED = "tests/cli/test_settle_unrecorded.py"
LAST_MESSAGE = "tests/task/test_last_message.py"

STOPS = (
    Mutant(
        "a clear that may have discarded the record is trusted",
        "_is_surely_kept",
        "return survives_a_clear or not _may_have_been_cleared(context)",
        "return True",
        "tests/task/test_no_record.py::test_a_clear_that_may_discard_the_state_means_that_a_record_may_be_lost",
    ),
    Mutant(
        "the retry delay left out of the replay window",
        "retry_seconds",
        " + _delay(task, try_number)",
        "",
        "tests/task/test_replay_window.py::test_no_retry_begins_later_than_counted_unless_a_day_later",
    ),
    Mutant(
        "an order of the last day passed over where there is no record",
        "Settlement._doubt_without_a_request",
        "if free := [order.summary for order in orders if not order.order_ids & owned]:",
        "if free := []:",
        f"{UNRECORDED}::test_an_order_that_nobody_owns_may_be_the_purchase",
    ),
    Mutant(
        "a damaged record replaced without a word",
        "Settlement._record",
        "if found.unusable:",
        "if False:",
        f"{UNRECORDED}::test_a_damaged_record_is_replaced_where_the_user_insists",
    ),
    Mutant(
        "a running try passed over",
        "_end_of",
        'if str(row.state) in ("running", "restarting"):',
        "if False:",
        f"{UNRECORDED}::test_the_end_of_the_last_try_is_that_of_the_task",
    ),
    Mutant(
        "what a record knows taken back",
        "Settlement.not_bought",
        "if was.order_id and not was.is_word_of_a_user:",
        "if False:",
        f"{UNRECORDED}::test_what_a_record_knows_is_never_taken_back",
    ),
    Mutant(
        "a record that tells its request not compared",
        "Record.is_word_of_a_user",
        "return not self.payload and ",
        "return ",
        f"{UNRECORDED}::test_a_record_that_tells_its_request_is_compared_as_ever",
    ),
    Mutant(
        "a stop that a clear does not keep",
        "Purchase._stop_or_go_on",
        "self._ownership.close_window(current)",
        "pass",
        "tests/task/test_messages_outcome_unknown.py"
        "::test_an_order_that_nobody_finds_is_settled_as_not_bought_and_the_clear_buys",
    ),
    Mutant(
        "the order of another copy not named",
        "Purchase._failed",
        'self.is_in_doubt, self.order_id = bool(other), (other and other.order_id) or ""',
        "self.is_in_doubt = False",
        f"{LAST_MESSAGE}::test_of_two_copies_each_names_the_order_at_last",
    ),
    Mutant(
        "the order of a task that was killed not named",
        "SpendingOperator.on_kill",
        'or (purchase.order_id if purchase else "")',
        'or ""',
        f"{LAST_MESSAGE}::test_a_clear_while_the_task_buys_names_the_order_as_soon_as_there_is_one",
    ),
)
