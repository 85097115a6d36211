"""A file of a ledger folder appears whole and once, on file systems with hard links and without, and stays."""

from __future__ import annotations

import errno
import itertools
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from airflow_provider_tcbilling.ledger import files
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from tests.conftest import ORDER, client_to
from tests.support.crash import Died

pytestmark = pytest.mark.airflow

NAME = "purchase-000000000000000000000000.json"


@pytest.fixture(params=["hard links", "no hard links"])
def links(request, monkeypatch):
    if request.param == "no hard links":
        without_links(monkeypatch)
    return request.param == "hard links"


@pytest.fixture
def no_links(monkeypatch):
    without_links(monkeypatch)


def without_links(monkeypatch, number=errno.EPERM):
    def refuses(*names):
        raise OSError(number, os.strerror(number), *map(str, names))

    monkeypatch.setattr(os, "link", refuses)
    monkeypatch.setattr(files, "CLAIM_SECONDS", 0.3)


def records_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name.endswith(".json")}


def drafts_in(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".draft")]


@pytest.mark.usefixtures("links")
def test_a_file_that_is_there_is_not_created_again_and_keeps_its_content(tmp_path):
    path = str(tmp_path / NAME)
    files.create(path, b"first")

    for content in (b"second", b"third"):
        with pytest.raises(FileExistsError):
            files.create(path, content)

    assert records_in(tmp_path) == {NAME: b"first"}
    assert drafts_in(tmp_path) == []


@pytest.mark.parametrize(
    "number", [errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS], ids=errno.errorcode.get
)
def test_a_file_system_without_hard_links_creates_once_too(tmp_path, monkeypatch, number):
    without_links(monkeypatch, number)

    ledger = ObjectStore(tmp_path.as_uri())

    assert ledger.creates_exclusively
    assert list(tmp_path.iterdir()) == []
    assert ledger.create("firewall", {"n": 1})
    assert not ledger.create("firewall", {"n": 2})
    assert ledger.read("firewall") == {"n": 1}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO], ids=errno.errorcode.get)
def test_an_error_that_says_nothing_of_hard_links_creates_nothing(tmp_path, monkeypatch, number):
    without_links(monkeypatch, number)

    with pytest.raises(StoreFailed):
        ObjectStore(tmp_path.as_uri()).create("firewall", {"n": 1})

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("links")
def test_of_many_that_create_a_file_at_once_one_succeeds_and_no_reader_sees_a_part_of_it(tmp_path):
    contents = [f"{number} ".encode() * 20_000 for number in range(8)]
    for name in (f"{turn}.json" for turn in range(10)):
        path, start, is_over, read = tmp_path / name, threading.Barrier(8), threading.Event(), []

        def create(content, path=path, start=start):
            start.wait()
            try:
                files.create(str(path), content)
            except FileExistsError:
                return False
            return True

        def reads(path=path, is_over=is_over, read=read):
            while not is_over.is_set():
                if path.exists():
                    read.append(path.read_bytes())

        reader = threading.Thread(target=reads)
        reader.start()
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(create, contents))
        is_over.set()
        reader.join()

        assert won.count(True) == 1
        assert {*read, path.read_bytes()} == {contents[won.index(True)]}
    assert drafts_in(tmp_path) == []


PROCESS = """
import os, sys, errno
from airflow_provider_tcbilling.ledger import files

def refuses(*names):
    raise OSError(errno.EPERM, "no hard links")

os.link = refuses
won = []
for turn in range(40):
    try:
        files.create(f"{sys.argv[1]}/{turn}.json", sys.argv[2].encode())
        won.append(turn)
    except FileExistsError:
        pass
print(*won)
"""


def test_of_several_processes_without_hard_links_one_creates_each_file(tmp_path):
    command = [sys.executable, "-c", PROCESS, str(tmp_path)]
    running = [
        subprocess.Popen([*command, str(number)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True)
        for number in range(4)
    ]
    won = {str(number): one.communicate(timeout=120)[0].split() for number, one in enumerate(running)}

    assert sorted(itertools.chain(*won.values()), key=int) == [str(turn) for turn in range(40)]
    for number, turns in won.items():
        assert {(tmp_path / f"{turn}.json").read_text() for turn in turns} <= {number}


class Crash:
    """Let a process die in the n-th use of a function of ``os``, before the function does anything or after it."""

    def __init__(self, monkeypatch, name, turn, *, is_done):
        self.use, self.name, self.left, self.is_done = getattr(os, name), name, turn, is_done
        monkeypatch.setattr(os, name, self)

    def __call__(self, *arguments, **options):
        self.left -= 1
        if self.left == 0 and not self.is_done:
            raise Died
        result = self.use(*arguments, **options)
        if self.left == 0:
            raise Died
        return result


POINTS = {
    "while it writes its draft": ("fsync", 2, ()),
    "at its claim": ("open", 3, ()),
    "behind its claim": ("close", 1, ()),
    "at the name": ("rename", 1, ()),
    "at the end of another's turn": ("listdir", 1, ("0.claim",)),
    "at the claim of the next turn": ("open", 5, ("0.claim",)),
    "at the name in the third turn": ("rename", 1, ("0.claim", "1.claim")),
}


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("name", "turn", "left"), POINTS.values(), ids=POINTS)
@pytest.mark.usefixtures("no_links")
def test_a_process_that_dies_while_it_creates_without_hard_links_blocks_nobody_for_ever(
    tmp_path, name, turn, left, is_done
):
    path = tmp_path / NAME
    for claim in left:
        Path(f"{path}.{claim}").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *args, **options: None)  # A dead process tidies nothing up.
        Crash(patch, name, turn, is_done=is_done)
        with pytest.raises(Died):
            files.create(str(path), b"dead")
    before = records_in(tmp_path)

    if before:
        assert (name, is_done) == ("rename", True)
    else:
        files.create(str(path), b"alive")

    assert records_in(tmp_path) == {NAME: b"dead" if before else b"alive"}
    with pytest.raises(FileExistsError):
        files.create(str(path), b"late")


