"""The judge of the cluster, which must be able to say that we failed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from verification.cluster.judge import Ending, books_of

GOOD = Ending(
    wanted=2,
    orders=[("one", "small"), ("two", "large")],
    states={0: "success", 1: "success"},
    returned={0: {"order_id": "one"}, 1: {"order_id": "two"}},
    log="",
)
STOPPED = replace(GOOD, orders=GOOD.orders[:1], states={0: "success", 1: "failed"}, returned={0: {"order_id": "one"}})


def test_two_orders_of_one_kind_are_double_although_the_other_kind_has_none():
    assert books_of(replace(GOOD, orders=[("one", "small"), ("two", "small")])).double == 1


def test_any_order_is_right_for_any_of_identical_purchases_but_not_one_more_than_these():
    alike = replace(GOOD, orders=[("one", "small"), ("two", "small")], are_alike=True)

    assert books_of(alike).is_good
    assert books_of(replace(alike, orders=[*alike.orders, ("three", "small")])).double == 1


def test_more_orders_than_wanted_are_double_whatever_they_are_of():
    books = books_of(replace(GOOD, orders=[*GOOD.orders, ("three", "medium")]))

    assert (books.double, books.is_safe) == (1, False)


def test_more_orders_than_a_limit_allows_are_double_although_more_were_wanted():
    limited = replace(GOOD, wanted=3, allowed=1, states={**GOOD.states, 2: "failed"})

    assert (books_of(limited).double, books_of(limited).is_safe) == (1, False)
    assert books_of(replace(limited, allowed=2)).double == 0


def test_an_order_that_no_task_and_no_log_names_is_lost():
    forgotten = replace(STOPPED, orders=GOOD.orders)

    assert books_of(forgotten).lost == 1
    assert books_of(replace(forgotten, log="Perhaps paid: order two")).lost == 0


def test_two_tasks_that_return_the_same_order_have_lost_one():
    assert books_of(replace(GOOD, returned={0: {"order_id": "one"}, 1: {"order_id": "one"}})).lost > 0


def test_a_success_without_an_order_is_lost():
    assert books_of(replace(GOOD, orders=GOOD.orders[:1], returned={0: {"order_id": "one"}, 1: None})).lost == 1


@pytest.mark.parametrize("state", ["failed", "upstream_failed", "skipped"])
def test_a_task_that_did_not_succeed_waits_for_a_user(state):
    books = books_of(replace(STOPPED, states={0: "success", 1: state}))

    assert (books.stopped, books.is_safe, books.is_good) == (1, True, False)


def test_a_run_that_has_not_ended_is_not_good():
    books = books_of(replace(GOOD, states={0: "success", 1: "queued"}, returned={0: {"order_id": "one"}}, log="two"))

    assert (books.unfinished, books.is_good, str(books)) == (1, False, "2 / 2 / 0 / 0 / 0 (1 not ended)")


def test_all_bought_once_is_good():
    assert books_of(GOOD).is_good
    assert str(books_of(GOOD)) == "2 / 2 / 0 / 0 / 0"


def test_the_causes_of_stops_are_counted_without_their_numbers():
    raised = '{"exc_type":"AirflowFailException","exc_value":"Perhaps paid: %s USD.\\nStopped: \\"a\\".\\nNext: b"}'
    log = "\n".join([raised % "10.00", raised % "20.00", '{"exc_type":"StoreFailed","exc_value":"away"}'])

    assert books_of(replace(STOPPED, log=log)).reasons == {'Perhaps paid: #.# USD. Stopped: \\"a\\".': 2}
    assert books_of(replace(GOOD, log=log)).reasons == {}


def test_a_task_that_stopped_without_a_request_is_named():
    assert (books_of(replace(STOPPED, sent={0})).unsent, books_of(replace(STOPPED, sent={0, 1})).unsent) == (1, 0)
    assert str(books_of(replace(STOPPED, sent={0}))) == "2 / 1 / 1 / 0 / 0 (1 stopped had sent nothing)"
