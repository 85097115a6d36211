"""The guards of the fleet's rate limit: it is one for all machines, and costs no purchase."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

SHARED, TROUBLE = "tests/ledger/test_rate_limit.py", "tests/ledger/test_rate_limit_trouble.py"
HOOK = "tests/hooks/test_fleet_limit.py"

FLEET_LIMITER = (
    Mutant(
        "each ticket at once",
        "START",
        '"THEN queue.next_at ELSE {now} END"',
        '"THEN {now} ELSE {now} END"',
        f"{SHARED}::test_no_second_holds_more_requests_of_all_machines_than_the_limit_and_one",
    ),
    Mutant(
        "a moment in the far future waited for",
        "START",
        "BETWEEN {now} AND {now} + :longest",
        "BETWEEN {now} AND 1e18 + :longest",
        f"{SHARED}::test_nobody_waits_for_a_row_that_was_edited_to_nonsense_and_it_is_repaired",
    ),
    Mutant(
        "a clock of the database that was set back waited for",
        "START",
        "queue.changed_at <= {now} + {step}",
        "queue.changed_at <= {now} + 1e9 * {step}",
        f"{SHARED}::test_nobody_waits_for_a_clock_of_the_database_that_was_set",
    ),
    Mutant(
        "a rate that was edited believed",
        "RATE",
        "BETWEEN :slowest AND :limit",
        "BETWEEN -1e300 AND 1e300 * :slowest + :limit",
        f"{SHARED}::test_nobody_waits_for_a_row_that_was_edited_to_nonsense_and_it_is_repaired",
    ),
    Mutant(
        "faster than the limit after a refusal of the fleet",
        "FASTER",
        "+ :gain ELSE :limit END",
        "+ :gain ELSE 2 * :limit END",
        f"{SHARED}::test_each_ticket_speeds_up_again_and_none_beyond_the_limit",
    ),
    Mutant(
        "a refusal does not slow the fleet down",
        "SLOWER",
        "THEN {RATE} * :cut",
        "THEN {RATE}",
        f"{SHARED}::test_a_refusal_slows_all_machines_down_and_those_of_the_same_second_count_once",
    ),
    Mutant(
        "the refusals of a second count one by one",
        "SLOW_DOWN",
        "AND NOT coalesce(queue.refused_at, 0) BETWEEN {now} - :quiet AND {now}",
        "AND :quiet > 0",
        f"{SHARED}::test_a_refusal_slows_all_machines_down_and_those_of_the_same_second_count_once",
    ),
    Mutant(
        "a request that would come too late takes a place of the fleet",
        "FITS",
        "<= :within",
        "<= 1e9 + :within",
        f"{SHARED}::test_a_request_that_would_wait_for_too_long_takes_no_place",
    ),
    Mutant(
        "a connection held while a request waits",
        "FleetLimiter.wait",
        "if seconds > HOLD_SECONDS:",
        "if False:",
        f"{SHARED}::test_a_request_that_waits_holds_no_connection",
    ),
    Mutant(
        "no limit while the database is away",
        "FleetLimiter.wait",
        "return self._alone.wait(left, sleep)",
        "return True",
        f"{TROUBLE}::test_without_the_database_requests_go_on_at_a_low_rate_with_one_warning",
    ),
    Mutant(
        "all of a purchase's time spent on the database",
        "FleetLimiter.wait",
        "min(PATIENCE, within / 2)",
        "PATIENCE",
        f"{TROUBLE}::test_a_request_with_little_time_leaves_half_of_it_to_the_purchase",
    ),
    Mutant(
        "an error of the database stops a request",
        "Queues.use",
        "except Exception as error:  # A courtesy",
        "except TimeoutError as error:  # A courtesy",
        f"{TROUBLE}::test_a_table_that_is_not_what_it_should_be_holds_up_nobody",
    ),
    Mutant(
        "a database that is away tried again at once",
        "Queues.use",
        "if time.monotonic() < self._away_until:",
        "if False:",
        f"{TROUBLE}::test_while_it_is_away_the_database_is_left_alone_and_then_used_again",
    ),
    Mutant(
        "a silent database waited for",
        "Queues._tried",
        "min(SILENCE, ends_at - time.monotonic())",
        "ends_at - time.monotonic()",
        f"{TROUBLE}::test_a_server_that_never_answers_holds_up_a_request_once_and_for_a_moment",
    ),
    Mutant(
        "a full database given up at once",
        "Queues._tried",
        "if not database.may_pass(error):",
        "if True:",
        f"{TROUBLE}::test_a_database_that_is_full_is_tried_again_until_a_connection_is_free",
    ),
    Mutant(
        "a fleet with a queue on each machine",
        "_limiter_of",
        "if not conn_id:",
        "if True:",
        f"{HOOK}::test_clients_of_a_connection_with_a_database_queue_up_in_it",
    ),
    Mutant(
        "the ledger's connection read in a thread of the triggerer",
        "TcBillingHook.aget_settings",
        "if settings.ledger_conn_id:",
        "if False:",
        f"{HOOK}::test_a_trigger_reads_the_ledgers_connection_in_the_event_loop_and_its_queries_read_none",
    ),
)
