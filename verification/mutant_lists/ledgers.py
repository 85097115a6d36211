"""The guards of a ledger in a database, and of purchases that share the orders of a ledger."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

DATABASE, STORES = "tests/ledger/test_database.py", "tests/ledger/test_stores.py"
CONNECTIONS, OUTAGES = "tests/ledger/test_database_connections.py", "tests/ledger/test_database_outages.py"
COHORT = "tests/purchasing/test_cohort.py"

LEDGERS = (
    Mutant(
        "a record replaced that has changed",
        "Change.update",
        "if expected is not None and not _is_expected(row, expected):",
        "if False:",
        f"{DATABASE}::test_a_text_that_was_read_before_another_change_replaces_nothing",
    ),
    Mutant(
        "the same text taken for the same version",
        "_is_expected",
        "return expected.version == int(row.version)",
        "return str(expected) == str(StoredText.of(row.record, row.version))",
        f"{DATABASE}::test_a_change_back_to_the_same_text_is_a_change",
    ),
    Mutant(
        "two creations of a row both told that they won",
        "Change.insert",
        "raise Taken",
        "return True",
        f"{STORES}::test_of_two_creations_one_succeeds_where_the_store_says_so",
    ),
    Mutant(
        "an order in the records of two purchases",
        "Change._notes",
        "raise OrderIsAnothers(order_id, str(place.owner))",
        "is_placed = False",
        f"{DATABASE}::test_an_order_belongs_to_one_purchase_for_ever",
    ),
    Mutant(
        "a placed order of nobody in a database",
        "Change._notes",
        "if is_placed and place.owner is None:",
        "if False:",
        f"{DATABASE}::test_an_order_belongs_to_one_purchase_for_ever",
    ),
    Mutant(
        "an order assigned twice in a database",
        "database_changes:assign",
        "if place.owner:",
        "return key\n    if False:",
        f"{DATABASE}::test_an_order_is_assigned_to_the_first_purchase_that_takes_it",
    ),
    Mutant(
        "an event without its row in PostgreSQL",
        "PostgreSQL._before_statement",
        "if before == self.begin:",
        "if before == self.begin and not (before := self.settings):",
        f"{DATABASE}::test_a_change_that_fails_before_its_end_leaves_nothing",
    ),
    Mutant(
        "a row replaced that has changed since it was read",
        "Change.update",
        "raise Outdated",
        "return True",
        f"{DATABASE}::test_what_changed_between_the_reading_and_the_writing_of_a_change_is_read_again",
    ),
    Mutant(
        "events that are not chained",
        "hash_of",
        "[before, *(event[name] for name in HASHED)]",
        "[*(event[name] for name in HASHED)]",
        f"{DATABASE}::test_an_event_that_was_edited_together_with_its_hash_shows",
    ),
    Mutant(
        "a ledger used whose schema was not checked",
        "database_schema:identity_of",
        '_refuse_another_schema(database, found.revision if found else "")',
        "pass",
        "tests/ledger/test_database_schema.py::test_a_worker_makes_no_tables_and_says_what_does",
    ),
    Mutant(
        "a connection kept open while a task waits",
        "Database._close_when_idle",
        "self._engine.dispose()",
        "pass",
        f"{CONNECTIONS}::test_no_connection_is_open_soon_after_its_use",
    ),
    Mutant(
        "a database said to miss no intent of before it was made",
        "DatabaseStore.complete_since",
        "return self.identity.created_at",
        'return float("-inf")',
        "tests/ledger/test_database_schema.py"
        "::test_a_ledger_keeps_its_identity_and_its_records_when_it_is_upgraded_again",
    ),
    Mutant(
        "the clock of the worker for that of the database",
        "DatabaseStore.now",
        "return self._database.now()",
        "import time; return time.time()",
        f"{CONNECTIONS}::test_the_clock_of_the_ledger_is_that_of_its_server",
    ),
    Mutant(
        "a creation whose answer was lost taken for that of another",
        "DatabaseStore._sure",
        "if self._is_stored(key, text, unknown):\n                return True",
        "if self._is_stored(key, text, unknown):\n                return False",
        f"{OUTAGES}::test_a_creation_whose_answer_is_lost_is_not_taken_for_that_of_another",
    ),
    Mutant(
        "rivals left out by a query of an index",
        "DatabaseStore._list_changed",
        "purchases.c.changed_at >= max(since, 0.0)",
        "purchases.c.changed_at >= self.now()",
        f"{DATABASE}::test_only_purchases_that_may_own_an_order_or_be_under_way_are_others",
    ),
    Mutant(
        "an order left to a purchase that cannot take it",
        "shares_of",
        "if order_id not in takers or takes(takers[order_id], refused):",
        "if order_id not in takers:",
        f"{COHORT}::test_as_many_as_possible_take_an_order_and_the_earlier_first",
    ),
    Mutant(
        "sent while an identical purchase may send for the order that was left to it",
        "Inquiry.hand_over",
        "return all(self._ownership.hand_over(member, order.order_id) for member, order in self._left)",
        "return True",
        f"{COHORT}::test_a_purchase_that_goes_on_with_an_old_decision_finds_the_order_that_was_left_to_it",
    ),
    Mutant(
        "another database in the place of the ledger",
        "Database._refuse_another_ledger",
        "if found != [known]:",
        "if False:",
        "tests/ledger/test_database_changed.py::test_a_process_notices_that_another_ledger_has_taken_the_place",
    ),
)
