"""The decision is a table: each situation has one row, and no row pays twice."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.purchasing.decision import TABLE, Finding, Next, Situation, decide
from airflow_provider_tcbilling.purchasing.money_action import Candidate, Evidence
from airflow_provider_tcbilling.purchasing.record import Record, State

NOW = 1_790_000_000.0
ORDERS = [Candidate(str(number), frozenset({str(number)}), f"order {number}") for number in range(3)]
OPEN_STATES = [state for state in State if state.may_have_an_order]


def record_of(state, *, is_open):
    return Record(
        "key", "token", 0, "fingerprint", "https://x", "CreateInstance", state, "owner",
        NOW, NOW, NOW + (1 if is_open else -1), NOW, reason="{what} the {server} said",
    )  # fmt: skip


def situations():
    """Yield every combination of the facts that the table compares, and of the policies."""
    flags = itertools.product([0, 1, 2, 3], [0, 1], [0, 1], OPEN_STATES, *[[False, True]] * 8)
    for matching, unclear, rivals, state, changed, is_open, patient, resolves, others_do, trusts, safe, same in flags:
        evidence = Evidence(ORDERS[:matching], "it has changed" * changed, resolves, ORDERS[:unclear])
        yield Situation(
            record_of(state, is_open=is_open), evidence, ["another {purchase}"] * rivals, is_patient=patient,
            rivals_may_resolve=others_do, trusts_token=trusts, replay_is_safe=safe, now=NOW,
            are_identical=same,
        )  # fmt: skip


def test_every_situation_has_a_row_and_every_row_a_situation():
    rows = {decide(situation).row.about for situation in situations()}

    assert rows == {row.about for row in TABLE}


def test_an_order_is_adopted_only_if_it_is_the_only_one_and_nobody_elses():
    for situation in situations():
        is_sure = (len(situation.evidence.orders), situation.evidence.unclear, situation.rivals) == (1, [], [])
        assert (decide(situation).step is Next.ADOPT) == is_sure


def test_what_a_server_called_paid_or_refused_is_never_sent_again():
    for situation in situations():
        if situation.record.state.is_final:
            assert decide(situation).step is not Next.SEND


def test_what_has_changed_without_an_order_is_never_sent_again():
    for situation in situations():
        evidence = situation.evidence
        if evidence.bar and not evidence.orders and not evidence.unclear:
            assert decide(situation).step in (Next.WAIT, Next.STOP)


def test_without_the_policy_it_is_sent_again_only_if_nothing_speaks_against_it_within_the_window():
    for situation in situations():
        evidence, record = situation.evidence, situation.record
        is_quiet = not (evidence.orders or evidence.unclear or evidence.bar or record.state.is_final)
        in_time = situation.now < record.replay_until
        if not situation.trusts_token:
            assert (decide(situation).step is Next.SEND) == (is_quiet and in_time)


def test_the_policy_sends_instead_of_a_stop_and_never_instead_of_an_adoption():
    for situation in situations():
        without = decide(replace(situation, trusts_token=False)).step
        with_it = decide(replace(situation, trusts_token=True)).step
        assert with_it is without or (without, with_it) == (Next.STOP, Next.SEND)


def test_patience_only_turns_a_stop_or_a_repeat_into_a_wait():
    for situation in situations():
        patient = decide(replace(situation, is_patient=True)).step
        impatient = decide(replace(situation, is_patient=False)).step
        assert impatient is not Next.WAIT
        assert patient is impatient or patient is Next.WAIT


def test_each_stop_says_why_and_takes_the_words_of_a_server_as_they_are():
    for situation in situations():
        decision = decide(situation)
        if decision.step is Next.STOP:
            assert decision.why
        if decision.finding is Finding.SAID_PAID:
            assert "{what} the {server} said" in decision.why
        if decision.row.rivals:
            assert "another {purchase}" in decision.why


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.about)
def test_a_row_that_waits_ends_in_a_stop(row):
    assert not row.waits or row.verdict is Next.STOP
