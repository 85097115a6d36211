"""Which looks tell about many orders, and that no odd order book ends or loses a wait."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, REFUND_INSTANCE, RENEW_INSTANCE
from airflow_provider_tcbilling.api.models import ENDINGS, Deal, Deals, DealStatus
from airflow_provider_tcbilling.api.server_time import in_zone
from airflow_provider_tcbilling.waiting.watchlist import BY_NUMBER, FEW, FINISHED, Watchlist, step
from tests.conftest import ORDER, client_to

NOW = 1_800_000_000.0
BUY = CREATE_INSTANCE.name


class Book:
    """An order book in memory that can be odd."""

    def __init__(self, count=0, age=60.0):
        self.deals = {}
        self.asked = []
        self.spoil = lambda deals, look: deals
        for number in range(count):
            self.place(f"o{number}", age=age + number * 0.001)

    def place(self, number, status=3, *, age=60.0, big_deal_id=None, zone="Asia/Shanghai"):
        self.deals[number] = Deal(
            order_id=number, big_deal_id=f"big-{number}" if big_deal_id is None else big_deal_id, status=status,
            action="purchase", resource_ids=(), created_at=in_zone(NOW - age, zone), paid_cents=1, voucher_cents=0,
            currency="USD", product_code="p", sub_product_code="s", project_id=0, zone_code="z", time_span=1,
            time_unit="m",
        )  # fmt: skip

    def become(self, number, status, instances=("ins-1",)):
        self.deals[number] = replace(self.deals[number], status=status, resource_ids=tuple(instances))

    def describe(self, *, statuses=tuple(DealStatus), span=None, page=0, order_id=None, big_deal_id=None):
        self.asked.append({"span": span, "page": page, "order_id": order_id, "big_deal_id": big_deal_id})
        since, until = (in_zone(span[0], "UTC"), in_zone(span[1], "Asia/Shanghai")) if span else ("", "9")
        found = [
            deal
            for deal in sorted(self.deals.values(), key=lambda deal: deal.created_at, reverse=True)
            if deal.status in statuses
            and order_id in (None, deal.order_id)
            and big_deal_id in (None, deal.big_deal_id)
            and since <= deal.created_at <= until
        ]
        return self.spoil(Deals(found[page * 200 : page * 200 + 200], len(found)), self.asked[-1])


class Watching:
    """A watchlist, and what is wanted of it."""

    def __init__(self, numbers, since=NOW - 60, action=BUY):
        self.watchlist = Watchlist()
        self.wanted = {(number, action): since for number in numbers}

    def settled(self, book):
        """Run a round; return the numbers of the orders that it saw to be settled, and how many looks it took."""
        before = len(book.asked)
        looks, deals = self.watchlist.round(self.wanted), None
        while look := step(looks, deals):
            deals = book.describe(**look)
        keys = self.watchlist.take_ended()
        for key in keys:
            del self.wanted[key]
        return {number for number, _ in keys}, len(book.asked) - before


def test_ten_thousand_orders_cost_fifty_looks_at_first_and_one_while_none_is_finished():
    book = Book(10_000)
    watchlist = Watching(book.deals)

    assert watchlist.settled(book) == (set(), 51)
    assert watchlist.settled(book) == (set(), 1)

    for number in ("o3", "o9999"):
        book.become(number, 4)
    assert watchlist.settled(book) == ({"o3", "o9999"}, 1)
    assert len(watchlist.wanted) == 9_998


def test_few_orders_are_asked_for_by_number():
    book = Book(5_000)
    watchlist = Watching(["o1", "o2"])

    assert watchlist.settled(book) == (set(), 4)
    assert watchlist.settled(book) == (set(), 2)
    book.become("o2", 4)
    assert watchlist.settled(book)[0] == {"o2"}
    assert all(look["span"] is None for look in book.asked)


def test_a_list_that_is_dearer_than_the_orders_is_left_after_its_first_page():
    book = Book(6_000)
    watchlist = Watching([f"o{number}" for number in range(12)])

    settled, looks = watchlist.settled(book)

    assert (settled, looks) == (set(), 1 + 2 * 12)


@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize(
    ("action", "done", "died"),
    [
        (BUY, 4, sorted(ENDINGS)),
        (RENEW_INSTANCE.name, 4, sorted(ENDINGS)),
        (REFUND_INSTANCE.name, 6, [7, 8, 9, 10, 11]),
    ],
)
def test_every_end_wakes_and_no_other_status(few, action, done, died):
    book = Book(2 if few else FEW + 20)
    watchlist = Watching(book.deals, action=action)
    watchlist.settled(book)
    for status in (1, 2, 3, 12, 13, 77):
        book.become("o0", status)
        assert watchlist.settled(book)[0] == set()
    for status in (done, *died):
        watchlist.wanted["o0", action] = NOW - 60
        book.become("o0", status)
        assert watchlist.settled(book)[0] == {"o0"}, status


@pytest.mark.parametrize("count", [2, 50])
def test_a_delivered_order_without_instances_is_waited_for_on(count):
    book = Book(count)
    watchlist = Watching(book.deals)
    for _ in range(3):
        book.become("o1", 4, instances=())
        assert watchlist.settled(book)[0] == set()

    book.become("o1", 4)
    assert watchlist.settled(book)[0] == {"o1"}


@pytest.mark.parametrize("count", [2, 50])
@pytest.mark.parametrize("named", ["a", "both"])
def test_all_sub_orders_are_waited_for_whichever_number_names_them(count, named):
    book = Book(count)
    for number in "ab":
        book.place(number, big_deal_id="both")
    watchlist = Watching([*(f"o{i}" for i in range(count)), named])
    watchlist.settled(book)

    book.become("a", 4)
    assert watchlist.settled(book)[0] == set()
    book.become("b", 4)
    assert watchlist.settled(book)[0] == {named}


def test_an_order_that_is_done_at_first_sight_is_told_at_once():
    book = Book(50)
    for number in book.deals:
        book.become(number, 4)

    assert Watching(book.deals).settled(book)[0] == set(book.deals)


@pytest.mark.parametrize("count", [3, 50])
def test_an_order_that_is_not_listed_yet_or_is_another_accounts_stays_waiting(count):
    book = Book(count)
    watchlist = Watching([*book.deals, "late", "foreign"])
    for _ in range(3):
        assert watchlist.settled(book)[0] == set()

    book.place("late", 4)
    book.become("late", 4)
    assert watchlist.settled(book)[0] == {"late"}
    assert len(watchlist.wanted) == count + 1


def test_thousands_of_orders_that_nobody_lists_cost_little():
    book = Book(1000)
    watchlist = Watching(f"foreign-{number}" for number in range(5000))

    assert watchlist.settled(book)[1] <= 6 + 2 * FEW


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "UTC"])
def test_the_zone_of_the_server_hides_nothing(zone):
    book = Book()
    for number in range(40):
        book.place(f"o{number}", age=3600, zone=zone)
    watchlist = Watching(book.deals, since=NOW - 3600)
    watchlist.settled(book)
    for number in book.deals:
        book.become(number, 4)

    assert watchlist.settled(book)[0] == set(book.deals)


def test_an_old_order_does_not_make_the_list_of_all_long():
    book = Book(300)
    for number in range(4000):
        book.place(f"done-{number}", status=4, age=5 * 86_400)
    book.place("old", age=30 * 86_400)
    watchlist = Watching(f"o{number}" for number in range(300))
    watchlist.wanted["old", BUY] = NOW - 30 * 86_400
    watchlist.settled(book)

    assert watchlist.settled(book)[1] <= 2


def test_orders_of_unknown_age_are_found_by_number_in_turns():
    book = Book(BY_NUMBER + 50)
    watchlist = Watching(book.deals, since=None)

    _, looks = watchlist.settled(book)
    assert looks == 2 * BY_NUMBER
    watchlist.settled(book)

    assert watchlist.settled(book)[1] == 1


@pytest.mark.parametrize("status", [4, 7])
@pytest.mark.parametrize("count", [3, 30])
def test_an_order_book_that_returns_more_than_it_was_asked_for_wakes_nobody_else(count, status):
    book = Book(count)
    watchlist = Watching(list(book.deals))
    book.place("other")
    book.become("other", status)
    book.spoil = lambda deals, look: Deals([*deals, book.deals["other"]], deals.total)

    assert watchlist.settled(book)[0] == watchlist.settled(book)[0] == set()
    book.become("o0", 4)
    book.become("other", 3)

    assert watchlist.settled(book)[0] == {"o0"}


def test_an_order_that_is_listed_twice_is_one():
    book = Book(500)
    book.spoil = lambda deals, look: Deals([*deals, *deals[:3]], deals.total)
    watchlist = Watching(book.deals)
    watchlist.settled(book)
    for number in book.deals:
        book.become(number, 4)

    assert watchlist.settled(book)[0] == set(book.deals)


def test_pages_that_move_while_they_are_read_lose_no_order_for_long():
    book, chance = Book(3000), random.Random(1)
    watchlist = Watching(book.deals)
    watchlist.settled(book)
    found, waiting = set(), list(book.deals)
    chance.shuffle(waiting)

    def finish_some(deals, look):
        for number in waiting[:7]:
            book.become(number, 4)
        del waiting[:7]
        return deals

    book.spoil = finish_some
    for _ in range(300):
        found |= watchlist.settled(book)[0]

    assert found == set(book.deals)


def test_pages_that_are_row_offsets_are_noticed_and_every_order_is_asked_for():
    book = Book(1000)
    watchlist = Watching(book.deals)
    describe = book.describe

    def by_row(**look):
        page = look.pop("page", 0)
        deals = describe(**look)
        rows = sorted(book.deals.values(), key=lambda deal: deal.created_at, reverse=True)
        return Deals(rows[page : page + 200], 1000) if look.get("span") else deals

    book.describe = by_row
    looks = [watchlist.settled(book)[1] for _ in range(6)]
    book.become("o999", 4)
    found = set()
    for _ in range(6):
        found |= watchlist.settled(book)[0]

    assert found == {"o999"}
    assert max(looks) < 4 * BY_NUMBER


@pytest.mark.parametrize("total", [0, 1, 10**9])
def test_a_wrong_total_loses_nothing(total):
    book = Book(450)
    book.spoil = lambda deals, look: Deals(deals, total)
    watchlist = Watching(book.deals)
    for _ in range(4):
        watchlist.settled(book)
    for number in book.deals:
        book.become(number, 4)
    found = set()
    for _ in range(4):
        found |= watchlist.settled(book)[0]

    assert found == set(book.deals)


def test_every_end_is_asked_for():
    assert set(FINISHED) == {4, 5, 6, 7, 8, 9, 10, 11}


def test_it_agrees_with_the_sandbox(start_sandbox):
    sandbox = start_sandbox(delivery_looks=2)
    client = client_to(sandbox)
    orders = [client.create_instance(client_token=str(number), **ORDER).order_id for number in range(30)]
    watchlist = Watching(orders, since=sandbox.account.clock.now())
    client.describe, client.asked, found = client.describe_deals, [], set()
    for _ in range(4):
        found |= watchlist.settled(client)[0]

    assert found == set(orders)
    assert set(sandbox.requests) == {"CreateInstance", "DescribeDealsByCond"}
