"""
Sandboxes served over HTTP by one thread of the test process.

``sandbox.server.running`` gives each server a thread and an event loop, and takes 0.2 seconds to start and stop them.
Here all sandboxes share one loop. Each still listens on a port of its own, so no request for a sandbox of one test can
reach the sandbox of the next: after :func:`serving` its port is closed, and its requests have ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import threading
from collections.abc import Coroutine, Iterator
from typing import Any

import uvicorn

from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from airflow_provider_tcbilling.sandbox.server import address_of, listening_socket, server_of

SECONDS = 120.0
"""How long the loop may take to open or close a server on a machine that is busy."""


@contextlib.contextmanager
def serving(sandbox: Sandbox) -> Iterator[str]:
    """Serve a sandbox on a free port of this machine, and yield its address."""
    listener = listening_socket("127.0.0.1", 0)
    server = server_of(sandbox)
    _in_loop(_open(server, listener))
    try:
        yield address_of(listener, "127.0.0.1")
    finally:
        _in_loop(_close(server))


async def _open(server: uvicorn.Server, listener: socket.socket) -> None:
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[listener])
    await server.on_tick(0)


async def _close(server: uvicorn.Server) -> None:
    """Close the port and the connections, and wait until the requests in progress have ended."""
    for listening in server.servers:
        listening.close()
    for connection in list(server.server_state.connections):
        connection.transport.abort()
    tasks = list(server.server_state.tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _in_loop(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run_coroutine_threadsafe(coroutine, _loop()).result(SECONDS)


@functools.cache
def _loop() -> asyncio.AbstractEventLoop:
    """Return the loop of this process, which runs until the process ends."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="sandboxes", daemon=True).start()
    return loop
