"""A limit holds for many processes that buy at once, two keys, two copies of a task, and processes that are killed."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict

import pytest

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.purchasing.reservation import Reservation
from tests.conftest import ORDER, PRICE, SECRET_ID, SECRET_KEY
from tests.support import ledgers
from tests.support.limit_crowd import KILLED, Crowd, Job

PROCESSES = 8
WANTED = 320
ALLOWED = 100
NOON = 1_792_036_800.0
"""2026-10-15 12:00 in Shanghai: no test comes near the end of its window."""

LATER = 1_000.0
"""Seconds after which no request of before can be under way any more."""

REFUSED = "LimitReached"

KINDS = ["SQLite", "PostgreSQL", pytest.param("MariaDB", marks=pytest.mark.system)]


@pytest.fixture(scope="module")
def crowd():
    crowd = Crowd(PROCESSES)
    yield crowd
    crowd.close()


@pytest.fixture
def sandbox(start_sandbox):
    """A sandbox with money for everything, so that nothing but a limit refuses."""
    sandbox = start_sandbox(balance_cents=10**9)
    sandbox.account.clock.set(NOON)
    return sandbox


@pytest.fixture(params=KINDS)
def ledger(request, tmp_path):
    return ledgers.new_ledger(request.param, request, tmp_path)


@pytest.fixture
def sqlite(request, tmp_path):
    return ledgers.new_ledger("SQLite", request, tmp_path)


def limit_for(purchases, window=Window.DAY):
    return Limit("team", window, purchases * PRICE, "USD")


def job(sandbox, ledger, keys, limit, **other):
    given = {"account": "100000000001", "now": NOON, **other}
    address = {name: value for name, value in asdict(ledger.address).items() if name != "options"}
    where = {"ledger": address, "endpoint": sandbox.url, "order": ORDER, "secret": (SECRET_ID, SECRET_KEY)}
    return Job(**where, keys=list(keys), limit=asdict(limit), max_cents=PRICE, **given)


def shared_among(processes, keys):
    return [keys[place::processes] for place in range(processes)]


def keys_of(count):
    return [f"purchase {number}" for number in range(count)]


def counted(sandbox, ledger, limit, now=NOON, account="100000000001"):
    """Return what the ledger has counted: settled, and reserved beside it."""
    ledger.now = lambda: now
    reservation = Reservation("none of them", None, "USD", (limit,), server=server_name(sandbox.url), account=account)
    (usage,) = ledger.usage(reservation).counted
    assert (usage.unknown, usage.foreign) == (0, 0)
    return usage.settled, usage.reserved


def cost(sandbox):
    return sum(order.cost_cents for order in sandbox.account.orders())


def records(ledger):
    return {stored["key"]: Record.from_json(stored, "here") for _, stored in ledger.all()}


def assert_the_books_agree(sandbox, ledger, limit, now=NOON):
    """Each order is that of one record, and what is counted is the order book to the cent."""
    owned = Counter(record.order_id for record in records(ledger).values() if record.order_id)
    assert owned == Counter(order.order_id for order in sandbox.account.orders())
    assert sum(counted(sandbox, ledger, limit, now)) == cost(sandbox)
    assert ledger.verify_chain() == []


@pytest.mark.parametrize("window", [Window.DAY, Window.MONTH])
def test_of_320_purchases_that_8_processes_want_exactly_those_within_the_limit_are_made(
    crowd, sandbox, ledger, window, request
):
    if window is Window.MONTH and "SQLite" not in request.node.name:
        pytest.skip("the window is the same to every database")
    limit = limit_for(ALLOWED, window)
    jobs = [job(sandbox, ledger, keys, limit) for keys in shared_among(PROCESSES, keys_of(WANTED))]

    outcomes = crowd.buy(jobs)

    assert len(sandbox.account.orders()) == ALLOWED
    ended = Counter(outcome.split()[0] for (outcome,) in outcomes.values())
    assert ended == {"order": ALLOWED, REFUSED: WANTED - ALLOWED}
    assert counted(sandbox, ledger, limit) == (ALLOWED * PRICE, 0)
    assert len(records(ledger)) == ALLOWED
    assert_the_books_agree(sandbox, ledger, limit)


@pytest.mark.parametrize(
    ("wanted", "allowed", "death"),
    [
        (96, 30, 0.03),
        pytest.param(WANTED, ALLOWED, 0.02, marks=pytest.mark.system),
        pytest.param(WANTED, ALLOWED, 0.08, marks=pytest.mark.system),
    ],
)
def test_processes_that_are_killed_at_any_point_of_a_purchase_exceed_no_limit_and_block_it_for_no_time(
    crowd, sandbox, ledger, wanted, allowed, death
):
    limit, now, killed = limit_for(allowed), NOON, crowd.killed
    for turn, chance in enumerate((death, death / 2, 0.0)):
        sandbox.account.clock.set(now)
        jobs = [
            job(sandbox, ledger, keys, limit, death=chance, seed=100 * turn + place, now=now)
            for place, keys in enumerate(shared_among(PROCESSES, keys_of(wanted)))
        ]

        outcomes = crowd.buy(jobs)

        assert len(sandbox.account.orders()) <= allowed
        assert cost(sandbox) <= sum(counted(sandbox, ledger, limit, now)) <= allowed * PRICE
        assert {outcome.split()[0] for of_one in outcomes.values() for outcome in of_one} <= {"order", REFUSED, KILLED}
        now += LATER

    assert crowd.killed > killed + 4
    assert len(sandbox.account.orders()) == allowed
    assert_the_books_agree(sandbox, ledger, limit, now)
    assert not [record for record in records(ledger).values() if record.state is State.INTENDED]


def test_two_keys_of_one_account_share_a_limit(crowd, sandbox, sqlite):
    limit = limit_for(5)
    halves = shared_among(2, keys_of(16))

    outcomes = crowd.buy(
        [
            job(sandbox, sqlite, keys, limit, key_id=name)
            for keys, name in zip(halves, ("one key", "other key"), strict=True)
        ]
    )

    assert len(sandbox.account.orders()) == 5
    assert Counter(outcome.split()[0] for (outcome,) in outcomes.values()) == {"order": 5, REFUSED: 11}


def test_each_of_two_accounts_has_the_limit_for_itself(crowd, sandbox, sqlite):
    limit = limit_for(5)
    halves = shared_among(2, keys_of(16))

    outcomes = crowd.buy(
        [
            job(sandbox, sqlite, keys, limit, key_id=f"key of {name}", account=name)
            for keys, name in zip(halves, ("100000000001", "100000000002"), strict=True)
        ]
    )

    for keys in halves:
        assert Counter(outcomes[key][0].split()[0] for key in keys) == {"order": 5, REFUSED: 3}
    assert len(sandbox.account.orders()) == 10


@pytest.mark.parametrize("second", ["", "100000000002"], ids=["both", "one of them"])
def test_keys_whose_account_cannot_be_read_share_the_limit_with_every_other(crowd, sandbox, sqlite, second):
    limit = limit_for(5)
    halves = shared_among(2, keys_of(16))

    crowd.buy(
        [
            job(sandbox, sqlite, keys, limit, key_id=f"key of {place}", account=name)
            for place, (keys, name) in enumerate(zip(halves, ("", second), strict=True))
        ]
    )

    assert len(sandbox.account.orders()) == 5


def test_two_copies_of_one_task_reserve_once(crowd, sandbox, ledger):
    limit = limit_for(20)
    keys = keys_of(20)

    outcomes = crowd.buy([job(sandbox, ledger, keys, limit) for _ in range(4)])

    assert len(sandbox.account.orders()) == 20
    assert all(len({*of_one}) == 1 and of_one[0].startswith("order") for of_one in outcomes.values()), outcomes
    assert_the_books_agree(sandbox, ledger, limit)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_purchases_of_a_new_ledger_all_at_once_let_none_too_many_pass(
    crowd, sandbox, request, tmp_path, kind
):
    """Each key opens a book of its own, at the same moment as seven others."""
    for turn in range(4):
        folder = tmp_path / str(turn)
        folder.mkdir()
        ledger, before = ledgers.new_ledger(kind, request, folder), len(sandbox.account.orders())
        jobs = [
            job(sandbox, ledger, [f"turn {turn}, purchase {place}"], limit_for(1), key_id=f"key {place}", account="")
            for place in range(PROCESSES)
        ]

        outcomes = crowd.buy(jobs)

        assert len(sandbox.account.orders()) == before + 1
        assert Counter(outcome.split()[0] for (outcome,) in outcomes.values()) == {"order": 1, REFUSED: 7}, json.dumps(
            outcomes
        )
