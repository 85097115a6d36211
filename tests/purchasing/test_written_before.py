"""
Records that the version before has written are read, and their purchases go on.

The files in ``written_before`` were made by that version (0.1.0 at 57f6dd5), which called *intended_at*
*first_sent_at*: one purchase in each state, with the key of the tests, on a sandbox of which only the address changed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.ledger.task_state import TaskStateStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, PurchaseCharged, PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record
from tests.conftest import ORDER, client_to, context_of
from tests.support.crash import dying_at
from tests.support.shelf import Shelf

FOLDER = Path(__file__).with_name("written_before")
STATES = ("intended", "charged", "declined", "ordered", "delivered")
SECRET = {**ORDER, "parameter": {**ORDER["parameter"], "LoginSettings": {"Password": "hunter2hunter2"}}}

pytestmark = pytest.mark.usefixtures("passing_time")


def written(state, sandbox):
    return (FOLDER / f"{state}.json").read_text(encoding="utf-8").replace("http://127.0.0.1:1", sandbox.url)


def purchase(sandbox, store, order=SECRET):
    rules = Rules(lag=1.0, request_seconds=5.0)
    return Purchase("firewall", NewInstance(client_to(sandbox, read_timeout=2.0), order), store, rules)


class TaskState(dict):
    """A task state store, which takes an expiry with each value."""

    def set(self, key, value, **options):
        self[key] = value


def shelf_with(text, tmp_path):
    return Shelf({"firewall": text})


def ledger_with(text, tmp_path):
    store = ObjectStore(tmp_path.as_uri())
    Path(store.location("firewall").removeprefix("file://")).write_text(text, encoding="utf-8")
    return store


def task_state_with(text, tmp_path):
    pytest.importorskip("airflow.sdk", reason="the task state store came with Airflow 3.3")
    state = TaskState()
    store = TaskStateStore(context_of(state=state))
    store.create("firewall", json.loads(text))
    return store


STORES = [shelf_with, ledger_with, task_state_with]


@pytest.mark.parametrize("state", STATES)
def test_a_record_is_read_and_written_anew(sandbox, state):
    text = written(state, sandbox)
    assert "first_sent_at" in text

    record = Record.from_json(json.loads(text), "here")

    assert record.state.value == state
    again = record.as_json()
    assert again["intended_at"] == json.loads(text)["first_sent_at"]
    assert Record.from_json(again, "here") == record


@pytest.mark.parametrize("store_with", STORES)
@pytest.mark.parametrize("state", ["ordered", "delivered"])
def test_an_order_that_is_known_is_returned_and_nothing_is_sent(sandbox, tmp_path, state, store_with):
    text = written(state, sandbox)

    order = purchase(sandbox, store_with(text, tmp_path)).place()

    assert order.order_id == json.loads(text)["order_id"]
    assert sandbox.requests == {}


@pytest.mark.parametrize("store_with", STORES)
def test_an_intent_whose_window_is_over_stops_for_a_user(sandbox, tmp_path, store_with):
    store = store_with(written("intended", sandbox), tmp_path)

    with pytest.raises(
        PurchaseOutcomeUnknown, match="the time in which the same client token may be sent again is over"
    ):
        purchase(sandbox, store).place()

    assert sandbox.account.orders() == []


@pytest.mark.parametrize("store_with", STORES)
def test_an_intent_within_its_window_is_sent_again_with_its_token(sandbox, tmp_path, store_with, passing_time):
    told = json.loads(written("intended", sandbox))
    now = Record.from_json(purchase_now(sandbox), "here").as_json()
    times = {"first_sent_at": now["intended_at"], **{name: now[name] for name in ("sending_until", "replay_until")}}

    order = purchase(
        sandbox, store_with(json.dumps({**told, **times, "changed_at": now["changed_at"]}), tmp_path)
    ).place()

    assert [one.client_token for one in sandbox.account.orders()] == [told["client_token"]] == [order.client_token]


def purchase_now(sandbox):
    """Return an intent of now, as it is stored."""
    shelf = Shelf()
    with dying_at("sending"):
        purchase(sandbox, shelf).place()
    return json.loads(shelf.texts["firewall"])


@pytest.mark.parametrize("store_with", STORES)
def test_what_the_server_called_paid_is_not_sent_again(sandbox, tmp_path, store_with):
    store = store_with(written("charged", sandbox), tmp_path)

    with pytest.raises(PurchaseCharged):
        purchase(sandbox, store).place()

    assert sandbox.account.orders() == []


@pytest.mark.parametrize("store_with", STORES)
def test_what_was_refused_is_bought_with_the_next_token(sandbox, tmp_path, store_with):
    text = written("declined", sandbox)

    purchase(sandbox, store_with(text, tmp_path)).place()

    assert json.loads(text)["generation"] == 1
    assert len(sandbox.account.orders()) == 1
    assert sandbox.account.orders()[0].client_token != json.loads(text)["client_token"]


def test_a_record_of_a_newer_version_is_refused_and_nothing_is_sent(sandbox):
    newer = {**json.loads(written("intended", sandbox)), "version": 3}

    with pytest.raises(InvalidRecord, match="version 3"):
        purchase(sandbox, Shelf({"firewall": json.dumps(newer)})).place()

    assert sandbox.requests == {}
