"""Faults: the failures that a test orders, when they strike, and how often."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.sts_actions import STS_ACTIONS
from airflow_provider_tcbilling.sandbox.distortions import DISTORTIONS, LISTED
from airflow_provider_tcbilling.sandbox.errors import WrongControl
from airflow_provider_tcbilling.sandbox.limits import MAX_TEXT, YEAR, Range, is_finite, is_text
from airflow_provider_tcbilling.sandbox.metadata import METADATA
from airflow_provider_tcbilling.sandbox.orders import Fate

PLACING_ORDERS = ("CreateInstance", "RenewInstance", "RefundInstance")
"""The actions that place orders, which the faults of the order strike."""

STRIKABLE = (*ACTIONS, *STS_ACTIONS, METADATA)
"""The requests that a fault can be limited to."""

MOST_FAULTS = 100
"""How many can be in force."""

_TIMES = Range(1, 1_000_000, is_whole=True)
_HOUR = Range(0, 3600)
_STATUS = Range(-(2**31), 2**31 - 1, is_whole=True)


class Part(Enum):
    """The part of the exchange that a fault strikes."""

    CONNECTION = "connection"
    ANSWER = "answer"
    BOOK = "order book"
    ORDER = "order"
    CLOCK = "clock"
    KEY = "key"


@dataclass(frozen=True)
class Kind:
    """
    One kind of fault.

    :param options: Its own options, each with its default.
    :param limits: The values of an option: a range of numbers, or all of its words.
    """

    part: Part
    about: str
    options: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Range | Collection[str]] = field(default_factory=dict)


KINDS: Mapping[str, Kind] = {
    "drop": Kind(Part.CONNECTION, "close the connection without an answer"),
    "reset": Kind(Part.CONNECTION, "reset the connection (TCP RST)"),
    "cut": Kind(Part.CONNECTION, "close the connection in the middle of the answer"),
    "delay": Kind(Part.CONNECTION, "answer late", {"seconds": 1.0}, {"seconds": _HOUR}),
    "interim": Kind(
        Part.CONNECTION,
        "send an interim answer at once, and the real one late",
        {"status": 103, "seconds": 0.5},
        {"status": Range(100, 199, is_whole=True), "seconds": _HOUR},
    ),
    "drip": Kind(
        Part.CONNECTION,
        "send the headers, or the body, byte by byte in so many seconds",
        {"seconds": 5.0, "part": "headers"},
        {"seconds": _HOUR, "part": ("headers", "body")},
    ),
    "http": Kind(
        Part.ANSWER,
        "answer with an HTTP status and an HTML page",
        {"status": 502},
        {"status": Range(200, 599, is_whole=True)},
    ),
    "html": Kind(Part.ANSWER, "answer 200 with an HTML page"),
    "truncated": Kind(Part.ANSWER, "answer with half of the JSON text"),
    "garbage": Kind(
        Part.ANSWER,
        "answer with this many bytes that mean nothing",
        {"bytes": 10_000_000},
        {"bytes": Range(0, 100_000_000, is_whole=True)},
    ),
    "charset": Kind(Part.ANSWER, "say application/json; charset=utf-8"),
    "no-request-id": Kind(Part.ANSWER, "leave RequestId out"),
    "no-order-id": Kind(Part.ANSWER, "leave OrderId out"),
    "null-instances": Kind(Part.ANSWER, "answer with InstanceIdList null"),
    "error": Kind(
        Part.ANSWER, "answer with an error code", {"code": "InternalError", "message": "Said by the sandbox."}
    ),
    "answer": Kind(Part.ANSWER, "answer with this Response object", {"response": {}}),
    "book": Kind(
        Part.BOOK,
        "list the orders with a distortion",
        {"distortion": "silent", "field": "ZoneCode"},
        {"distortion": DISTORTIONS, "field": LISTED},
    ),
    "order-status": Kind(Part.ORDER, "let the order end in a status, known or not", {"status": 5}, {"status": _STATUS}),
    "not-visible": Kind(
        Part.ORDER,
        "do not list the order yet",
        {"looks": 1, "seconds": 0.0},
        {"looks": Range(0, 1_000_000, is_whole=True), "seconds": Range(0, YEAR)},
    ),
    "big-deal-id": Kind(Part.ORDER, "answer with the number of the big deal as OrderId"),
    "nameless": Kind(Part.ORDER, "let a renewal or a refund not name its instance before it is carried out"),
    "expiry-late": Kind(
        Part.ORDER,
        "after a renewal, list the expiry of before for a while",
        {"seconds": 60.0},
        {"seconds": Range(0, YEAR)},
    ),
    "clock-skew": Kind(
        Part.CLOCK,
        "let the server's clock be ahead (or behind, below 0)",
        {"seconds": 600.0},
        {"seconds": Range(-10 * YEAR, 10 * YEAR)},
    ),
    "expire": Kind(Part.KEY, "let every temporary key expire when the request arrives, before its key is checked"),
}


@dataclass
class Fault:
    """
    A fault in force.

    :param when: ``before`` the request is carried out, so nothing happens, or ``after``, so it has happened.
    :param times: How often it still strikes; ``None`` is always.
    :param action: The only action it strikes; ``None`` is every action.
    """

    id: int
    fault: str
    when: str
    times: int | None
    action: str | None
    options: dict[str, Any]

    @property
    def part(self) -> Part:
        """The part of the exchange that it strikes."""
        return KINDS[self.fault].part


class Faults:
    """The faults in force, in the order in which they were added."""

    def __init__(self) -> None:
        self._in_force: list[Fault] = []
        self._numbers = itertools.count(1)

    def add(self, wanted: Mapping[str, Any]) -> Fault:
        """
        Put a fault in force.

        :param wanted: ``fault``, and as wanted ``when``, ``times`` (1), ``action``, and the kind's own options.
        :raises WrongControl: The description has a mistake.
        """
        kind = KINDS.get(str(wanted.get("fault")))
        if kind is None:
            raise WrongControl(f"fault must be one of {', '.join(KINDS)}")
        allowed = {"fault", "when", "times", "action", *kind.options}
        if unknown := sorted(set(wanted) - allowed):
            raise WrongControl(f"{', '.join(unknown)}: not known here; there are {', '.join(sorted(allowed))}")
        when, times, action = _common(wanted)
        options = _options_of(kind, wanted)
        if len(self._in_force) >= MOST_FAULTS:
            raise WrongControl(f"there are {MOST_FAULTS} faults in force, and that is the most; lift them first")
        fault = Fault(next(self._numbers), str(wanted["fault"]), when, times, action, options)
        self._in_force.append(fault)
        return fault

    def strike(self, action: str, parts: set[Part], when: str | None = None) -> list[Fault]:
        """Return the faults that strike now, and count them down."""
        struck = [
            fault
            for fault in self._in_force
            if fault.part in parts and fault.action in (None, action) and when in (None, fault.when)
        ]
        for fault in struck:
            if fault.times is not None:
                fault.times -= 1
        self._in_force = [fault for fault in self._in_force if fault.times != 0]
        return struck

    def fate(self, action: str) -> Fate:
        """Return the faults that the next order goes through."""
        merged: dict[str, Any] = {}
        for fault in self.strike(action, {Part.ORDER}) if action in PLACING_ORDERS else ():
            merged[fault.fault] = fault.options
        hidden = merged.get("not-visible", {})
        return Fate(
            ends_as=merged.get("order-status", {}).get("status"),
            hidden_queries=hidden.get("looks", 0),
            hidden_seconds=hidden.get("seconds", 0.0),
            answer_big_deal="big-deal-id" in merged,
            is_nameless="nameless" in merged,
            expiry_late_seconds=merged.get("expiry-late", {}).get("seconds", 0.0),
        )

    def clock_skew(self) -> float:
        """Return the seconds by which the server's clock is ahead."""
        return float(sum(f.options["seconds"] for f in self._in_force if f.part is Part.CLOCK))

    def listed(self) -> list[dict[str, Any]]:
        """Return the faults in force, as JSON."""
        return [asdict(fault) for fault in self._in_force]

    def clear(self) -> None:
        """Lift them all."""
        self._in_force.clear()


