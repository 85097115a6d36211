"""The guards of a lease, of what the server said once, of a second order, of clocks and of accounts."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

STANDSTILL, FINALITY, SKEW = (
    "tests/purchasing/test_standstill.py",
    "tests/purchasing/test_finality.py",
    "tests/purchasing/test_skew.py",
)
SETTLING, EXPLAIN = "tests/cli/test_settle.py", "tests/cli/test_explain.py"
SAID = f"{FINALITY}::test_what_the_server_said_is_never_sent_again"
EXPLAINED = f"{EXPLAIN}::test_each_state_and_finding_has_its_next_step"

FENCES = (
    Mutant(
        "a trusted token sent for ever where the order book is refused",
        "Purchase._decided",
        "if step is Next.SEND and self._error:",
        "if step is Next.SEND and self._error and finding is not Finding.UNREADABLE:",
        "tests/purchasing/test_endings.py"
        "::test_a_repeat_that_is_refused_for_good_stops_a_trusted_token_where_the_order_book_is_refused",
    ),
    Mutant(
        "a comparison believed where nothing was compared",
        "Ownership.claim",
        "is_sure = self._store.creates_exclusively if text is None else self._store.replaces_conditionally",
        "is_sure = self._store.replaces_conditionally",
        "tests/purchasing/test_endings.py"
        "::test_of_two_first_requests_one_is_sent_where_a_store_compares_and_lets_both_create",
    ),
    Mutant(
        "a store whose comparison never agrees is tried for ever",
        "Ownership.claim",
        "if text is not None and self._store.text(mine.key) == text:",
        "if False:",
        "tests/purchasing/test_endings.py::test_a_store_whose_comparison_never_agrees_fails_and_does_not_spin",
    ),
    Mutant(
        "nothing was bought, said of an order of another process",
        "Purchase.place",
        "self.is_in_doubt, self.order_id = True, str(record.order_id)",
        "pass",
        "tests/purchasing/test_endings.py"
        "::test_an_order_that_another_process_has_placed_meanwhile_is_not_called_unbought",
    ),
    Mutant(
        "a decision put over a claim that was made meanwhile",
        "Settlement._write",
        "if not is_same or not ownership.put(mine, text):",
        "if not is_same or ownership.write(mine):",
        "tests/cli/test_settle.py::test_a_decision_is_refused_where_the_store_says_that_the_record_has_changed",
    ),
    Mutant(
        "a doubt that outlasts the proof that nothing was bought",
        "Purchase._begin",
        "self._give_up, self._error, self.is_in_doubt = None, None, False",
        "self._give_up, self._error = None, None",
        "tests/purchasing/test_purchase.py"
        "::test_a_run_that_may_not_buy_is_in_no_doubt_after_another_process_was_refused",
    ),
    Mutant(
        "a store that does not compare is believed to",
        "Ownership.claim",
        "if is_sure:",
        "if True:",
        "tests/purchasing/test_two_copies.py::test_of_two_copies_that_begin_after_a_refusal_the_last_to_write_sends",
    ),
    Mutant(
        "a comparison that failed is passed over",
        "Ownership.claim",
        "if not self.put(mine, text, reservation):",
        "if self.put(mine, text) and False:",
        "tests/ledger/test_stores.py::test_of_two_processes_that_take_over_at_once_a_store_that_compares_lets_one_send",
    ),
    Mutant(
        "the payload is computed for each request",
        "Purchase._send",
        "action.client.place(action.action, action.payload,",
        "action.client.place(action.action, action.action.payload_without_token(action.action.named(action.payload)),",
        "tests/purchasing/test_path.py::test_a_payload_is_computed_once_however_often_it_is_sent",
    ),
    Mutant(
        "a process that stood still sends",
        "Ownership.claim",
        "if self._clock() - began > self._store.pause_seconds:",
        "if False:",
        f"{STANDSTILL}::test_a_process_that_stood_still_before_its_first_write_gives_the_purchase_up",
    ),
    Mutant(
        "a record that is given up covers only what it covered",
        "Ownership._given_up",
        "until = self._clock() + mine.sending_until - mine.changed_at",
        "until = mine.sending_until",
        f"{STANDSTILL}::test_a_process_that_stood_still_before_its_first_write_gives_the_purchase_up",
    ),
    Mutant(
        "a late refusal is put over what another process wrote",
        "Ownership.replace_own",
        "if not is_ours or not self._store.replace(new.key, new.as_json(), text):",
        "if not self._store.replace(new.key, new.as_json()):",
        f"{STANDSTILL}::test_a_refusal_that_is_noted_late_is_not_put_over_the_order_of_the_next_try",
    ),
    Mutant(
        "an old intent is put over what another process wrote",
        "Ownership.replace_own",
        "if self._clock() > mine.sending_until and self.refresh(new).owner == mine.owner:",
        "if self._clock() > mine.sending_until:",
        f"{STANDSTILL}::test_a_refusal_that_is_noted_late_is_not_put_over_the_order_of_the_next_try",
    ),
    Mutant(
        "a process that stood still stops by what it saw before",
        "Purchase._stop_or_go_on",
        "if (current.owner, current.state) == (record.owner, record.state):",
        "if True:",
        f"{STANDSTILL}::test_a_process_that_stood_still_over_its_look_does_not_stop_where_another_one_has_bought",
    ),
    Mutant(
        "a second order takes the place of the first",
        "Ownership._ordered",
        "if self._clock() > record.sending_until:\n            with",
        "if False:\n            with",
        f"{STANDSTILL}::test_what_remains_is_told",
    ),
    Mutant(
        "headers that have left let the body follow at any time",
        "Exchange.begin",
        "        if self._clock() > self._send_by or now > self._begin_at:\n",
        "        if not self.has_begun and (self._clock() > self._send_by or now > self._begin_at):\n",
        "tests/api/test_deadline.py"
        "::test_a_body_whose_headers_have_left_in_time_is_held_back_after_it_and_is_not_called_unsent",
    ),
    Mutant(
        "what was paid is no state",
        "Purchase._failed",
        "if isinstance(error, PaidButNotDelivered):",
        "if False:",
        SAID,
    ),
    Mutant(
        "what was paid is sent again",
        "Situation.facts",
        '"state": state if state.is_final else State.INTENDED,',
        '"state": State.INTENDED,',
        SAID,
    ),
    Mutant(
        "a refused repeat is no state",
        "Purchase._failed",
        "if attempt is Attempt.REPEAT and was_refused and not isinstance(error, AuthError):",
        "if False:",
        SAID,
    ),
    Mutant(
        "an older record forgets that it was paid",
        "Record.from_json",
        'if state is State.INTENDED and fields.get("reason"):',
        "if False:",
        f"{FINALITY}::test_a_record_of_before_that_was_paid_is_still_never_sent_again",
    ),
    Mutant(
        "what was paid is settled as not bought",
        "Settlement.not_bought",
        "        self._refuse_to_send_again(was)\n",
        "",
        f"{SETTLING}::test_a_decision_that_may_be_wrong_is_refused",
    ),
    Mutant(
        "a restored record undoes what the server said",
        "Settlement.restore",
        "if was and not record.order_id and record.state is not was.state:",
        "if False:",
        f"{SETTLING}::test_a_restored_record_does_not_undo_what_the_server_said",
    ),
    Mutant(
        "no look for a second order",
        "Purchase._checked",
        "if record.is_resent and not record.is_checked:",
        "if False:",
        f"{FINALITY}::test_a_second_order_is_told_with_its_cents",
    ),
    Mutant(
        "nothing is lost although it was paid twice",
        "explain:query",
        "if record and order_id and record.is_resent and (",
        "if False and (",
        EXPLAINED,
    ),
    Mutant(
        "the key of any account goes on",
        "Ownership.refuse_another_account",
        'if record.key_id in ("", action.key_id) or (record.account and record.account == action.account()):',
        "if True:",
        f"{FINALITY}::test_the_key_of_another_account_does_not_go_on_with_a_purchase",
    ),
    Mutant(
        "a worker's clock is believed",
        "_span",
        "offs = (0.0, client.clock_offset, client.server_ahead)",
        "offs = (client.clock_offset,)",
        f"{SKEW}::test_a_worker_finds_the_order_of_another_one_whichever_clock_is_wrong",
    ),
    Mutant(
        "the first look does not learn the clock",
        "searches",
        "if not wide[0] <= span[0] <= span[1] <= wide[1]:",
        "if False:",
        f"{SKEW}::test_a_worker_finds_the_order_of_another_one_whichever_clock_is_wrong",
    ),
    Mutant(
        "rivals of a wrong clock are not seen",
        "Inquiry._others",
        "self._action.looks_like, self._beside, numbers)",
        "self._action.looks_like, 0.0, numbers)",
        f"{SKEW}::test_an_older_purchase_of_the_same_is_seen_as_a_rival_whichever_clock_is_wrong",
    ),
    Mutant(
        "an order of another action counts as carried out",
        "OrderEnd.is_of_another_action",
        "return bool(self.action) and deal.action in set(DealAction) and deal.action != self.action",
        "return False",
        "tests/waiting/test_delivery.py::test_an_order_of_another_action_is_told_and_not_waited_for",
    ),
)
