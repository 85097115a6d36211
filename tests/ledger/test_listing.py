"""A query of the other purchases reads what is new, and not the whole ledger."""

from __future__ import annotations

import json
import os
import time
from datetime import datetime, timedelta, timezone

import pytest
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem

from airflow_provider_tcbilling.ledger import objects
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.ledger.store import MARGIN

pytestmark = pytest.mark.airflow

NOW = datetime(2026, 11, 25, 12, tzinfo=timezone.utc)
DAY = 86_400.0
AT = NOW.timestamp() - DAY + MARGIN
"""A record that is older than a day does not matter for a purchase that begins then."""


def record(number, **fields):
    return json.dumps({"format": "f", "key": f"key {number}", **fields}).encode()


class Bucket(AbstractFileSystem):
    """
    Object storage that lists details of its objects, and counts how many are read.

    :param details: Return the details of an object of which its number of changes and its last change are given.
    """

    cachable = False

    def __init__(self, details):
        super().__init__()
        self.details, self.objects, self.changes, self.read = details, {}, {}, []

    def put(self, name, content, changed=NOW):
        self.objects[name] = content
        self.changes[name] = (self.changes.get(name, (0,))[0] + 1, changed)

    def ls(self, path, detail=True, **kwargs):
        return [
            {"name": f"{path}/{name}", "size": len(content), "type": "file", **self.details(*self.changes[name])}
            for name, content in self.objects.items()
        ]

    def cat_file(self, path, start=None, end=None, **kwargs):
        self.read.append(path)
        return self.objects[path.rpartition("/")[2]]

    def since_last(self):
        count = len(self.read)
        self.read.clear()
        return count


DETAILS = {
    "s3": lambda count, at: {"LastModified": at, "ETag": f'"{count}"', "StorageClass": "STANDARD"},
    "gcs": lambda count, at: {"updated": at.isoformat().replace("+00:00", ".123Z"), "generation": str(count)},
    "azure": lambda count, at: {"last_modified": at, "etag": f"0x{count}", "creation_time": NOW - timedelta(days=900)},
    "sftp": lambda count, at: {"mtime": at.timestamp()},
    "hdfs": lambda count, at: {"mtime": at},
}
IDENTIFY_CONTENT = ("s3", "gcs", "azure")
SAY_NOTHING = {
    "nothing": lambda count, at: {},
    "only the time of the creation": lambda count, at: {"created": at, "creation_time": at},
    "times that are none": lambda count, at: {"mtime": "yesterday", "LastModified": None, "updated": True},
}


@pytest.fixture(autouse=True)
def nothing_is_kept(monkeypatch):
    monkeypatch.setattr(objects, "_KEPT", {})


def ledger_on(files):
    ledger = ObjectStore("file:///ledger")
    ledger._fs, ledger._is_local = files, False
    return ledger


def keys_of(found):
    return [stored["key"] for _, stored in found]


def filled(details, count=4):
    """Return a ledger of records that are each a day older than the one before, and its storage."""
    files = Bucket(details)
    for number in range(count):
        files.put(f"{number}-{'0' * 24}.json", record(number), NOW - timedelta(days=number))
    return ledger_on(files), files


@pytest.mark.parametrize("details", DETAILS.values(), ids=DETAILS)
def test_records_that_were_not_changed_since_the_margin_before_the_time_are_not_read(details):
    ledger, files = filled(details)

    assert keys_of(ledger.others("none", AT)) == ["key 0", "key 1"]
    assert files.since_last() == 2
    assert keys_of(ledger.others("none", AT - DAY, ["1"])) == ["key 0", "key 1", "key 2"]
    assert keys_of(ledger.others("none")) == keys_of(ledger.all()) == [f"key {number}" for number in range(4)]


@pytest.mark.parametrize("details", SAY_NOTHING.values(), ids=SAY_NOTHING)
def test_a_storage_that_does_not_tell_when_a_record_changed_has_all_of_them_read_each_time(details):
    ledger, files = filled(details)

    for _ in range(3):
        assert len(keys_of(ledger.others("none", AT + 90 * DAY))) == 4
        assert files.since_last() == 4


@pytest.mark.parametrize("name", DETAILS)
def test_a_record_is_not_read_again_where_the_storage_says_that_its_content_is_the_same(name):
    ledger, files = filled(DETAILS[name])
    assert len(keys_of(ledger.others("none", AT))) == files.since_last() == 2

    assert len(keys_of(ledger.others("none", AT))) == 2

    assert files.since_last() == (0 if name in IDENTIFY_CONTENT else 2)


@pytest.mark.parametrize("details", DETAILS.values(), ids=DETAILS)
def test_a_record_that_has_changed_is_read_again_even_if_its_size_and_its_second_are_the_same(details):
    ledger, files = filled(details, count=1)
    assert keys_of(ledger.others("none", AT)) == ["key 0"]
    files.put(f"0-{'0' * 24}.json", record(7))

    assert keys_of(ledger.others("none", AT)) == ["key 7"]


