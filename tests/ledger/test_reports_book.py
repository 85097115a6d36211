"""The order book while it moves: a report misses no order, and counts none twice."""

from __future__ import annotations

import contextlib
import itertools
import random

import pytest

from airflow_provider_tcbilling.api.errors import OutcomeUnknown
from airflow_provider_tcbilling.api.models import Deals
from airflow_provider_tcbilling.ledger.reports_book import AROUND, MOST_PASSES, PIECE, read_book

NOW = 1_764_500_000.0
SINCE, UNTIL = NOW - 30 * 86_400, NOW


class MovingBook:
    """
    An order book that changes between two requests.

    :param change: Called with the rows before each request.
    :param cap: Orders a page at most, whatever the limit.
    """

    def __init__(self, count, *, change=lambda rows: None, cap=1_000, order=None):
        self.rows = [self.row(number) for number in range(count)]
        self.change, self.cap, self.order = change, cap, order or (lambda rows: list(reversed(rows)))
        self.requests, self.spans = 0, []

    @staticmethod
    def row(number, **other):
        made = (
            f"2026-11-{1 + number // 86_400 % 28:02} {number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}"
        )
        row = {"OrderId": f"order-{number}", "Status": 4, "CreateTime": made, "ProductName": "x" * 100}
        return {**row, **other}

    def clock(self):
        return NOW

    def describe_deals(self, *, span, page=0, limit):
        self.change(self.rows)
        self.requests += 1
        self.spans.append(span)
        size = min(limit, self.cap)
        shown = self.order(self.rows)[page * limit : page * limit + size]
        return Deals.from_wire({"Deals": shown, "TotalCount": len(self.rows)})


def numbers(book):
    return {int(number.removeprefix("order-")) for number in book.deals}


def test_a_book_that_never_comes_to_rest_proves_nothing():
    taken = iter(range(10**6))
    book = MovingBook(3_000, change=lambda rows: rows.pop(next(taken) % len(rows)))

    with pytest.raises(OutcomeUnknown, match="did not come to rest"):
        read_book(book, SINCE, UNTIL)

    assert book.requests <= 4 * MOST_PASSES + 4


def test_a_book_that_lists_fewer_orders_than_it_counts_proves_nothing():
    book = MovingBook(2_500)
    honest = book.describe_deals

    def short(**query):
        deals = honest(**query)
        deals.total += 7
        return deals

    book.describe_deals = short

    with pytest.raises(OutcomeUnknown):
        read_book(book, SINCE, UNTIL)


def test_an_order_that_a_page_edge_hid_is_found_by_the_next_pass():
    """An order leaves a page that was read, so that all later ones move up by one, and one is never shown."""

    def leave(rows):
        if book.requests == 1:
            rows.pop()

    book = MovingBook(2_500, change=leave)

    read = read_book(book, SINCE, UNTIL)

    assert numbers(read) >= set(range(2_499))
    assert read.passes >= 3


@pytest.mark.parametrize("size", [0, 1, 999, 1_000, 1_001, 10_000])
def test_a_book_at_rest_is_read_twice_and_whole(size):
    book = MovingBook(size)

    read = read_book(book, SINCE, UNTIL)

    assert numbers(read) == set(range(size))
    assert read.passes == 2
    assert book.requests <= 2 * (size // 997 + 1)


def test_a_server_that_lists_100_orders_a_page_is_read_with_that_limit():
    book = MovingBook(1_234, cap=100)

    assert numbers(read_book(book, SINCE, UNTIL)) == set(range(1_234))
    assert book.requests <= 2 * 14 + 2


def test_new_orders_that_never_end_do_not_keep_the_report_from_its_end():
    new = iter(range(100_800, 200_000))

    def buy(rows):
        number = next(new)
        made = f"2026-11-30 23:{number // 60 % 60:02}:{number % 60:02}"
        rows.append(MovingBook.row(number, CreateTime=made))

    book = MovingBook(5_000, change=buy)

    read = read_book(book, SINCE, UNTIL)

    assert numbers(read) >= set(range(5_000))
    assert book.requests <= 18


def test_the_latest_state_of_an_order_counts():
    def deliver(rows):
        rows[0]["Status"] = 4 if book.requests else 3

    book = MovingBook(10, change=deliver)

    assert read_book(book, SINCE, UNTIL).deals["order-0"].status == 4


def test_a_long_span_is_read_in_pieces_that_overlap_nowhere():
    book = MovingBook(3)

    read_book(book, NOW - 365 * 86_400, NOW)

    spans = sorted(set(book.spans))
    assert spans[0][0] == NOW - 365 * 86_400 - AROUND
    assert spans[-1][1] == NOW + AROUND
    assert all(one[1] == two[0] for one, two in itertools.pairwise(spans))
    assert all(end - start <= PIECE for start, end in spans)


def test_rows_without_a_number_are_kept():
    book = MovingBook(0)
    book.rows = [{"Status": 4, "OrderId": None}, {"Status": 4, "OrderId": "no number!"}]

    assert len(read_book(book, SINCE, UNTIL).unnamed) == 2


class RandomBook(MovingBook):
    """A book in an order of its own, which loses and gains orders until some request."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.new, self.kept, self.moves_until = iter(range(10_000, 99_999)), set(range(120)), self.chance.randrange(8)
        orders = (None, list, lambda rows: random.Random(seed).sample(rows, len(rows)))
        cap = self.chance.choice((7, 50, 100, 1_000))
        super().__init__(120, change=self.move, cap=cap, order=self.chance.choice(orders))

    def move(self, rows):
        for _ in range(self.chance.randrange(3) if self.requests < self.moves_until else 0):
            if self.chance.random() < 0.5 and rows:
                gone = rows.pop(self.chance.randrange(len(rows)))
                self.kept.discard(int(gone["OrderId"].removeprefix("order-")))
            else:
                rows.append(self.row(next(self.new)))


def test_random_books_that_move_miss_none_and_count_none_twice():
    read_wholly = 0
    for seed in range(200):
        book = RandomBook(seed)
        with contextlib.suppress(OutcomeUnknown):
            assert numbers(read_book(book, SINCE, UNTIL)) >= book.kept, f"seed {seed}"
            read_wholly += 1

    assert read_wholly > 100
