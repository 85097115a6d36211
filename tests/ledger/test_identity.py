"""A ledger has an identity, which says since when no record can be missing, and shows that a folder is another one."""

from __future__ import annotations

import json
import math
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.ledger import objects
from airflow_provider_tcbilling.ledger.beside import IDENTITY
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, StoreFailed
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support.crash import dying_at

pytestmark = pytest.mark.airflow


ID = "0a1b2c3d-0000-0000-0000-000000000000"


@pytest.fixture
def another_process(monkeypatch):
    """Forget what a process remembers of its ledgers."""

    def begin():
        for name, empty in (("_EXCLUSIVE", {}), ("_IDENTITIES", {}), ("_IDENTIFIED", set()), ("_KEPT", {})):
            monkeypatch.setattr(objects, name, empty)

    begin()
    return begin


@pytest.fixture
def warnings(monkeypatch):
    logged = []
    monkeypatch.setattr(objects.log, "warning", lambda text, *values: logged.append(text % values))
    return logged


def used(folder, key="firewall"):
    """Return a ledger in which a purchase was begun."""
    ledger = ObjectStore(folder.as_uri())
    assert ledger.creates_exclusively
    ledger.create(key, {"n": 1})
    return ledger


def named(folder):
    """Return a ledger whose address ends with its id."""
    return ObjectStore(f"{folder.as_uri()}#{ObjectStore(folder.as_uri()).identity()[0]}")


def edit(folder, **changes):
    path = folder / IDENTITY
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_ledger_that_was_never_used_promises_nothing_and_nothing_is_written_to_it(tmp_path, another_process):
    assert ObjectStore(tmp_path.as_uri()).complete_since == math.inf
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_promises_nothing(tmp_path, another_process):
    ledger = ObjectStore((tmp_path / "missing").as_uri())

    assert ledger.complete_since == math.inf
    with pytest.raises(StoreFailed):
        ledger.identity()


def test_the_first_record_makes_the_identity_and_it_stays_as_it_is(tmp_path, another_process):
    before = time.time()
    used(tmp_path)
    first = named(tmp_path)
    name, created_at = first.identity()
    stored = (tmp_path / IDENTITY).read_text()

    another_process()
    later = named(tmp_path)
    assert later.creates_exclusively
    later.create("another one", {"n": 1})

    assert before - 1 <= created_at <= time.time() + 1
    assert later.identity() == (name, created_at)
    assert later.complete_since == first.complete_since == created_at + CLOCK_MARGIN
    assert (tmp_path / IDENTITY).read_text() == stored


def test_the_identity_is_no_record(tmp_path, another_process):
    ledger = used(tmp_path)

    assert [location for location, _ in ledger.all()] == [ledger.location("firewall")]
    assert [location for location, _ in ledger.others("none")] == [ledger.location("firewall")]


def test_of_several_processes_that_make_the_identity_at_once_one_succeeds(tmp_path, another_process):
    def identity(number):
        return ObjectStore(tmp_path.as_uri()).identity()

    with ThreadPoolExecutor(8) as pool:
        assert len({*pool.map(identity, range(8))}) == 1


def test_a_process_reads_the_identity_once(tmp_path, another_process, monkeypatch):
    used(tmp_path)
    ledger, read = named(tmp_path), []
    another_process()
    assert ledger.creates_exclusively
    content = ObjectStore._content
    monkeypatch.setattr(ObjectStore, "_content", lambda store, path: read.append(path) or content(store, path))

    for _ in range(3):
        assert ObjectStore(f"{tmp_path.as_uri()}#{ledger._expected_id}").complete_since < math.inf
        assert ledger.read("firewall") == {"n": 1}
        ledger.create("another one", {"n": 1})

    assert [path for path in read if path.endswith(IDENTITY)] == [str(tmp_path / IDENTITY)]


def test_a_ledger_of_the_version_before_is_complete_from_the_next_record_on(tmp_path, another_process):
    ObjectStore(tmp_path.as_uri()).create("old one", {"format": "f", "key": "old one"})
    assert not (tmp_path / IDENTITY).exists()
    before = time.time()

    used(tmp_path)

    assert named(tmp_path).complete_since >= before


def test_an_identity_that_was_deleted_is_made_anew_by_the_next_process(tmp_path, another_process):
    before = used(tmp_path).identity()
    (tmp_path / IDENTITY).unlink()
    another_process()

    after = used(tmp_path, "another one").identity()

    assert after[0] != before[0]
    assert after[1] > before[1]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{half",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"{}",
        b'{"format": "airflow-provider-tcbilling ledger"}',
        b'{"format": "airflow-provider-tcbilling ledger", "id": "1", "created_at": 0}',
        b'{"format": "airflow-provider-tcbilling ledger", "id": "1", "created_at": "yesterday"}',
        b'{"format": "airflow-provider-tcbilling ledger", "id": "1", "created_at": "2026-01-01"}',
        b'{"format": "airflow-provider-tcbilling ledger", "id": "", "created_at": "2026-01-01T00:00:00Z"}',
        b'{"format": "airflow-provider-tcbilling ledger", "id": 1, "created_at": "2026-01-01T00:00:00Z"}',
        b'{"format": "something else", "id": "1", "created_at": "2026-01-01T00:00:00Z"}',
    ],
)
def test_a_damaged_identity_promises_nothing_and_is_left_as_it_is(tmp_path, another_process, warnings, content):
    used(tmp_path)
    another_process()
    (tmp_path / IDENTITY).write_bytes(content)

    ledger = used(tmp_path, "another one")

    assert ObjectStore(f"{tmp_path.as_uri()}#{ID}").complete_since == math.inf
    assert "cannot be used, so later tries query first" in warnings[-1]
    assert (tmp_path / IDENTITY).read_bytes() == content
    with pytest.raises(InvalidRecord):
        ledger.identity()