def _common(wanted: Mapping[str, Any]) -> tuple[str, int | None, str | None]:
    when, times, action = wanted.get("when", "after"), wanted.get("times", 1), wanted.get("action")
    if when not in ("before", "after"):
        raise WrongControl("when must be before or after")
    if times is not None and not _TIMES.has(times):
        raise WrongControl(f"times must be {_TIMES}, or null for always")
    if action is not None and action not in STRIKABLE:
        raise WrongControl(f"action must be null or one of {', '.join(STRIKABLE)}")
    return when, times, action


def _options_of(kind: Kind, wanted: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: _option(name, wanted.get(name, default), default) for name, default in kind.options.items()}
    for name, limit in kind.limits.items():
        if isinstance(limit, Range):
            limit.check(name, options[name])
        elif options[name] not in limit:
            raise WrongControl(f"{name} must be one of {', '.join(limit)}")
    return options


def _option(name: str, value: Any, default: Any) -> Any:
    wanted = (int, float) if isinstance(default, float) else type(default)
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise WrongControl(f"{name} must be like {default!r}")
    if isinstance(value, str) and not is_text(value):
        raise WrongControl(f"{name} must have at most {MAX_TEXT} characters")
    if isinstance(value, dict) and not is_finite(value):
        raise WrongControl(f"{name} must be a JSON object, and NaN and infinity are not JSON")
    return value
