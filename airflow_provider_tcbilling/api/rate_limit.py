"""
RateLimiter: how many requests a second are sent to an account, so that the server need not refuse them.

Tencent allows each account 20 requests a second for each action. Many processes share that limit, so they queue up:
all processes of a user on this machine in a small file for each account and action, or all machines in a place that
the caller names. A rate-limit error slows all of them down, and each request that is sent speeds them up again:
additive increase, multiplicative decrease.

The limit is a courtesy, and no purchase suffers from it: nothing here raises, and no request waits beyond its deadline.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from airflow_provider_tcbilling.api.actions import SENT_PER_SECOND
from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.request_queue import BURST, QueueState, RequestQueue, SharedQueue

WAITING_SHARE = 0.5
"""The part of the rate limit that waiting clients use at most, so that purchases always get the rest."""

GAIN, CUT = 0.02, 0.8
"""Each request adds GAIN requests a second, as if the server accepted it; a refusal multiplies the rate by CUT."""

QUIET_SECONDS = 1.0
"""Refusals within this time of a refusal count as the same one: the server counts over one second."""

REFUSAL_SECONDS = 0.2
"""How long the record of a refusal in the queue may take."""

SLOWEST = 0.2
"""The fewest requests a second, however often the server refuses."""

ALMOST = 1e-6
"""The part of a place that sums of fractions may be wrong by."""

MOST_TICKETS, LONGEST_QUEUE = 1e12, 10_000
"""The tickets that were ever drawn, and those that wait at once: each is a thread of a process of this machine."""

NAP_SECONDS = 60.0
"""The longest sleep before the queue is read again; it may have been begun anew."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class Limiter(Protocol):
    """One queue of requests."""

    def wait(self, within: float, sleep: Callable[[float], None]) -> bool:
        """
        Wait until a request may be sent. It raises only errors of *sleep*.

        :param within: Seconds.
        :return: Whether it may: not if that would take longer.
        """

    def was_refused(self) -> None:
        """Slow down, since the server refused a request because there were too many. It raises nothing."""


