"""The limit of requests is a courtesy: whatever becomes of its file, no purchase is lost or waits for too long."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import astuple

import pytest

from airflow_provider_tcbilling.api import budget, notes
from airflow_provider_tcbilling.api.budget import Budget
from airflow_provider_tcbilling.api.notes import Queue, SharedNotes, packed, unpacked
from tests.conftest import ORDER, client_to

ACTION = "CreateInstance"
AT_ONCE = 20.0
"""Seconds that stand for no time at all, so that a busy machine fails no test. A file that blocks, blocks for ever."""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Keep the notes of each test apart."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setattr(budget, "_NOTES", {})
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp" / f"airflow-provider-tcbilling-{os.getuid()}"


def within_no_time(work):
    """Return what the work returns, and fail if it blocks."""
    results = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    thread.join(AT_ONCE)
    assert results, "it blocks"
    return results[0]


def asks(per_second=1e4):
    """Ask as a process of its own would: nothing is known of earlier trouble."""
    budget._NOTES.clear()
    return within_no_time(lambda: Budget("e", "id", per_second).wait(ACTION, 60, time.sleep))


def the_file(folder):
    (file,) = folder.iterdir()
    return file


def drawn(folder):
    """How many tickets the processes of this machine have drawn together."""
    return unpacked(the_file(folder).read_bytes()[: notes.SIZE]).drawn


def in_place_of_the_file(make):
    def trouble(folder):
        for file in folder.iterdir():
            file.unlink()
            make(file)

    return trouble


def in_place_of_the_folder(make):
    def trouble(folder):
        shutil.rmtree(folder)
        make(folder)

    return trouble


def link_elsewhere(path):
    target = path.parent.parent / "elsewhere"
    target.mkdir(exist_ok=True)
    path.symlink_to(target if path.name.startswith("airflow") else target / "file")


def link_a_second_name(path):
    path.write_bytes(packed(Queue()))
    path.with_name(f"{path.name}.second").hardlink_to(path)


def give_away(path):
    path.mkdir() if path.name.startswith("airflow") else path.touch()
    os.chown(path, 12345, 12345)


def everything_below(path):
    return {place: place.read_bytes() if place.is_file() else b"" for place in sorted(path.rglob("*"))}


as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a file away")
FOREIGN = [
    pytest.param(in_place_of_the_folder(link_elsewhere), id="a link in place of the folder"),
    pytest.param(in_place_of_the_folder(give_away), id="the folder belongs to somebody else", marks=as_root),
    pytest.param(in_place_of_the_file(link_elsewhere), id="a link in place of the file"),
    pytest.param(in_place_of_the_file(link_a_second_name), id="a file with a second name"),
    pytest.param(in_place_of_the_file(give_away), id="the file belongs to somebody else", marks=as_root),
]
TROUBLES = [
    *FOREIGN,
    pytest.param(shutil.rmtree, id="the folder is deleted"),
    pytest.param(lambda folder: shutil.rmtree(folder.parent), id="all temporary files are deleted"),
    pytest.param(in_place_of_the_folder(lambda path: path.write_text("x")), id="a file in place of the folder"),
    pytest.param(in_place_of_the_file(lambda path: path.touch()), id="an empty file"),
    pytest.param(in_place_of_the_file(lambda path: path.write_bytes(b"\xff" * 44)), id="not a number"),
    pytest.param(in_place_of_the_file(lambda path: path.write_bytes(bytes(10_000))), id="a long file"),
    pytest.param(in_place_of_the_file(lambda path: path.mkdir()), id="a folder in place of the file"),
    pytest.param(in_place_of_the_file(os.mkfifo), id="a pipe in place of the file"),
]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_purchase_is_returned_whatever_becomes_of_the_notes_meanwhile(sandbox, folder, trouble):
    client = client_to(sandbox, budget=Budget(sandbox.url, "id", 1e4))
    client.describe_account_balance()
    send = client._wire.send

    def send_in_trouble(*arguments):
        answer = send(*arguments)
        trouble(folder)
        return answer

    client._wire.send = send_in_trouble
    first = within_no_time(lambda: client.create_instance(client_token="a", **ORDER))
    client._wire.send = send
    second = within_no_time(lambda: client.create_instance(client_token="b", **ORDER))

    assert [order.order_id for order in sandbox.ledger.orders()] == [first.order_id, second.order_id]
    assert all(file.is_dir() for file in folder.parent.parent.glob("elsewhere/*")), "a link was followed"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_refusal_is_noted_whatever_became_of_the_notes(folder, trouble):
    asked = Budget("e", "id", 1e4)
    asked.wait(ACTION, 60, time.sleep)
    trouble(folder)

    within_no_time(lambda: asked.note(ACTION, refused=True))

    assert asks()


@pytest.mark.parametrize("trouble", FOREIGN)
def test_what_is_not_of_this_user_alone_is_not_written(folder, trouble):
    assert asks()
    trouble(folder)
    before = everything_below(folder.parent.parent)

    assert asks()

    assert everything_below(folder.parent.parent) == before


def test_nothing_stands_between_an_answer_and_its_reader(sandbox, monkeypatch):
    def explode(*arguments, **options):
        raise MemoryError

    client = client_to(sandbox, budget=Budget(sandbox.url, "id", 1e4))
    client.describe_account_balance()
    send = client._wire.send

    def send_and_break(*arguments):
        answer = send(*arguments)
        monkeypatch.setattr(Budget, "note", explode)
        monkeypatch.setattr(SharedNotes, "change", explode)
        return answer

    client._wire.send = send_and_break

    assert client.create_instance(client_token="a", **ORDER).order_id == sandbox.ledger.orders()[0].order_id


@pytest.mark.parametrize("seed", range(100))
def test_damaged_notes_are_begun_anew(folder, seed):
    dice = random.Random(seed)
    numbers = [dice.choice([0.0, -1.0, 1e300, -1e300, float("nan"), float("inf"), 5e-324, 1e9]) for _ in range(5)]
    sound = packed(Queue(90.0, 2.0, 19.0, 0.0, time.monotonic()))
    place = dice.randrange(len(sound))
    noted = dice.choice(
        [
            struct.pack("5d", *numbers),
            struct.pack("5d", *numbers) + sound[40:],
            dice.randbytes(dice.randrange(200)),
            sound[:place],
            sound[:place] + bytes([sound[place] ^ 1 << dice.randrange(8)]) + sound[place + 1 :],
        ]
    )
    slept = []
    Budget("e", "id", 100.0).wait(ACTION, 60, time.sleep)
    the_file(folder).write_bytes(noted)

    assert unpacked(noted) == Queue()
    assert Budget("e", "id", 100.0).wait(ACTION, 60, slept.append)
    assert (drawn(folder), slept) == (1, [])


def test_notes_are_read_as_they_were_written():
    dice = random.Random(1)
    for _ in range(1000):
        queue = Queue(*(dice.uniform(-1e6, 1e6) for _ in range(5)))
        assert astuple(unpacked(packed(queue))) == astuple(queue)


@pytest.mark.parametrize("name", ["open", "fstat", "pread", "pwrite", "close", "flock", "gettempdir"])
@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES, errno.EIO, errno.ENOLCK, errno.EMFILE])
def test_a_system_call_that_fails_holds_up_nobody_and_is_told_once(monkeypatch, caplog, name, code):
    module = {"flock": fcntl, "gettempdir": tempfile}.get(name, os)

    def fail(*arguments, **options):
        raise OSError(code, os.strerror(code))

    asked = Budget("e", "id", 1e4)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, fail)
        assert all(asked.wait(ACTION, 60, time.sleep) for _ in range(3))
        asked.note(ACTION, refused=True)

    assert caplog.text.count("cannot share their rate limit") == 1
    assert os.strerror(code) in caplog.text


def test_a_full_file_system_holds_up_nobody():
    script = (
        "import resource, time; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "from airflow_provider_tcbilling.api.budget import Budget\n"
        "print(sum(Budget('e', 'id', 1e4).wait('a', 60, time.sleep) for _ in range(5)))"
    )
    done = run(script)

    assert done.stdout == "5\n"
    assert done.stderr.count("cannot share their rate limit") == 1


def test_without_the_file_each_process_still_limits_itself(folder):
    folder.write_text("in the way")
    asked = Budget("e", "id", 0.1)

    assert asked.wait(ACTION, 0, time.sleep)
    assert not asked.wait(ACTION, 1, time.sleep)
    assert not Budget("e", "id", 0.1).wait(ACTION, 1, time.sleep)


def test_the_processes_share_again_once_the_trouble_is_over(folder, monkeypatch):
    folder.write_text("in the way")
    asked = Budget("e", "id", 1e4)
    asked.wait(ACTION, 60, time.sleep)
    folder.unlink()
    asked.wait(ACTION, 60, time.sleep)
    assert not folder.exists()

    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + notes.PRIVATE_SECONDS + 1)
    asked.wait(ACTION, 60, time.sleep)

    assert drawn(folder) == 1


def test_a_process_that_was_forked_meanwhile_keeps_no_lock(folder):
    waits, ends = os.pipe()
    children = []

    def fork(queue):
        children.append(os.fork())
        if not children[0]:
            os.close(ends)
            os.read(waits, 1)
            os._exit(0)
        queue.rate = 5.0

    shared = SharedNotes("n")
    shared._trusted_until = float("inf")  # So that no thread is between this one and the file.
    shared.change(fork, 1)
    inode = the_file(folder).stat().st_ino
    try:
        rate = within_no_time(lambda: SharedNotes("n").change(lambda queue: queue.rate, 2))
    finally:
        os.close(ends)
        os.waitpid(children[0], 0)

    assert (rate, the_file(folder).stat().st_ino) == (5.0, inode)


def test_a_thread_that_is_not_in_the_forked_process_is_missed_by_nobody():
    asked, stop = Budget("e", "id", 1e5), threading.Event()

    def ask_on():
        while not stop.is_set():
            asked.wait(ACTION, 60, time.sleep)

    threads = [threading.Thread(target=ask_on) for _ in range(4)]
    for thread in threads:
        thread.start()
    children = []
    for _ in range(20):
        child = os.fork()
        if not child:
            signal.alarm(int(AT_ONCE))
            os._exit(0 if all(asked.wait(ACTION, 60, time.sleep) for _ in range(5)) else 1)
        children.append(child)
    ends = [os.waitpid(child, 0)[1] for child in children]
    stop.set()
    for thread in threads:
        thread.join()

    assert ends == [0] * 20


@contextlib.contextmanager
def holder_that_stands_still(file):
    """Let a process lock a file, and stop it."""
    child = os.fork()
    if not child:
        held = os.open(file, os.O_RDWR)
        fcntl.flock(held, fcntl.LOCK_EX)
        os.kill(os.getpid(), signal.SIGSTOP)
        os.write(held, b"\xff" * 44)
        os._exit(0)
    os.waitpid(child, os.WUNTRACED)
    try:
        yield child
    finally:
        with contextlib.suppress(ChildProcessError, ProcessLookupError):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_holder_that_stands_still_holds_up_nobody_and_ends_the_sharing_for_a_moment_only(folder):
    assert asks()
    with holder_that_stands_still(the_file(folder)) as holder:
        assert asks()
        assert asks()
        before = drawn(folder)
        os.kill(holder, signal.SIGCONT)
        os.waitpid(holder, 0)

        assert asks()
        assert asks()
        assert drawn(folder) == before + 2


def test_a_holder_that_stands_still_leaves_a_purchase_the_time_that_it_needs(sandbox, folder):
    asked = Budget(sandbox.url, "id", 1e4)
    client = client_to(sandbox, budget=asked)
    client.create_instance(client_token="a", **ORDER)

    with holder_that_stands_still(the_file(folder)):
        second = within_no_time(
            lambda: client.create_instance(client_token="b", send_by=time.time() + notes.PATIENCE, **ORDER)
        )

    assert sandbox.ledger.orders()[1].order_id == second.order_id


def test_a_crowd_in_the_file_is_not_taken_for_a_holder_that_stands_still(folder, monkeypatch):
    assert asks()
    file = the_file(folder)
    inode = file.stat().st_ino

    def is_locked(held):
        """Come too late each time: somebody else has the file, and writes."""
        os.pwrite(held, packed(Queue(seen_at=time.monotonic())), 0)
        return False

    monkeypatch.setattr(notes, "_is_locked", is_locked)
    assert asks()

    assert file.stat().st_ino == inode


@pytest.mark.parametrize("name", ["open", "pwrite", "flock"])
def test_a_file_system_that_hangs_holds_up_nobody(monkeypatch, name):
    module, ended, hung = fcntl if name == "flock" else os, threading.Event(), []
    original = getattr(module, name)

    def hang(*arguments, **options):
        if threading.current_thread().name == "tcbilling-notes":
            hung.append(name)
            ended.wait(120)
        return original(*arguments, **options)

    monkeypatch.setattr(module, name, hang)
    asked = Budget("e", "id", 1e4)
    try:
        assert within_no_time(lambda: all(asked.wait(ACTION, 60, time.sleep) for _ in range(5)))
        assert len(hung) == 1
        start = time.monotonic()
        budget._NOTES.clear()
        Budget("e", "id", 1e4).wait(ACTION, 0.1, time.sleep)
        assert time.monotonic() - start < notes.PATIENCE
    finally:
        ended.set()


def test_a_file_system_that_hangs_leaves_a_purchase_the_time_that_it_needs(sandbox, monkeypatch):
    ended = threading.Event()
    client = client_to(sandbox, budget=Budget(sandbox.url, "id", 1e4))
    monkeypatch.setattr(os, "pread", lambda *arguments: ended.wait(120))
    try:
        within_no_time(lambda: client.create_instance(client_token="a", send_by=time.time() + 2, **ORDER))
    finally:
        ended.set()

    assert len(sandbox.ledger.orders()) == 1


CROWD = """
import os, struct, sys, time
from airflow_provider_tcbilling.api.budget import Budget
count, buyers, per_second, within = (float(number) for number in sys.argv[1:])
gate, opened = os.pipe()
results, result = os.pipe()
for number in range(int(count)):
    if not os.fork():
        os.close(opened)
        os.read(gate, 1)
        start, is_waiting = time.monotonic(), number >= buyers
        may = Budget("e", "id", per_second, is_waiting=is_waiting).wait("a", within, time.sleep)
        now = time.monotonic()
        os.write(result, struct.pack("dd??", now, now - start, may, is_waiting))
        os._exit(0)