def test_an_old_record_that_has_changed_since_is_read():
    ledger, files = filled(DETAILS["s3"])
    assert keys_of(ledger.others("none", AT + DAY)) == ["key 0"]
    files.put(f"3-{'0' * 24}.json", record(3, order_id="1"), NOW + timedelta(days=1))

    assert keys_of(ledger.others("none", AT + DAY)) == ["key 0", "key 3"]


def test_a_record_that_was_deleted_is_no_longer_found():
    ledger, files = filled(DETAILS["s3"], count=2)
    assert len(keys_of(ledger.others("none", AT))) == 2
    del files.objects[f"0-{'0' * 24}.json"]

    assert keys_of(ledger.others("none", AT)) == ["key 1"]


def test_what_is_kept_of_one_ledger_is_not_found_in_another(monkeypatch):
    ledger, _ = filled(DETAILS["s3"], count=1)
    other, files = filled(DETAILS["s3"], count=1)
    other._uri = "file:///other"
    files.put(f"0-{'0' * 24}.json", record(7))
    files.changes = {name: (1, NOW) for name in files.changes}
    assert keys_of(ledger.others("none", AT)) == ["key 0"]

    assert keys_of(other.others("none", NOW.timestamp())) == ["key 7"]


def test_a_process_keeps_no_more_records_than_it_may(monkeypatch):
    monkeypatch.setattr(objects, "MAX_KEPT", 3)
    ledger, files = filled(DETAILS["s3"], count=2)
    for number in range(10):
        files.put(f"new {number}-{'0' * 24}.json", record(f"new {number}"))

    found = [sorted(keys_of(ledger.others("none", AT))) for _ in range(2)]

    assert found[0] == found[1]
    assert len(found[0]) == 12
    assert files.since_last() == 12 + 9


def test_a_foreign_object_is_no_record_however_often_it_is_listed():
    ledger, files = filled(DETAILS["s3"], count=1)
    files.put("package.json", b'{"name": "package"}')

    for _ in range(2):
        assert keys_of(ledger.others("none", AT)) == ["key 0"]


RECORDS, NEW = 2_000, 25


class Reads:
    """Count the records that are read in a local folder."""

    def __init__(self, monkeypatch):
        self.count, read = 0, LocalFileSystem.cat_file

        def cat_file(fs, name, *args, **kwargs):
            self.count += 1
            return read(fs, name, *args, **kwargs)

        monkeypatch.setattr(LocalFileSystem, "cat_file", cat_file)

    def of(self, use):
        before = self.count
        found = list(use())
        return self.count - before, len(found)


def test_a_query_of_a_folder_of_2000_records_reads_the_new_ones_once(tmp_path, monkeypatch):
    ledger, month_ago = ObjectStore(tmp_path.as_uri()), time.time() - 30 * DAY
    for number in range(RECORDS):
        (tmp_path / f"{number:04}-{'0' * 24}.json").write_bytes(record(number))
    stat = os.stat

    def old_stat(path, *args, **options):
        """Return the details of a file that was written a month ago, which no test can make: its ctime is now."""
        about = stat(path, *args, **options)
        name = str(path).rpartition("/")[2]
        if not (name.endswith(".json") and name < f"{RECORDS - NEW:04}"):
            return about
        values = {name: getattr(about, name) for name in dir(about) if name.startswith("st_")}
        return type("Stat", (), {**values, "st_mtime": month_ago, "st_ctime": month_ago})

    monkeypatch.setattr(os, "stat", old_stat)
    reads, since = Reads(monkeypatch), time.time()

    assert reads.of(ledger.all) == (RECORDS, RECORDS)
    assert reads.of(lambda: ledger.others("none", since)) == (NEW, NEW)
    assert reads.of(lambda: ledger.others("none", since)) == (0, NEW)
    ledger.replace("a new one", {"format": "f", "key": "a new one"})
    assert reads.of(lambda: ledger.others("none", since)) == (1, NEW + 1)
    assert reads.of(lambda: ledger.others("none", since, ["20261125000000001"])) == (0, NEW + 1)


def test_a_file_that_is_replaced_or_can_no_longer_be_read_is_not_taken_from_memory(tmp_path, monkeypatch):
    ledger = ObjectStore(tmp_path.as_uri())
    reads = Reads(monkeypatch)
    for number in range(20):
        ledger.replace("firewall", {"format": "f", "key": f"{number:02}"})
        assert keys_of(ledger.others("none")) == [f"{number:02}"]
    assert reads.count == 20

    (tmp_path / ledger.location("firewall").rpartition("/")[2]).chmod(0o600)
    assert keys_of(ledger.others("none")) == ["19"]
    assert reads.count == 21


def test_a_record_that_vanishes_while_a_folder_is_listed_stops_nobody(tmp_path, monkeypatch):
    ledger = ObjectStore(tmp_path.as_uri())
    for key in ("a", "b"):
        ledger.create(key, {"format": "f", "key": key})
    (path,) = (path for path in tmp_path.iterdir() if path.name.startswith("a-"))
    listdir = os.listdir

    def vanishes(folder):
        names = listdir(folder)
        path.unlink(missing_ok=True)
        return names

    monkeypatch.setattr(os, "listdir", vanishes)

    assert keys_of(ledger.others("none", time.time())) == ["b"]
