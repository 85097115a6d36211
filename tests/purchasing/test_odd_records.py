"""Records that are odd: what decides is strict, what informs is lenient, and one bad record stops no other purchase."""

from __future__ import annotations

import contextlib
import json
import time

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support.shelf import Shelf

pytestmark = pytest.mark.usefixtures("passing_time")


@pytest.fixture
def sandbox(start_sandbox):
    return start_sandbox(tokens=Tokens("ignore"))


def purchase(sandbox, store, key="firewall", order=ORDER):
    rules = Rules(lag=10.0, request_seconds=5.0, replay_window=120.0)
    return Purchase(key, NewInstance(client_to(sandbox, read_timeout=2.0), order), store, rules)


def lose(sandbox, when="after"):
    sandbox.faults.add({"fault": "drop", "action": "CreateInstance", "when": when})


def stored(sandbox, **changes):
    shelf = Shelf()
    purchase(sandbox, shelf).place()
    return {**json.loads(shelf.texts["firewall"]), **changes}


ODD = (None, True, 0, -1, 1.5, 1e300, float("nan"), "", " ", "\ud800", [], [1], {}, {"a": 1}, "9999999999999999999")
DECIDING = {
    "key": ODD[:6] + ODD[6:14],
    "client_token": (*ODD[:14], "é", "x" * 65),
    "generation": (None, True, -1, 1.5, "1", [], {}),
    "fingerprint": ODD[:14],
    "endpoint": ODD[:14],
    "action": (*ODD, "DescribeDealsByCond", "Buy"),
    "state": (*ODD, "INTENDED", "bought"),
    "owner": (None, True, 0, [], {}, "\ud800"),
    **dict.fromkeys(
        ("intended_at", "sending_until", "replay_until", "changed_at"),
        (
            *(*ODD, "now", "P1D", "2026-11-30", "10:00", "2026-11-30T10:00:00", "2026-11-30T10:00:00Z/P1D"),
            *(
                "0001-01-01T00:00:00+14:00",
                "9999-12-31T23:59:59-14:00",
                "2026-02-31T10:00:00Z",
                ["2026-11-30T10:00:00Z"],
            ),
        ),
    ),
    "payload": (
        None,
        True,
        0,
        "",
        "text",
        [],
        [1],
        {"ProductCode": 7},
        {"Period": "x"},
        {"Period": True},
        {"PeriodUnit": None},
    ),
    "before": (
        None,
        0,
        "",
        [],
        {"orders": None},
        {"orders": "1"},
        {"orders": [[]]},
        {"expire_time": 7},
        {"status": []},
    ),
    "order_id": ("", " ", 0, 7, True, [], {}, ["1"], "a b", "\ud800", None),
    "key_id": (None, 0, [], {}, "\ud800"),
    "account": (None, 0, [], {}),
    "is_resent": (None, 0, 1, "true", []),
    "is_checked": (None, 0, 1, "false", []),
    "version": (None, True, 1.0, "1", 0, 99, [], {}),
}


@pytest.mark.parametrize("name", DECIDING)
def test_what_decides_is_what_it_should_be_or_the_record_is_not_used(sandbox, name):
    sound = stored(sandbox)
    for odd in DECIDING[name]:
        with pytest.raises(InvalidRecord) as caught:
            Record.from_json({**sound, name: odd}, "here")
        assert str(caught.value).encode()
    if name not in ("payload", "before", "order_id", "key_id", "account", "is_resent", "is_checked"):
        with pytest.raises(InvalidRecord):
            Record.from_json({other: value for other, value in sound.items() if other != name}, "here")


INFORMING = [
    ("instance_ids", None, ()),
    ("instance_ids", "ins-1", ("ins-1",)),
    ("instance_ids", "ins-1 and more", ()),
    ("instance_ids", ["ins-1", None, 7, "a b", ["x"]], ("ins-1",)),
    ("instance_ids", {}, ()),
    ("twins", None, ()),
    ("twins", "order 7", ("order 7",)),
    ("twins", [7, None], ("7", "None")),
    ("paid_cents", "100.00", 100),
    ("paid_cents", 99.5, 100),
    ("paid_cents", float("nan"), None),
    ("paid_cents", True, None),
    ("paid_cents", "lots", None),
    ("paid_cents", [], None),
    ("currency", 7, None),
    ("request_id", {}, None),
    ("placed_by", None, {}),
    ("placed_by", [], {}),
    ("reason", None, ""),
    ("reason", {"a": 1}, "{'a': 1}"),
    ("a_field_of_a_later_version", {"a": 1}, None),
]


@pytest.mark.parametrize(("name", "odd", "read"), INFORMING)
def test_what_only_informs_never_loses_an_order(sandbox, name, odd, read):
    sound = stored(sandbox)

    record = Record.from_json({**sound, name: odd}, "here")

    assert record.order_id == sound["order_id"]
    assert getattr(record, name, None) == read
    assert Record.from_json(json.loads(json.dumps(record.as_json())), "here") == record


@pytest.mark.parametrize("state", ["intended", "charged", "refused", "declined"])
def test_an_order_in_a_state_that_has_none_is_not_bought_again(sandbox, state):
    shelf = Shelf(texts={"firewall": json.dumps(stored(sandbox, state=state))})

    with pytest.raises(InvalidRecord, match="with an order"):
        purchase(sandbox, shelf).place()

    assert sandbox.requests["CreateInstance"] == 1


