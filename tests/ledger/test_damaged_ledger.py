"""A ledger with one damaged record, and commands that are told what nobody can write: the rest goes on."""

from __future__ import annotations

import io
import json
import os
import sys

import pytest
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.cli.ledger_list import Wanted, listing_of
from airflow_provider_tcbilling.purchasing.errors import PurchaseOutcomeUnknown, StoreFailed
from tests.support.shop import KEY

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
    assert [line.split()[0] for line in out.splitlines()[1:-1]] == ["ordered", "unusable"]
    assert order.order_id in run("explain", "--key", KEY)[1]
    assert order.order_id in run("explain", "--order-id", order.order_id)[1]
    assert run("explain", "--key", "another one")[0] == 0
    assert shop.ordered().order_id == order.order_id


FOREIGN = {
    "a folder": lambda path: path.mkdir(),
    "a link to nothing": lambda path: path.symlink_to(path.parent / "nowhere"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a pipe": os.mkfifo,
    "a huge file": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 2**40),
    "nothing": lambda path: path.touch(),
    "another object": lambda path: path.write_text('{"name": "package"}'),
    "no text": lambda path: path.write_bytes(b"\xff\x00"),
}


@pytest.mark.parametrize("made", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_record_at_all_is_left_alone(shop, made):
    shop.ordered()
    made(shop.folder / "package.json")
    shop.lost("lost one")

    assert [row["key"] for row in listing_of(shop.ledger, Wanted(sort="key")).rows] == [KEY, "lost one"]
    assert shop.ordered("lost one").order_id == shop.orders[1]


class Unreadable:
    """Let one object of a ledger raise when it is opened."""

    def __init__(self, monkeypatch, path, error):
        read = LocalFileSystem.cat_file

        def cat_file(fs, name, *args, **kwargs):
            if str(name) == str(path):
                raise error
            return read(fs, name, *args, **kwargs)

        monkeypatch.setattr(LocalFileSystem, "cat_file", cat_file)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(5, "Input/output error")])
def test_a_record_that_cannot_be_read_stops_only_what_it_may_own(shop, run, monkeypatch, error):
    shop.ordered("unreadable")
    Unreadable(monkeypatch, shop.path("unreadable"), error)
    shop.clock.sleep(3 * 86_400.0)
    order = shop.ordered()

    code, out, _ = run("list")
    assert (code, [line.split()[0] for line in out.splitlines()[1:-1]]) == (0, ["ordered", "unusable"])
    assert order.order_id in run("explain", "--order-id", order.order_id)[1]
    shop.lost("never placed", carried_out=False)
    assert shop.ordered("never placed").order_id == shop.orders[-1]
    with pytest.raises(StoreFailed):
        shop.ordered("unreadable")


def test_a_record_that_cannot_be_read_may_own_the_order_that_fits(shop, monkeypatch):
    shop.ordered("unreadable")
    Unreadable(monkeypatch, shop.path("unreadable"), PermissionError(13, "Permission denied"))
    shop.lost(carried_out=False)

    with pytest.raises(PurchaseOutcomeUnknown, match="another purchase"):
        shop.ordered()

    assert len(shop.orders) == 1


def test_a_storage_that_fails_is_no_ledger_of_damaged_records(shop, monkeypatch):
    shop.ordered()
    store = shop.ledger
    store._is_local = False
    Unreadable(monkeypatch, shop.path(), OSError(5, "SlowDown"))

    with pytest.raises(StoreFailed, match="SlowDown"):
        list(store.all())


def test_a_damaged_rival_is_named_without_saying_what_became_of_the_money(shop):
    shop.ordered("another one")
    shop.path("another one").write_text("{half of")
    shop.lost()

    with pytest.raises(PurchaseOutcomeUnknown) as stopped:
        shop.ordered()

    assert str(shop.path("another one")) in str(stopped.value)
    assert "Nothing was sent" not in str(stopped.value)


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

    def nameless(client, action, *request):
        answer = read(client, action, *request)
        return {**answer, "Deals": [{**deal, "OrderId": None} for deal in answer.get("Deals") or ()]}

    big_deal = shop.sandbox.account.orders()[0].big_deal_id
    monkeypatch.setattr(BillingClient, "call", nameless)
    code, _, err = run("settle", "--key", KEY, "--order-id", big_deal, "--force")

    assert code == 0, err
    assert json.loads(shop.path().read_text())["order_id"] == big_deal


def test_the_name_of_a_damaged_rival_is_shown_on_one_line(shop):
    shop.lost()
    (shop.folder / f"\x1b[31mred\n\udcff-{'a' * 24}.json").write_text("{half of")

    with pytest.raises(PurchaseOutcomeUnknown) as stopped:
        shop.ordered()

    text = str(stopped.value)
    assert text.encode()
    assert "\\x1b[31mred\\n" in text
