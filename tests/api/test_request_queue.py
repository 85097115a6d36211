"""The limit of requests is a courtesy: whatever becomes of its file, no purchase is lost or waits for too long."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import random
import shutil
import struct
import tempfile
import time
from dataclasses import astuple

import pytest

from airflow_provider_tcbilling.api import request_queue
from airflow_provider_tcbilling.api.rate_limit import RateLimiter
from airflow_provider_tcbilling.api.request_queue import QueueState, SharedQueue, packed, unpacked
from tests.conftest import ORDER, client_to
from tests.support.limiter import ACTION, asks, drawn, folder, run, the_file, within_no_time

__all__ = ["folder"]
pytestmark = pytest.mark.usefixtures("folder")


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
    path.write_bytes(packed(QueueState()))
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
def test_a_purchase_is_returned_whatever_becomes_of_the_queue_meanwhile(sandbox, folder, trouble):
    client = client_to(sandbox, rate_limiter=RateLimiter(sandbox.url, "id", 1e4))
    client.describe_account_balance()
    send = client._transport.send

    def send_in_trouble(*arguments):
        answer = send(*arguments)
        trouble(folder)
        return answer

    client._transport.send = send_in_trouble
    first = within_no_time(lambda: client.create_instance(client_token="a", **ORDER))
    client._transport.send = send
    second = within_no_time(lambda: client.create_instance(client_token="b", **ORDER))

    assert [order.order_id for order in sandbox.account.orders()] == [first.order_id, second.order_id]
    assert all(file.is_dir() for file in folder.parent.parent.glob("elsewhere/*")), "a link was followed"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_refusal_is_noted_whatever_became_of_the_notes(folder, trouble):
    limiter = RateLimiter("e", "id", 1e4)
    limiter.wait(ACTION, 60, time.sleep)
    trouble(folder)

    within_no_time(lambda: limiter.note(ACTION, refused=True))

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

    client = client_to(sandbox, rate_limiter=RateLimiter(sandbox.url, "id", 1e4))
    client.describe_account_balance()
    send = client._transport.send

    def send_and_break(*arguments):
        answer = send(*arguments)
        monkeypatch.setattr(RateLimiter, "note", explode)
        monkeypatch.setattr(SharedQueue, "change", explode)
        return answer

    client._transport.send = send_and_break

    assert client.create_instance(client_token="a", **ORDER).order_id == sandbox.account.orders()[0].order_id


@pytest.mark.parametrize("seed", range(100))
def test_a_damaged_queue_is_begun_anew(folder, seed):
    dice = random.Random(seed)
    numbers = [dice.choice([0.0, -1.0, 1e300, -1e300, float("nan"), float("inf"), 5e-324, 1e9]) for _ in range(5)]
    sound = packed(QueueState(90.0, 2.0, 19.0, 0.0, time.monotonic()))
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
    RateLimiter("e", "id", 100.0).wait(ACTION, 60, time.sleep)
    the_file(folder).write_bytes(noted)

    assert unpacked(noted) == QueueState()
    assert RateLimiter("e", "id", 100.0).wait(ACTION, 60, slept.append)
    assert (drawn(folder), slept) == (1, [])


@pytest.mark.parametrize("drawn_and_let_in", [(1e300, 0.0), (1.0, -1e300), (2e4, 0.0), (1e17, 1e17)])
def test_a_queue_that_nobody_can_have_drawn_is_begun_anew(folder, drawn_and_let_in):
    for number in (*drawn_and_let_in, math.inf, math.nan):
        asks()
        odd = QueueState(*(drawn_and_let_in if math.isfinite(number) else (number, 0.0)), 20.0, 0.0, time.monotonic())
        the_file(folder).write_bytes(packed(odd))

        assert (asks(), drawn(folder)) == (True, 1)


def test_notes_are_read_as_they_were_written():
    dice = random.Random(1)
    for _ in range(1000):
        queue = QueueState(*(dice.uniform(-1e6, 1e6) for _ in range(5)))
        assert astuple(unpacked(packed(queue))) == astuple(queue)


@pytest.mark.parametrize("name", ["open", "fstat", "pread", "pwrite", "close", "flock", "gettempdir"])
@pytest.mark.parametrize("code", [errno.EROFS, errno.ENOSPC, errno.EACCES, errno.EIO, errno.ENOLCK, errno.EMFILE])
def test_a_system_call_that_fails_holds_up_nobody_and_is_told_once(monkeypatch, caplog, name, code):
    module = {"flock": fcntl, "gettempdir": tempfile}.get(name, os)

    def fail(*arguments, **options):
        raise OSError(code, os.strerror(code))

    limiter = RateLimiter("e", "id", 1e4)
    with monkeypatch.context() as patch:
        patch.setattr(module, name, fail)
        assert all(limiter.wait(ACTION, 60, time.sleep) for _ in range(3))
        limiter.note(ACTION, refused=True)

    assert caplog.text.count("cannot share their rate limit") == 1
    assert os.strerror(code) in caplog.text


def test_a_full_file_system_holds_up_nobody():
    script = (
        "import resource, time; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        "from airflow_provider_tcbilling.api.rate_limit import RateLimiter\n"
        "print(sum(RateLimiter('e', 'id', 1e4).wait('a', 60, time.sleep) for _ in range(5)))"
    )
    done = run(script)

    assert done.stdout == "5\n"
    assert done.stderr.count("cannot share their rate limit") == 1


def test_without_the_file_each_process_still_limits_itself(folder):
    folder.write_text("in the way")
    limiter = RateLimiter("e", "id", 0.1)

    assert limiter.wait(ACTION, 0, time.sleep)
    assert not limiter.wait(ACTION, 1, time.sleep)
    assert not RateLimiter("e", "id", 0.1).wait(ACTION, 1, time.sleep)


def test_the_processes_share_again_once_the_trouble_is_over(folder, monkeypatch):
    folder.write_text("in the way")
    limiter = RateLimiter("e", "id", 1e4)
    limiter.wait(ACTION, 60, time.sleep)
    folder.unlink()
    limiter.wait(ACTION, 60, time.sleep)
    assert not folder.exists()

    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + request_queue.LOCAL_SECONDS + 1)
    limiter.wait(ACTION, 60, time.sleep)

    assert drawn(folder) == 1