@pytest.mark.parametrize("seconds", [3 * 86_400, 1e9])
def test_a_record_from_the_future_is_not_waited_for(sandbox, seconds):
    late = Record.from_json(stored(sandbox, state="intended", order_id=None), "here").as_json()
    moments = {name: time.time() + seconds for name in ("intended_at", "sending_until", "replay_until", "changed_at")}
    record = Record.from_json(late, "here")
    shelf = Shelf(texts={"firewall": json.dumps(Record(**{**vars(record), **moments}).as_json())})

    with pytest.raises(InvalidRecord, match="future"):
        purchase(sandbox, shelf).place()


def test_a_request_that_would_be_under_way_for_weeks_is_damage(sandbox):
    for odd in ({"sending_until": "2036-01-01T00:00:00Z"}, {"intended_at": "2036-01-01T00:00:00Z"}):
        with pytest.raises(InvalidRecord, match="sending_until"):
            Record.from_json(stored(sandbox, **odd), "here")


# As that of another purchase

DAMAGED = {
    "its payload": {"payload": None},
    "its times": {"intended_at": None, "sending_until": "soon"},
    "its state": {"state": 7},
    "its list": {"before": []},
    "a part of its payload": {"payload": {"ProductCode": "p_cloudfirewall"}, "before": []},
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_record_owns_the_order_that_it_names(sandbox, damage):
    shelf = Shelf(texts={"other": json.dumps(stored(sandbox, **damage))})
    lose(sandbox, "before")

    order = purchase(sandbox, shelf).place()

    first, second = (placed.order_id for placed in sandbox.account.orders())
    assert order.order_id == second != first


@pytest.mark.parametrize("damage", [*DAMAGED.values(), *({"order_id": odd} for odd in ("", 7, [], "a b"))])
def test_an_order_that_a_damaged_record_may_own_is_not_adopted(sandbox, damage):
    record = {**stored(sandbox), "order_id": None, "state": "intended", **damage}
    shelf = Shelf(texts={"other": json.dumps(record)})
    lose(sandbox, "before")

    with pytest.raises(PurchaseOutcomeUnknown, match="shelf/other"):
        purchase(sandbox, shelf).place()

    assert len(sandbox.account.orders()) == 1


PAYLOAD = NewInstance(client_to(None, endpoint="http://127.0.0.1:9"), ORDER).payload


@pytest.mark.parametrize("text", ["null", "7", "[]", '"half of"', "{}", '{"order_id": null}'])
def test_an_order_that_something_unreadable_may_own_is_not_adopted(sandbox, text):
    lose(sandbox)

    with pytest.raises(PurchaseOutcomeUnknown, match="shelf/other"):
        purchase(sandbox, Shelf(texts={"other": text})).place()


SURELY_NOT = {
    "of another product": {"payload": PAYLOAD | {"ProductCode": "p_cvm"}, "before": None},
    "of another action": {"action": "RenewInstance", "before": None},
    "of another server": {"endpoint": "https://billing.tencentcloudapi.com", "before": None},
    "of long ago": {
        "intended_at": "2020-01-01T00:00:00Z",
        "sending_until": "2020-01-01T00:01:00Z",
        "payload": None,
    },
    "of nothing that was bought": {"state": "declined", "before": None},
}


@pytest.mark.parametrize("changes", SURELY_NOT.values(), ids=SURELY_NOT)
def test_a_damaged_record_that_is_surely_of_something_else_stops_nobody(start_sandbox, sandbox, changes):
    intended = {"order_id": None, "state": "intended"}
    shelf = Shelf(texts={"other": json.dumps(stored(start_sandbox(), endpoint=sandbox.url) | intended | changes)})
    lose(sandbox)

    order = purchase(sandbox, shelf).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]


@pytest.mark.parametrize("text", ["null", "7", "[]", "{}", '{"format": "something else"}', '"half of"'])
@pytest.mark.parametrize("is_lost", [False, True])
def test_no_record_of_others_stops_a_purchase_of_which_the_order_book_shows_nothing(sandbox, text, is_lost):
    shelf = Shelf(texts={"other": text})
    if is_lost:
        lose(sandbox, "before")

    order = purchase(sandbox, shelf).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]


@pytest.mark.parametrize("payload", [{}, {"ProductCode": "p_cloudfirewall"}, {"ZoneCode": "ap-guangzhou-6"}])
def test_a_record_that_does_not_tell_all_that_was_asked_for_may_own_an_order_of_anything(sandbox, payload):
    record = {**stored(sandbox), "order_id": None, "state": "intended", "payload": payload}
    lose(sandbox, "before")

    with pytest.raises(PurchaseOutcomeUnknown, match="shelf/other"):
        purchase(sandbox, Shelf(texts={"other": json.dumps(record)})).place()


def test_an_odd_period_of_another_purchase_is_no_traceback(sandbox):
    record = {**stored(sandbox), "order_id": None, "state": "intended"}
    record["payload"] = {**record["payload"], "PeriodUnit": None, "Period": [1]}
    lose(sandbox)

    with contextlib.suppress(PurchaseOutcomeUnknown):
        purchase(sandbox, Shelf(texts={"other": json.dumps(record)})).place()


def test_a_key_that_cannot_be_written_is_a_mistake(sandbox):
    with pytest.raises(InvalidRequest, match="purchase key"):
        purchase(sandbox, Shelf(), key="edge \udcff")