@pytest.mark.parametrize("stops_at", ["claimed", "about to rename"])
@pytest.mark.usefixtures("no_links")
def test_a_process_that_stands_still_with_its_claim_does_not_win_beside_another(tmp_path, monkeypatch, stops_at):
    path, won = str(tmp_path / NAME), []
    claims, rename = files._has_claimed, Path.rename
    stands_still = [True]

    def other_first():
        if stands_still.pop() if stands_still else False:
            files.create(path, b"other")
            won.append("other")

    def has_claimed(*arguments):
        result = claims(*arguments)
        if stops_at == "claimed":
            other_first()
        return result

    def renames(draft, target):
        if stops_at == "about to rename":
            other_first()
        return rename(draft, target)

    monkeypatch.setattr(files, "_has_claimed", has_claimed)
    monkeypatch.setattr(Path, "rename", renames)

    with pytest.raises(FileExistsError):
        files.create(path, b"mine")

    assert won == ["other"]
    assert records_in(tmp_path) == {NAME: b"other"}
    assert drafts_in(tmp_path) == []


@pytest.mark.usefixtures("no_links")
def test_a_process_that_is_late_by_a_moment_keeps_its_turn(tmp_path, monkeypatch):
    path, rename = tmp_path / NAME, Path.rename
    has_claimed = threading.Event()

    def renames_late(draft, target):
        has_claimed.set()
        threading.Event().wait(0.1)
        return rename(draft, target)

    monkeypatch.setattr(Path, "rename", renames_late)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(files.create, str(path), b"slow")
        assert has_claimed.wait(10)
        with pytest.raises(FileExistsError):
            files.create(str(path), b"fast")
        slow.result()

    assert records_in(tmp_path) == {NAME: b"slow"}


@pytest.mark.usefixtures("no_links")
def test_a_file_that_only_a_listing_shows_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / NAME
    Path(f"{path}.0.claim").touch()
    monkeypatch.setattr(files, "_wait_for", lambda name: path.write_bytes(b"just now"))
    monkeypatch.setattr(os.path, "lexists", lambda name: False)  # As a network file system remembers for a second.

    with pytest.raises(FileExistsError):
        files.create(str(path), b"new")

    assert records_in(tmp_path) == {NAME: b"just now"}


@pytest.mark.usefixtures("no_links")
def test_a_record_from_before_the_claims_is_not_replaced(tmp_path):
    (tmp_path / NAME).write_bytes(b"copied here")

    with pytest.raises(FileExistsError):
        files.create(str(tmp_path / NAME), b"new")

    assert records_in(tmp_path) == {NAME: b"copied here"}


@pytest.mark.usefixtures("no_links")
def test_a_purchase_without_hard_links_is_bought_once_and_its_claims_are_no_records(tmp_path, sandbox, passing_time):
    ledger = ObjectStore(tmp_path.as_uri())

    for _ in range(2):
        order = Purchase("firewall", NewInstance(client_to(sandbox), ORDER), ledger, Rules()).place()

    assert [one.order_id for one in sandbox.account.orders()] == [order.order_id]
    assert [location for location, _ in ledger.all()] == [ledger.location("firewall")]


class Disk:
    """Note what is written to the disk, and which names the folder has at that moment."""

    def __init__(self, monkeypatch, folder):
        self.synced, self.folder, self.sync = [], folder, os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor):
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        self.synced.append((path.suffix, sorted(records_in(self.folder))) if path != self.folder else "folder")
        self.names = sorted(records_in(self.folder))
        self.sync(descriptor)


@pytest.mark.usefixtures("links")
def test_a_new_name_is_written_to_the_disk_before_the_creation_returns(tmp_path, monkeypatch):
    disk = Disk(monkeypatch, tmp_path)

    files.create(str(tmp_path / NAME), b"record")

    assert disk.synced[0] == (".draft", [])
    assert disk.synced[-1] == "folder"
    assert disk.names == [NAME]


def test_a_replacement_is_written_to_the_disk_before_it_returns(tmp_path, monkeypatch):
    files.create(str(tmp_path / NAME), b"before")
    disk = Disk(monkeypatch, tmp_path)

    files.replace(str(tmp_path / NAME), b"after")

    assert disk.synced == [(".draft", [NAME]), "folder"]


def refusing_folders(monkeypatch, number):
    sync = os.fsync

    def fsync(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").is_dir():
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES], ids=errno.errorcode.get)
def test_a_file_system_that_does_not_sync_folders_is_a_ledger_all_the_same(tmp_path, monkeypatch, number):
    refusing_folders(monkeypatch, number)
    ledger = ObjectStore(tmp_path.as_uri())

    assert ledger.creates_exclusively
    assert ledger.create("firewall", {"n": 1})
    assert ledger.replace("firewall", {"n": 2})
    assert ledger.read("firewall") == {"n": 2}


def test_a_disk_that_fails_to_keep_the_name_of_an_intent_lets_nothing_be_sent(
    tmp_path, monkeypatch, sandbox, passing_time
):
    refusing_folders(monkeypatch, errno.EIO)

    with pytest.raises(StoreFailed):
        Purchase("firewall", NewInstance(client_to(sandbox), ORDER), ObjectStore(tmp_path.as_uri()), Rules()).place()

    assert sandbox.requests["CreateInstance"] == 0
