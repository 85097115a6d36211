"""The guards of renewals and refunds alone: what is seen of the instance, and what a person has said."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

RENEWAL_NOT_MADE = "tests/purchasing/test_renewal_not_made.py"

RENEWAL, REFUND = "tests/purchasing/test_renewal.py", "tests/purchasing/test_refund.py"
RENEW_TASK, REFUND_TASK = "tests/operators/test_renewal.py", "tests/operators/test_refund.py"

SUBSCRIPTIONS = (
    Mutant(
        "what was seen before a renewal not recorded",
        "Intents.first",
        "            before=before or {},\n",
        "            before={},\n",
        f"{RENEWAL}::test_a_renewal_is_paid_once_and_what_was_seen_before_is_recorded_before_it_is_sent",
    ),
    Mutant(
        "a moved expiry sent again",
        "Renewal._bar",
        "if was and instance.expire_time != was:",
        "if False:",
        f"{RENEWAL}::test_an_expiry_that_moved_without_an_order_stops_it_and_nothing_more_is_ever_sent",
    ),
    Mutant(
        "a moved expiry sent again where the token is trusted",
        "_step",
        "may_send = row.override is Override.YES",
        "may_send = row.override is not None",
        f"{RENEWAL}::test_an_expiry_that_moved_without_an_order_stops_it_and_nothing_more_is_ever_sent",
    ),
    Mutant(
        "a renewal of a gone instance sent again",
        "Renewal._bar",
        'return f"{self._id} is not listed any more, so nothing shows whether it was renewed"',
        'return ""',
        f"{RENEWAL}::test_an_instance_that_is_gone_stops_it",
    ),
    Mutant(
        "a nameless renewal passed over",
        "instance",
        "one.strip() for one in shown):\n            return None",
        "one.strip() for one in shown):\n            return False",
        f"{RENEWAL}::test_a_renewal_that_does_not_name_its_instance_stops_it",
    ),
    Mutant(
        "the renewal of another instance taken",
        "Renewal.__init__",
        "self._renews_it = (match.action(DealAction.RENEW), match.instance(self._id))",
        "self._renews_it = (match.action(DealAction.RENEW),)",
        f"{RENEWAL}::test_the_renewal_of_another_instance_is_not_taken",
    ),
    Mutant(
        "a renewal of before taken",
        "Renewal.evidence",
        'found = search(self.client, since, until, self._compared, before.get("orders", ()))',
        "found = search(self.client, since, until, self._compared)",
        f"{RENEWAL}::test_a_renewal_of_before_is_not_taken_for_this_one",
    ),
    Mutant(
        "renewed again by a task that was edited",
        "Renewal.evidence",
        "if others.matching:",
        "if False:",
        f"{RENEWAL}::test_a_task_that_was_edited_and_has_no_record_does_not_renew_again",
    ),
    Mutant(
        "what does not expire soon renewed",
        "Renewal._reasons_to_leave",
        "if terms.within is not None and earliest(expiry) > self._now() + terms.within:",
        "if False:",
        f"{RENEWAL_NOT_MADE}::test_a_daily_run_renews_once_a_month",
    ),
    Mutant(
        "renewed for an expiry that it no longer has",
        "Renewal._reasons_to_leave",
        "if terms.expire_time and terms.expire_time != expiry:",
        "if False:",
        f"{RENEW_TASK}::test_without_a_ledger_the_second_run_sees_that_the_expiry_has_moved",
    ),
    Mutant(
        "what is being renewed renewed again",
        "Renewal._reasons_to_leave",
        "if ORDER_ENDS[self.action.name].is_open(deal):",
        "if False:",
        f"{RENEWAL_NOT_MADE}::test_one_that_is_being_renewed_is_left_alone",
    ),
    Mutant(
        "what renews itself renewed as well",
        "Renewal._reasons_to_leave",
        'if _will_renew_itself(instance) and terms.on_auto_renew == "skip":',
        "if False:",
        f"{RENEWAL_NOT_MADE}::test_what_needs_no_renewal_is_left_alone",
    ),
    Mutant(
        "one of unknown flag renewed",
        "Renewal._obstacles",
        'if instance.renews_by_itself is None and terms.on_auto_renew != "renew":',
        "if False:",
        f"{RENEWAL_NOT_MADE}::test_what_cannot_be_renewed_fails_and_nothing_is_sent",
    ),
    Mutant(
        "one without expiry renewed",
        "Renewal._obstacles",
        'if earliest(instance.expire_time) == float("inf"):',
        "if False:",
        f"{RENEWAL_NOT_MADE}::test_what_cannot_be_renewed_fails_and_nothing_is_sent",
    ),
    Mutant(
        "a paid renewal that failed paid again",
        "Renewal._obstacles",
        "if deal.status == DealStatus.DELIVERY_FAILED and deal.created_at >= done:",
        "if False:",
        f"{RENEWAL_NOT_MADE}::test_one_whose_paid_renewal_failed_is_for_a_person",
    ),
    Mutant(
        "each run a renewal of its own",
        "RenewInstanceOperator.own_key",
        '        if expire_time := self.value_of("expire_time"):\n',
        "        if False:\n",
        f"{RENEW_TASK}::test_two_runs_that_decided_on_the_same_expiry_renew_once",
    ),
    Mutant(
        "refunded without a yes",
        "confirmed",
        "    if not is_true(value):\n",
        "    if False:\n",
        f"{REFUND_TASK}::test_without_a_yes_nothing_is_read_or_sent",
    ),
    Mutant(
        "refunded in a dry run",
        "SpendingOperator.only_plans",
        ' or ("dry_run" in self.checks and self.value_of("dry_run"))',
        "",
        f"{REFUND_TASK}::test_the_plan_sends_nothing_confirmed_or_not",
    ),
    Mutant(
        "each run a refund of its own",
        "RefundInstanceOperator.own_key",
        'return json.dumps(["refund", fields["instance_id"]])',
        'return json.dumps(["refund", fields["instance_id"], context["ti"].run_id])',
        f"{REFUND_TASK}::test_a_lost_answer_and_another_run_give_back_once",
    ),
    Mutant(
        "what is given back given back again",
        "Refund._obstacles",
        "if verdict is match.Match.OF_ANOTHER or deal.status in ORDER_ENDS[self.action.name].endings:",
        "if True:",
        f"{REFUND}::test_what_was_given_back_is_not_given_back_again",
    ),
    Mutant(
        "a refund of what is gone sent again",
        "Refund._bar",
        "if was not in (None, is_):",
        "if False:",
        f"{REFUND}::test_an_instance_that_is_gone_without_an_order_stops_it_and_nothing_more_is_ever_sent",
    ),
    Mutant(
        "a nameless refund passed over",
        "instance",
        "one.strip() for one in shown):\n            return None",
        "one.strip() for one in shown):\n            return False",
        f"{REFUND}::test_a_refund_that_does_not_name_its_instance_stops_it",
    ),
    Mutant(
        "several instances in one refund",
        "_INSTANCE_ID",
        'pattern=(r"[^\\s,;]+", "the id of exactly one instance"),',
        "pattern=None,",
        f"{REFUND}::test_only_one_instance_can_be_named",
    ),
    Mutant(
        "a refunded refund taken for a failure",
        "ORDER_ENDS",
        "OrderEnd(DealStatus.REFUNDED, endings=_REFUND_ENDINGS, action=DealAction.REFUND)",
        "OrderEnd(action=DealAction.REFUND)",
        f"{REFUND}::test_refunded_is_success_here",
    ),
)
