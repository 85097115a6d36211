"""
Exchange: one request on its way to the server, and the moment at which its first byte leaves.

*Nothing was sent* is proven here and nowhere else. A name look-up, a connection, a proxy's tunnel, a TLS handshake and
a certificate file all come before that moment, so a failure of theirs is unsent by construction. Everything after it
may have been carried out, whatever the exception is called.

The last check of the time stands immediately before each part that leaves, so a process that was stopped in the
meantime sends nothing more. Name look-up, connection and handshake together have one deadline, and so has the whole
answer, which has a largest size, too, whatever it says of its own length.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import cache
from typing import Any

from requests.adapters import HTTPAdapter

MAX_ANSWER_BYTES = 8 * 2**20
"""A full page of orders is below 1 MB; anything above this is not an answer."""


class TooLate(OSError):
    """The time in which the request might leave is over."""


class TooLarge(OSError):
    """The answer is larger than any answer is."""


class Exchange:
    """
    One request on its way.

    :param connect_seconds: Until the connection stands, name look-up and TLS handshake included.
    :param answer_seconds: From the first byte of the request to the last byte of the answer.
    :param ends_at: Monotonic seconds at which both are over at the latest.
    :param send_by: Epoch seconds after which no part of it leaves.
    """

    def __init__(
        self,
        connect_seconds: float,
        answer_seconds: float,
        *,
        ends_at: float,
        send_by: float,
        clock: Callable[[], float],
    ) -> None:
        self.has_begun = False
        """Whether the first byte may have left."""
        self._answer_seconds = answer_seconds
        self._ends_at = ends_at
        self._send_by = send_by
        self._clock = clock
        now = time.monotonic()
        # A clock that is set back must not make the time longer.
        self._begin_at = now + (send_by - clock())
        self._until = min(now + connect_seconds, ends_at)

    def seconds_left(self) -> float:
        """
        Return the seconds that are left of the present phase.

        :raises TimeoutError: None are.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the request has taken its whole time")
        return left

    def begin(self) -> None:
        """
        Let the first byte leave, or the next ones, if they still may. Nobody can say that nothing was sent after that.

        A server carries out what it has to the last byte, so headers that have left hold the body back if it is late.

        :raises TooLate: They may not. Nothing was sent, unless it had begun before.
        """
        now = time.monotonic()
        if self._clock() > self._send_by or now > self._begin_at:
            raise TooLate("its time had passed")
        self.seconds_left()
        if not self.has_begun:
            self.has_begun = True
            self._until = min(now + self._answer_seconds, self._ends_at)


_UNDER_WAY: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


@contextlib.contextmanager
def under_way(exchange: Exchange) -> Iterator[None]:
    """Let the connections of this thread serve an exchange."""
    before = _UNDER_WAY.set(exchange)
    try:
        yield
    finally:
        _UNDER_WAY.reset(before)


def current() -> Exchange:
    """
    Return the exchange that is under way.

    :raises RuntimeError: There is none, so the request would leave without being noticed.
    """
    exchange = _UNDER_WAY.get()
    if exchange is None:
        raise RuntimeError("this connection serves an exchange only")
    return exchange


class WatchingAdapter(HTTPAdapter):
    """Sends requests, directly or by a proxy, over connections that tell the exchange when they begin. No retries."""

    def __init__(self) -> None:
        super().__init__(max_retries=0, pool_maxsize=1)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the connections of direct requests."""
        super().init_poolmanager(*args, **kwargs)
        _watch(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        """Return the connections to a proxy."""
        manager = super().proxy_manager_for(*args, **kwargs)
        _watch(manager)
        return manager

    def drop_connections(self) -> None:
        """Close the connections that are kept, so that the next request makes a fresh one; their pools stay."""
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - it is no mapping that can be iterated
                pool = manager.pools.get(key)
                for _ in range(pool.pool.qsize() if pool else 0):
                    if connection := pool.pool.get(block=False):
                        connection.close()
                    pool.pool.put(None, block=False)


def _watch(manager: Any) -> None:
    manager.pool_classes_by_scheme = {
        scheme: _watching(pool) for scheme, pool in manager.pool_classes_by_scheme.items()
    }


@cache
def _watching(pool: Any) -> Any:
    """Return the class of a connection pool whose connections tell the exchange when they begin."""
    if issubclass(pool.ConnectionCls, _Watched):
        return pool
    connection = type(pool.ConnectionCls.__name__, (_Watched, pool.ConnectionCls), {})
    return type(pool.__name__, (pool,), {"ConnectionCls": connection})


class _Answer(http.client.HTTPResponse):
    """An answer whose every read, of status line, headers, body and trailers, keeps to the deadline and to a size."""

    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(_Timed(sock), *args, **kwargs)  # type: ignore[arg-type]


class _Timed:
    """A socket as an answer is read from it."""

    def __init__(self, sock: Any) -> None:
        self._sock = sock

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._sock, self._sock.makefile(mode, buffering=0), current()))


class _Reader(io.RawIOBase):
    def __init__(self, sock: Any, raw: Any, exchange: Exchange) -> None:
        super().__init__()
        self._sock, self._raw, self._exchange = sock, raw, exchange
        self._bytes_left = MAX_ANSWER_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Any:
        self._sock.settimeout(self._exchange.seconds_left())
        count = self._raw.readinto(buffer)
        self._bytes_left -= count or 0
        if self._bytes_left < 0:
            raise TooLarge(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Watched:
    """The part that is added to every kind of urllib3 connection. A proxy's CONNECT is not the request."""

    response_class = _Answer
    _is_connecting = False

    def connect(self: Any) -> None:
        self._is_connecting = True
        try:
            super().connect()  # type: ignore[misc]
        finally:
            self._is_connecting = False

    def _new_conn(self: Any) -> Any:
        """Return the connected socket, TLS not begun yet."""
        connect = super()._new_conn  # type: ignore[misc]
        self.timeout = seconds = current().seconds_left()
        sock = connect() if _is_address(self.host) else _within(seconds, connect)
        sock.settimeout(current().seconds_left())
        return sock

    def send(self: Any, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if not self._is_connecting:
            current().begin()
        self.sock.settimeout(current().seconds_left())
        super().send(data)  # type: ignore[misc]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _within(seconds: float, connect: Callable[[], Any]) -> Any:
    """
    Connect in a thread of its own, because a name look-up knows no time-out.

    :raises TimeoutError: It takes longer. A connection that comes later is closed.
    """
    made: queue.SimpleQueue[Any] = queue.SimpleQueue()
    lock, is_given_up = threading.Lock(), threading.Event()

    def run() -> None:
        try:
            result = connect()
        except BaseException as error:
            result = error
        with lock:
            if is_given_up.is_set() and isinstance(result, socket.socket):
                result.close()
            made.put(result)

    threading.Thread(target=run, name="tcbilling-connect", daemon=True).start()
    try:
        result = made.get(timeout=seconds)
    except queue.Empty:
        with lock:
            is_given_up.set()
        with contextlib.suppress(queue.Empty):
            made.get_nowait().close()
        raise TimeoutError("name look-up and connection have taken their whole time") from None
    if isinstance(result, BaseException):
        raise result
    return result
