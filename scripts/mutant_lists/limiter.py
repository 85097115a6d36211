"""The guards of the limit of requests: it keeps the share of buyers, and costs no purchase."""

from __future__ import annotations

from scripts.mutant_lists.mutant import Mutant

BUDGET, NOTES = "tests/api/test_budget.py", "tests/api/test_notes.py"
SHARED = "tests/api/test_notes_shared.py"

LIMITER = (
    Mutant(
        "sent although its turn came too late",
        "api/client.py",
        "if not self._budget.wait(action.name, send_by - self._clock(), self._sleep):",
        "if self._budget.wait(action.name, send_by - self._clock(), self._sleep) and False:",
        f"{BUDGET}::test_a_purchase_whose_turn_comes_too_late_is_not_sent",
    ),
    Mutant(
        "a limit of zero taken",
        "api/budget.py",
        "if not per_second > 0:",
        "if False:",
        f"{BUDGET}::test_a_limit_of_zero_or_below_is_refused",
    ),
    Mutant(
        "a refusal does not slow down",
        "api/budget.py",
        "queue.rate * CUT",
        "queue.rate",
        f"{BUDGET}::test_a_refusal_slows_down_also_those_who_wait_already",
    ),
    Mutant(
        "faster than the limit after a refusal",
        "api/budget.py",
        "queue.rate = min(self._per_second, queue.rate + GAIN)",
        "queue.rate = 2 * queue.rate + GAIN",
        f"{BUDGET}::test_it_speeds_up_again_with_what_is_sent_and_not_beyond_the_limit",
    ),
    Mutant(
        "waiting takes what buying needs",
        "api/budget.py",
        "per_second * WAITING_SHARE",
        "per_second",
        f"{BUDGET}::test_who_waits_leaves_half_to_those_who_buy",
    ),
    Mutant(
        "accounts share a limit",
        "api/budget.py",
        'hashlib.sha256(f"{server_name(endpoint)} {secret_id}".encode())',
        'hashlib.sha256(b"")',
        f"{BUDGET}::test_two_accounts_and_two_actions_do_not_wait_for_each_other",
    ),
    Mutant(
        "a slower connection holds up everybody",
        "api/budget.py",
        "if per_second != SENT_PER_SECOND:",
        "if False:",
        f"{BUDGET}::test_a_slower_connection_holds_up_nobody_else",
    ),
    Mutant(
        "slower connections beside the common limit",
        "api/budget.py",
        "in sorted({self._per_second, max(self._per_second, SENT_PER_SECOND)})",
        "in [self._per_second]",
        f"{BUDGET}::test_slower_connections_together_stay_at_the_common_limit",
    ),
    Mutant(
        "a ticket of a queue that was given up waits again",
        "api/budget.py",
        "if ticket > queue.drawn + ALMOST:",
        "if False:",
        f"{BUDGET}::test_a_ticket_of_a_queue_that_was_begun_anew_goes_and_counts",
    ),
    Mutant(
        "notes of before the machine was started believed",
        "api/budget.py",
        "if not queue.rate or queue.seen_at > now:",
        "if not queue.rate:",
        f"{BUDGET}::test_notes_of_before_the_machine_was_started_are_begun_anew",
    ),
    Mutant(
        "work between an answer and its reader",
        "api/client.py",
        "return self._wire.send(action, body, send_by)",
        "return (self._wire.send(action, body, send_by), self._budget.note(action.name, refused=True))[0]",
        f"{NOTES}::test_nothing_stands_between_an_answer_and_its_reader",
    ),
    Mutant(
        "each process with a limit of its own",
        "api/notes.py",
        'path = f"{folder}/{name}"',
        'path = f"{folder}/{name}.{os.getpid()}"',
        f"{BUDGET}::test_all_processes_of_a_machine_share_one_limit",
    ),
    Mutant(
        "the folder of somebody else used",
        "api/notes.py",
        "if not stat.S_ISDIR(about.st_mode) or about.st_uid != user:",
        "if False:",
        f"{NOTES}::test_what_is_not_of_this_user_alone_is_not_written",
    ),
    Mutant(
        "a link in place of the notes followed",
        "api/notes.py",
        "os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK",
        "os.O_CLOEXEC | os.O_NONBLOCK",
        f"{NOTES}::test_what_is_not_of_this_user_alone_is_not_written",
    ),
    Mutant(
        "a file with a second name overwritten",
        "api/notes.py",
        " or about.st_nlink > 1",
        "",
        f"{NOTES}::test_what_is_not_of_this_user_alone_is_not_written",
    ),
    Mutant(
        "damaged notes believed",
        "api/notes.py",
        "is_whole = len(noted) == SIZE and",
        "is_whole = len(noted) == SIZE or",
        f"{NOTES}::test_damaged_notes_are_begun_anew",
    ),
    Mutant(
        "an error of the notes stops a purchase",
        "api/notes.py",
        "except Exception as error:  # A courtesy",
        "except BlockingIOError as error:  # A courtesy",
        f"{NOTES}::test_a_purchase_is_returned_whatever_becomes_of_the_notes_meanwhile",
    ),
    Mutant(
        "a forked process keeps the lock",
        "api/notes.py",
        "fcntl.flock(file, fcntl.LOCK_UN)",
        "pass",
        f"{SHARED}::test_a_process_that_was_forked_meanwhile_keeps_no_lock",
    ),
    Mutant(
        "a holder that stands still waited for",
        "api/notes.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_EX",
        f"{SHARED}::test_a_holder_that_stands_still_leaves_a_purchase_the_time_that_it_needs",
    ),
    Mutant(
        "the whole time of a purchase spent on waiting for others",
        "api/notes.py",
        "min(PATIENCE, within / 2)",
        "min(PATIENCE, within)",
        f"{SHARED}::test_a_holder_that_stands_still_leaves_a_purchase_the_time_that_it_needs",
    ),
    Mutant(
        "the file of a holder that stands still kept",
        "api/notes.py",
        "if patience >= PATIENCE and len(seen) == 1:",
        "if False:",
        f"{SHARED}::test_a_holder_that_stands_still_holds_up_nobody_and_ends_the_sharing_for_a_moment_only",
    ),
    Mutant(
        "the file of a crowd given up",
        "api/notes.py",
        "if patience >= PATIENCE and len(seen) == 1:",
        "if patience >= PATIENCE:",
        f"{SHARED}::test_a_crowd_in_the_file_is_not_taken_for_a_holder_that_stands_still",
    ),
    Mutant(
        "a file system that hangs waited for",
        "api/notes.py",
        "if began_at < self._trusted_until:",
        "if True:",
        f"{SHARED}::test_a_file_system_that_hangs_holds_up_nobody",
    ),
    Mutant(
        "never shared again after trouble",
        "api/notes.py",
        "time.monotonic() + PRIVATE_SECONDS",
        "math.inf",
        f"{NOTES}::test_the_processes_share_again_once_the_trouble_is_over",
    ),
)
