"""Mutants of waits that outlive their keys."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

TRIGGERS, WORKERS = "tests/triggers/test_waits_outlive_keys.py", "tests/sensors/test_keys_that_change.py"
LEAKS = "tests/operators/test_keys_do_not_leak.py"

WAITS = (
    Mutant(
        "one refusal of a key ends a wait on a worker",
        "patiently",
        "for refusals in range(1, REFUSALS):",
        "for refusals in range(1, 1):",
        f"{WORKERS}::test_a_worker_that_waits_for_an_order_outlives_a_key_that_is_replaced_a_little_late",
    ),
    Mutant(
        "a permanent key that is refused is waited for",
        "patiently",
        "client.credentials.is_lasting or not is_of_key(error)",
        "not is_of_key(error)",
        f"{WORKERS}::test_a_permanent_key_that_is_refused_fails_the_wait_at_once",
    ),
    Mutant(
        "a missing permission is waited for",
        "patiently",
        "client.credentials.is_lasting or not is_of_key(error)",
        "client.credentials.is_lasting",
        f"{WORKERS}::test_a_missing_permission_of_a_role_fails_the_wait_at_once",
    ),
    Mutant(
        "a secrets backend that is away ends a wait",
        "WaitingClient._settings",
        "            if session is None:\n",
        "            if True:\n",
        f"{TRIGGERS}::test_a_secrets_backend_that_is_away_ends_no_wait_while_the_key_is_good",
    ),
    Mutant(
        "one refusal of a key ends the wait for an expiry",
        "ExpiryTrigger._is_met",
        "if connected.is_given_up_after(error):",
        "if True:",
        f"{TRIGGERS}::test_a_key_that_stays_refused_wakes_the_task_that_waits_for_an_expiry",
    ),
    Mutant(
        "a task that is stopped while it gets a key shows the variables of the source",
        "Credentials._tried",
        "error.with_traceback(None)",
        "error",
        f"{LEAKS}::test_a_task_that_is_stopped_while_it_gets_a_key_shows_no_part_of_it",
    ),
)
