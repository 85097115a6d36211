"""The guards of purchases that share orders, and of what a store promises."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant
from verification.mutant_lists.purchases import IDENTICAL_ORDERS, NEXT_TRY

COHORT, CLOCK = "tests/purchasing/test_cohort.py", "tests/purchasing/test_clock.py"

COHORTS = (
    Mutant(
        "orders taken while an identical purchase is under way",
        "Inquiry._shared",
        "if under_way:",
        "if False:",
        f"{COHORT}::test_while_an_identical_purchase_is_under_way_its_order_is_not_taken",
    ),
    Mutant(
        "purchases of other goods share orders",
        "Inquiry._shared",
        "not all(is_identical(record, member) for member in cohort)",
        "False",
        f"{IDENTICAL_ORDERS}::test_an_order_that_may_be_that_of_a_purchase_of_other_goods_is_not_taken",
    ),
    Mutant(
        "an order more than purchases taken",
        "Inquiry._shared",
        "len(orders) > len(shares)",
        "False",
        f"{COHORT}::test_an_order_more_than_there_are_purchases_stops_it",
    ),
    Mutant(
        "the order of a token taken by two",
        "Purchase._send",
        "if record.is_resent and self._is_anothers(record, order):",
        "if False:",
        f"{COHORT}::test_the_order_of_a_token_that_another_purchase_has_taken_is_not_taken_twice",
    ),
    Mutant(
        "an order of its own not found again",
        "Inquiry.decision",
        "if own := [order for order in free.orders if order.order_ids & others.own]:",
        "if own := []:",
        f"{COHORT}::test_a_purchase_that_took_an_order_and_died_finds_it_again",
    ),
    Mutant(
        "an order adopted beside the one that the record knows by then",
        "Ownership._adopt",
        "if stored not in (None, record):",
        "if False:",
        f"{COHORT}::test_a_record_that_knows_an_order_by_then_takes_no_other",
    ),
    Mutant(
        "an intent presumed although a store misses none",
        "Purchase.read",
        "self._ownership.may_miss(self._presumed_since)",
        "True",
        f"{NEXT_TRY}::test_a_store_that_misses_no_intent_needs_no_query",
    ),
    Mutant(
        "the clocks of machines compared although the store has one",
        "Purchase._ahead",
        "self._clock() - self._action.client.clock() if self._store.has_clock else 0.0",
        "0.0",
        f"{CLOCK}::test_a_clock_of_the_store_that_is_hours_ahead_changes_nothing",
    ),
    Mutant(
        "an order left to another that may be about to send",
        "Purchase._take_over",
        "if not self._inquiry.hand_over():",
        "if False:",
        f"{COHORT}::test_an_order_that_is_left_to_another_purchase_is_in_its_record_before_anything_is_sent",
    ),
    Mutant(
        "an order kept after a standstill although another has taken it",
        "Purchase._keep",
        "if self._clock() > record.sending_until and self._is_anothers(record, order):",
        "if False:",
        f"{COHORT}::test_an_order_that_was_taken_during_a_standstill_is_given_back",
    ),
    Mutant(
        "purchases of another account share orders",
        "is_identical",
        "return is_of_one_account and not is_masked(record.payload)",
        "return not is_masked(record.payload)",
        f"{COHORT}::test_purchases_of_what_may_be_another_account_share_nothing",
    ),
    Mutant(
        "an order written although nobody could say whose it is",
        "Ownership.adopt",
        "return self._insist(lambda: self._adopt(record, order_id), ordered, order, StoreFailed)",
        "return self.keep(record, order)",
        f"{COHORT}::test_an_order_of_the_order_book_is_not_taken_while_nobody_can_say_whose_it_is",
    ),
)
