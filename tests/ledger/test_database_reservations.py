"""A database counts in its statement as the rules say in Python: see ``purchasing.reservation``."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.ledger.database_rows import id_of
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.money_errors import LimitReached
from airflow_provider_tcbilling.purchasing.prices import MOST_CENTS, Acceptance, Price
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.purchasing.reservation import Reservation, Usage, price_of, usage_of
from tests.support import ledgers

NOON = 1_792_036_800.0
"""2026-10-15 12:00 in Shanghai."""

DAY = 86_400.0
ENDPOINTS = {
    "one": "https://billing.one.example",
    "other": "https://billing.other.example",
    "intl": "https://billing.intl.tencentcloudapi.com",
    "regional": "https://billing.ap-guangzhou.intl.tencentcloudapi.com",
}
SERVER, OTHER_SERVER, INTL, REGIONAL = map(server_name, ENDPOINTS.values())
ACCOUNTS = ("", "", "100000000001", "100000000001", "100000000002")
ACTIONS = ("CreateInstance", "CreateInstance", "CreateInstance", "RenewInstance", "RefundInstance")
PRODUCTS = ("p_firewall", "P_Firewall", "p_disk", "")
ORIGINS = ("shop", "Shop", "other")
RUNS = ("manual__1", "manual__2", "")
CURRENCIES = ("USD", "USD", "USD", "USD", "CNY", "")
PRICE_KEYS = ("a" * 32, "b" * 32, "")
MOMENTS = (0.0, 0.25 * DAY, 0.75 * DAY, 10 * DAY, 20 * DAY, 40 * DAY)
"""Seconds before noon, on both sides of the begin of a day and of a month."""

AMOUNTS = (None, None, 0, 1, 10_000, 10_000, 25_000, MOST_CENTS)


@pytest.fixture(params=ledgers.KINDS)
def ledger(request, tmp_path, monkeypatch):
    ledger = ledgers.new_ledger(request.param, request, tmp_path)
    monkeypatch.setattr(type(ledger), "now", lambda store: NOON)
    return ledger


def record(key="k", state=State.INTENDED, **fields):
    at = fields.pop("intended_at", NOON)
    usual = {"endpoint": ENDPOINTS["one"], "action": "CreateInstance", "owner": "o", "changed_at": at}
    order = {"order_id": f"2026{id_of(key)[:6]}"} if state in (State.ORDERED, State.DELIVERED) else {}
    given = {**usual, **order, "payload": {"ProductCode": "p_firewall"}, **fields}
    return Record(key, "t", 0, "f", state=state, intended_at=at, sending_until=at + 1, replay_until=at, **given)


def any_record(source, number):
    choose = source.choice
    at = NOON - choose(MOMENTS) - source.random()
    action = choose(ACTIONS)
    reserved = {
        "reserved_cents": choose(AMOUNTS),
        "reserved_currency": choose(CURRENCIES[:5]),
        "reserved_at": choose((None, NOON - choose(MOMENTS) - source.random())),
    }
    gross = choose(AMOUNTS)
    # Each of today has a price key, and its price before vouchers is known as soon as what was paid.
    today = {"price_key": choose(PRICE_KEYS), "paid_cents": gross and gross // 2}
    before = {"paid_cents": choose(AMOUNTS)}
    return record(
        f"purchase {number}",
        choose([*State]),
        intended_at=at,
        endpoint=choose([*ENDPOINTS.values(), ENDPOINTS["one"]]),
        action=action,
        payload={"ProductCode": choose(PRODUCTS)},
        placed_by=choose(({}, {"dag_id": choose(ORIGINS), "run_id": choose(RUNS)})),
        gross_cents=gross,
        currency=choose((None, *CURRENCIES)),
        account=choose(ACCOUNTS),
        changed_at=at + choose((0.0, 1.0, NOON - at)),
        **(reserved if source.random() < 0.6 else {}),
        **(today if action != "RefundInstance" and source.random() < 0.8 else before),
    )


def any_reservation(source, keys):
    choose = source.choice
    windows = source.sample([*Window], source.randint(1, 4))
    limits = tuple(
        Limit(
            f"limit {number}",
            window,
            10_000,
            choose(CURRENCIES[:5]),
            choose(("", "", *PRODUCTS)),
            choose(("", "", *ORIGINS)),
        )
        for number, window in enumerate(windows)
    )
    return Reservation(
        key=choose([*keys, "another"]),
        cents=choose(AMOUNTS),
        currency="USD",
        limits=limits,
        zone=choose(("Asia/Shanghai", "UTC", "America/New_York")),
        server=choose((SERVER, SERVER, SERVER, OTHER_SERVER, INTL, INTL, REGIONAL, "nowhere")),
        account=choose(ACCOUNTS),
        origin=choose(ORIGINS),
        run=choose(RUNS),
        price_key=choose(PRICE_KEYS),
        balance_at=NOON - choose(MOMENTS),
        least_balance=choose((None, 1_000)),
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_statement_of_a_database_counts_what_the_rules_count(ledger, seed):
    source = random.Random(seed)
    records = [any_record(source, number) for number in range(80)]
    for one in records:
        assert ledger.create(one.key, one.as_json())
    stored = [Record.from_json(ledger.read(one.key), "here") for one in records]
    has_counted = has_blocked = 0
    for _ in range(100):
        reservation = any_reservation(source, [one.key for one in records])
        of_price = reservation.server, reservation.account, reservation.price_key
        price = price_of(stored, *of_price, -1)

        usage = ledger.usage(reservation)

        assert usage == usage_of(reservation, stored, NOON, price.blocked_cents), reservation
        assert ledger.price(*of_price) == price, reservation
        for limit, counted in zip(reservation.limits, usage.counted, strict=True):
            has_open = bool(counted.reserved or counted.unknown)
            assert not has_open or ledger.open_in(reservation, limit)
        has_counted += any(counted.settled and counted.reserved for counted in usage.counted)
        has_blocked += usage.blocked_cents is not None
    assert has_counted > 1
    assert has_blocked > 1


def test_a_purchase_of_which_only_a_user_tells_counts_in_the_limit_of_each_product(ledger):
    limit = Limit("disks", Window.MONTH, 100, "USD", product="p_disk")
    priced = {"state": State.ORDERED, "gross_cents": 70, "currency": "USD"}
    ledger.create("settled", record("settled", payload={}, **priced).as_json())
    ledger.create("other", record("other", **priced, order_id="2").as_json())
    reservation = Reservation("another", 31, "USD", (limit,), server=SERVER)

    (counted,) = ledger.usage(reservation).counted

    assert counted.settled == 70


@pytest.mark.parametrize(("endpoint", "account", "settled"), [
    ("regional", "100000000001", 70), ("regional", "100000000002", 0), ("regional", "", 0),
    ("intl", "", 70), ("other", "100000000001", 0),
])  # fmt: skip
def test_an_account_of_tencents_counts_together_by_whichever_name_of_the_server(ledger, endpoint, account, settled):
    limit = Limit("fleet", Window.MONTH, 100, "USD")
    priced = {"state": State.ORDERED, "gross_cents": 70, "currency": "USD"}
    one = record("one", endpoint=ENDPOINTS[endpoint], account=account, **priced)
    ledger.create("one", one.as_json())
    reservation = Reservation("another", 31, "USD", (limit,), server=INTL, account="100000000001")

    (counted,) = ledger.usage(reservation).counted

    assert counted.settled == settled
    assert usage_of(reservation, [one], NOON).counted == [counted]


@pytest.mark.parametrize("currency", [None, "CNY"])
def test_an_order_that_was_never_paid_blocks_no_price_in_whichever_currency(ledger, currency):
    reserved = {"reserved_cents": 100, "reserved_currency": "USD", "price_key": "a" * 32}
    unpaid = record("unpaid", State.ORDERED, gross_cents=0, paid_cents=0, currency=currency, **reserved)
    ledger.create("unpaid", unpaid.as_json())

    assert ledger.price(SERVER, "", "a" * 32) == Price()
    assert price_of([unpaid], SERVER, "", "a" * 32, -1) == Price()


def test_a_price_that_a_user_has_accepted_blocks_until_a_higher_one_comes(ledger):
    key, server = "a" * 32, SERVER
    over = {"state": State.DELIVERED, "price_key": key, "reserved_cents": 100, "reserved_currency": "USD"}
    ledger.create("first", record("first", gross_cents=120, currency="USD", **over).as_json())
    reservation = Reservation("another", 100, "USD", server=server, price_key=key)
    assert ledger.usage(reservation).blocked_cents == 120

    ledger.accept_price(server, "", key, Acceptance(120, "USD", "alice"))

    assert ledger.usage(reservation).blocked_cents is None
    assert ledger.price(server, "", key) == Price(120, "USD")
    ledger.create("second", record("second", gross_cents=130, currency="USD", **over).as_json())
    assert ledger.usage(reservation).blocked_cents == 130


def test_an_accepted_price_of_another_account_server_or_price_unblocks_nothing(ledger):
    key, server = "a" * 32, SERVER
    over = {"price_key": key, "reserved_cents": 100, "reserved_currency": "USD", "account": "1"}
    ledger.create("k", record("k", State.DELIVERED, gross_cents=120, currency="USD", **over).as_json())
    reservation = Reservation("another", 100, "USD", server=server, account="1", price_key=key)

    for where in (("nowhere", "1", key), (server, "2", key), (server, "1", "b" * 32)):
        ledger.accept_price(*where, Acceptance(120, "USD", "alice"))

    assert ledger.usage(reservation).blocked_cents == 120


def test_a_purchase_that_does_not_fit_into_a_limit_leaves_the_ledger_as_it_was(ledger):
    limit = Limit("team", Window.DAY, 100, "USD")
    fits = record("fits", reserved_cents=60, reserved_currency="USD", reserved_at=NOON)
    reservation = Reservation("fits", 60, "USD", (limit,), server=SERVER)
    assert ledger.create("fits", fits.as_json(), reservation)
    events = ledger.events_of("fits")

    with pytest.raises(LimitReached) as caught:
        ledger.create("too much", replace(fits, key="too much").as_json(), replace(reservation, key="too much"))

    assert (caught.value.settled, caught.value.reserved, caught.value.needed) == (0, 60, 60)
    assert "0.60 USD reserved by fits" in caught.value.by[0]
    assert ledger.read("too much") is None
    assert ledger.events_of("too much") == []
    assert ledger.events_of("fits") == events
    assert ledger.verify_chain() == []


def test_a_record_in_place_of_another_needs_its_reservation_as_a_first_one_does(ledger):
    limit = Limit("team", Window.DAY, 100, "USD")
    declined = record("again", State.DECLINED, reserved_cents=60, reserved_currency="USD", reserved_at=NOON)
    ledger.create("again", declined.as_json())
    ledger.create("other", record("other", reserved_cents=60, reserved_currency="USD", reserved_at=NOON).as_json())
    text = ledger.text("again")

    with pytest.raises(LimitReached):
        ledger.replace(
            "again",
            replace(declined, state=State.INTENDED).as_json(),
            text,
            Reservation("again", 60, "USD", (limit,), server=SERVER),
        )

    assert ledger.text("again") == text


def test_what_a_purchase_reserved_before_does_not_count_beside_it(ledger):
    limit = Limit("team", Window.DAY, 100, "USD")
    mine = record("mine", reserved_cents=60, reserved_currency="USD", reserved_at=NOON)
    reservation = Reservation("mine", 60, "USD", (limit,), server=SERVER)
    assert ledger.create("mine", mine.as_json(), reservation)

    assert ledger.replace("mine", replace(mine, owner="next").as_json(), ledger.text("mine"), reservation)

    assert ledger.usage(reservation) == Usage([replace(ledger.usage(reservation).counted[0], reserved=0)])


def test_what_is_declined_is_released_with_an_event_that_says_how_much(ledger):
    limit = Limit("team", Window.DAY, 100, "USD")
    reservation = Reservation("mine", 60, "USD", (limit,), server=SERVER)
    mine = record("mine", reserved_cents=60, reserved_currency="USD", reserved_at=NOON)
    assert ledger.create("mine", mine.as_json(), reservation)

    ledger.replace("mine", replace(mine, state=State.DECLINED).as_json())

    assert ledger.create("next", replace(mine, key="next").as_json(), replace(reservation, key="next"))
    assert [(event["kind"], event["cents"]) for event in ledger.events_of("mine")] == [
        ("intended", 60),
        ("declined", 60),
    ]


def test_a_purchase_that_still_reserves_is_not_pruned(ledger):
    open_ = {"state": "delivered", "order_id": "1", "reserved_cents": 100, "reserved_currency": "USD"}
    ledger.create("k", raw(**open_))
    assert ledger.prune(4e9) == 0

    ledger.replace("k", raw(**open_, gross_cents=90, currency="USD"))
    assert ledger.prune(4e9) == 1


def raw(**fields):
    """Return a record as it is stored."""
    at = "2026-11-25T00:00:00Z"
    usual = {"endpoint": "http://127.0.0.1", "action": "CreateInstance", "owner": "o", "key_id": "3cd2bcd55a4409da"}
    return {"key": "k", **usual, "intended_at": at, "changed_at": at, **fields}