os.close(result)
os.close(opened)
with os.fdopen(results, "rb") as file:
    while line := file.read(18):
        print(*struct.unpack("dd??", line))
"""


def run(script, *arguments):
    env = {**os.environ, "TMPDIR": tempfile.gettempdir()}
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=240)


def crowd(buyers, waiters, per_second, within):
    """Let many processes ask at once; return when each was answered, after how long, and whether it may send."""
    done = run(CROWD, buyers + waiters, buyers, per_second, within)
    answers = [line.split() for line in done.stdout.splitlines()]
    assert len(answers) == buyers + waiters
    moments = sorted((float(now), float(took), may == "True", waits == "True") for now, took, may, waits in answers)
    return moments, done.stderr


def test_300_processes_at_once_stay_at_the_limit(folder):
    moments, said = crowd(buyers=300, waiters=0, per_second=100, within=200)

    # A process that gets no turn on a busy machine for seconds may go on its own; most of them share.
    assert all(may for _, _, may, _ in moments)
    assert said.count("cannot share") <= 30
    assert drawn(folder) >= 270
    assert moments[-1][0] - moments[0][0] > 270 / 100 * 0.9


def test_300_processes_at_once_are_answered_by_their_deadline():
    moments, _ = crowd(buyers=300, waiters=0, per_second=20, within=3)

    sent = [now for now, _, may, _ in moments if may]
    assert 5 <= len(sent) <= 20 * (sent[-1] - sent[0]) + 40
    assert max(took for _, took, _, _ in moments) < 3 + AT_ONCE


def test_buyers_keep_half_in_a_crowd_of_300():
    moments, _ = crowd(buyers=100, waiters=200, per_second=100, within=200)

    last_buyer = max(place for place, (_, _, _, waits) in enumerate(moments) if not waits)
    waiters_before = sum(waits for _, _, _, waits in moments[:last_buyer])
    assert waiters_before <= 150
