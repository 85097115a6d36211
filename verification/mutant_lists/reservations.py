"""The guards of limits: what a purchase reserves, what counts beside it, and each path on which it is checked."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

RESERVATION, AUTHORIZATION = "tests/purchasing/test_reservation.py", "tests/purchasing/test_authorization.py"
DATABASE, PROCESSES = "tests/ledger/test_database_reservations.py", "tests/ledger/test_limits_of_processes.py"
WINDOW = (
    "tests/purchasing/test_reservation_window.py"
    "::test_a_process_that_stands_still_over_midnight_reserves_nothing_in_a_window_that_is_full"
)
NOTHING_COUNTS = f"{RESERVATION}::test_what_surely_spends_nothing_of_a_limit_does_not_count"
ALL_COUNTS = f"{RESERVATION}::test_all_else_counts_with_its_price_or_with_what_it_reserves"
A_CENT_ABOVE = f"{RESERVATION}::test_a_cent_above_a_limit_is_refused_with_what_was_settled_and_reserved_and_is_needed"
AS_THE_RULES = f"{DATABASE}::test_the_statement_of_a_database_counts_what_the_rules_count"
DOES_NOT_FIT = f"{DATABASE}::test_a_purchase_that_does_not_fit_into_a_limit_leaves_the_ledger_as_it_was"
DOES_NOT_COUNT = f"{AUTHORIZATION}::test_a_store_that_does_not_count_money_lets_nothing_pass_that_needs_it"

RESERVATIONS = (
    Mutant(
        "a limit that what is reserved does not count in",
        "Reservation._check_limit",
        "counted.settled + counted.reserved + needed > limit.max_cents",
        "counted.settled + needed > limit.max_cents",
        A_CENT_ABOVE,
    ),
    Mutant(
        "a limit that what is settled does not count in",
        "Reservation._check_limit",
        "counted.settled + counted.reserved + needed > limit.max_cents",
        "counted.reserved + needed > limit.max_cents",
        A_CENT_ABOVE,
    ),
    Mutant(
        "a limit exceeded by what is needed",
        "Reservation._check_limit",
        "counted.settled + counted.reserved + needed > limit.max_cents",
        "counted.settled + counted.reserved > limit.max_cents",
        A_CENT_ABOVE,
    ),
    Mutant(
        "the last cent of a limit refused",
        "Reservation._check_limit",
        "+ needed > limit.max_cents",
        "+ needed >= limit.max_cents",
        f"{RESERVATION}::test_the_last_cent_of_a_limit_may_be_spent",
    ),
    Mutant(
        "only the first limit checked",
        "Reservation.check",
        "for counted in usage.counted:",
        "for counted in usage.counted[:1]:",
        f"{RESERVATION}::test_each_of_several_limits_must_leave_room",
    ),
    Mutant(
        "an unknown price counted as nothing",
        "Reservation._check_limit",
        "if counted.unknown:",
        "if False:",
        f"{RESERVATION}::test_a_purchase_of_which_nothing_tells_the_price_may_have_spent_everything",
    ),
    Mutant(
        "currencies added",
        "Reservation._check_limit",
        "if counted.foreign or limit.currency != self.currency:",
        "if False:",
        f"{RESERVATION}::test_amounts_of_two_currencies_are_never_added",
    ),
    Mutant(
        "a blocked price of 0 bought",
        "Reservation.check",
        "if usage.blocked_cents is not None:",
        "if usage.blocked_cents:",
        f"{RESERVATION}::test_a_price_that_was_above_its_reservation_blocks_whatever_the_limits_leave",
    ),
    Mutant(
        "a balance without what is under way",
        "Reservation._check_balance",
        "left = self.balance - usage.under_way",
        "left = self.balance",
        f"{RESERVATION}::test_the_account_never_falls_below_the_least_balance",
    ),
    Mutant(
        "a balance with an unknown price under way",
        "Reservation._check_balance",
        "if usage.unknown or left",
        "if left",
        f"{RESERVATION}::test_the_account_never_falls_below_the_least_balance",
    ),
    Mutant(
        "a least balance that may not be reached",
        "Reservation._check_balance",
        "- (self.cents or 0) < least:",
        "- (self.cents or 0) <= least:",
        f"{RESERVATION}::test_the_least_balance_may_be_reached",
    ),
    Mutant(
        "a purchase counted beside itself",
        "Reservation.concerns",
        "record.key != self.key",
        "True",
        NOTHING_COUNTS,
    ),
    Mutant(
        "a declined purchase that is never released",
        "Reservation.concerns",
        "and record.state is not State.DECLINED",
        "",
        f"{RESERVATION}::test_what_the_balance_may_not_show_yet_is_taken_from_it",
    ),
    Mutant(
        "another account counted",
        "Reservation._is_of_this_account",
        "len(accounts) <= 1",
        "True",
        NOTHING_COUNTS,
    ),
    Mutant(
        "an unknown account counted as another",
        "Reservation._is_of_this_account",
        '{record.account, self.account} - {""}',
        "{record.account, self.account}",
        ALL_COUNTS,
    ),
    Mutant(
        "an account that another name of a server hides",
        "Reservation._is_of_this_account",
        "is_same and is_tencents(server)",
        "False and is_tencents(server)",
        f"{DATABASE}::test_an_account_of_tencents_counts_together_by_whichever_name_of_the_server",
    ),
    Mutant(
        "a declined purchase that still counts",
        "amounts_of",
        "if state == State.DECLINED.value:",
        "if False:",
        f"{DATABASE}::test_what_is_declined_is_released_with_an_event_that_says_how_much",
    ),
    Mutant(
        "what was paid above the reservation not counted",
        "amounts_of",
        "max(known, default=None)",
        "known[-1] if known else None",
        ALL_COUNTS,
    ),
    Mutant(
        "a purchase begun without its limits",
        "Purchase._begin",
        "authorized = self._authorization.of(first(self._clock()), self._clock())",
        "from airflow_provider_tcbilling.purchasing.authorization import Authorized; authorized = Authorized()",
        f"{AUTHORIZATION}::test_a_purchase_above_a_limit_is_never_sent",
    ),
    Mutant(
        "a purchase taken over without its limits",
        "Purchase._take_over",
        "authorized = self._authorization.of(record, self._clock())",
        "from airflow_provider_tcbilling.purchasing.authorization import Authorized; authorized = Authorized()",
        f"{AUTHORIZATION}::test_a_purchase_that_is_taken_over_must_keep_the_limits_of_now",
    ),
    Mutant(
        "a limit in a store that does not count",
        "Authorization._refuse_a_store_that_does_not_count",
        "and not self._store.counts_money",
        "and False",
        DOES_NOT_COUNT,
    ),
    Mutant(
        "a least balance in a store that does not count",
        "Authorization._refuse_a_store_that_does_not_count",
        "rules.min_balance_cents is not None",
        "False",
        DOES_NOT_COUNT,
    ),
    Mutant(
        "an unknown price taken for none",
        "Authorization._worst_case",
        "if limits or rules.approval or rules.min_balance_cents is not None:",
        "if False:",
        f"{AUTHORIZATION}::test_a_price_that_nothing_tells_is_refused_and_the_next_one_is_remembered",
    ),
    Mutant(
        "a remembered price above max_cents",
        "Authorization._worst_case",
        "price.highest_cents > rules.max_cents",
        "price.highest_cents > 2 * rules.max_cents",
        f"{AUTHORIZATION}::test_a_remembered_price_above_max_cents_is_refused",
    ),
    Mutant(
        "limits and prices of two currencies",
        "Authorization._worst_case",
        "if len(named) > 1:",
        "if False:",
        f"{AUTHORIZATION}::test_two_currencies_are_refused",
    ),
    Mutant(
        "a user asked about what a limit refuses",
        "Authorization.of",
        "reservation.check(usage, now, lambda limit: self._store.open_in(reservation, limit))",
        "pass",
        f"{AUTHORIZATION}::test_nobody_is_asked_about_what_a_limit_refuses",
    ),
    Mutant(
        "an approval needed at its amount",
        "Authorization.approval_rules_for",
        "cents > rules.above_cents",
        "cents >= rules.above_cents",
        f"{AUTHORIZATION}::test_an_approval_is_needed_above_its_amount_only",
    ),
    Mutant(
        "an overrun that does not block",
        "Record.is_overrun",
        "return self.gross_cents > self.reserved_cents or self.currency != self.reserved_currency",
        "return False",
        f"{AUTHORIZATION}::test_an_order_above_its_reservation_blocks_its_price_until_a_user_accepts_it",
    ),
    Mutant(
        "a first record stored without its reservation",
        "Change.insert",
        "self._check(connection, record)",
        "pass",
        DOES_NOT_FIT,
    ),
    Mutant(
        "a record replaced without its reservation",
        "Change.update",
        "self._check(connection, record)",
        "pass",
        f"{DATABASE}::test_a_record_in_place_of_another_needs_its_reservation_as_a_first_one_does",
    ),
    Mutant(
        "a reservation checked in the window of now",
        "Change._check",
        'money_of(record)["counted_at"] or self.at_ms / 1000',
        "self.at_ms / 1000",
        WINDOW,
    ),
    Mutant(
        "reservations of two books at the same time",
        "locked_place",
        "place = PLACE_THAT_RESERVES if reserves else PLACE",
        "place = PLACE",
        f"{PROCESSES}::test_the_first_purchases_of_a_new_ledger_all_at_once_let_none_too_many_pass[PostgreSQL]",
    ),
    Mutant(
        "the ledger not locked for a reservation",
        "PLACE_THAT_RESERVES",
        "books, identity))",
        "books))",
        f"{PROCESSES}::test_the_first_purchases_of_a_new_ledger_all_at_once_let_none_too_many_pass[PostgreSQL]",
    ),
    Mutant(
        "a purchase counted beside itself in a database",
        "database_reservations:_beside",
        '_ROW.id != bindparam("own"),',
        "",
        f"{DATABASE}::test_what_a_purchase_reserved_before_does_not_count_beside_it",
    ),
    Mutant(
        "a declined purchase under way in a database",
        "database_reservations:_beside",
        "_ROW.state != _text(_DECLINED),",
        "",
        AS_THE_RULES,
    ),
    Mutant(
        "a refund counted in a database",
        "database_reservations:_beside",
        "_is_one_of(_ROW.action, SPENDING_ACTIONS),",
        "",
        AS_THE_RULES,
    ),
    Mutant(
        "another account counted in a database",
        "database_reservations:_of_account",
        "return or_(mine, and_(at_another, row.account == account))",
        "return at_server",
        AS_THE_RULES,
    ),
    Mutant(
        "an unknown account not counted in a database",
        "database_reservations:_of_account",
        'row.account == _text("")',
        'row.account == _text("-")',
        AS_THE_RULES,
    ),
    Mutant(
        "a purchase without a known price not counted in a database",
        "database_reservations:_sums_of",
        "is_unknown = _ROW.counted_cents.is_(None)",
        "is_unknown = _ROW.book.is_(None)",
        AS_THE_RULES,
    ),
    Mutant(
        "another currency not counted in a database",
        "database_reservations:_sums_of",
        "case((is_foreign, _number(1)), else_=_number(0)),",
        "_number(0),",
        AS_THE_RULES,
    ),
    Mutant(
        "an accepted price of another server",
        "database_reservations:_blocked",
        "of = (prices.c.server == server, ",
        "of = (",
        f"{DATABASE}::test_an_accepted_price_of_another_account_server_or_price_unblocks_nothing",
    ),
    Mutant(
        "a higher price unblocked by an accepted one",
        "database_reservations:_blocked",
        "row.overrun_cents > func.coalesce(accepted, _number(-1))",
        "accepted.is_(None)",
        f"{DATABASE}::test_a_price_that_a_user_has_accepted_blocks_until_a_higher_one_comes",
    ),
    Mutant(
        "a price of a renewal taken for that of another instance",
        "price_key_of",
        'None if action == CREATE_INSTANCE.name else request.get("InstanceId")',
        "None",
        f"{AUTHORIZATION}::test_a_price_of_a_renewal_is_of_its_instance_and_never_that_of_a_purchase",
    ),
    Mutant(
        "a price of one period taken for that of another",
        "prices:PRICED",
        '"Quantity", "Period", "PeriodUnit"',
        '"Quantity"',
        f"{AUTHORIZATION}::test_a_price_is_remembered_for_all_that_has_the_same_price_and_for_nothing_else",
    ),
)
