"""
Database: the connections of one process to the database of a ledger, the rules of a transaction, and its clock.

A failure before COMMIT has changed nothing, so the work is done again where that may help: another connection, a
deadlock. Once a COMMIT is sent without an answer, the change may have happened: :class:`CommitUnknown`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import QueuePool

from airflow_provider_tcbilling.ledger.database_address import Address
from airflow_provider_tcbilling.ledger.database_dialect import Dialect, Trouble, dialect_of
from airflow_provider_tcbilling.purchasing.errors import StoreFailed

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

T = TypeVar("T")

IDLE_SECONDS = 2.0
"""After so long an unused connection is closed, so that a task that waits holds none."""

AWAY_SECONDS = 8.0
"""How long a server that cannot be reached is tried again."""

FULL_SECONDS = 30.0
"""How long a server that has no connection free is tried again: all containers of a fleet may begin at once."""

POOL, OVERFLOW = 1, 4
"""Connections of a process: kept for a moment, and opened beside them for further threads."""

REPEATS = 6
"""How often a transaction that surely changed nothing is tried."""

CLOCK_SECONDS = 60.0
"""How long a measurement of the database's clock is used."""

GOOD_MEASUREMENT = 0.5
"""Seconds of a round trip: the clock is measured again if it took longer."""

WARNED_DIFFERENCE = 60.0
"""Seconds between the database's clock and this machine's that are worth a warning."""

log = logging.getLogger(__name__)


class CommitUnknown(Exception):
    """The answer to a COMMIT was lost: the change may have been stored, or may still be."""


class Outdated(Exception):
    """What a change has read was changed before it was locked, so it is rolled back and done again."""