class QueueLimiter:
    """
    Lets requests go one after the other, in the order in which they came.

    :param per_second: Requests a second at most. All processes that share the queue use the same figure.
    """

    def __init__(self, queue: RequestQueue, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._queue, self._per_second, self._clock = queue, per_second, clock
        self._slowest = min(SLOWEST, per_second)

    def wait(self, within: float, sleep: Callable[[float], None]) -> bool:
        """Wait for a turn as :meth:`Limiter.wait` says. It reads the queue again when the turn should have come."""
        ends_at = time.monotonic() + within
        ticket, seconds = self.draw(within)
        while seconds > 0:
            if seconds > ends_at - time.monotonic():
                return False
            sleep(min(seconds, NAP_SECONDS))
            seconds = self.seconds_until(ticket, ends_at - time.monotonic())
        return True

    def draw(self, within: float) -> tuple[float, float]:
        """
        Draw a ticket, unless it would have to wait for too long.

        :param within: Seconds.
        :return: The ticket, and in how many seconds it may go, as things are.
        """

        def step(state: QueueState) -> tuple[float, float]:
            seconds = self._seconds_until(state, state.drawn + 1)
            state.drawn += seconds <= max(0.0, within)
            return state.drawn, seconds

        return self._change(step, within)

    def seconds_until(self, ticket: float, within: float = math.inf) -> float:
        """
        Return in how many seconds a ticket may go, as things are; 0 if it may.

        :param within: Seconds that are left.
        """

        def step(state: QueueState) -> float:
            if ticket > state.drawn + ALMOST:
                # The queue was begun anew. The ticket has waited for its turn, and the later ones wait for it.
                state.drawn += 1
                return 0.0
            return self._seconds_until(state, ticket)

        return self._change(step, within)

    def was_refused(self) -> None:
        """Slow down, since the server refused a request because there were too many."""

        def step(state: QueueState) -> float:
            if state.counted_at - state.refused_at < QUIET_SECONDS:
                return math.inf
            state.refused_at = state.counted_at
            state.rate = max(self._slowest, state.rate * CUT)
            return state.rate

        if (rate := self._change(step, REFUSAL_SECONDS)) < math.inf:
            log.info("The server refused a request because there were too many; %.1f a second now.", rate)

    def _seconds_until(self, state: QueueState, ticket: float) -> float:
        behind = ticket - state.let_in
        if behind > ALMOST:
            return behind / state.rate
        # Counted before it is sent, so that nothing stands between an answer and its reader.
        state.rate = min(self._per_second, state.rate + GAIN)
        return 0.0

    def _change(self, step: Callable[[QueueState], T], within: float) -> T:
        def on_time(state: QueueState) -> T:
            now = self._clock()
            is_possible = state.drawn < MOST_TICKETS and state.drawn - state.let_in <= LONGEST_QUEUE
            if not state.rate or state.counted_at > now or not is_possible:
                # New, or of before the machine was started, or not written by this package: no request would ever go.
                state.drawn, state.let_in, state.rate = 0.0, BURST, self._per_second
                state.refused_at, state.counted_at = -math.inf, now
            state.rate = max(self._slowest, min(state.rate, self._per_second))
            state.let_in = min(state.drawn + BURST, state.let_in + (now - state.counted_at) * state.rate)
            state.counted_at = now
            return step(state)

        return self._queue.change(on_time, within)


class RateLimiter:
    """
    The rate limit of one account, by action. All clients with the same identity, endpoint and place of queues share it.

    A lower limit than the usual one is a queue in front of the common queue, so that it delays no other client. A
    higher limit is for an account that has more than other accounts, and has a queue of its own.

    :param identity: The name that the requests are counted under: of an account, a source of keys, or a permanent key.
        It is never the id of a temporary key, which is another one within hours.
    :param per_second: Requests a second for each action, above 0; infinity is without limit.
    :param is_waiting: For a client that only waits: it uses at most half of the limit, so purchases get the rest.
    :param limiter_of: Makes a queue from its name, which shows no key, and its requests a second. The default is a file
        of this machine.
    """

    def __init__(
        self,
        endpoint: str,
        identity: str,
        per_second: float = SENT_PER_SECOND,
        *,
        is_waiting: bool = False,
        limiter_of: Callable[[str, float], Limiter] | None = None,
    ) -> None:
        if not per_second > 0:
            raise ValueError(f"{per_second!r} requests a second are not above 0")
        self._account = hashlib.sha256(f"{server_name(endpoint)} {identity}".encode()).hexdigest()[:16]
        self._per_second = per_second
        self._is_waiting = is_waiting
        self._limiter_of = limiter_of or limiter_of_machine
        self._limiters: dict[str, list[Limiter]] = {}

    def wait(self, action: str, within: float, sleep: Callable[[float], None]) -> bool:
        """
        Wait until a request may be sent. It raises only errors of *sleep*.

        :param within: Seconds.
        :return: Whether it may: not if that would take longer.
        """
        if within < 0:
            return False
        ends_at = time.monotonic() + within
        return all(limiter.wait(max(0.0, ends_at - time.monotonic()), sleep) for limiter in self._of(action))

    def note(self, action: str, *, refused: bool) -> None:
        """Slow down if the server refused a request because there were too many. It raises nothing."""
        if refused:
            for limiter in self._of(action):
                limiter.was_refused()

    def _of(self, action: str) -> list[Limiter]:
        if self._per_second == math.inf:
            return []
        if action not in self._limiters:
            self._limiters[action] = [
                limiter
                for per_second in sorted({self._per_second, max(self._per_second, SENT_PER_SECOND)})
                for limiter in self._limiters_at(per_second, f"{self._account}.{action}")
            ]
        return self._limiters[action]

    def _limiters_at(self, per_second: float, name: str) -> list[Limiter]:
        if per_second != SENT_PER_SECOND:
            name += f".{per_second!r}"
        limiters = [self._limiter_of(name, per_second)]
        if self._is_waiting:
            limiters.insert(0, self._limiter_of(f"{name}.waiting", per_second * WAITING_SHARE))
        return limiters


def limiter_of_machine(name: str, per_second: float) -> Limiter:
    """Return the limiter of a name for all processes of this user on this machine."""
    return QueueLimiter(queue_of(name), per_second)


def queue_of(name: str) -> RequestQueue:
    """Return the queue of a name: the same one for all of this process, so that trouble is met once."""
    return _QUEUES.setdefault(name, SharedQueue(name))


_QUEUES: dict[str, SharedQueue] = {}

UNLIMITED = RateLimiter("", "", math.inf)
"""For a server without rate limit, such as a sandbox with that option."""
