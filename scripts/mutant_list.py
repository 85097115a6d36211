"""Each guard of a purchase, the line that holds it, how it is broken, and the test that must see it."""

from __future__ import annotations

from dataclasses import dataclass

PURCHASE, OPERATOR = "tests/api/test_purchase.py", "tests/airflow/test_operator.py"
SETTLING, CLI = "tests/airflow/test_settling.py", "tests/airflow/test_cli.py"


@dataclass(frozen=True)
class Mutant:
    """One broken guard: the file in the package, the line, what it becomes, and the test that must fail."""

    about: str
    path: str
    line: str
    broken: str
    test: str


MUTANTS = (
    Mutant(
        "random token",
        "api/purchase.py",
        "first = uuid.uuid5(_NAMESPACE, purchase_key)",
        "first = uuid.uuid4()",
        f"{PURCHASE}::test_the_token_of_a_key_never_changes",
    ),
    Mutant(
        "no intent",
        "api/memory.py",
        "return self._try(lambda: self._store.create(intent.key, intent.as_json()))",
        "return True",
        f"{PURCHASE}::test_the_intent_is_stored_before_the_first_byte_is_sent",
    ),
    Mutant(
        "no wait for a copy that begins after a refusal",
        "api/memory.py",
        "return self.is_still_owned_by(intent.owner)",
        "return True",
        f"{PURCHASE}::test_of_two_copies_that_begin_after_a_refusal_the_last_to_write_sends",
    ),
    Mutant(
        "no exclusive creation",
        "api/memory.py",
        "return self._try(lambda: self._store.create(intent.key, intent.as_json()))",
        "return self.write(intent) is None",
        f"{PURCHASE}::test_of_two_copies_that_begin_at_the_same_moment_one_sends",
    ),
    Mutant(
        "no fingerprint",
        "api/memory.py",
        "if differences and record.state is not State.DECLINED:",
        "if False:",
        f"{PURCHASE}::test_what_was_edited_is_not_bought",
    ),
    Mutant(
        "hidden part of the fingerprint",
        "api/memory.py",
        "if record.fingerprint != asked.fingerprint and not differences:",
        "if False:",
        f"{PURCHASE}::test_an_edited_secret_is_noticed_without_being_told",
    ),
    Mutant(
        "reconcile skipped",
        "api/purchase.py",
        "found = self._spending.look(record.first_sent_at, max(record.sending_until, self._last_sent))",
        "found = []",
        f"{PURCHASE}::test_a_lost_answer_buys_once",
    ),
    Mutant(
        "status filter missing",
        "api/client.py",
        "status_set=[int(status) for status in statuses],",
        "status_set=None,",
        f"{PURCHASE}::test_an_order_that_has_died_is_adopted_and_not_bought_again",
    ),
    Mutant(
        "rotation after unknown",
        "api/purchase.py",
        "            if error.ambiguous:\n",
        "            if False:\n",
        f"{PURCHASE}::test_a_lost_answer_buys_once",
    ),
    Mutant(
        "rotation after nothing was sent",
        "api/purchase.py",
        "was_refused=isinstance(error, ApiError) and not error.transient",
        "was_refused=True",
        f"{PURCHASE}::test_what_never_reached_the_server_keeps_its_token",
    ),
    Mutant(
        "no rotation after a refusal",
        "api/memory.py",
        "generation = record.generation + was_refused",
        "generation = record.generation",
        f"{PURCHASE}::test_a_refusal_changes_the_token_and_the_next_try_buys",
    ),
    Mutant(
        "no lag",
        "api/purchase.py",
        "return sent + self._rules.lag",
        "return sent",
        f"{PURCHASE}::test_an_order_that_is_listed_late_is_waited_for",
    ),
    Mutant(
        "the lease of a dead try ignored",
        "api/purchase.py",
        "sent = self._last_sent if record.owner == self._owner else record.sending_until",
        "sent = self._last_sent",
        f"{PURCHASE}::test_the_next_try_waits_until_the_request_of_the_dead_one_can_no_longer_be_under_way",
    ),
    Mutant(
        "the first of several taken",
        "api/purchase.py",
        "if len(found) == 1 and not rivals:",
        "if found and not rivals:",
        f"{PURCHASE}::test_two_orders_that_fit_stop_it_and_are_named",
    ),
    Mutant(
        "rivals ignored",
        "api/purchase.py",
        "if len(found) == 1 and not rivals:",
        "if len(found) == 1:",
        f"{PURCHASE}::test_an_order_that_may_be_the_twins_is_not_taken_while_the_twin_knows_none",
    ),
    Mutant(
        "orders of others taken",
        "api/purchase.py",
        "found = [candidate for candidate in found if not candidate.order_ids & owned]",
        "found = list(found)",
        f"{PURCHASE}::test_a_purchase_that_was_not_carried_out_does_not_take_the_order_of_its_twin",
    ),
    Mutant(
        "records of another endpoint counted",
        "api/memory.py",
        "if other.endpoint != record.endpoint:",
        "if False:",
        f"{PURCHASE}::test_the_records_of_another_endpoint_say_nothing_about_the_orders_of_this_one",
    ),
    Mutant(
        "unreadable records of others passed over",
        "api/memory.py",
        "rivals.append(str(error))",
        "pass",
        f"{PURCHASE}::test_a_record_of_others_that_cannot_be_read_is_a_rival",
    ),
    Mutant(
        "orders of another day taken",
        "api/orderbook.py",
        'return is_like and deal.action in ("", "purchase") and _is_within(deal.created_at, span)',
        'return is_like and deal.action in ("", "purchase")',
        f"{PURCHASE}::test_an_identical_order_of_another_time_is_not_taken",
    ),
    Mutant(
        "orders of something else taken",
        "api/orderbook.py",
        'return is_like and deal.action in ("", "purchase") and _is_within(deal.created_at, span)',
        "return _is_within(deal.created_at, span)",
        f"{PURCHASE}::test_an_order_of_something_else_is_not_taken",
    ),
    Mutant(
        "one zone only",
        "api/client.py",
        'SERVER_ZONES = ("Asia/Shanghai", "UTC")',
        'SERVER_ZONES = ("Asia/Shanghai",)',
        f"{PURCHASE}::test_the_zone_of_the_order_book_does_not_matter",
    ),
    Mutant(
        "first page only",
        "api/orderbook.py",
        "if len(deals) < DEALS_PER_PAGE:",
        "if True:",
        f"{PURCHASE}::test_an_order_on_the_second_page_is_found",
    ),
    Mutant(
        "no window",
        "api/purchase.py",
        "if self._clock() >= record.replay_until:",
        "if False:",
        f"{PURCHASE}::test_a_try_after_the_window_that_finds_nothing_stops_unless_the_token_is_trusted",
    ),
    Mutant(
        "an unknown code sent again",
        "api/purchase.py",
        '        if not error.transient:\n            return Next.STOP, f"no order fits, an earlier',
        '        if False:\n            return Next.STOP, f"no order fits, an earlier',
        f"{PURCHASE}::test_a_code_that_may_mean_anything_is_not_sent_again",
    ),
    Mutant(
        "paid but not delivered sent again",
        "api/purchase.py",
        "if not isinstance(error, PaidButNotDelivered):",
        "if True:",
        f"{PURCHASE}::test_paid_but_not_delivered_is_never_sent_again",
    ),
    Mutant(
        "taken over without waiting",
        "api/memory.py",
        "return record is None or record.owner == owner",
        "return True",
        f"{PURCHASE}::test_a_purchase_that_another_process_takes_over_is_not_sent_by_this_one",
    ),
    Mutant(
        "renewed without asking who owns it",
        "api/purchase.py",
        "if not self._memory.is_still_owned_by(self._owner):",
        "if record.owner != self._owner and not self._memory.is_still_owned_by(self._owner):",
        f"{PURCHASE}::test_a_process_whose_purchase_is_taken_over_while_it_renews_does_not_send",
    ),
    Mutant(
        "the order not recorded",
        "api/purchase.py",
        "return self._memory.keep(intent, order)",
        "return order",
        f"{PURCHASE}::test_a_purchase_costs_one_record_before_the_request_and_one_after",
    ),
    Mutant(
        "a store that fails after the purchase passed over",
        "api/memory.py",
        "raise OrderNotRecorded(order.order_id, self.where) from failed",
        "break",
        f"{PURCHASE}::test_a_store_that_fails_after_the_purchase_leaves_the_order_and_its_record_in_the_log",
    ),
    Mutant(
        "the client repeats in doubt",
        "api/client.py",
        "return error.transient and not (error.ambiguous and action.moves_money)",
        "return error.transient",
        "tests/api/test_client.py::test_what_may_have_been_carried_out_is_not_sent_again",
    ),
    Mutant(
        "sent after its time",
        "api/client.py",
        "                if self._clock() > send_by:\n",
        "                if False:\n",
        "tests/api/test_client.py::test_nothing_is_sent_after_its_time",
    ),
    Mutant(
        "twins without a shared store taken",
        "operators/instance.py",
        "has_twins=may_have_twins(self, ti, CreateInstanceOperator),",
        "has_twins=False,",
        f"{OPERATOR}::test_a_mapped_task_without_a_ledger_does_not_take_what_may_be_its_siblings",
    ),
    Mutant(
        "other tasks of the Dag are no twins",
        "runs.py",
        "return is_mapped(ti) or any(",
        "return is_mapped(ti) or False and any(",
        f"{OPERATOR}::test_without_a_ledger_a_task_does_not_take_what_may_be_of_another_of_its_dag",
    ),
    Mutant(
        "a later try without a record does not look",
        "operators/instance.py",
        "presumed_since=since_when(context) if ti.try_number > 1 else None,",
        "presumed_since=None,",
        f"{OPERATOR}::test_a_later_try_without_a_record_looks_before_it_sends",
    ),
    Mutant(
        "a backfill spends",
        "runs.py",
        'if not allow_backfill and str(getattr(run.run_type, "value", run.run_type)) == "backfill":',
        "if False:",
        f"{OPERATOR}::test_a_backfill_buys_nothing_unless_it_is_allowed",
    ),
    Mutant(
        "a late run spends",
        "runs.py",
        "if lateness > max_lateness:",
        "if False:",
        f"{OPERATOR}::test_a_late_run_buys_nothing",
    ),
    Mutant(
        "settled as not bought although an order fits",
        "settling.py",
        "if look.finding not in NOTHING_FITS:",
        "if False:",
        f"{SETTLING}::test_a_decision_that_may_be_wrong_is_refused",
    ),
    Mutant(
        "settled as not bought while a request is under way",
        "doctor.py",
        "if time.time() < (quiet := purchase.quiet_from(record)) and record.state is not State.DECLINED:",
        "if time.time() < (quiet := 0.0):",
        f"{SETTLING}::test_a_decision_that_may_be_wrong_is_refused",
    ),
    Mutant(
        "settled as not bought with a new token",
        "settling.py",
        "declined = replace(was, state=State.DECLINED,",
        "declined = replace(was, generation=1, state=State.DECLINED,",
        f"{SETTLING}::test_a_person_can_say_that_nothing_was_bought_and_the_token_stays",
    ),
    Mutant(
        "an order given to two purchases",
        "settling.py",
        "if owned & numbers:",
        "if False:",
        f"{SETTLING}::test_an_order_that_another_record_owns_is_refused_by_either_number",
    ),
    Mutant(
        "an order of something else settled",
        "settling.py",
        "elif not any(order.order_ids & candidate.order_ids for candidate in found):",
        "elif False:",
        f"{SETTLING}::test_a_decision_that_may_be_wrong_is_refused",
    ),
    Mutant(
        "settled at another endpoint",
        "settling.py",
        "if record.endpoint != self.settings.endpoint:",
        "if False:",
        f"{SETTLING}::test_a_decision_that_may_be_wrong_is_refused",
    ),
    Mutant(
        "a record that changed overwritten",
        "settling.py",
        "if read(case.named, case.store, record.key).record != case.record:",
        "if False:",
        f"{SETTLING}::test_a_record_that_changes_meanwhile_is_not_overwritten",
    ),
    Mutant(
        "a decision lost without a word",
        "settling.py",
        "if not memory.is_still_owned_by(mine.owner):",
        "if False:",
        f"{SETTLING}::test_a_task_that_writes_at_the_same_moment_is_told",
    ),
    Mutant(
        "a declined record restored",
        "settling.py",
        "if record.state is State.DECLINED:",
        "if False:",
        f"{SETTLING}::test_what_would_lose_an_order_is_not_restored",
    ),
    Mutant(
        "a record restored over another order",
        "settling.py",
        "if was and (was.client_token,",
        "if False and (was.client_token,",
        f"{SETTLING}::test_what_would_lose_an_order_is_not_restored",
    ),
    Mutant(
        "a newer record overwritten",
        "settling.py",
        "if self.case.is_newer:",
        "if False:",
        f"{CLI}::test_a_newer_record_asks_for_an_update_and_is_never_overwritten",
    ),
    Mutant(
        "a ledger that is not mounted taken for an empty one",
        "cases.py",
        "next(store.all(), None)",
        "pass",
        f"{CLI}::test_a_ledger_that_is_not_mounted_is_not_an_empty_one",
    ),
)
