"""
RateLimiter: how many requests a second this machine sends to an account, so that the server need not refuse them.

Tencent allows each account 20 requests a second for each action. A task of Airflow is a process of its own, so what
one process knows is not enough: all processes of a user on a machine queue up in a small file for each account and
action. Machines do not know of each other. A rate-limit error slows all of them down, and each request that is sent
speeds them up again: additive increase, multiplicative decrease.

The limit is a courtesy, and no purchase pays for it: nothing here raises, and no request waits beyond its deadline.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_tcbilling.api.actions import SENT_PER_SECOND
from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.request_queue import BURST, Notes, Queue, SharedNotes

WAITING_SHARE = 0.5
"""The part of it that whoever only waits may use; the rest is left to those who buy."""

GAIN, CUT = 0.02, 0.8
"""Each request adds GAIN requests a second, as if the server let it in; a refusal leaves the part CUT of them."""

QUIET_SECONDS = 1.0
"""Refusals that follow a refusal so soon tell nothing new: the server counts over one second."""

REFUSAL_SECONDS = 0.2
"""How long taking note of a refusal may take."""

SLOWEST = 0.2
"""Requests a second, however often the server refuses."""

ALMOST = 1e-6
"""The part of a place that sums of fractions may be wrong by."""

MOST_TICKETS, LONGEST_QUEUE = 1e12, 10_000
"""The tickets that were ever drawn, and those that wait at once: each is a thread of a process of this machine."""

NAP_SECONDS = 60.0
"""The longest sleep before the notes are read again; they may have been begun anew."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class Pace:
    """
    Lets requests go one after the other, in the order in which they came.

    :param per_second: Requests a second at most. All that share the notes use the same figure.
    """

    def __init__(self, notes: Notes, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._notes, self._per_second, self._clock = notes, per_second, clock
        self._slowest = min(SLOWEST, per_second)

    def draw(self, within: float) -> tuple[float, float]:
        """
        Draw a ticket, unless it would have to wait for too long.

        :param within: Seconds.
        :return: The ticket, and in how many seconds it may go, as things are.
        """

        def step(queue: Queue) -> tuple[float, float]:
            seconds = self._seconds_until(queue, queue.drawn + 1)
            queue.drawn += seconds <= max(0.0, within)
            return queue.drawn, seconds

        return self._change(step, within)

    def seconds_until(self, ticket: float, within: float = math.inf) -> float:
        """
        Return in how many seconds a ticket may go, as things are; 0 if it may.

        :param within: Seconds that are left.
        """

        def step(queue: Queue) -> float:
            if ticket > queue.drawn + ALMOST:
                # The queue was begun anew. The ticket has waited for its turn, and the later ones wait for it.
                queue.drawn += 1
                return 0.0
            return self._seconds_until(queue, ticket)

        return self._change(step, within)

    def was_refused(self) -> None:
        """Take note that the server refused a request because there were too many."""

        def step(queue: Queue) -> float:
            if queue.seen_at - queue.refused_at < QUIET_SECONDS:
                return math.inf
            queue.refused_at = queue.seen_at
            queue.rate = max(self._slowest, queue.rate * CUT)
            return queue.rate

        if (rate := self._change(step, REFUSAL_SECONDS)) < math.inf:
            log.info("The server refused a request because there were too many; %.1f a second now.", rate)

    def _seconds_until(self, queue: Queue, ticket: float) -> float:
        behind = ticket - queue.let_in
        if behind > ALMOST:
            return behind / queue.rate
        # Counted before it is sent, so that nothing stands between an answer and its reader.
        queue.rate = min(self._per_second, queue.rate + GAIN)
        return 0.0

    def _change(self, step: Callable[[Queue], T], within: float) -> T:
        def on_time(queue: Queue) -> T:
            now = self._clock()
            is_possible = queue.drawn < MOST_TICKETS and queue.drawn - queue.let_in <= LONGEST_QUEUE
            if not queue.rate or queue.seen_at > now or not is_possible:
                # New, or of before the machine was started, or not written by this package: nobody would ever go.
                queue.drawn, queue.let_in, queue.rate = 0.0, BURST, self._per_second
                queue.refused_at, queue.seen_at = -math.inf, now
            queue.rate = max(self._slowest, min(queue.rate, self._per_second))
            queue.let_in = min(queue.drawn + BURST, queue.let_in + (now - queue.seen_at) * queue.rate)
            queue.seen_at = now
            return step(queue)

        return self._notes.change(on_time, within)


class RateLimiter:
    """
    What one account may be asked, by action. All on this machine who use the same key at the same endpoint share it.

    A lower limit than the usual one is a queue in front of the common queue, so that it holds up nobody else. A higher
    limit says that the account has more than other accounts, and has a queue of its own.

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
        Wait until a request may be sent. It raises nothing but what *sleep* raises.

        :param within: Seconds.
        :return: Whether it may: not if that would take longer.
        """
        if within < 0:
            return False
        ends_at = time.monotonic() + within
        for pace in self._of(action):
            ticket, seconds = pace.draw(within)
            while seconds > 0:
                if seconds > ends_at - time.monotonic():
                    return False
                sleep(min(seconds, NAP_SECONDS))
                seconds = pace.seconds_until(ticket, ends_at - time.monotonic())
            within = ends_at - time.monotonic()
        return True

    def note(self, action: str, *, refused: bool) -> None:
        """Take note of a request that the server refused because there were too many. It raises nothing."""
        if refused:
            for pace in self._of(action):
                pace.was_refused()

    def _of(self, action: str) -> list[Pace]:
        if self._per_second == math.inf:
            return []
        if action not in self._paces:
            self._paces[action] = [
                pace
                for per_second in sorted({self._per_second, max(self._per_second, SENT_PER_SECOND)})
                for pace in self._paces_at(per_second, f"{self._account}.{action}")
            ]
        return self._paces[action]

    def _paces_at(self, per_second: float, name: str) -> list[Pace]:
        if per_second != SENT_PER_SECOND:
            name += f".{per_second!r}"
        paces = [Pace(notes_of(name), per_second)]
        if self._is_waiting:
            paces.insert(0, Pace(notes_of(f"{name}.waiting"), per_second * WAITING_SHARE))
        return paces


def notes_of(name: str) -> Notes:
    """Return the notes of a name: the same ones for all of this process, so that trouble is met once."""
    return _NOTES.setdefault(name, SharedNotes(name))


_NOTES: dict[str, SharedNotes] = {}

UNLIMITED = RateLimiter("", "", math.inf)
"""For a server that refuses nobody, such as a sandbox that was told so."""
