"""
Budget: how many requests a second this machine sends to an account, so that the server need not refuse them.

Tencent allows each account 20 requests a second for each action. A task of Airflow is a process of its own, so what
one process knows is not enough: all processes of a user on a machine queue up in a small file for each account and
action. Machines do not know of each other. Whoever is refused slows down, and speeds up again with each request that is
let in: additive increase, multiplicative decrease.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import math
import os
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Protocol

from airflow_provider_tcbilling.api.actions import SENT_PER_SECOND
from airflow_provider_tcbilling.api.endpoint import server_name

WAITING_SHARE = 0.5
"""The part of it that whoever only waits may use; the rest is left to those who buy."""

BURST = 1
"""Requests that may go at once after a pause."""

GAIN, CUT = 0.02, 0.8
"""Each request that is let in adds GAIN requests a second; a refusal leaves the part CUT of them."""

QUIET_SECONDS = 1.0
"""Refusals that follow a refusal so soon tell nothing new: the server counts over one second."""

SLOWEST = 0.2
"""Requests a second, however often the server refuses."""

ALMOST = 1e-6
"""The part of a place that sums of fractions may be wrong by."""

log = logging.getLogger(__name__)


@dataclass
class Queue:
    """
    Who has drawn a ticket, and how far the queue has been let in.

    :param drawn: Number of the last ticket.
    :param let_in: Tickets up to this number may go. It rises with *rate*, and to at most *BURST* above *drawn*.
    :param rate: Requests a second; 0 until somebody came.
    :param refused_at: When the server refused one last.
    :param seen_at: When *let_in* was right. All times are monotonic, so no clock that is set can disturb them.
    """

    drawn: float = 0.0
    let_in: float = BURST
    rate: float = 0.0
    refused_at: float = -math.inf
    seen_at: float = 0.0


class Notes(Protocol):
    """Where a queue is written down."""

    def changing(self) -> contextlib.AbstractContextManager[Queue]:
        """Hold the queue for oneself, and keep what was changed in it."""


class PrivateNotes:
    """A queue that one process keeps for itself."""

    def __init__(self) -> None:
        self._queue, self._lock = Queue(), threading.Lock()

    @contextlib.contextmanager
    def changing(self) -> Iterator[Queue]:
        """Hold the queue for oneself, and keep what was changed in it."""
        with self._lock:
            yield self._queue


class SharedNotes:
    """A queue in a file, for all processes of a user on a machine. It is opened each time: a lock survives no fork."""

    _layout = struct.Struct("5d")

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def changing(self) -> Iterator[Queue]:
        """Hold the queue for oneself, and keep what was changed in it."""
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            noted = os.read(file, self._layout.size)
            queue = Queue(*self._layout.unpack(noted)) if len(noted) == self._layout.size else Queue()
            yield queue
            os.pwrite(file, self._layout.pack(*astuple(queue)), 0)
        finally:
            os.close(file)


class Pace:
    """
    Lets requests go one after the other, in the order in which they came.

    :param per_second: How many a second at most. Of several who share the notes, the lowest counts.
    """

    def __init__(self, notes: Notes, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._notes, self._per_second, self._clock = notes, per_second, clock
        self._is_slowed = True

    def draw(self, within: float) -> tuple[float, float]:
        """
        Draw a ticket, unless it would have to wait for too long.

        :param within: Seconds.
        :return: The ticket, and in how many seconds it may go, as things are.
        """
        with self._changing() as queue:
            seconds = self._until(queue, queue.drawn + 1)
            queue.drawn += seconds <= max(0.0, within)
            return queue.drawn, seconds

    def seconds_until(self, ticket: float) -> float:
        """Return in how many seconds a ticket may go, as things are; 0 if it may."""
        with self._changing() as queue:
            return self._until(queue, ticket)

    def was_let_in(self) -> None:
        """Take note that the server did not refuse a request."""
        if self._is_slowed:
            with self._changing() as queue:
                queue.rate = min(self._per_second, queue.rate + GAIN)

    def was_refused(self) -> None:
        """Take note that the server refused a request because there were too many."""
        with self._changing() as queue:
            if queue.seen_at - queue.refused_at < QUIET_SECONDS:
                return
            queue.refused_at = queue.seen_at
            queue.rate = max(min(SLOWEST, self._per_second), queue.rate * CUT)
            log.info("The server refused a request because there were too many; %.1f a second now.", queue.rate)

    @staticmethod
    def _until(queue: Queue, ticket: float) -> float:
        behind = ticket - queue.let_in
        return behind / queue.rate if behind > ALMOST else 0.0

    @contextlib.contextmanager
    def _changing(self) -> Iterator[Queue]:
        with self._notes.changing() as queue:
            now = self._clock()
            is_sound = all(map(math.isfinite, (queue.drawn, queue.let_in, queue.rate)))
            if not (is_sound and queue.rate > 0 and queue.seen_at <= now):
                # New, damaged, or of before the machine was started.
                queue.drawn, queue.let_in, queue.rate = 0.0, BURST, self._per_second
                queue.refused_at, queue.seen_at = -math.inf, now
            queue.rate = min(queue.rate, self._per_second)
            queue.let_in = min(queue.drawn + BURST, queue.let_in + (now - queue.seen_at) * queue.rate)
            queue.seen_at = now
            yield queue
            self._is_slowed = queue.rate < self._per_second


class Budget:
    """
    What one account may be asked, by action. All on this machine who use the same key at the same endpoint share it.

    :param per_second: Requests a second for each action, above 0; infinity is without limit.
    :param is_waiting: It is for somebody who only waits, and leaves half of it to those who buy.
    """

    def __init__(
        self, endpoint: str, secret_id: str, per_second: float = SENT_PER_SECOND, *, is_waiting: bool = False
    ) -> None:
        if not per_second > 0:
            raise ValueError(f"{per_second!r} requests a second are not above 0")
        self._account = hashlib.sha256(f"{server_name(endpoint)} {secret_id}".encode()).hexdigest()[:16]
        self._per_second = per_second
        self._is_waiting = is_waiting
        self._paces: dict[str, list[Pace]] = {}

    def wait(self, action: str, within: float, sleep: Callable[[float], None]) -> bool:
        """
        Wait until a request may be sent.

        :param within: Seconds.
        :return: Whether it may: not if that would take longer.
        """
        if within < 0:
            return False
        ends_at = time.monotonic() + within
        for pace in self._of(action):
            ticket, seconds = pace.draw(ends_at - time.monotonic())
            while seconds > 0:
                if seconds > ends_at - time.monotonic():
                    return False
                sleep(seconds)
                seconds = pace.seconds_until(ticket)
        return True

    def note(self, action: str, *, refused: bool) -> None:
        """Take note of what the server did with a request: refuse it because there were too many, or let it in."""
        for pace in self._of(action):
            pace.was_refused() if refused else pace.was_let_in()

    def _of(self, action: str) -> list[Pace]:
        if self._per_second == math.inf:
            return []
        if action not in self._paces:
            name = f"{self._account}.{action}"
            paces = [Pace(notes_of(name), self._per_second)]
            if self._is_waiting:
                paces.insert(0, Pace(notes_of(f"{name}.waiting"), self._per_second * WAITING_SHARE))
            self._paces[action] = paces
        return self._paces[action]


def notes_of(name: str) -> Notes:
    """Return the notes of a name, shared on this machine if its folder for temporary files allows it."""
    folder = Path(tempfile.gettempdir(), f"airflow-provider-tcbilling-{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to somebody else")
        notes = SharedNotes(folder / name)
        with notes.changing():
            return notes
    except OSError as error:
        log.warning("The processes of this machine cannot share their limit of requests: %s", error)
        return _PRIVATE.setdefault(name, PrivateNotes())


_PRIVATE: dict[str, PrivateNotes] = {}

UNLIMITED = Budget("", "", math.inf)
"""For a server that refuses nobody, such as a sandbox that was told so."""
