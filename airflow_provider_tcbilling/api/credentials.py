"""
Credentials: the keys of one source, refreshed before they expire, by one thread for all.

A key is whole or it is not there: its three parts are read, used and replaced together. A failure while a key is
obtained has sent no request of the caller's, so it is never ambiguous.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NoReturn, Protocol
from weakref import WeakSet

from airflow_provider_tcbilling.api.errors import CredentialsUnavailable

REFRESH_SECONDS = 600.0
"""A key is refreshed when it has this time left, or half of a life that is short."""

AGAIN_SECONDS = 30.0
"""After a refresh has failed, a key that is still good is used for this time before the next attempt."""

PART_OF_THE_DEADLINE = 0.5
"""The part of a caller's time that a refresh may take while there is a key that is still good."""

MOST_SOURCES = 64
"""Sources that a process keeps the keys of. The one that was not used for longest goes first."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Key:
    """
    A key: three parts that belong together.

    :param secret_id: Its name. It is shown in logs.
    :param secret_key: The secret. It is never sent, logged or shown.
    :param token: Session token of a temporary key, else empty. It is sent, and never logged or shown.
    :param expires_at: Epoch seconds on this machine's clock; ``None`` if nothing says when.
    """

    secret_id: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)
    expires_at: float | None = field(default=None, compare=False)

    @property
    def is_temporary(self) -> bool:
        """Whether it has a session token, so that its name says nothing of the account."""
        return bool(self.token)

    @cached_property
    def name(self) -> str:
        """A hash of the SecretId, which names the key in a record. The same key is of the same account."""
        return hashlib.sha256(self.secret_id.encode(errors="surrogatepass")).hexdigest()[:16]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not written anywhere, so it cannot be pickled")

    def __deepcopy__(self, memo: object) -> Key:
        return self


_NO_KEY = Key("", "")


class KeySource(Hashable, Protocol):
    """Where keys come from. Equal sources give the keys of the same identity, and share them in a process."""

    @property
    def name(self) -> str:
        """Its name, for a user: ``cvm_role``, or ``connection, role <ARN>``."""

    @property
    def identity(self) -> str:
        """The name that the requests of all its keys are counted under; never that of a temporary key."""

    @property
    def is_lasting(self) -> bool:
        """Whether it is one permanent key that never changes."""

    @property
    def base(self) -> KeySource | None:
        """The source of the key with which this one is obtained, if it takes one."""

    def fetch(self, within: float, base: Credentials | None = None) -> Key:
        """
        Return a new key.

        :param within: Seconds that it may take.
        :param base: The keys of :attr:`base`.
        :raises CredentialsUnavailable: There is none now.
        """


@dataclass(frozen=True)
class FixedKey:
    """
    A key that somebody has given, such as in a connection.

    :param named: The name that its requests are counted under, if it is a temporary key: of the place where the keys
        come from one after the other.
    """

    key: Key
    named: str = ""
    name: str = "connection"
    base: None = None

    @property
    def identity(self) -> str:
        """The SecretId, or the name of the place."""
        return (self.key.is_temporary and self.named) or self.key.secret_id

    @property
    def is_lasting(self) -> bool:
        """Whether it is a permanent key."""
        return not self.key.is_temporary

    def fetch(self, within: float, base: Credentials | None = None) -> Key:
        """Return the key."""
        return self.key


class Credentials:
    """
    The keys of one source, for all clients and threads of a process.

    One thread refreshes while the others use the key that is still good, or wait for the new one. That happens in a
    thread that needs a key, before it signs, so nothing runs in the background.

    :param on_new_key: Called with every new key before it is used, so that logs can mask it. It must not raise.
    :param clock: Returns epoch seconds.
    """

    def __init__(
        self,
        source: KeySource,
        *,
        on_new_key: Callable[[Key], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        _MADE.add(self)
        self.source = source
        self._on_new_key, self._clock = on_new_key, clock
        self._base = credentials_of(source.base, on_new_key=on_new_key) if source.base else None
        self._lock = threading.RLock()
        self._key: Key | None = None
        self._refused: Key | None = None
        self._refresh_at = math.inf
        self._failed_at = -math.inf
        self._failure: CredentialsUnavailable | None = None

    @property
    def identity(self) -> str:
        """The name that the requests of all its keys are counted under."""
        return self.source.identity

    @property
    def is_lasting(self) -> bool:
        """Whether it is one permanent key that never changes."""
        return self.source.is_lasting

    def key(self, within: float = math.inf) -> Key:
        """
        Return a key that is good, refreshed if it is due.

        :param within: Seconds that it may take.
        :raises CredentialsUnavailable: There is none. Nothing was sent.
        """
        key = self._key
        if key and key is not self._refused and self._clock() < self._refresh_at:
            return key
        return self._refreshed(within, self._refused)

    def after(self, refused: Key, within: float = math.inf) -> Key:
        """
        Return the key that comes after one that the server calls expired; the same one if the source has no other.

        :param within: Seconds that it may take.
        :raises CredentialsUnavailable: The source gives none now. Nothing was sent with the new one.
        """
        return self._refreshed(within, refused)

    def lasting_secret(self) -> str:
        """
        Return the SecretKey of the permanent key with which all begins; empty if none is permanent.

        :raises CredentialsUnavailable: There is no key.
        """
        if self._base:
            return self._base.lasting_secret()
        key = self.key()
        return "" if key.is_temporary else key.secret_key

    def unlock(self) -> None:
        """Forget a refresh that was under way in the process that this one was forked from."""
        self._lock = threading.RLock()

    def _refreshed(self, within: float, refused: Key | None) -> Key:
        began_at = ends_at = time.monotonic()
        ends_at += max(0.0, within)
        good = self._good(refused)
        try:
            # Where a key is still good, its refresh is another thread's business.
            if not self._lock.acquire(timeout=0.0 if good else min(max(0.0, within), threading.TIMEOUT_MAX)):
                if good:
                    return good
                raise CredentialsUnavailable(f"{self.source.name}: no key came in time, so nothing was sent.")
            key = self._key
            if key and key is not refused and self._clock() < self._refresh_at:
                return key
            if self._failure and self._failed_at > began_at:
                # The thread that this one has waited for has just been told.
                raise type(self._failure)(*self._failure.args)
            self._refused = refused
            return self._fetched(ends_at - time.monotonic(), good)
        finally:
            # A signal can end the caller as soon as the lock is taken, and no lock may be left behind.
            try:  # noqa: SIM105 - it can strike at each call, so there is none but this one.
                self._lock.release()
            except RuntimeError:
                pass  # It was not taken.

    def _good(self, refused: Key | None) -> Key | None:
        """Return the present key if it has not expired, and the server has not refused it."""
        key = self._key
        if key is None or key is refused or (key.expires_at is not None and self._clock() >= key.expires_at):
            return None
        return key

    def _fetched(self, within: float, good: Key | None) -> Key:
        """Return a new key, or the one that is still good if there is no new one."""
        key, failure = self._tried(within * PART_OF_THE_DEADLINE if good else within)
        if failure:
            self._failure, self._failed_at = failure, time.monotonic()
            # It may have expired meanwhile.
            if good is None or self._good(None) is None:
                raise type(failure)(*failure.args)
            left = math.inf if good.expires_at is None else good.expires_at - self._clock()
            self._refresh_at = self._clock() + min(AGAIN_SECONDS, left)
            log.warning("The key is good for %.0f s more, and could not be refreshed: %s", left, failure)
            return good
        if key != self._key:
            if self._on_new_key:
                self._on_new_key(key)
            log.debug("%s has given key %s.", self.source.name, key.secret_id)
        self._key, self._refresh_at = key, self._due(key)
        self._refused, self._failure = None, None
        return key

    def _tried(self, within: float) -> tuple[Key, CredentialsUnavailable | None]:
        """
        Fetch a key, or return why there is none.

        Whatever is raised leaves the frames of the source behind. Their variables hold what it has read and sent: the
        line of a file, a web identity, an external id. Tools that report errors show them.
        """
        try:
            return self.source.fetch(within, self._base), None
        except CredentialsUnavailable as error:
            return _NO_KEY, type(error)(*error.args)
        except Exception as error:
            what = f"No key came from {self.source.name}, so nothing was sent ({type(error).__name__})."
            return _NO_KEY, CredentialsUnavailable(what)
        except BaseException as error:
            stopped = error.with_traceback(None)
        stopped.__context__ = stopped.__cause__ = None
        raise stopped

    def _due(self, key: Key) -> float:
        """Return the epoch seconds from when on a new key is to be fetched."""
        if key.expires_at is None:
            return math.inf
        left = key.expires_at - self._clock()
        return key.expires_at - min(REFRESH_SECONDS, left / 2)


_MADE: WeakSet[Credentials] = WeakSet()
"""All that there are in this process, also those that are not shared."""


class _Sources:
    """The keys of each source in this process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._all: OrderedDict[KeySource, Credentials] = OrderedDict()

    def begin_anew(self) -> None:
        """Forget all keys, in a forked process, and unlock those that are still in use there."""
        self._all, self._lock = OrderedDict(), threading.RLock()
        for credentials in list(_MADE):
            credentials.unlock()

    def get(self, source: KeySource, on_new_key: Callable[[Key], None] | None) -> Credentials:
        with self._lock:
            found = self._all.pop(source, None) or Credentials(source, on_new_key=on_new_key)
            self._all[source] = found
            while len(self._all) > MOST_SOURCES:
                self._all.popitem(last=False)
            return found


_SOURCES = _Sources()
# In a forked process, a lock may be held by a thread that does not exist there.
os.register_at_fork(after_in_child=_SOURCES.begin_anew)


def credentials_of(source: KeySource, *, on_new_key: Callable[[Key], None] | None = None) -> Credentials:
    """Return the keys of a source: the same object for all of this process."""
    return _SOURCES.get(source, on_new_key)
