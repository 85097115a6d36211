"""
The request queue: a file in which the processes of a user on this machine line up their requests.

The queue is a courtesy to the server, and no purchase suffers from it. Nothing here raises, and nothing waits for
longer than its caller allows: a file that cannot be used is replaced by a queue of the process's own for a minute.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import math
import os
import random
import stat
import struct
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

PATIENCE, GRACE = 2.0, 0.1
"""Seconds to wait for another process that holds the file, which may stand still, and for a file system that hangs."""

FIRST_POLL, LAST_POLL = 0.001, 0.02
"""Seconds between two attempts to lock the file; each pause is twice the one before. A process in it needs 0.00002."""

LOCAL_SECONDS = 60.0
"""How long the process uses a queue of its own after the file could not be used."""

QUICK_SECONDS, TRUSTED_SECONDS = 0.1, 1.0
"""A file system that answers within QUICK_SECONDS is used without a guard for the next TRUSTED_SECONDS."""

BURST = 1
"""Requests that may go at once after a pause."""

_NUMBERS, _CHECKSUM = struct.Struct("5d"), struct.Struct("I")
SIZE = _NUMBERS.size + _CHECKSUM.size
"""Bytes of a queue in a file."""

log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass
class QueueState:
    """
    The tickets that were drawn, and how many of them may go.

    Its binary form in the file, :func:`packed`, is shared by processes of different versions: it must not change.

    :param drawn: Number of the last ticket.
    :param let_in: Tickets up to this number may go. It rises with *rate*, and to at most *BURST* above *drawn*.
    :param rate: Requests a second; 0 until the first one comes.
    :param refused_at: Time of the last rate-limit error.
    :param counted_at: Time of *let_in*. All times are monotonic, so no clock that is set can disturb them.
    """

    drawn: float = 0.0
    let_in: float = BURST
    rate: float = 0.0
    refused_at: float = -math.inf
    counted_at: float = 0.0


def packed(state: QueueState) -> bytes:
    """Return the bytes of a file."""
    numbers = _NUMBERS.pack(state.drawn, state.let_in, state.rate, state.refused_at, state.counted_at)
    return numbers + _CHECKSUM.pack(zlib.crc32(numbers))


def unpacked(stored: bytes) -> QueueState:
    """Return the queue that the bytes of a file hold; a new one if they were not written as a whole by *packed*."""
    numbers, checksum = stored[: _NUMBERS.size], stored[_NUMBERS.size :]
    is_whole = len(stored) == SIZE and _CHECKSUM.pack(zlib.crc32(numbers)) == checksum
    return QueueState(*_NUMBERS.unpack(numbers)) if is_whole else QueueState()


class RequestQueue(Protocol):
    """The place of a queue."""

    def change(self, step: Callable[[QueueState], T], within: float) -> T:
        """
        Apply a step to the queue, keep the change, and return the step's result. Raise only the step's errors.

        :param within: Seconds that are left to the caller. At most half of them go into waiting for other processes.
        """


class LocalQueue:
    """A queue of one process. It has no lock, since a fork would leave a lock taken for ever."""

    def __init__(self) -> None:
        self.state = QueueState()

    def change(self, step: Callable[[QueueState], T], within: float) -> T:
        """Apply a step. Threads at the same moment may draw the same ticket, which sends one request too early."""
        return step(self.state)


class SharedQueue:
    """A queue in a file, for all processes of a user on a machine, or the process's own while there is trouble."""

    def __init__(self, name: str) -> None:
        self._name, self._local = name, LocalQueue()
        self._local_until = self._trusted_until = -math.inf
        self._has_warned = False

    def change(self, step: Callable[[QueueState], T], within: float) -> T:
        """Apply a step to the shared queue, or to the local one if that is impossible in time."""
        began_at, patience = time.monotonic(), max(0.0, min(PATIENCE, within / 2))
        if began_at >= self._local_until:
            try:
                if began_at < self._trusted_until:
                    changed = self._write(step, patience)
                else:
                    what = "the folder for temporary files"
                    changed = in_a_thread(lambda: self._write(step, patience), patience + GRACE, what)
            except Exception as error:  # A courtesy has no error that is worth a purchase.
                self._go_local(error)
            else:
                if (now := time.monotonic()) - began_at < QUICK_SECONDS:
                    self._trusted_until = now + TRUSTED_SECONDS
                return changed
        return self._local.change(step, patience)

    def _go_local(self, error: Exception) -> None:
        self._trusted_until = -math.inf
        if not isinstance(error, BlockingIOError):
            self._local_until = time.monotonic() + LOCAL_SECONDS
        level = logging.DEBUG if self._has_warned else logging.WARNING
        self._has_warned = True
        log.log(
            level,
            "The processes of this machine cannot share their rate limit now: %s. This process limits only itself; "
            "requests go on.",
            error,
        )

    def _write(self, step: Callable[[QueueState], T], patience: float) -> T:
        """
        Apply a step while this process alone holds the file.

        If nothing is written for the whole patience, the holder stands still, and perhaps for ever. The file is given
        up then: the next process makes a new one, and the old process writes to a file that has no name any more.

        :raises BlockingIOError: Another process holds it.
        """
        ends_at, poll, states = time.monotonic() + patience, FIRST_POLL, set()
        while True:
            with _opened(self._name) as (path, file):
                if _is_locked(file):
                    try:
                        return _changed(file, step)
                    finally:
                        # A process that was forked meanwhile has the file open too, so closing would not unlock it.
                        fcntl.flock(file, fcntl.LOCK_UN)
                states.add((os.fstat(file).st_ino, os.pread(file, SIZE, 0)))
                if time.monotonic() >= ends_at:
                    if patience >= PATIENCE and len(states) == 1:
                        with contextlib.suppress(FileNotFoundError):
                            os.unlink(path)
                    raise BlockingIOError(f"another process has held {path} for {patience:.1f} s")
            time.sleep(random.uniform(poll / 2, poll))
            poll = min(LAST_POLL, 2 * poll)


def _is_locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _changed(file: int, step: Callable[[QueueState], T]) -> T:
    state = unpacked(os.pread(file, SIZE, 0))
    result = step(state)
    os.pwrite(file, packed(state), 0)
    return result


@contextlib.contextmanager
def _opened(name: str) -> Iterator[tuple[str, int]]:
    """
    Open a file in the folder of this user for as long as the block runs.

    :return: Its path and its descriptor.
    :raises OSError: Folder or file cannot be used, or are not this user's own.
    """
    user = os.getuid()
    folder = f"{tempfile.gettempdir()}/airflow-provider-tcbilling-{user}"
    try:
        about = os.lstat(folder)
    except FileNotFoundError:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        about = os.lstat(folder)
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != user:
        raise PermissionError(f"{folder} is not a folder of this user")
    path = f"{folder}/{name}"
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != user or about.st_nlink > 1:
            raise PermissionError(f"{path} is not a file of this user alone")
        yield path, file
    finally:
        os.close(file)


def in_a_thread(work: Callable[[], T], seconds: float, what: str) -> T:
    """
    Do work that may never end, because a file system or a network hangs, and wait for its result.

    :param what: The thing that may hang, for the error.
    :raises TimeoutError: It took longer. The thread ends when it can.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, name="tcbilling-queue", daemon=True)
    thread.start()
    thread.join(seconds)
    if not future.done():
        raise TimeoutError(f"{what} did not answer within {seconds:.1f} s")
    return future.result()
