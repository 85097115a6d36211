"""The sandbox over HTTP: the billing API and STS at ``/``, a metadata service, the page and the control interface."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from email.utils import formatdate

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from airflow_provider_tcbilling.sandbox.browser_guard import Guard, Hosts
from airflow_provider_tcbilling.sandbox.control import ERROR_RESPONSES, routes_of
from airflow_provider_tcbilling.sandbox.errors import TooLarge
from airflow_provider_tcbilling.sandbox.faults import Fault
from airflow_provider_tcbilling.sandbox.limits import MAX_REQUEST_BYTES, read_body
from airflow_provider_tcbilling.sandbox.metadata import PATH
from airflow_provider_tcbilling.sandbox.responses import Response, response_of
from airflow_provider_tcbilling.sandbox.sandbox import Arrival, Sandbox

START_SECONDS = 10.0
"""How long a server may take to listen."""


def application(sandbox: Sandbox, hosts: Hosts | None = None) -> Starlette:
    """
    Return the ASGI application of a sandbox.

    :param hosts: The names in ``Host`` headers that it accepts; those of this machine's loopback if not given.
    """
    return Starlette(
        middleware=[Middleware(Guard, hosts=hosts or Hosts())],
        routes=[
            Route("/", _Billing(sandbox), methods=["POST"]),
            Route(f"{PATH}{{role_name:path}}", _Metadata(sandbox), methods=["GET"]),
            *routes_of(sandbox),
        ],
        exception_handlers=ERROR_RESPONSES,
    )


@contextlib.contextmanager
def running(
    sandbox: Sandbox,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    allow_hosts: Collection[str] = (),
    tls: tuple[str, str] | None = None,
) -> Iterator[str]:
    """
    Serve a sandbox in a thread of this process, for tests and notebooks.

    :param port: 0 takes a free one.
    :param allow_hosts: More host names under which its page and its control interface may be reached.
    :param tls: Files of a certificate and of its key, to speak https.
    :return: Its address: the ``host`` of an Airflow connection.
    """
    with listening_socket(host, port) as listener:
        server = server_of(sandbox, Hosts.of(host, allow_hosts), tls)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.005)
        try:
            yield address_of(listener, host, is_tls=bool(tls))
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def listening_socket(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens.

    :raises OSError: The port is taken, or the host is not this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=1024)
    # Connections inherit it. Without it, and without uvloop, an answer in two parts waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address_of(listener: socket.socket, host: str, *, is_tls: bool = False) -> str:
    """Return the address at which this machine reaches a server, whatever it listens on."""
    own = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    name = f"[{own}]" if ":" in own else own
    return f"http{'s' if is_tls else ''}://{name}:{listener.getsockname()[1]}"


def server_of(sandbox: Sandbox, hosts: Hosts | None = None, tls: tuple[str, str] | None = None) -> uvicorn.Server:
    """
    Return the server, not running yet.

    :param tls: Files of a certificate and of its key, to speak https.
    """
    certificate, key = tls or (None, None)
    return uvicorn.Server(
        uvicorn.Config(
            application(sandbox, hosts),
            # The sandbox writes its own Date header, since a fault can make its clock wrong.
            date_header=False,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            ssl_certfile=certificate,
            ssl_keyfile=key,
        )
    )


class _Billing:
    """The billing API and STS, as an ASGI application: faults cut its connections."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            body = await read_body(request.stream(), MAX_REQUEST_BYTES)
        except TooLarge:
            await PlainTextResponse(status_code=413)(scope, receive, send)
            return
        except ClientDisconnect:
            return
        await self._answer(self._sandbox.arrive(dict(request.headers), body), receive, send)

    async def _answer(self, arrival: Arrival, receive: Receive, send: Send) -> None:
        # From here on the request is carried out, even if its client hangs up meanwhile: it was received whole.
        await _wait(receive, arrival.faults)
        exchange = self._sandbox.carry_out(arrival)
        await _wait(receive, exchange.after)
        struck = {fault.fault: fault for fault in exchange.faults}
        if "drop" in struck or "reset" in struck:
            await _hang_up(receive, reset="reset" in struck)
            return
        response = response_of(exchange)
        headers = [
            (b"content-type", response.content_type.encode()),
            (b"content-length", str(len(response.body)).encode()),
            (b"date", formatdate(time.time() + self._sandbox.faults.clock_skew(), usegmt=True).encode()),
        ]
        if "drip" in struck:
            await _drip(receive, response, headers, **struck["drip"].options)
            return
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if "cut" in struck:
            half = response.body[: len(response.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await _hang_up(receive, reset=False)
            return
        await send({"type": "http.response.body", "body": response.body})


class _Metadata(_Billing):
    """The metadata service, which has the same faults."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(self._sandbox.arrive_at_metadata(scope["path_params"]["role_name"]), receive, send)


async def _wait(receive: Receive, faults: Iterable[Fault]) -> None:
    """Let the time of the faults pass."""
    for fault in faults:
        if fault.fault == "delay":
            await asyncio.sleep(fault.options["seconds"])
        if fault.fault == "interim":
            await _interim(receive, **fault.options)


async def _hang_up(receive: Receive, *, reset: bool) -> None:
    """Close the connection under the answer. ASGI has no message for it, so this takes the transport of uvicorn."""
    transport = _transport(receive)
    if reset:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    # Until uvicorn knows of it, it would complain about the answer that never came.
    await asyncio.sleep(0.01)


def _transport(receive: Receive) -> asyncio.Transport:
    transport: asyncio.Transport = receive.__self__.transport  # type: ignore[attr-defined]
    return transport


async def _interim(receive: Receive, status: int, seconds: float) -> None:
    """Send an interim answer, which ASGI has no message for either, and wait."""
    _transport(receive).write(f"HTTP/1.1 {status} Interim\r\n\r\n".encode())
    await asyncio.sleep(seconds)


async def _drip(
    receive: Receive, response: Response, headers: list[tuple[bytes, bytes]], seconds: float, part: str
) -> None:
    """Send an answer of which one part takes its time, and close the connection."""
    transport = _transport(receive)
    lines = [
        f"HTTP/1.1 {response.status} Slow".encode(),
        *(b"%s: %s" % header for header in headers),
        b"connection: close",
    ]
    head = b"\r\n".join([*lines, b"", b""])
    for name, data in (("headers", head), ("body", response.body)):
        size = 1 if name == part else max(1, len(data))
        for place in range(0, len(data), size):
            if transport.is_closing():
                return
            transport.write(data[place : place + size])
            await asyncio.sleep(seconds / len(data) if name == part else 0)
    await _hang_up(receive, reset=False)