class Database:
    """
    The database of a ledger, as one process uses it.

    :param address: Where it is.
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        self.about = f"the ledger {address}"
        self.about_first = f"The ledger {address}"
        """The same at the begin of a sentence."""
        self.dialect: Dialect = dialect_of(address.kind)
        self.facts: dict[str, Any] = {}
        """What was read once and stays: the identity, the ids of books."""
        self._lock = threading.Lock()
        self._users = 0
        self._used_at = 0.0
        self._closer: threading.Thread | None = None
        self._clock: tuple[float, float] | None = None
        self._has_warned = False
        self._engine = create_engine(
            self.dialect.url(address),
            future=True,
            poolclass=QueuePool,
            pool_size=POOL,
            max_overflow=OVERFLOW,
            hide_parameters=True,
            **({"isolation_level": level} if (level := self.dialect.isolation_level) else {}),
            connect_args=self.dialect.connect_args(address),
        )
        event.listen(self._engine, "connect", self._on_connect)
        self.dialect.listen(self._engine)

    def reading(self, work: Callable[[Connection], T]) -> T:
        """
        Read in one transaction.

        :raises StoreFailed: It could not be read.
        """
        return self._carried_out(work, changes=False)

    def changing(self, work: Callable[[Connection], T]) -> T:
        """
        Change in one transaction: all of it, or nothing.

        :param work: May be called again, after the transaction before was rolled back.
        :raises StoreFailed: It was not stored, or the answer was lost and it may have been stored.
        """
        try:
            return self.attempting(work)
        except CommitUnknown as unknown:
            raise StoreFailed(str(unknown)) from unknown

    def attempting(self, work: Callable[[Connection], T]) -> T:
        """
        Change as :meth:`changing` does, for a caller that can make sure of what was stored.

        :raises CommitUnknown: It may have been stored, or may still be.
        :raises StoreFailed: It was not stored.
        """
        return self._carried_out(work, changes=True)

    def once(self, work: Callable[[Connection], T]) -> T:
        """Change in one transaction, and try nothing again: what fails is raised as it is."""
        with self._connection(changes=True, is_patient=False) as connection:
            return self._once(connection, work, changes=True)

    def may_pass(self, error: Exception) -> bool:
        """Whether another try may help at once: no connection is free, a deadlock, a server that starts."""
        return self._trouble(error).may_pass

    def now(self) -> float:
        """
        Return the database's time in epoch seconds: measured once a minute, and carried on by this machine.

        It is right to half of the round trip of the measurement.

        :raises StoreFailed: It was never measured, and the database cannot be reached.
        """
        if not self.dialect.has_own_clock:
            return time.time()
        if self._clock is None or _uptime() - self._clock[0] > CLOCK_SECONDS:
            try:
                self._carried_out(lambda connection: self._measure(_raw(connection)), changes=False)
            except StoreFailed:
                if self._clock is None:
                    raise
        assert self._clock is not None
        return _uptime() + self._clock[1]

    def clock_difference(self) -> float:
        """Return the seconds by which the database's clock is ahead of this machine's."""
        return self.now() - time.time()

    def close(self) -> None:
        """Close the connections that nobody uses. One that is needed afterwards is opened anew."""
        with self._lock:
            if not self._users:
                self._engine.dispose()

    def _carried_out(self, work: Callable[[Connection], T], *, changes: bool) -> T:
        for tries_left in reversed(range(REPEATS)):
            try:
                with self._connection(changes=changes) as connection:
                    return self._once(connection, work, changes=changes)
            except (DBAPIError, PoolTimeout) as error:
                trouble = self._trouble(error)
                if not tries_left or not trouble.may_pass:
                    raise StoreFailed(self._sentence(error, trouble)) from error
                _pause(0.02 * 2 ** (REPEATS - tries_left))
            except Outdated as error:
                if not tries_left:
                    raise StoreFailed(f"{self.about_first} is changed by others all the time") from error
            except SQLAlchemyError as error:
                raise StoreFailed(f"{self.about_first} cannot be read or written: {error!r}") from error
        raise AssertionError("unreachable")

    def _once(self, connection: Connection, work: Callable[[Connection], T], *, changes: bool) -> T:
        transaction = connection.begin()
        try:
            result = work(connection)
        except BaseException:
            self._undo(connection, transaction)
            raise
        if changes:
            self._commit(connection, transaction)
        else:
            self._undo(connection, transaction)
        return result

    @staticmethod
    def _undo(connection: Connection, transaction: Any) -> None:
        """Roll back. A connection that cannot do so is closed, so that its server does."""
        try:
            transaction.rollback()
        except Exception:
            connection.invalidate()

    def _commit(self, connection: Connection, transaction: Any) -> None:
        try:
            transaction.commit()
        except Exception as error:
            with contextlib.suppress(Exception):
                connection.invalidate()
            raise CommitUnknown(
                f"{self.about_first} did not answer whether a change was stored: {_said(error)}"
            ) from error

    @contextlib.contextmanager
    def _connection(self, *, changes: bool, is_patient: bool = True) -> Iterator[Connection]:
        with self._lock:
            self._users += 1
        try:
            with self._opened() if is_patient else self._engine.connect() as connection:
                yield connection.execution_options(tcbilling_changes=changes)
        finally:
            with self._lock:
                self._users -= 1
                self._used_at = time.monotonic()
                self._close_later()

    def _opened(self) -> Connection:
        """Open a connection, or take the one that is open. A server that is away or full is tried for a while."""
        began = time.monotonic()
        while True:
            try:
                return self._engine.connect()
            except DBAPIError as error:
                trouble = self._trouble(error)
                patience = FULL_SECONDS if trouble is Trouble.FULL else AWAY_SECONDS
                if trouble is Trouble.REFUSED or time.monotonic() - began > patience:
                    raise StoreFailed(f"{self.about_first} cannot be reached: {_said(error)}") from error
                _pause(0.5)
            except (ValueError, TypeError) as error:
                # Its text may hold the password: a driver says so what it cannot encode.
                raise StoreFailed(
                    f"{self.about_first} cannot be opened with what its connection says ({type(error).__name__})."
                ) from None

    def _trouble(self, error: Exception) -> Trouble:
        if isinstance(error, PoolTimeout):
            return Trouble.FULL
        if isinstance(error, IntegrityError) or getattr(error, "connection_invalidated", False):
            return Trouble.PASSING
        return self.dialect.trouble(getattr(error, "orig", None) or error)

    def _sentence(self, error: Exception, trouble: Trouble) -> str:
        if trouble is Trouble.READ_ONLY:
            return f"{self.about_first} may not be written by its role: {_said(error)}"
        return f"{self.about_first} cannot be read or written: {_said(error)}"

    def _on_connect(self, raw: Any, _: Any) -> None:
        self.dialect.on_connect(raw)
        if self.dialect.has_own_clock:
            self._measure(raw)
        if "identity" in self.facts:
            self._refuse_another_ledger(raw, str(self.facts["identity"].id))

    def _refuse_another_ledger(self, raw: Any, known: str) -> None:
        """Refuse a connection to what has another identity: a fail-over or a rename may have put it in the place."""
        cursor = raw.cursor()
        cursor.execute("SELECT id FROM tcbilling_identity")
        found = [str(row[0]) for row in cursor.fetchall()]
        cursor.close()
        raw.rollback()
        if found != [known]:
            raise StoreFailed(
                f"{self.about_first} is another ledger than a moment ago: its id is {', '.join(found) or 'missing'}, "
                f"and was {known}. Nothing was written to it."
            )

    def _measure(self, raw: Any) -> None:
        """Measure the database's clock; of slow round trips the fastest counts."""
        measured = []
        cursor = raw.cursor()
        for _ in range(3):
            began = _uptime()
            cursor.execute(self.dialect.clock)
            seconds = float(cursor.fetchone()[0])
            ended = _uptime()
            measured.append((ended - began, ended, seconds - (began + ended) / 2))
            if ended - began < GOOD_MEASUREMENT:
                break
        cursor.close()
        raw.rollback()
        _, at, offset = min(measured)
        self._clock = at, offset
        difference = at + offset - time.time()
        if abs(difference) > WARNED_DIFFERENCE and not self._has_warned:
            self._has_warned = True
            log.warning(
                "The clock of %s differs from this machine's by %.0f s. Deadlines follow the ledger's clock, so "
                "purchases are safe; set this machine's clock.",
                self.about,
                difference,
            )

    def _close_later(self) -> None:
        """Let a thread close the connections once they were unused for a while."""
        if self._closer is None:
            self._closer = threading.Thread(target=self._close_when_idle, name="tcbilling-ledger", daemon=True)
            try:
                self._closer.start()
            except RuntimeError:  # No thread can be started, at the end of the process for example.
                self._closer = None

    def _close_when_idle(self) -> None:
        wait = threading.Event().wait
        while True:
            with self._lock:
                left = self._used_at + IDLE_SECONDS - time.monotonic()
                if left <= 0 and not self._users:
                    self._engine.dispose()
                    self._closer = None
                    return
            wait(max(left, 0.1))


def _raw(connection: Connection) -> Any:
    """Return the connection of the driver."""
    return connection.connection


def _said(error: BaseException) -> str:
    """Return what the server or the driver says, on one line and without the statement."""
    return " ".join(str(getattr(error, "orig", None) or error).split())


def _pause(most: float) -> None:
    threading.Event().wait(random.uniform(most / 2, most))


def _uptime() -> float:
    """Return seconds that go on while the machine sleeps, and are never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


_OPENED: dict[Address, Database] = {}
_OPENING = threading.Lock()
_OF_PARENT: list[dict[Address, Database]] = []
"""Kept, and never used: to close the connections of the parent would end them for the parent as well."""


def database_of(address: Address) -> Database:
    """Return the one database of this process at an address."""
    with _OPENING:
        if address not in _OPENED:
            _OPENED[address] = Database(address)
        return _OPENED[address]


def _before_fork() -> None:
    for database in [*_OPENED.values()]:
        with contextlib.suppress(Exception):
            database.close()


def _in_child() -> None:
    global _OPENING, _OPENED
    _OF_PARENT.append(_OPENED)
    _OPENED, _OPENING = {}, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_in_child)
