"""A ledger in a database: what it remembers beside the records, and how its tables come to be."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from base64 import b64decode

import pytest
from sqlalchemy import text as sql

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.ledger import database_changes, database_events, database_form
from airflow_provider_tcbilling.ledger.database_rows import id_of
from airflow_provider_tcbilling.ledger.database_search import Query
from airflow_provider_tcbilling.ledger.database_statements import execute_all
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, OrderIsAnothers, StoreFailed
from tests.support import ledgers

SERVER = server_name("http://127.0.0.1")
OWNER = "41d273cd8dca45d4bf270829c13749b1"


def record(key="k", state="intended", **fields):
    """Return as much of a record as the columns repeat."""
    usual = {"endpoint": "http://127.0.0.1", "action": "CreateInstance", "owner": OWNER, "key_id": "3cd2bcd55a4409da"}
    at = "2026-11-25T00:00:00Z"
    return {"key": key, "state": state, **usual, "intended_at": at, "changed_at": at, **fields}


@pytest.fixture(params=ledgers.KINDS)
def ledger(request, tmp_path):
    return ledgers.new_ledger(request.param, request, tmp_path)


@pytest.fixture
def sqlite(request, tmp_path):
    return ledgers.new_ledger("SQLite", request, tmp_path)


def execute(ledger, statement, **values):
    return ledger.database.changing(lambda connection: connection.execute(sql(statement), values).rowcount)


def kinds(ledger, key="k"):
    return [event["kind"] for event in ledger.events_of(key)]


def test_a_text_that_was_read_before_another_change_replaces_nothing(ledger):
    ledger.create("k", record())
    outdated = ledger.text("k")
    assert ledger.replace("k", record(owner="another"), outdated)

    assert not ledger.replace("k", record(owner="late"), outdated)
    assert not ledger.replace("k", record(owner="late"), str(outdated))
    assert not ledger.replace("new", record("new"), outdated)

    assert ledger.read("k")["owner"] == "another"
    assert ledger.read("new") is None
    assert ledger.replace("k", record(owner="bare"), str(ledger.text("k")))


def test_a_change_back_to_the_same_text_is_a_change(ledger):
    ledger.create("k", record())
    first = ledger.text("k")
    ledger.replace("k", record(owner="another"))
    ledger.replace("k", record())

    assert ledger.text("k") == first
    assert not ledger.replace("k", record(owner="late"), first)


def test_each_change_is_an_event_with_its_moment_its_owner_and_its_money(ledger):
    before = ledger.now()
    ledger.create("k", record())
    ledger.replace("k", record(owner="another"))
    ledger.replace("k", record(owner="another", state="ordered", order_id="20261130"))
    ledger.replace("k", record(owner="another", state="delivered", order_id="20261130", paid_cents=100, currency="USD"))
    ledger.replace("k", record(owner="a user, 1", state="declined"))

    events = ledger.events_of("k")

    assert [event["kind"] for event in events] == ["intended", "taken_over", "placed", "delivered", "settled"]
    assert [event["who"] for event in events] == [OWNER, "another", "", "", "a user, 1"]
    assert [event["order_id"] for event in events] == [None, None, "20261130", None, None]
    assert [(event["cents"], event["currency"]) for event in events[2:4]] == [(None, None), (100, "USD")]
    assert all(before - 1 <= event["at_ms"] / 1000 <= ledger.now() + 1 for event in events)
    assert ledger.verify_chain() == []


@pytest.mark.parametrize("state", ["declined", "charged", "refused"])
def test_a_purchase_that_ends_without_an_order_has_an_event_that_says_so(sqlite, state):
    sqlite.create("k", record())
    sqlite.replace("k", record(state=state))

    assert kinds(sqlite) == ["intended", state]


EDITS = {
    "an amount": "UPDATE tcbilling_events SET cents = 1 WHERE seq = 2",
    "an owner": "UPDATE tcbilling_events SET who = 'nobody' WHERE seq = 1",
    "a moment": "UPDATE tcbilling_events SET at_ms = at_ms + 1 WHERE seq = 1",
    "a hash": "UPDATE tcbilling_events SET hash = '00000000-0000-0000-0000-000000000001' WHERE seq = 1",
    "a gap": "DELETE FROM tcbilling_events WHERE seq = 2",
    "the first one missing": "DELETE FROM tcbilling_events WHERE seq = 1",
    "the last one missing": "DELETE FROM tcbilling_events WHERE seq = 3",
    "all of them missing": "DELETE FROM tcbilling_events",
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_of_the_events_shows(ledger, edit):
    for key in ("a", "b", "c"):
        ledger.create(key, record(key))
    assert ledger.verify_chain() == []

    assert execute(ledger, edit)

    assert any("book 1" in flaw for flaw in ledger.verify_chain())


def test_an_event_that_was_edited_together_with_its_hash_shows(sqlite):
    for key in ("a", "b"):
        sqlite.create(key, record(key))
    edited = {**sqlite.events_of("a")[0], "who": "nobody"}
    forged = database_events.hash_of(database_events.FIRST, edited)

    assert execute(sqlite, "UPDATE tcbilling_events SET who = 'nobody', hash = :hash WHERE seq = 1", hash=forged)

    assert any("event 2 or the one before it" in flaw for flaw in sqlite.verify_chain())


def test_a_change_that_fails_before_its_end_leaves_nothing(ledger, monkeypatch):
    ledger.create("k", record())

    def breaks(connection, writes):
        execute_all(connection, writes)
        raise ValueError("broken off")

    monkeypatch.setattr(database_changes, "execute_all", breaks)
    for change in (
        lambda: ledger.create("new", record()),
        lambda: ledger.replace("k", record("k", "ordered", order_id="1")),
    ):
        with pytest.raises(StoreFailed, match="broken off"):
            change()

    assert ledger.read("new") is None
    assert ledger.read("k") == record()
    assert kinds(ledger) == ["intended"]
    assert ledger.owners(SERVER, ["1"]) == {}
    assert ledger.verify_chain() == []


def test_what_changed_between_the_reading_and_the_writing_of_a_change_is_read_again(ledger, monkeypatch):
    ledger.create("k", record())
    place = database_changes.locked_place
    outdated = []

    def late(*args):
        """Return the purchase as it was before another one changed it, as PostgreSQL may after it has waited."""
        found = place(*args)
        if not outdated:
            outdated.append(found.row)
            monkeypatch.setattr(database_changes, "locked_place", place)
            return dataclasses.replace(found, row=StaleRow(found.row))
        return found

    monkeypatch.setattr(database_changes, "locked_place", late)

    assert ledger.replace("k", record(owner="another"))

    assert outdated
    assert ledger.read("k")["owner"] == "another"
    assert kinds(ledger) == ["intended", "taken_over"]
    assert ledger.verify_chain() == []


class StaleRow:
    """The row of a purchase in a version that is not that of the table."""

    def __init__(self, row):
        self.version, self.record = row.version + 1, row.record


def test_each_account_has_events_of_its_own(sqlite):
    for number, key_id in enumerate(("one", "two", "one")):
        sqlite.create(f"k{number}", record(key_id=key_id))
    execute(sqlite, "UPDATE tcbilling_events SET who = 'nobody' WHERE book = 2")

    (flaw,) = sqlite.verify_chain()

    assert f"book 2 ({SERVER}, two): event 1" in flaw


def test_an_order_belongs_to_one_purchase_for_ever(ledger):
    ledger.create("mine", record("mine"))
    ledger.create("theirs", record("theirs"))
    ledger.replace("mine", record("mine", "ordered", order_id="20261130"))

    with pytest.raises(OrderIsAnothers, match="20261130 belongs to another purchase"):
        ledger.replace("theirs", record("theirs", "ordered", order_id="20261130"))

    assert ledger.read("theirs") == record("theirs")
    assert kinds(ledger, "theirs") == ["intended"]
    ledger.replace("mine", record("mine", "declined"))
    assert ledger.owners(SERVER, ["20261130", "20261131"]) == {"20261130": "mine"}
    assert ledger.owners("another.server", ["20261130"]) == {}
    assert ledger.verify_chain() == []


def test_an_order_is_assigned_to_the_first_purchase_that_takes_it(ledger):
    ledger.create("mine", record("mine"))

    assert ledger.assign(SERVER, "1", "mine") == "mine"
    assert ledger.assign(SERVER, "1", "theirs") == "mine"
    assert ledger.assign(SERVER, "1", "mine") == "mine"
    assert ledger.assign("another.server", "1", "theirs") == "theirs"
    assert ledger.assign("another.server", "1", "mine") == "theirs"

    assert ledger.replace("mine", record("mine", "ordered", order_id="1"))
    assert kinds(ledger, "mine") == ["intended", "assigned", "placed"]
    assert ledger.owners("another.server", ["1"]) == {"1": "theirs"}
    assert ledger.verify_chain() == []


def test_only_purchases_that_may_own_an_order_or_be_under_way_are_others(ledger):
    old, new = "2026-01-01T00:00:00Z", "2026-11-25T00:00:00Z"
    for state in ("intended", "charged", "refused", "declined", "ordered", "delivered"):
        order = {"order_id": state} if state in ("ordered", "delivered") else {}
        for age, at in (("old", old), ("new", new)):
            ids = {name: f"{value}{age}" for name, value in order.items()}
            ledger.create(f"{state} {age}", record(f"{state} {age}", state, changed_at=at, **ids))
    ledger.create("own", record("own", changed_at=new))
    ledger.create("damaged", {"format": "?"})

    since = 1795000000.0
    found = {stored.get("key") for _, stored in ledger.others("own", since, ["deliveredold", "orderednew", "none"])}

    assert found == {"intended new", "charged new", "refused new", "delivered old", "ordered new", None}
    assert len([*ledger.others("own")]) == 7


def test_more_orders_than_one_query_takes_are_searched(sqlite):
    sqlite.create("k", record("k", "ordered", order_id="1200"))
    ids = [str(number) for number in range(1201)]

    assert sqlite.owners(SERVER, ids) == {"1200": "k"}
    assert [stored["key"] for _, stored in sqlite.others("own", order_ids=ids)] == ["k"]


def test_a_search_filters_sorts_and_counts(ledger):
    for number in range(8):
        state = ("intended", "delivered")[number % 2]
        at = f"2026-11-2{number}T00:00:00Z"
        more = {"order_id": f"2026113{number}", "paid_cents": number, "currency": "USD"} if number % 2 else {}
        by = {"placed_by": {"dag_id": f"dag_{number // 4}"}, "payload": {"ProductCode": "p_Firewall"}}
        ledger.create(f"key {number}", record(f"key {number}", state, changed_at=at, **by, **more))

    def keys(**query):
        found = ledger.search(Query(**query))
        return [row["key"][-1] for row in found.rows], found.count

    assert keys() == ([*"76543210"], 8)
    assert keys(limit=3) == ([*"765"], 8)
    assert keys(state="delivered", sort="changed_at") == ([*"1357"], 4)
    assert keys(dag_id="dag_1") == ([*"7654"], 4)
    assert keys(dag_id="dag_1", state="intended") == ([*"64"], 2)
    assert keys(since=1795478400.0) == ([*"7654"], 4)
    assert keys(text="FIREWALL", product="p_Firewall", limit=1) == (["7"], 8)
    assert keys(text="_") == ([*"76543210"], 8)
    assert keys(text="20261135") == (["5"], 1)
    assert keys(text="100%") == ([], 0)
    assert keys(state="delivered", sort="-paid_cents") == ([*"7531"], 4)
    row = ledger.search(Query(text="key 7")).rows[0]
    assert (row["server"], row["paid_cents"], row["currency"], row["product"]) == (SERVER, 7, "USD", "p_Firewall")


def test_what_is_pruned_leaves_a_total_its_order_and_a_row_that_stops_a_second_purchase(ledger):
    old = {"changed_at": "2026-01-01T00:00:00Z", "currency": "USD", "payload": {"ProductCode": "p"}}
    for number in range(3):
        ledger.create(f"old {number}", record(state="delivered", order_id=str(number), paid_cents=100, **old))
    ledger.create("new", record(state="delivered", order_id="new"))
    ledger.create("open", record(changed_at="2026-01-01T00:00:00Z"))

    assert (ledger.prune(1780000000.0), ledger.prune(1780000000.0)) == (3, 0)

    (total,) = ledger.totals()
    assert (total["purchases"], total["cents"], total["month"], total["currency"]) == (3, 300, "2026-01", "USD")
    assert sorted(location.rpartition("/")[2] for location, _ in ledger.all()) == sorted(map(id_of, ("new", "open")))
    assert ledger.owners(SERVER, ["1"]) == {"1": "old 1"}
    assert ledger.verify_chain() == []
    with pytest.raises(InvalidRecord, match=r"Nothing was sent.*pruned, and its order is 1"):
        ledger.read("old 1")
    assert not ledger.create("old 1", record())
    ledger.create("old 3", record(state="delivered", order_id="3", paid_cents=11, **old))
    assert (ledger.prune(1780000000.0), ledger.totals()[0]["cents"]) == (1, 311)


def test_an_import_takes_each_record_once(ledger):
    text = json.dumps(record(state="delivered", order_id="1"))

    assert ledger.import_text("k", text)
    assert not ledger.import_text("k", text)
    with pytest.raises(OrderIsAnothers):
        ledger.import_text("another", text)

    assert (ledger.text("k"), kinds(ledger)) == (text, ["imported"])
    assert ledger.read("another") is None


@pytest.mark.parametrize("key", ["nul \0 in it", "one 'quoted' \"key\" %s :x {}", "防火墙 🔥", "k" * 100_000])
def test_any_key_and_any_text_of_a_record_can_be_remembered(ledger, key):
    odd = {
        "reason": "\0\ud800",
        "currency": "\0",
        "payload": {"ProductCode": 7},
        "placed_by": {"dag_id": "\udcff" * 999},
    }

    assert ledger.create(key, record(key, **odd))

    assert ledger.read(key) == record(key, **odd)
    assert ledger.search(Query()).count == 1


def test_a_row_that_was_damaged_by_hand_stops_its_own_purchase_and_is_a_rival_to_others(ledger):
    ledger.create("k", record())
    execute(ledger, "UPDATE tcbilling_purchases SET record = :damaged", damaged=b"half of")

    with pytest.raises(InvalidRecord, match="it is not JSON"):
        ledger.read("k")
    assert [*ledger.all()] == [(ledger.location("k"), "half of")]
    assert [*ledger.others("another")] == [(ledger.location("k"), "half of")]


def test_the_dictionary_of_the_stored_form_is_the_one_that_records_were_written_with():
    written = b64decode(WRITTEN)

    assert hashlib.sha256(database_form.DICTIONARY).hexdigest() == DICTIONARY
    assert json.loads(database_form.expanded(written))["order_id"] == "20261130"
    for damaged in (written[:-1], written + b"x", b"", written[:20] + b"?" + written[21:]):
        with pytest.raises(ValueError, match=r"expanded|cut off"):
            database_form.expanded(damaged)


WRITTEN = (
    "eLtKh6rJ3dXBasMwDAbgd+k9xbIs2+pz7DQKxbJlGBQ2Vtaxt5/X1jRrXcZYTyO3xH/iJNKn+8O30/YGre42zy+7Jvh6XgqH/gWY"
    "LF1zv17I28emPr3qe9pu24kj/QNGRbVgEpoSOp6IMU2i7cbRgCG0vqJPx+TvsE1ElCkZRO8JjV2xguGci1MfAmZJMUQJKuiMMGut"
    "ECgpl5pVoIWZXEIgECwRKOiY4iYx2LA07YAVEhu6C7xsk3DNXG3yru1F0FQrhUBd5ISnLzKiuf0QNA8AXz8E3dJ76yM/nh47JPuc"
    "sCu6SAwpPwd4ZS8CA+IvdxTReTotv6L/Cu/DTOuF1DkcWv5t5Wa330Nf/gff/Vnyf0X8vLH7Dobg3+zynprNgnnP98vDyXCnCQCA"
    "ptfpXPciRThGO0UfYXKZpOmSeQpek1r1BWvoHXRrBoA1oWp0ix+GwUj9M/CYi5VciJJzhkvqONyN/E+9U6fn"
)
DICTIONARY = "afd9a752257ea2fa9268df30db04268150c5752bf99ab999912e9280b56cf988"