def test_an_identity_that_is_a_folder_is_none(tmp_path, another_process):
    (tmp_path / IDENTITY).mkdir()
    ledger = used(tmp_path)

    with pytest.raises(StoreFailed, match="does not keep its identity"):
        ledger.identity()


def test_an_identity_that_was_edited_to_be_older_is_as_old_as_the_edit(tmp_path, another_process):
    used(tmp_path)
    another_process()
    before = time.time()
    edit(tmp_path, created_at="2001-01-01T00:00:00Z")

    assert named(tmp_path).complete_since >= before


def test_a_copy_of_a_ledger_is_complete_since_it_was_copied_even_if_it_keeps_the_times_of_its_files(
    tmp_path, another_process
):
    (tmp_path / "a").mkdir()
    used(tmp_path / "a")
    edit(tmp_path / "a", created_at="2001-01-01T00:00:00Z")
    os.utime(tmp_path / "a" / IDENTITY, (1e9, 1e9))
    before = time.time()
    shutil.copytree(tmp_path / "a", tmp_path / "b", copy_function=shutil.copy2)

    assert (tmp_path / "b" / IDENTITY).stat().st_mtime == 1e9
    assert named(tmp_path / "b").complete_since >= before - 1 + CLOCK_MARGIN


def test_a_storage_that_was_found_not_to_create_exclusively_promises_nothing(tmp_path, another_process, monkeypatch):
    used(tmp_path)
    ledger = named(tmp_path)
    assert ledger.complete_since < math.inf
    monkeypatch.setitem(objects._EXCLUSIVE, tmp_path.as_uri(), False)

    assert ledger.complete_since == math.inf


def test_an_identity_that_cannot_be_made_stops_no_purchase(tmp_path, another_process, warnings, monkeypatch):
    create = objects.files.create

    def fails(path, content):
        if path.endswith(IDENTITY):
            raise OSError("no space for it")
        create(path, content)

    monkeypatch.setattr(objects.files, "create", fails)

    ledger = used(tmp_path)

    assert ledger.read("firewall") == {"n": 1}
    assert ledger.complete_since == math.inf
    assert [line for line in warnings if "cannot be made, so later tries query first" in line]


def test_a_folder_whose_address_does_not_end_with_its_id_promises_nothing(tmp_path, another_process):
    assert used(tmp_path).complete_since == math.inf
    assert named(tmp_path).complete_since < math.inf


def machine(folder, address=""):
    """Return the ledger of a machine, which has a folder of its own where the others have theirs."""
    folder.mkdir(exist_ok=True)
    return ObjectStore(f"{folder.as_uri()}{address}")


def purchase_on(ledger, sandbox, first_try_at=math.inf):
    presumed_since = first_try_at if first_try_at < ledger.complete_since else None
    spending, rules = NewInstance(client_to(sandbox), ORDER), Rules(lag=1.0, request_seconds=5.0)
    return Purchase("firewall", spending, ledger, rules, presumed_since=presumed_since)


@pytest.mark.parametrize("is_old", [False, True], ids=["new folder", "folder that has been used for long"])
def test_a_second_try_on_a_machine_that_does_not_share_the_folder_queries_first_and_buys_nothing(
    tmp_path, start_sandbox, passing_time, another_process, is_old
):
    sandbox, second = start_sandbox(tokens=Tokens("ignore")), machine(tmp_path / "second")
    if is_old:
        second.identity()
        edit(tmp_path / "second", created_at="2001-01-01T00:00:00Z")
    passing_time.sleep(86_400.0)
    first_try_at = time.time()
    with dying_at("order known"):
        purchase_on(machine(tmp_path / "first"), sandbox).place()
    another_process()

    order = purchase_on(second, sandbox, first_try_at).place()

    assert [one.order_id for one in sandbox.account.orders()] == [order.order_id]


def test_a_machine_that_does_not_share_the_folder_of_the_address_sends_nothing(
    tmp_path, sandbox, passing_time, another_process
):
    address = f"#{machine(tmp_path / 'first').identity()[0]}"

    for _ in range(2):
        another_process()
        with pytest.raises(StoreFailed, match="Do all workers mount the same folder"):
            purchase_on(machine(tmp_path / "second", address), sandbox).place()
        with pytest.raises(StoreFailed, match="Do all workers mount the same folder"):
            list(machine(tmp_path / "second", address).all())
        used(tmp_path / "second")
    purchase_on(machine(tmp_path / "first", address), sandbox).place()

    assert len(sandbox.account.orders()) == 1


def test_a_ledger_whose_address_ends_with_its_id_keeps_its_records_at_the_same_place(tmp_path, another_process):
    ledger = used(tmp_path)

    assert named(tmp_path).read("firewall") == {"n": 1}
    assert named(tmp_path).location("firewall") == ledger.location("firewall")
    assert named(tmp_path).about == ledger.about


@pytest.mark.parametrize("end", ["#1", f"#{ID[:-1]}", f"##{ID}"])
def test_what_is_no_id_at_the_end_of_an_address_is_a_part_of_the_name(tmp_path, end):
    folder = tmp_path / f"ledger{end}"
    folder.mkdir()

    assert ObjectStore(f"file://{folder}").create("firewall", {"n": 1})

    assert len(list(folder.glob("*.json"))) == 1
