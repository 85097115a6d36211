"""Random months in a real order book, over HTTP: each difference is found, whichever zone the server writes."""

from __future__ import annotations

import json
import random

import pendulum
import pytest

from airflow_provider_tcbilling.ledger.reports_span import Span
from airflow_provider_tcbilling.sandbox.other_orders import add_orders
from tests.support.database_shop import database_shop

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]

MONTH = "2026-10"
HOUR = 3600


@pytest.fixture(params=["UTC", "Asia/Shanghai"])
def shop(request, start_sandbox, connect, tmp_path, passing_time, monkeypatch):
    """A shop at a server that writes its times in a zone, in the middle of the month after."""
    sandbox = start_sandbox(zone=request.param)
    sandbox.account.balance_cents = 10**12
    shop = database_shop("sqlite", request, sandbox, connect, tmp_path / "ledger", passing_time, monkeypatch)
    shop.ordered("template")
    sandbox.account.voucher_cents = 10**6
    return shop


def moment(chance, span):
    edge = chance.choice((span.since, span.until)) + chance.choice((-9, -8, 0, 0, 8, 9)) * HOUR
    return int(chance.choice((edge - 1, edge, edge + 1, chance.uniform(span.since, span.until))))


def owned(shop, key, order, at, **other):
    """Write a purchase into the ledger that has an order of the book."""
    times = {"intended_at": at - 20, "sending_until": at + 60, "replay_until": at + 300, "changed_at": at + 90}
    written = {name: pendulum.from_timestamp(value).to_iso8601_string() for name, value in times.items()}
    template = shop.ledger.read("template")
    shop.ledger.create(key, {**template, "key": key, **written, "order_id": order, "state": "ordered", **other})


def place(shop, chance, span):
    """Add an order to the book and perhaps its purchase to the ledger; return its line and its name, or nothing."""
    at, cents, vouchers = moment(chance, span), chance.randrange(1, 10**6), chance.choice((0, 0, 5))
    made = pendulum.from_timestamp(at).to_iso8601_string()
    orders = add_orders(
        shop.sandbox.account,
        {"create_time": made, "cents": cents, "voucher_cents": min(vouchers, cents), "product_code": f"p_{at}_{cents}"},
    )
    number, key = orders[0].order_id, f"purchase of {orders[0].order_id}"
    prices = {"gross_cents": cents, "paid_cents": cents - min(vouchers, cents), "currency": "USD"}
    kind = chance.choice(("owned by nobody", "agreed", "agreed", "amount differs", "settled now"))
    if kind == "agreed":
        owned(shop, key, chance.choice((number, orders[0].big_deal_id)), at, **prices)
    elif kind == "amount differs":
        owned(shop, key, number, at, **{**prices, "gross_cents": cents + 1})
    elif kind == "settled now":
        owned(shop, key, number, at)
    name = number if kind == "owned by nobody" else key
    return [(kind, name)] if span.has(at) else []


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York"])
@pytest.mark.parametrize("seed", range(3))
def test_a_random_month_is_told_line_by_line(shop, run, connect, seed, zone):
    chance, span = random.Random(seed), Span.of_month(MONTH, zone)
    connect(host=shop.sandbox.url, extra={"ledger_conn_id": "ledger", "limits_zone": zone})
    expected = [line for _ in range(30) for line in place(shop, chance, span)]

    report = json.loads(run("reconcile", "--month", MONTH, "--json")[1])

    found = [(line["kind"], line["purchase_key"] or line["order_id"]) for line in report["lines"]]
    assert sorted(found) == sorted(expected)
    assert report["book_zone"] == shop.sandbox.options.zone
    assert report["close_together"] == []
