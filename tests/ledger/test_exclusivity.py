"""Whether a ledger lets only one of two create a record is tried on its storage, and not believed by its name."""

from __future__ import annotations

import contextlib
import threading

import pytest
from fsspec import AbstractFileSystem

from airflow_provider_tcbilling.api.errors import Unreachable
from airflow_provider_tcbilling.ledger.beside import IDENTITY
from airflow_provider_tcbilling.ledger.objects import RACES, ObjectStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support.crash import Died, at

pytestmark = pytest.mark.airflow


class Honest(AbstractFileSystem):
    """Object storage that honours the wish to create, and counts what is written."""

    cachable = False

    def __init__(self):
        super().__init__()
        self.objects, self.written, self.lock = {}, [], threading.Lock()

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        with self.lock:
            self.written.append(path)
            if mode == "create" and path in self.objects:
                raise FileExistsError(path)
            self.objects[path] = value

    def cat_file(self, path, start=None, end=None, **kwargs):
        if path not in self.objects:
            raise FileNotFoundError(path)
        return self.objects[path]

    def ls(self, path, detail=True, **kwargs):
        return sorted(self.objects)

    def rm_file(self, path):
        del self.objects[path]


class OldS3fs(Honest):
    """It drops the mode and overwrites, as s3fs did before 2024.12."""

    def pipe_file(self, path, value, chunksize=0, **kwargs):
        super().pipe_file(path, value)


class LooksFirst(Honest):
    """It looks first and creates then, as fsspec does where a file system brings nothing of its own."""

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        if mode == "create" and path in self.objects:
            raise FileExistsError(path)
        threading.Event().wait(0.2)
        super().pipe_file(path, value)


class KnowsNoMode(Honest):
    def pipe_file(self, path, value):
        super().pipe_file(path, value)


class RefusesToCreate(Honest):
    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        if mode == "create":
            raise NotImplementedError("mode")
        super().pipe_file(path, value)


class WritesAndRaises(Honest):
    """It says that the object is there, and has overwritten it."""

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        is_there = path in self.objects
        super().pipe_file(path, value)
        if mode == "create" and is_there:
            raise FileExistsError(path)


class CreatesNothing(Honest):
    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        raise FileExistsError(path)


class LosesObjects(Honest):
    def cat_file(self, path, start=None, end=None, **kwargs):
        raise FileNotFoundError(path)


class DeletesNothing(Honest):
    def rm_file(self, path):
        raise PermissionError("it may write and not delete")


class OutOfOrder(Honest):
    def _fails(self, *args, **kwargs):
        raise OSError("out of order")

    pipe_file = cat_file = ls = rm_file = _fails


class OutOfOrderLater(Honest):
    """The third creation fails otherwise than it should."""

    def pipe_file(self, path, value, mode="overwrite", **kwargs):
        if len(self.written) == 2:
            raise OSError("throttled")
        super().pipe_file(path, value, mode)


EXCLUSIVE = [Honest, DeletesNothing]
NOT_EXCLUSIVE = [
    *(OldS3fs, LooksFirst, KnowsNoMode, RefusesToCreate, WritesAndRaises, CreatesNothing, LosesObjects),
    *(OutOfOrder, OutOfOrderLater),
]


@pytest.fixture
def ledger_on(tmp_path, monkeypatch):
    """Return ledgers on a file system, all with the same address."""
    monkeypatch.setattr("airflow_provider_tcbilling.ledger.objects._EXCLUSIVE", {})

    def make(files):
        ledger = ObjectStore(tmp_path.as_uri())
        ledger._fs, ledger._is_local = files, False
        return ledger

    return make


@pytest.fixture
def warnings(monkeypatch):
    """What the ledger has warned of, wherever the line of Airflow under test sends it."""
    told = []
    monkeypatch.setattr(
        "airflow_provider_tcbilling.ledger.objects.log.warning", lambda text, *words: told.append(text % words)
    )
    return told


@pytest.mark.parametrize("kind", EXCLUSIVE)
def test_storage_that_lets_only_one_of_several_create_is_exclusive(ledger_on, kind, warnings):
    assert ledger_on(kind()).creates_exclusively
    assert warnings == []


@pytest.mark.parametrize("kind", NOT_EXCLUSIVE)
def test_storage_that_lets_several_create_or_cannot_be_tried_is_not_exclusive_and_the_log_says_once_why(
    ledger_on, kind, warnings
):
    files = kind()

    assert not any(ledger_on(files).creates_exclusively for _ in range(3))

    (warning,) = warnings
    assert "does not keep two processes from creating the same record (" in warning


