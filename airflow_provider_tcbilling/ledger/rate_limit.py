"""
The rate limit of a fleet: requests queue up in the ledger's database, so that all machines share one limit.

One row is one queue. One statement draws a ticket: it moves the row's next moment on by one request, on the database's
clock, and returns in how many seconds this request may go. Nothing follows it, so a process that dies leaves one moment
unused and holds up nobody.

The limit is a courtesy, and no purchase suffers from it: nothing here raises, and no request waits beyond its deadline.
While the database is away, a machine uses its own queue at a low rate.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from airflow_provider_tcbilling.api.rate_limit import limiter_of_machine
from airflow_provider_tcbilling.api.request_queue import GRACE, in_a_thread

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from airflow_provider_tcbilling.ledger.database_engine import Database

SILENCE = 3.0
"""Seconds after which a database that does not answer is away."""

PATIENCE = 30.0
"""Seconds for new attempts while it says that no connection is free: all containers of a fleet may begin at once."""

REFUSAL_SECONDS = 1.0
"""How long the record of a refusal may take."""

FIRST_PAUSE, LAST_PAUSE = 0.05, 1.0
"""Seconds between two attempts; each pause is about twice the one before."""

HOLD_SECONDS = 0.2
"""A request that waits for longer leaves its connection to others meanwhile."""

AWAY_SECONDS = 60.0
"""How long the queue of the machine is used after the database could not be."""

AWAY_SHARE = 0.1
"""The part of the rate limit that each machine uses meanwhile: the others are not seen."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class FleetLimiter:
    """
    One queue in the database: a :class:`.Limiter`.

    :param name: The name of the row. It shows no key.
    :param per_second: Requests a second at most. All machines that share the row use the same figure.
    """

    def __init__(self, queues: Queues, name: str, per_second: float) -> None:
        self._queues, self._name, self._per_second = queues, name, per_second
        self._alone = limiter_of_machine(f"{name}.away", per_second * AWAY_SHARE)

    def wait(self, within: float, sleep: Callable[[float], None]) -> bool:
        """Wait for a turn as :meth:`.Limiter.wait` says, with one statement."""
        ends_at = time.monotonic() + within

        def draw(connection: Connection) -> float:
            from airflow_provider_tcbilling.ledger.database_queue import drawn

            return drawn(connection, self._name, self._per_second, ends_at - time.monotonic())

        seconds = self._queues.use(draw, max(GRACE, min(PATIENCE, within / 2)))
        left = max(0.0, ends_at - time.monotonic())
        if seconds is None:
            return self._alone.wait(left, sleep)
        if not seconds <= left:
            return False
        if seconds > HOLD_SECONDS:
            self._queues.close()
        if seconds > 0:
            sleep(seconds)
        return True

    def was_refused(self) -> None:
        """Slow all machines down, since the server refused a request because there were too many."""

        def slow_down(connection: Connection) -> int:
            from airflow_provider_tcbilling.ledger.database_queue import slowed

            return slowed(connection, self._name, self._per_second)

        if self._queues.use(slow_down, REFUSAL_SECONDS) is None:
            self._alone.was_refused()


class Queues:
    """
    The database that holds the queues, or the knowledge that it is away.

    :param connect: Returns the database. It may be slow the first time, and is called by the thread that waits.
    """

    def __init__(self, connect: Callable[[], Database]) -> None:
        self._connect = connect
        self._away_until = -math.inf
        self._has_warned = False

    def use(self, work: Callable[[Connection], T], within: float) -> T | None:
        """
        Do work in a transaction, and repeat it where that may help. Nothing is raised.

        :param within: Seconds.
        :return: Its result, ``None`` if the database is away or not quick enough.
        """
        if time.monotonic() < self._away_until:
            return None
        try:
            result = self._tried(work, time.monotonic() + within)
        except Exception as error:  # A courtesy has no error that is worth a purchase.
            self._go_away(error, within)
            return None
        self._has_warned = False
        return result

    def close(self) -> None:
        """Close the connections that nobody uses. Nothing is raised."""
        with contextlib.suppress(Exception):
            self._connect().close()

    def _tried(self, work: Callable[[Connection], T], ends_at: float) -> T:
        database, pause = self._connect(), FIRST_PAUSE
        while True:
            seconds = max(0.0, min(SILENCE, ends_at - time.monotonic()))
            try:
                return in_a_thread(lambda: database.once(work), seconds, database.about)
            except Exception as error:
                if not database.may_pass(error):
                    raise
                nap = random.uniform(pause / 2, pause)
                if time.monotonic() + nap > ends_at:
                    raise TimeoutError(shown(error)) from error
            time.sleep(nap)
            pause = min(LAST_PAUSE, 2 * pause)

    def _go_away(self, error: Exception, within: float) -> None:
        if isinstance(error, TimeoutError) and within < SILENCE:
            log.debug("The database had only %.2f s for the rate limit: %s", within, error)
            return
        self._away_until = time.monotonic() + AWAY_SECONDS
        log.log(
            logging.DEBUG if self._has_warned else logging.WARNING,
            "The machines cannot share their rate limit now: %s. This machine goes on at a low rate.",
            shown(error),
        )
        self._has_warned = True


def shown(error: Exception) -> str:
    """Return what the driver says, on one line and without the statement."""
    return " ".join(str(getattr(error, "orig", None) or error).split()) or type(error).__name__
