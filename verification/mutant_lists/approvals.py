"""Guards of an approval: it counts for one payload at one price, from a user who may give it, for its time."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

APPROVAL, PLAN = "tests/purchasing/test_approval.py", "tests/purchasing/test_approval_plan.py"
TEXT, TASK = "tests/purchasing/test_approval_text.py", "tests/operators/test_approval.py"
BATCH, DIALECTS, COMMAND = (
    "tests/operators/test_approve_spending.py",
    "tests/operators/test_approval_dialects.py",
    "tests/cli/test_approve.py",
)
ANSWER = f"{TASK}::test_an_answer_that_does_not_approve_it_buys_nothing"
NOBODY = f"{APPROVAL}::test_nobody_is_no_approver"
EDITED = f"{PLAN}::test_no_edit_of_a_plan_approves_anything_else"
REQUESTER = f"{APPROVAL}::test_a_requester_approves_nothing_of_their_own"
OTHER = f"{APPROVAL}::test_an_approval_of_anything_else_is_refused"

APPROVALS = (
    Mutant("a code of every account", "code_of", "account, server_name(endpoint)", "server_name(endpoint)", OTHER),
    Mutant("a code of every server", "code_of", "server_name(endpoint), ", "", OTHER),
    Mutant("a code of every purchase", "code_of", "key, generation", "generation", OTHER),
    Mutant("a code of every generation", "code_of", "key, generation", "key", OTHER),
    Mutant("a code of every payload", "code_of", "fingerprint, max_cents, currency]", "max_cents, currency]", OTHER),
    Mutant("a code of every price", "code_of", "max_cents, currency])", "currency])", OTHER),
    Mutant("a code of every currency", "code_of", "max_cents, currency])", "max_cents])", OTHER),
    Mutant(
        "the code of a question trusted",
        "_other_purchase",
        "question.own_code",
        "question.code",
        f"{APPROVAL}::test_a_question_with_the_code_of_another_one_is_refused",
    ),
    Mutant(
        "a secret that is edited after the approval",
        "payload_fingerprint",
        "if action.secrets and action.has_lasting_seal",
        "if False",
        f"{APPROVAL}::test_an_edit_of_a_secret_counts_unless_the_key_is_temporary",
    ),
    Mutant(
        "an approval that no key of the next hour finds",
        "payload_fingerprint",
        " and action.has_lasting_seal",
        "",
        f"{APPROVAL}::test_an_edit_of_a_secret_counts_unless_the_key_is_temporary",
    ),
    Mutant(
        "another request shown than the code binds",
        "Question.is_as_shown",
        " and shown == fingerprint_of_shown(self.action, self.payload_shown)",
        "",
        f"{APPROVAL}::test_a_question_that_shows_another_request_than_its_code_binds_is_noticed",
    ),
    Mutant(
        "an expired approval",
        "_other_time",
        "now < approval.valid_until and ",
        "",
        f"{APPROVAL}::test_longer_rules_do_not_prolong_an_earlier_approval",
    ),
    Mutant(
        "an approval older than the rules of today allow",
        "_other_time",
        " and now < approval.approved_at + question.rules.valid_for",
        "",
        f"{APPROVAL}::test_stricter_rules_count_for_earlier_approvals_too",
    ),
    Mutant(
        "an approval from the future",
        "_other_time",
        "if not approval.approved_at <= now + CLOCK_MARGIN",
        "if False",
        f"{APPROVAL}::test_an_approval_from_the_future_is_refused",
    ),
    Mutant("an approval of nobody", "refusal_of_user", "if not is_named(name):", "if False:", NOBODY),
    Mutant(
        "an approval of a user who is no approver",
        "refusal_of_user",
        "if rules.approvers and name not in rules.approvers:",
        "if False:",
        f"{APPROVAL}::test_only_an_approver_approves",
    ),
    Mutant(
        "a requester who is not known",
        "refusal_of_user",
        " and requester == UNKNOWN_REQUESTER",
        " and False",
        REQUESTER,
    ),
    Mutant(
        "a requester who approves",
        "refusal_of_user",
        "if rules.not_by_requester and _folded(name) == _folded(requester):",
        "if False:",
        REQUESTER,
    ),
    Mutant("a plan that was edited", "questions_in", "if not _is_whole(plan):", "if False:", EDITED),
    Mutant(
        "a plan whose codes are believed",
        "_question_in",
        "is_as_shown = question.is_as_shown",
        "is_as_shown = True",
        EDITED,
    ),
    Mutant(
        "a purchase twice in one plan",
        "_mistakes_together",
        "if count > 1:",
        "if False:",
        f"{PLAN}::test_a_plan_that_cannot_be_approved_says_why",
    ),
    Mutant(
        "a plan of another account",
        "refuse_another_place",
        "if first.account not in accounts:",
        "if False:",
        f"{COMMAND}::test_a_plan_of_another_account_or_server_approves_nothing",
    ),
    Mutant(
        "a plan of another server",
        "refuse_another_place",
        "if server_name(first.endpoint) != server_name(endpoint):",
        "if False:",
        f"{BATCH}::test_a_plan_of_another_server_is_shown_to_nobody",
    ),
    Mutant(
        "a total that is not typed",
        "_confirm",
        'if typed not in (written.casefold(), written.split(" ")[0]):',
        "if not typed:",
        f"{COMMAND}::test_anything_else_than_the_total_approves_nothing",
    ),
    Mutant(
        "a total that a script guesses",
        "_confirm",
        "if yes_total != total:",
        "if False:",
        f"{COMMAND}::test_a_script_names_the_total_in_cents",
    ),
    Mutant("an answer of a time-out", "Answer.refuse_unless_it_approves", "if self.trouble:", "if False:", ANSWER),
    Mutant(
        "a refusal that is none",
        "place_approved",
        "    answer.refuse_unless_it_approves()\n",
        "",
        f"{TASK}::test_a_refusal_counts_also_if_no_approval_is_needed_any_more_or_there_is_one",
    ),
    Mutant(
        "any option taken for the approving one",
        "remember",
        "if list(answer.chosen) != [prompt.approve]:",
        "if False:",
        f"{TASK}::test_an_edit_after_the_question_buys_nothing_and_says_how_to_approve_it",
    ),
    Mutant(
        "an answer that is dated to the moment of the resumption",
        "remember",
        "min(answer.at, now)",
        "now",
        f"{TASK}::test_a_cleared_task_whose_approval_has_expired_asks_again",
    ),
    Mutant(
        "an answer of a user who may not",
        "remember",
        "if why := refusal_of(approval, question, now):",
        'if why := "":',
        f"{TASK}::test_only_approvers_approve",
    ),
    Mutant(
        "a question of before that a user sees",
        "ask",
        "if kept != prompt.options:",
        "if False:",
        f"{TASK}::test_a_question_that_airflow_keeps_from_before_is_shown_to_nobody",
    ),
    Mutant(
        "a default that buys",
        "kept_options",
        "if list(kept.defaults or ()) != [prompt.refuse] or kept.multiple:",
        "if False:",
        f"{DIALECTS}::test_another_question_that_is_kept_is_noticed",
    ),
    Mutant(
        "a table that a name breaks",
        "approval_text:_cell",
        "in_markdown(text, limit)",
        "str(text)",
        f"{TEXT}::test_no_text_of_a_user_or_a_server_is_markup_a_link_or_a_template",
    ),
)
