"""What every store keeps to: those of the package, and one that a user would write."""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.connection import Settings
from airflow_provider_tcbilling.ledger.memory import MemoryStore
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.ledger.store import NoStore, Store
from airflow_provider_tcbilling.ledger.task_state import TaskStateStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, StoreFailed
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY, client_to, context_of
from tests.support import ledgers
from tests.support.crash import dying_at

pytestmark = pytest.mark.usefixtures("passing_time")


class TwoTables(Store):
    """The least that a user's own store has: four methods, a location, and what it can do."""

    about, is_shared = "two tables", True

    def __init__(self):
        self.rows = {}

    def location(self, key):
        return f"row {key}"

    def _get(self, key):
        return self.rows.get(key)

    def _create(self, key, text):
        return self.rows.setdefault(key, text) is text

    def _replace(self, key, text, expected):
        self.rows[key] = text
        return True

    def _list(self):
        return [(self.location(key), text) for key, text in self.rows.items()]


class TaskState(dict):
    def set(self, key, value, **options):
        self[key] = json.loads(json.dumps(value))


def in_task_state(tmp_path):
    pytest.importorskip("airflow.sdk")
    return TaskStateStore(context_of(state=TaskState()))


KEEPING = {
    "memory": lambda tmp_path: MemoryStore(),
    "memory that compares": lambda tmp_path: MemoryStore(replaces_conditionally=True),
    "a folder": lambda tmp_path: ObjectStore(tmp_path.as_uri()),
    "task state": in_task_state,
    "a user's own": lambda tmp_path: TwoTables(),
    **dict.fromkeys(ledgers.KINDS),
}
OPEN = {**KEEPING, "nothing": lambda tmp_path: NoStore()}


def opened(kind, request, tmp_path, monkeypatch):
    if OPEN[kind]:
        return OPEN[kind](tmp_path)
    ledgers.with_the_time_of_the_test(monkeypatch)
    return ledgers.new_ledger(kind, request, tmp_path)


@pytest.fixture(params=KEEPING)
def store(request, tmp_path, monkeypatch):
    return opened(request.param, request, tmp_path, monkeypatch)


@pytest.fixture(params=OPEN)
def any_store(request, tmp_path, monkeypatch):
    return opened(request.param, request, tmp_path, monkeypatch)


def test_a_record_comes_back_as_it_was_stored(store):
    record = {"key": "één", "list": [1, "two", None], "text": 'a "quoted" {brace}'}
    assert store.read("k") is None

    assert store.create("k", record)

    assert store.read("k") == record
    assert store.replace("k", {**record, "list": []})
    assert store.read("k") == {**record, "list": []}


def test_of_two_creations_one_succeeds_where_the_store_says_so(store):
    assert store.create("k", {"n": 1})

    if store.creates_exclusively:
        assert not store.create("k", {"n": 2})
        assert store.read("k") == {"n": 1}


def test_of_many_replacements_at_once_one_succeeds_where_the_store_says_so(store):
    if not store.replaces_conditionally:
        pytest.skip("this store does not compare")
    store.create("k", {"n": 0})
    text, start = store.text("k"), threading.Barrier(8)

    def replace(number):
        start.wait()
        return store.replace("k", {"n": number}, text)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(replace, range(1, 9)))

    assert won.count(True) == 1
    assert store.read("k") == {"n": won.index(True) + 1}


def test_a_shared_store_lists_all_and_the_others_of_a_key(store):
    for key in ("a", "b", "c"):
        store.create(key, {"format": "f", "key": key})

    listed = {location: record["key"] for location, record in store.all()}

    if store.is_shared:
        assert listed == {store.location(key): key for key in "abc"}
        assert sorted(record["key"] for _, record in store.others("b")) == ["a", "c"]
    else:
        assert listed == {}


def test_an_order_belongs_to_the_purchase_that_it_was_assigned_to_first(store):
    if not store.assigns_orders:
        with pytest.raises(NotImplementedError, match="assigns no orders"):
            store.assign("server", "1", "a")
        assert store.owners("server", ["1"]) == {}
        return
    for key in ("a", "b"):
        store.create(key, {"format": "f", "key": key})
    assert store.owners("server", ["1", "2"]) == {}

    assert store.assign("server", "1", "a") == "a"

    assert store.assign("server", "1", "b") == "a"
    assert store.assign("server", "1", "a") == "a"
    assert store.assign("another server", "1", "b") == "b"
    assert store.owners("server", ["1", "2"]) == {"1": "a"}
    assert store.owners("another server", ["1"]) == {"1": "b"}
    assert sorted(record["key"] for _, record in store.all()) == ["a", "b"]


def test_of_many_purchases_that_are_assigned_one_order_at_once_one_gets_it(store):
    if not store.assigns_orders:
        pytest.skip("this store assigns no orders")
    start = threading.Barrier(8)
    for number in range(8):
        store.create(str(number), {"format": "f", "key": str(number)})

    def assign(number):
        start.wait()
        return store.assign("server", "1", str(number))

    with ThreadPoolExecutor(8) as pool:
        owners = {*pool.map(assign, range(8))}

    assert owners == {*store.owners("server", ["1"]).values()}
    assert len(owners) == 1


@pytest.mark.parametrize("change", [{"order_id": "2"}, {"server": ""}, {"key": 7}, {"key": ""}, {"format": "f"}, None])
def test_a_damaged_assignment_gives_the_order_to_nobody(tmp_path, change):
    ledger = ObjectStore(tmp_path.as_uri())
    ledger.assign("server", "1", "a")
    (path,) = tmp_path.glob("*.owner")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}) if change else "{half of")

    for use in (lambda: ledger.assign("server", "1", "b"), lambda: ledger.owners("server", ["1"])):
        with pytest.raises(InvalidRecord, match=r"\.owner"):
            use()


