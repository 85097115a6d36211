"""A ledger with one damaged record, and commands that are told what nobody can write: the rest goes on."""

from __future__ import annotations

import io
import json
import sys

import pytest

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.cases import all_in
from tests.airflow.shop import KEY

pytestmark = [pytest.mark.airflow, pytest.mark.usefixtures("passing_time")]

DAMAGED = [
    b"",
    b"\x00\xff\xfe",
    b"[" * 100_000,
    b'{"a": ' + b"9" * 5000 + b"}",
    b'{"format": "airflow-provider-tcbilling purchase", "version": 1}',
    b'{"format": "airflow-provider-tcbilling purchase", "version": 1, "payload": null, "state": ["\\ud800"]}',
    "{}".encode("utf-16"),
]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_one_damaged_record_is_listed_as_such_and_stops_nobody(shop, run, content):
    shop.ordered("another one")
    shop.path("another one").write_bytes(content)
    order = shop.ordered()

    code, out, _ = run("list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[:-1]] in (["unusable", "ordered"], ["ordered", "unusable"])
    assert order.order_id in run("explain", "--key", KEY)[1]
    assert order.order_id in run("explain", "--order-id", order.order_id)[1]
    assert run("explain", "--key", "another one")[0] == 0
    assert shop.ordered().order_id == order.order_id


def test_what_is_no_record_at_all_is_left_alone(shop):
    shop.ordered()
    (shop.folder / "a folder.json").mkdir()
    (shop.folder / "gone.json").symlink_to(shop.folder / "nowhere")

    assert [row["key"] for row in all_in(shop.folder.as_uri())] == [KEY]
    assert shop.ordered("another one").order_id


@pytest.mark.parametrize("options", [("--key", "edge \udcff"), ("--token", "\udcff"), ("--order-id", "\udcff")])
def test_an_option_that_cannot_be_written_is_told_in_words(shop, run, options):
    shop.ordered()

    code, out, err = run("explain", *options)

    assert code in (0, 1)
    assert (out + err).encode()


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, '"\\ud800"', "{}", "null"])
def test_what_is_no_record_is_not_restored(shop, run, tmp_path, text):
    told = tmp_path / "told.json"
    told.write_text(text)

    code, _, err = run("settle", "--restore", str(told))

    assert (code, "Nothing was written" in err) == (1, True)


def test_an_answer_is_printed_on_a_terminal_that_knows_ascii_only(shop, run, monkeypatch):
    shop.ordered("Übung 防火墙")
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", screen)

    assert run("list")[0] == 0
    screen.flush()
    assert b"\\xdcbung" in screen.buffer.getvalue()


def test_an_order_without_a_number_of_its_own_is_settled_by_that_of_its_big_deal(shop, run, monkeypatch):
    shop.lost()
    read = BillingClient.call

    def nameless(client, action, **arguments):
        answer = read(client, action, **arguments)
        return {**answer, "Deals": [{**deal, "OrderId": None} for deal in answer.get("Deals") or ()]}

    big_deal = shop.sandbox.ledger.orders()[0].big_deal_id
    monkeypatch.setattr(BillingClient, "call", nameless)
    code, _, err = run("settle", "--key", KEY, "--order-id", big_deal, "--force")

    assert (code, err) == (0, "")
    assert json.loads(shop.path().read_text())["order_id"] == big_deal
