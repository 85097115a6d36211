"""The line between a client and the sandbox in a random schedule: it loses answers, and is slow."""

from __future__ import annotations

import io
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from typing import Any, Protocol

import requests
from urllib3 import HTTPResponse

from airflow_provider_tcbilling.api.exchange import WatchingAdapter, current
from airflow_provider_tcbilling.sandbox.distortions import DISTORTIONS
from airflow_provider_tcbilling.sandbox.responses import response_of
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox

LAST_CHECK = "the last check"
"""Where a process may stand still between the last check of the time and the first byte."""

MOVES_MONEY = ("CreateInstance", "RenewInstance", "RefundInstance")
ORDER_BOOK = "DescribeDealsByCond"
LOST = ("drop", "reset", "cut", "timeout", "http", "html", "truncated", "no-order-id", "internal")
CONNECTION_LOST = ("drop", "reset", "cut", "timeout")
REFUSED = "FailedOperation.BalanceInsufficient"

COMPARED = ("ProductCode", "SubProductCode", "ZoneCode", "Action", "CreateTime", "ProjectId", "TimeSpan", "TimeUnit")
LIES = {("number", "ProjectId"), ("number", "TimeSpan"), ("iso-time", "ProductCode"), ("iso-time", "SubProductCode")}
"""Distortions after which a field is understood and wrong: no client can see through them."""

BOOKS = tuple(
    {"fault": "book", "distortion": name, "field": wire_name}
    for name, distortion in DISTORTIONS.items()
    for wire_name in (COMPARED if distortion.of_value else COMPARED[:1])
    if (name, wire_name) not in LIES
)
"""Order books that are silent, contradict themselves, or are written in another notation."""


class Died(BaseException):
    """The process ended: no handler runs, as after SIGKILL."""


class Surroundings(Protocol):
    """The part of a world that a line needs: its time, its chance, its server."""

    now: float
    sandbox: Sandbox
    server_knows_repeats: bool
    is_honest: bool

    def note(self, text: str) -> None: ...

    def happens(self, probability: float) -> bool: ...

    def choose(self, options: tuple[Any, ...]) -> Any: ...

    def pause(self, label: str, *, stands_still: bool = True) -> None: ...

    def stand_still(self, label: str) -> None: ...

    def sleep(self, seconds: float) -> None: ...

    def later(self, exchange: Callable[[], Any]) -> None: ...


class Line(WatchingAdapter):
    """A connection of one client, on the clock of its world."""

    def __init__(self, world: Surroundings) -> None:
        super().__init__()
        self._world = world

    def send(self, request: requests.PreparedRequest, *given: Any, **options: Any) -> requests.Response:
        """Carry a request to the sandbox, or not, and its answer back, or not."""
        world, action = self._world, request.headers["X-TC-Action"]
        is_purchase = action in MOVES_MONEY
        exchange = partial(world.sandbox.exchange, {k.lower(): v for k, v in request.headers.items()}, _bytes(request))
        self._begin(exchange)
        fault = world.choose(LOST) if world.happens(0.3 if is_purchase else 0.1) else ""
        if action == ORDER_BOOK and not world.is_honest and world.happens(0.1):
            book = world.choose(BOOKS)
            world.note(f"order book: {book['distortion']} {book['field']}")
            world.sandbox.faults.add(book)
        elif is_purchase and not world.is_honest and world.happens(0.05):
            world.sandbox.faults.add({"fault": "error", "code": REFUSED, "when": "before"})
        elif fault == "timeout" and world.happens(0.5):
            world.sleep(2.0)
            world.later(exchange)
            raise requests.ReadTimeout
        elif fault and world.happens(0.5):
            world.note(f"{fault} before")
            return self._answer(request, b"", fault)
        answer = response_of(exchange())
        if fault == "timeout":
            world.sleep(2.0)
        world.pause("carried out")
        current().seconds_left()
        return self._answer(request, answer.body, fault)

    def _begin(self, exchange: Callable[[], Any]) -> None:
        """Let the request begin, or fail before that; the process may stand still or die on the way."""
        world = self._world
        world.pause("connecting")
        if world.happens(0.05):
            raise requests.ConnectionError("the connection is refused")
        current().begin()
        if world.server_knows_repeats:
            world.stand_still(LAST_CHECK)
        try:
            world.pause("sent", stands_still=False)
        except Died:
            world.later(exchange) if world.happens(0.5) else None
            raise

    def _answer(self, request: requests.PreparedRequest, body: bytes, fault: str) -> requests.Response:
        if fault in CONNECTION_LOST:
            raise requests.ReadTimeout if fault == "timeout" else requests.ConnectionError
        response = requests.Response()
        response.status_code = 502 if fault == "http" else 200
        response.request = request
        response.headers["Date"] = formatdate(self._world.now, usegmt=True)
        bodies = {
            "html": b"<html>",
            "truncated": body[: len(body) // 2],
            "no-order-id": b'{"Response": {"RequestId": "r", "Deals": 7}}',
            "internal": b'{"Response": {"Error": {"Code": "InternalError", "Message": "m"}, "RequestId": "r"}}',
        }
        response.raw = HTTPResponse(io.BytesIO(bodies.get(fault, body)), status=200, preload_content=False)
        return response


def _bytes(request: requests.PreparedRequest) -> bytes:
    assert isinstance(request.body, bytes)
    return request.body