def test_an_order_is_assigned_to_nobody_where_the_storage_cannot_be_written(tmp_path, monkeypatch):
    ledger = ObjectStore(tmp_path.as_uri())
    assert ledger.assigns_orders
    monkeypatch.setattr(ledger, "_put_new", lambda path, content: True)

    with pytest.raises(StoreFailed, match="nothing was sent"):
        ledger.assign("server", "1", "a")


def test_a_key_that_cannot_be_written_gets_no_order(tmp_path):
    ledger = ObjectStore(tmp_path.as_uri())

    with pytest.raises(InvalidRequest):
        ledger.assign("server", "1", "\udcff")

    assert ledger.owners("server", ["1"]) == {}


@pytest.mark.parametrize(("promised", "complete_since"), [({}, math.inf), ({"complete_since": 5.0}, 5.0)])
def test_a_memory_promises_that_it_is_complete_only_since_the_time_that_it_was_given(promised, complete_since):
    assert MemoryStore(**promised).complete_since == complete_since


def test_memory_that_is_not_shared_assigns_no_orders():
    assert not MemoryStore(is_shared=False).assigns_orders


def test_whatever_a_store_raises_says_that_it_failed_and_where(any_store, monkeypatch):
    def fails(*args):
        raise ZeroDivisionError("the network is gone")

    for name in ("_get", "_create", "_replace", "_list", "_list_changed"):
        monkeypatch.setattr(any_store, name, fails)

    for use in (
        lambda: any_store.read("k"),
        lambda: any_store.create("k", {}),
        lambda: any_store.replace("k", {}),
        lambda: list(any_store.all()),
    ):
        with pytest.raises(StoreFailed, match="the network is gone"):
            use()


def test_what_is_not_json_is_an_invalid_record_and_is_listed_as_its_text():
    store = MemoryStore({"k": "{half of"})

    with pytest.raises(InvalidRecord, match="it is not JSON"):
        store.read("k")
    assert list(store.all()) == [("memory/k", "{half of")]


def test_a_purchase_happens_once_in_every_store(any_store, sandbox, passing_time):
    rules = Rules(lag=1.0, request_seconds=5.0)

    def place():
        return Purchase("k", NewInstance(client_to(sandbox), ORDER), any_store, rules, presumed_since=began).place()

    began = None
    with dying_at("order known"):
        place()
    began = time.time() - 60

    order = place()

    assert [one.order_id for one in sandbox.account.orders()] == [order.order_id]


def test_a_store_that_compares_needs_no_pause_to_take_a_purchase_over(start_sandbox, passing_time):
    def slept(**kind):
        sandbox, store = start_sandbox(), MemoryStore(**kind)
        rules = Rules(lag=1.0, request_seconds=5.0)
        with dying_at("intent stored"):
            Purchase("k", NewInstance(client_to(sandbox), ORDER), store, rules).place()
        began = passing_time.slept
        Purchase("k", NewInstance(client_to(sandbox), ORDER), store, rules).place()
        return passing_time.slept - began

    assert slept() - slept(replaces_conditionally=True) == pytest.approx(2.0, abs=1.5)


class Overtaken(MemoryStore):
    """A store that compares, in which another process goes on just before the first replacement."""

    def __init__(self, meanwhile):
        super().__init__(replaces_conditionally=True)
        self.meanwhile = [meanwhile]

    def _replace(self, key, text, expected):
        while self.meanwhile:
            self.meanwhile.pop()()
        return super()._replace(key, text, expected)


def test_of_two_processes_that_take_over_at_once_a_store_that_compares_lets_one_send(start_sandbox, passing_time):
    sandbox, orders = start_sandbox(tokens=Tokens("ignore")), []

    def place():
        rules = Rules(lag=1.0, request_seconds=5.0)
        return Purchase("k", NewInstance(client_to(sandbox), ORDER), store, rules).place()

    store = Overtaken(lambda: orders.append(place()))
    with dying_at("intent stored"):
        place()

    mine = place()

    assert [one.order_id for one in sandbox.account.orders()] == [mine.order_id]
    assert orders == [mine]


def settings_of(ledger_uri):
    extra = {"ledger_uri": ledger_uri}
    fields = {"conn_id": "c", "host": None, "port": None, "login": SECRET_ID, "password": SECRET_KEY}
    return Settings.read(SimpleNamespace(**fields, extra_dejson=extra))


def test_a_deployment_chooses_the_class_of_its_ledgers(monkeypatch):
    from airflow_provider_tcbilling.task.store import open_ledger

    monkeypatch.setenv("AIRFLOW__TCBILLING__LEDGER_CLASS", f"{__name__}.Opened")
    monkeypatch.setitem(sys.modules, __name__, SimpleNamespace(Opened=lambda uri: opened.append(uri) or TwoTables()))
    opened = []

    assert isinstance(open_ledger(settings_of("ours://ledger")), TwoTables)
    assert opened == ["ours://ledger"]


@pytest.mark.parametrize("kind", ["builtins.dict", "no.such.module", "builtins.len"])
def test_a_class_that_is_no_store_sends_nothing(monkeypatch, kind):
    from airflow_provider_tcbilling.task.store import open_ledger

    monkeypatch.setenv("AIRFLOW__TCBILLING__LEDGER_CLASS", kind)

    with pytest.raises(StoreFailed, match="nothing was sent"):
        open_ledger(settings_of("ours://ledger"))
