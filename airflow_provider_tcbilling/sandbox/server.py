"""The sandbox over HTTP: the billing API at ``/``, its page, and the control interface below ``/_sandbox``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from email.utils import formatdate
from importlib.resources import files
from typing import Any

import pendulum
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.sandbox.answers import Answer, answer_of
from airflow_provider_tcbilling.sandbox.faults import KINDS, Fault, WrongFault
from airflow_provider_tcbilling.sandbox.gate import MAX_REQUEST_BYTES
from airflow_provider_tcbilling.sandbox.instances import WrongInstance, add_instances
from airflow_provider_tcbilling.sandbox.machine import Sandbox

START_SECONDS = 10.0
"""How long a server may take to listen."""


def application(sandbox: Sandbox) -> Starlette:
    """Return the ASGI application of a sandbox."""
    control = _Control(sandbox)
    return Starlette(
        routes=[
            Route("/", control.page, methods=["GET"]),
            Route("/", _Billing(sandbox), methods=["POST"]),
            Route("/_sandbox/health", control.health, methods=["GET"]),
            Route("/_sandbox/state", control.state, methods=["GET"]),
            Route("/_sandbox/orders", control.orders, methods=["GET"]),
            Route("/_sandbox/instances", control.instances, methods=["GET", "POST"]),
            Route("/_sandbox/journal", control.journal, methods=["GET"]),
            Route("/_sandbox/faults", control.faults, methods=["GET", "POST", "DELETE"]),
            Route("/_sandbox/clock", control.clock, methods=["GET", "POST"]),
            Route("/_sandbox/reset", control.reset, methods=["POST"]),
        ]
    )


@contextlib.contextmanager
def running(sandbox: Sandbox, host: str = "127.0.0.1", port: int = 0) -> Iterator[str]:
    """
    Serve a sandbox in a thread of this process, for tests and notebooks.

    :param port: 0 takes a free one.
    :return: Its address, which is a connection's ``host``.
    """
    with listening_socket(host, port) as listener:
        server = server_of(sandbox)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started and time.monotonic() < deadline:
            time.sleep(0.005)
        try:
            yield f"http://{host}:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def listening_socket(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens.

    :raises OSError: The port is taken, or the host is not this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=1024)


def server_of(sandbox: Sandbox) -> uvicorn.Server:
    """Return the server, not running yet."""
    return uvicorn.Server(
        # The sandbox writes its own Date header, since its clock can be told to be wrong.
        uvicorn.Config(
            application(sandbox), date_header=False, log_level="warning", access_log=False, lifespan="off", ws="none"
        )
    )


class _Billing:
    """The billing API itself, as an ASGI application: it must be able to cut a connection."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if int(request.headers.get("content-length", 0)) > MAX_REQUEST_BYTES:
            await Response(status_code=413)(scope, receive, send)
            return
        try:
            body = await request.body()
        except ClientDisconnect:
            return
        exchange = self._sandbox.exchange(dict(request.headers), body)
        struck = {fault.fault: fault for fault in exchange.faults}
        if "delay" in struck:
            await asyncio.sleep(struck["delay"].options["seconds"])
        if "interim" in struck:
            await _interim(receive, **struck["interim"].options)
        if "drop" in struck or "reset" in struck:
            await _hang_up(receive, reset="reset" in struck)
            return
        answer = answer_of(exchange)
        headers = [
            (b"content-type", answer.content_type.encode()),
            (b"content-length", str(len(answer.body)).encode()),
            (b"date", formatdate(time.time() + self._sandbox.faults.clock_skew(), usegmt=True).encode()),
        ]
        if "drip" in struck:
            await _drip(receive, answer, headers, **struck["drip"].options)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if "cut" in struck:
            half = answer.body[: len(answer.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
            await _hang_up(receive, reset=False)
            return
        await send({"type": "http.response.body", "body": answer.body})


async def _hang_up(receive: Receive, *, reset: bool) -> None:
    """Close the connection under the answer. ASGI has no word for it, so this asks uvicorn for its transport."""
    transport = _transport(receive)
    if reset:
        connection: socket.socket = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
    # Until the loop has told uvicorn, it would complain about the answer that never came.
    await asyncio.sleep(0.01)


def _transport(receive: Receive) -> asyncio.Transport:
    transport: asyncio.Transport = receive.__self__.transport  # type: ignore[attr-defined]
    return transport


async def _interim(receive: Receive, status: int, seconds: float) -> None:
    """Send an interim answer, which ASGI has no word for either, and wait."""
    _transport(receive).write(f"HTTP/1.1 {status} Interim\r\n\r\n".encode())
    await asyncio.sleep(seconds)


async def _drip(
    receive: Receive, answer: Answer, headers: list[tuple[bytes, bytes]], seconds: float, part: str
) -> None:
    """Send an answer of which one part takes its time, and close the connection."""
    transport = _transport(receive)
    lines = [
        f"HTTP/1.1 {answer.status} Slow".encode(),
        *(b"%s: %s" % header for header in headers),
        b"connection: close",
    ]
    head = b"\r\n".join([*lines, b"", b""])
    for name, data in (("headers", head), ("body", answer.body)):
        size = 1 if name == part else max(1, len(data))
        for place in range(0, len(data), size):
            if transport.is_closing():
                return
            transport.write(data[place : place + size])
            await asyncio.sleep(seconds / len(data) if name == part else 0)
    await _hang_up(receive, reset=False)


class _Control:
    """The page, and the JSON interface that tests and people steer the sandbox with."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def page(self, request: Request) -> Response:
        kinds = {name: [kind.part.value, kind.about, dict(kind.options)] for name, kind in KINDS.items()}
        known = json.dumps({"kinds": kinds, "actions": list(ACTIONS)})
        page = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
        return HTMLResponse(page.replace("{known}", known))

    async def health(self, request: Request) -> Response:
        return JSONResponse(self._sandbox.health())

    async def state(self, request: Request) -> Response:
        return JSONResponse(self._sandbox.state())

    async def orders(self, request: Request) -> Response:
        orders = self._sandbox.ledger.orders()
        return JSONResponse({"orders": [self._sandbox.described(order) for order in orders]})

    async def instances(self, request: Request) -> Response:
        ledger = self._sandbox.ledger
        if request.method == "GET":
            return JSONResponse({"instances": [self._sandbox.detailed(instance) for instance in ledger.instances()]})
        try:
            added = add_instances(ledger, await _json_object(request))
        except (WrongFault, WrongInstance) as error:
            return _wrong(str(error))
        return JSONResponse({"instances": [self._sandbox.detailed(instance) for instance in added]}, status_code=201)

    async def journal(self, request: Request) -> Response:
        return JSONResponse({"entries": [asdict(entry) for entry in self._sandbox.journal]})

    async def faults(self, request: Request) -> Response:
        faults = self._sandbox.faults
        if request.method == "DELETE":
            faults.clear()
        if request.method == "POST":
            try:
                fault: Fault = faults.add(await _json_object(request))
            except WrongFault as error:
                return _wrong(str(error))
            return JSONResponse(asdict(fault), status_code=201)
        return JSONResponse({"faults": faults.listed()})

    async def clock(self, request: Request) -> Response:
        clock = self._sandbox.ledger.clock
        if request.method == "POST":
            try:
                _move(clock, await _json_object(request))
            except WrongFault as error:
                return _wrong(str(error))
        return JSONResponse({"time": self._sandbox.written(clock.now()), "offset_seconds": round(clock.offset, 3)})

    async def reset(self, request: Request) -> Response:
        self._sandbox.reset()
        return JSONResponse(self._sandbox.health())


def _move(clock: Any, wanted: dict[str, Any]) -> None:
    if set(wanted) == {"advance"} and isinstance(wanted["advance"], (int, float)):
        clock.offset += wanted["advance"]
        return
    if set(wanted) == {"set"} and isinstance(wanted["set"], str):
        with contextlib.suppress(ValueError):
            clock.set(pendulum.parse(wanted["set"]).timestamp())  # type: ignore[union-attr]
            return
    raise WrongFault('say {"advance": SECONDS} or {"set": "2026-12-01T00:00:00Z"}')


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        wanted = json.loads(await request.body() or b"{}")
    except ValueError:
        wanted = None
    if not isinstance(wanted, dict):
        raise WrongFault("the body must be a JSON object")
    return wanted


def _wrong(text: str) -> Response:
    return JSONResponse({"error": text}, status_code=400)
