"""The columns of the matrix: the servers, and what goes wrong with the request, its network, its keys and the books."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from airflow_provider_tcbilling.sandbox.distortions import DISTORTIONS
from airflow_provider_tcbilling.sandbox.faults import KINDS, Part

LAG = 2.0
"""Seconds after which the connection says that a new order is listed; the lagging server stays below it."""

HIDDEN = 1.4
"""Seconds in which the lagging server does not list a new order."""

LATE_SECONDS = 3.0
"""Seconds after which a delayed answer comes: more than the connection's read time-out."""


class Kind(Enum):
    """The part of the world that a column varies."""

    SERVER = "the server's memory of tokens"
    NETWORK = "a fault of the network"
    PROXY = "a fault of the network, behind a proxy"
    BOOK = "an order book that contradicts itself"
    KEYS = "a key of a role that expires, or that STS does not give"


@dataclass(frozen=True)
class Column:
    """
    One kind of server, or one misfortune before a server that ignores tokens.

    :param tokens: The server's rule for a token that it has seen, as in the sandbox.
    :param fault: The fault that strikes the first request that spends, or the action that it names.
    :param lists_late: New orders are listed after :data:`HIDDEN` seconds only.
    :param task: More attributes of the operator.
    """

    id: str
    about: str
    tokens: str = "ignore"
    fault: Mapping[str, Any] = field(default_factory=dict)
    lists_late: bool = False
    kind: Kind = Kind.SERVER
    task: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_network(self) -> bool:
        """Whether it is a misfortune of the network or of the keys, which strikes the request that spends."""
        return self.kind in (Kind.NETWORK, Kind.PROXY, Kind.KEYS)

    @property
    def honours(self) -> bool:
        """Whether the server's memory of the token alone would be enough."""
        return self.tokens == "honour"

    @property
    def knows_repeats(self) -> bool:
        """Whether the server never places a second order for a token."""
        return self.tokens in ("honour", "reject-repeat")


WITHOUT_ORDER = ("drop", "reset", "cut", "http", "html", "truncated", "garbage", "error")
"""Faults that make sense also when the request is not carried out."""

UNREADABLE = ("drop-after", "drop-before", "reset-after", "reset-before", "delay")
"""Columns in which not even the head of an answer arrives, or too late."""

LATE: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "delay": ("above the read time-out", {"seconds": LATE_SECONDS}),
    "interim": ("having carried it out", {"status": 103, "seconds": 0.5}),
    "drip": ("above the read time-out", {"part": "headers", "seconds": LATE_SECONDS}),
}
"""Faults of an answer that comes late, with more text and options."""


def _network() -> Iterator[Column]:
    for name, kind in KINDS.items():
        if kind.part not in (Part.CONNECTION, Part.ANSWER) or name == "answer":
            continue
        fault = {"fault": name, "when": "after", "times": 1}
        if name in LATE:
            about, options = LATE[name]
            yield Column(name, f"{kind.about}, {about}", fault={**fault, **options}, kind=Kind.NETWORK)
            continue
        yield Column(f"{name}-after", f"{kind.about}, having carried it out", fault=fault, kind=Kind.NETWORK)
        if name in WITHOUT_ORDER:
            fault = {**fault, "when": "before"}
            yield Column(f"{name}-before", f"{kind.about}, having done nothing", fault=fault, kind=Kind.NETWORK)


SILENT = ("silent", "deals-null", "deals-empty", "another-action", "count-high")
"""Distortions of the whole answer; the order book is in order again after :data:`DISTORTED_ANSWERS`."""

UNCLEAR = (
    ("missing", "ZoneCode"),
    ("upper-case", "ZoneCode"),
    ("another-word", "Action"),
    ("negative", "ProjectId"),
    ("nan", "TimeSpan"),
    ("absurd-time", "CreateTime"),
)
"""Distortions of a field that is compared, which last."""

DISTORTED_ANSWERS = 8


def _books() -> Iterator[Column]:
    fault = {"fault": "book", "action": "DescribeDealsByCond"}
    for name in SILENT:
        about = f"{DISTORTIONS[name].about}, {DISTORTED_ANSWERS} times"
        of_answer = {**fault, "distortion": name, "times": DISTORTED_ANSWERS}
        yield Column(f"book-{name}", about, fault=of_answer, kind=Kind.BOOK)
    for name, wire_name in UNCLEAR:
        about = DISTORTIONS[name].about.replace("the field", wire_name)
        of_field = {**fault, "distortion": name, "field": wire_name, "times": None}
        yield Column(f"book-{name}-{wire_name}", about, fault=of_field, kind=Kind.BOOK, task={"replay_window": 4.0})


SERVERS = (
    Column("honour", "honours tokens", "honour"),
    Column("forget", "honours them for 1 s", "forget-after:1"),
    Column("ignore", "ignores them"),
    Column("reject", "answers a repeat with an error", "reject-repeat"),
    Column("lists-late", "ignores them, lists orders late", lists_late=True),
)
NETWORK = tuple(_network())
PROXIED = tuple(replace(column, id=f"proxy-{column.id}", kind=Kind.PROXY) for column in NETWORK)
BOOKS = tuple(_books())
KEYS = (
    Column("key-expires", "refuses a key that has just expired", fault={"fault": "expire"}, kind=Kind.KEYS),
    Column(
        "sts-fails",
        "gets no request, since STS fails 7 times",
        fault={"fault": "http", "status": 500, "when": "before", "times": 7, "action": "AssumeRole"},
        kind=Kind.KEYS,
    ),
    Column(
        "sts-hangs",
        "gets no request, since STS does not answer",
        fault={"fault": "delay", "seconds": 60.0, "when": "before", "times": 1, "action": "AssumeRole"},
        kind=Kind.KEYS,
    ),
)
"""Of a role alone: a permanent key does not expire, and nobody is asked for it."""

COLUMNS = (*SERVERS, *NETWORK, *PROXIED, *BOOKS, *KEYS)