@pytest.mark.parametrize("kind", [*EXCLUSIVE, *NOT_EXCLUSIVE])
def test_it_is_tried_once_for_each_process_and_ledger_and_leaves_nothing_that_looks_like_a_record(ledger_on, kind):
    files = kind()
    for _ in range(3):
        assert ledger_on(files).creates_exclusively is (kind in EXCLUSIVE)

    assert len(files.written) <= 3 * RACES
    assert len({*files.written}) <= RACES
    assert len(files.objects) == (kind is DeletesNothing) * RACES
    assert not [name for name in files.objects if name.endswith(".json")]
    if kind is DeletesNothing:
        assert list(ledger_on(files).all()) == []


def test_two_processes_that_try_it_at_once_do_not_disturb_each_other(ledger_on, monkeypatch):
    files, found = Honest(), []
    for _ in range(4):
        monkeypatch.setattr("airflow_provider_tcbilling.ledger.objects._EXCLUSIVE", {})
        found.append(ledger_on(files).creates_exclusively)

    assert found == [True] * 4
    assert len({*files.written}) == 4 * RACES


def test_nothing_is_written_before_a_purchase_begins(ledger_on):
    files = Honest()
    ledger = ledger_on(files)

    assert ledger.read("firewall") is None
    assert [*ledger.others("firewall")] == [*ledger.all()] == []
    assert files.written == []


def test_a_folder_of_this_machine_is_exclusive_and_stays_clean(tmp_path):
    assert ObjectStore(tmp_path.as_uri()).creates_exclusively
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_not_exclusive(tmp_path):
    assert not ObjectStore((tmp_path / "missing").as_uri()).creates_exclusively
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "pauses"), [(Honest, False), (OldS3fs, True), (LooksFirst, True)])
def test_a_purchase_waits_and_looks_again_only_where_the_storage_is_not_exclusive(
    ledger_on, sandbox, passing_time, kind, pauses
):
    files = kind()
    began = passing_time.slept

    Purchase("firewall", NewInstance(client_to(sandbox), ORDER), ledger_on(files), Rules()).place()

    assert (passing_time.slept - began >= ObjectStore.pause_seconds) is pauses
    assert sandbox.requests["CreateInstance"] == 1
    beside = [IDENTITY] if kind is Honest else []
    assert [name for path in files.objects if not (name := path.rpartition("/")[2]).endswith(".json")] == beside
    assert len(files.objects) == 1 + len(beside)


def test_nothing_is_sent_where_the_storage_refuses_to_create(ledger_on, sandbox, passing_time):
    store = ledger_on(RefusesToCreate())

    with pytest.raises(StoreFailed):
        Purchase("firewall", NewInstance(client_to(sandbox), ORDER), store, Rules()).place()

    assert sandbox.requests["CreateInstance"] == 0


class StandsStill:
    """Let another process act, and time go by, before or after the n-th use of a storage by this process."""

    def __init__(self, files, at, meanwhile):
        self.at, self.meanwhile, self.uses = at, meanwhile, 0
        for name in ("cat_file", "pipe_file"):
            setattr(files, name, self._watched(getattr(files, name)))

    def _watched(self, use):
        def watched(path, *args, **options):
            if not path.endswith(".json"):
                return use(path, *args, **options)
            self._come_to("before")
            try:
                return use(path, *args, **options)
            finally:
                self._come_to("after")
                self.uses += 1

        return watched

    def _come_to(self, place):
        if (self.uses, place) == self.at and self.meanwhile:
            act, self.meanwhile = self.meanwhile, None
            act()


@pytest.mark.parametrize("seconds", [1.0, 30.0])
@pytest.mark.parametrize("dies_at", [None, "intent stored"])
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("use", range(4))
def test_two_copies_of_a_task_buy_once_wherever_one_stands_still_and_whatever_becomes_of_the_other(
    ledger_on, start_sandbox, passing_time, use, place, dies_at, seconds
):
    sandbox, files = start_sandbox(tokens=Tokens("ignore")), OldS3fs()

    def copy():
        rules = Rules(lag=1.0, request_seconds=5.0)
        return Purchase("firewall", NewInstance(client_to(sandbox), ORDER), ledger_on(files), rules)

    def other():
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Died):
            if dies_at:
                patch.setattr(Purchase, "checkpoint", staticmethod(at(dies_at)))
            copy().place()
        passing_time.sleep(seconds)

    assert not ledger_on(files).creates_exclusively
    StandsStill(files, (use, place), other)

    try:
        order = copy().place()
    except Unreachable:  # It stood still for longer than it may send, so Airflow tries it again.
        order = copy().place()

    assert [one.order_id for one in sandbox.account.orders()] == [order.order_id]
