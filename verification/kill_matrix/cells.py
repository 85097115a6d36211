"""The cells of the matrix: stores, lines and contenders as tables, and what fits together with what."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airflow_provider_tcbilling.sandbox.options import Tokens
from verification.kill_matrix.columns import (
    BOOKS,
    KEYS,
    NETWORK,
    PROXIED,
    SERVERS,
    SILENT,
    UNCLEAR,
    UNREADABLE,
    Column,
)
from verification.kill_matrix.rows import CLOCKS, LIMITED, LOOPED, PAUSED, REFRESHED, ROWS, Row

STORES: Mapping[str, str] = {
    "ledger": "a ledger",
    "sqlite": "a ledger in SQLite",
    "postgres": "a ledger in PostgreSQL",
    "state": "the task state store",
    "nothing": "no record",
}
LEDGERS, DATABASES = ("ledger", "sqlite", "postgres"), ("sqlite", "postgres")
"""Stores that all tasks share, and those of them that are a database."""

LINES: Mapping[str, tuple[str, ...]] = {
    "3.3": (*LEDGERS, "state"),
    "3.2": ("ledger", "nothing"),
    "2.11": ("sqlite", "nothing"),
}
"""For each line of Airflow, what remembers a purchase there in a cell."""

LOOP_LINES: Mapping[str, tuple[str, ...]] = {"3.4": ("ledger", "state")}
"""The same of the lines that are run for their loops only."""


@dataclass(frozen=True)
class Spent:
    """
    What money is moved for.

    :param action: The request that moves it.
    :param order: How the sandbox's ledger calls its orders.
    :param proof: What the provider's task returns when it has come to its end.
    """

    action: str
    order: str
    proof: str


SPENT: Mapping[str, Spent] = {
    "purchase": Spent("CreateInstance", "purchase", "instance_ids"),
    "renewal": Spent("RenewInstance", "renew", "new_expire_time"),
    "refund": Spent("RefundInstance", "refund", "refunded_cents"),
}


@dataclass(frozen=True)
class Contender:
    """
    One way to spend.

    :param short: A shorter *about*, for a heading.
    :param store: What remembers its purchases; ours has several, one for each cell.
    :param places: Where its kill points are: a name in :data:`verification.kill_matrix.points.PLACES`.
    :param spends: A name in :data:`SPENT`.
    :param has_role: Its key is one of a role, which it assumes.
    """

    about: str
    short: str
    store: str = "nothing"
    places: str = "sdk"
    spends: str = "purchase"
    has_role: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it is this provider."""
        return self.places == "ours"

    @property
    def heading(self) -> str:
        """What it spends, to begin a heading with."""
        return f"{self.spends[0].upper()}{self.spends[1:]}s on"


OURS, RENEWS, REFUNDS, ROLE = "ours", "ours-renews", "ours-refunds", "ours-role"
CONTENDERS: Mapping[str, Contender] = {
    OURS: Contender("this provider", "this provider", places="ours"),
    RENEWS: Contender("this provider renews", "renews", places="ours", spends="renewal"),
    REFUNDS: Contender("this provider refunds", "refunds", places="ours", spends="refund"),
    ROLE: Contender("this provider, with an assumed role", "with a role", places="ours", has_role=True),
    "fresh": Contender("official SDK, a fresh token per attempt", "SDK, fresh token"),
    "constant": Contender("official SDK, a constant token, XCom as memory", "SDK, constant token"),
    "resumable": Contender(
        "Airflow's ResumableJobMixin, a fresh token per attempt", "ResumableJobMixin", "state", "mixin"
    ),
    "resumable-constant": Contender(
        "Airflow's ResumableJobMixin, a constant token", "the same, constant token", "state", "mixin"
    ),
    "fresh-renews": Contender(
        "official SDK renews, a fresh token per attempt", "SDK renews", places="sdk-renews", spends="renewal"
    ),
    "resend": Contender("waiting by sending the purchase again, with a constant token", "waits by sending again"),
}
ALTERNATIVES = {name: contender for name, contender in CONTENDERS.items() if not contender.is_ours}


@dataclass(frozen=True)
class Cell:
    """One run of the matrix."""

    line: str
    contender: str
    store: str
    row: Row
    column: Column

    @property
    def identity(self) -> tuple[str, str, str, str, str]:
        """What tells it from the others."""
        return self.line, self.contender, self.store, self.row.id, self.column.id

    @property
    def name(self) -> str:
        """How it is called on the command line."""
        return "/".join(self.identity)

    @property
    def slug(self) -> str:
        """The same, as the name of a run, a connection or a file."""
        return self.name.replace("/", "--")

    @property
    def dag_id(self) -> str:
        """The DAG that plays it."""
        return f"{self.contender}-{self.row.shape}"

    @property
    def is_ours(self) -> bool:
        """Whether this provider plays it."""
        return CONTENDERS[self.contender].is_ours

    @property
    def spends(self) -> str:
        """What the money is moved for."""
        return CONTENDERS[self.contender].spends

    @property
    def spent(self) -> Spent:
        """The same, as the server sees it."""
        return SPENT[self.spends]

    @property
    def has_database(self) -> bool:
        """Whether its ledger is in a database."""
        return self.store in DATABASES

    @property
    def tokens(self) -> Tokens:
        """What its server does with tokens."""
        return Tokens.parse(self.column.tokens)

    @property
    def is_documented_limit(self) -> bool:
        """
        Whether more than one order is a limit that the docs name.

        Two copies at the same instant need a record, or a server that honours tokens. A process that is stopped between
        the last check of the time and the body, until another one has taken over, needs a server that knows repeats.
        """
        is_alone = self.row.id == "two-copies" and self.store == "nothing" and not self.column.honours
        is_past_the_check = self.row.id == "paused-last-check" and not self.column.knows_repeats
        return self.is_ours and (is_alone or is_past_the_check)

    @property
    def unfit(self) -> str:
        """Why it is not run; empty if it is."""
        return next((why for is_so, why in self._obstacles() if is_so), "")

    def _obstacles(self) -> Iterator[tuple[bool, str]]:
        row, is_network, is_purchase = self.row, self.column.is_network, self.spends == "purchase"
        yield not self.is_ours and not row.is_for_all, "the alternatives have no such point"
        yield self.contender == ROLE and not is_network, "an assumed role meets the faults of the network and of keys"
        if row.id in SELECTED_ROWS or self.column.id in SELECTED_COLUMNS:
            yield not any(meeting.holds(self) for meeting in MEETINGS), SELECTED
            return
        yield (
            is_network and (not self.is_ours or not row.spends),
            "the network's misfortunes are combined with the rows that strike the request that spends",
        )
        yield (
            is_network and not is_purchase and self.store not in ("ledger", "postgres"),
            "renewals and refunds meet the network's misfortunes with a ledger",
        )
        yield not is_purchase and self.column.id == "null-instances-after", "only a purchase is answered with instances"
        yield self.spends == "refund" and self.line != "3.3", "refunds are run on Airflow 3.3"
        yield self.spends == "refund" and row.id == "edited", "nothing of a refund can be edited but the instance"
        yield is_network and self.line != "3.3", "the network's misfortunes are run on Airflow 3.3"
        yield bool(row.phase) and self.line == "2.11", "components are killed on Airflow 3"
        yield (
            self.line == "2.11" and self.has_database and (not is_purchase or self.column.id not in OF_AN_OLD_DATABASE),
            "an older SQLAlchemy meets two kinds of server",
        )
        yield row.point == "half-read" and self.column.id in UNREADABLE, "there is no answer to read half of"


@dataclass(frozen=True)
class Meeting:
    """Rows and columns that are combined in some panels only: each a line, a contender and a store."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    panels: tuple[tuple[str, str, str], ...]

    def holds(self, cell: Cell) -> bool:
        """Whether a cell is one of it."""
        is_met = cell.row.id in self.rows and cell.column.id in self.columns
        return is_met and (cell.line, cell.contender, cell.store) in self.panels


def _ids(*groups: tuple[Column, ...]) -> tuple[str, ...]:
    return tuple(column.id for group in groups for column in group)


ON_LEDGER, ON_STATE = ("3.3", OURS, "ledger"), ("3.3", OURS, "state")
ON_SQLITE, ON_POSTGRES = ("3.3", OURS, "sqlite"), ("3.3", OURS, "postgres")
RENEWING, REFUNDING = ("3.3", RENEWS, "ledger"), ("3.3", REFUNDS, "ledger")
WITH_ROLE = ("3.3", ROLE, "ledger")
IN_POSTGRES = tuple(("3.3", name, "postgres") for name in (RENEWS, REFUNDS))
OLDER = (("3.2", OURS, "ledger"), ("3.2", OURS, "nothing"), ("2.11", OURS, "nothing"))

PAUSED_ROWS = tuple(row.id for row in ROWS if row.family == PAUSED)
CLOCK_ROWS = tuple(row.id for row in ROWS if row.family == CLOCKS)
LIMIT_ROWS = tuple(row.id for row in ROWS if row.family == LIMITED)
SPENDING_ROWS, REFRESHED_ROWS = (tuple(row.id for row in rows if row.spends) for rows in (ROWS, REFRESHED))
# Without a key no intent is stored, so the next attempt does not come to these two points.
WITH_AN_INTENT = tuple(row for row in SPENDING_ROWS if row not in ("after-intent", "two-copies"))
SELECTED_ROWS = (*PAUSED_ROWS, *CLOCK_ROWS, *LIMIT_ROWS, *REFRESHED_ROWS)
SELECTED_COLUMNS = _ids(PROXIED, BOOKS, KEYS, tuple(column for column in NETWORK if column.id in ("interim", "drip")))
OF_AN_OLD_DATABASE = ("honour", "ignore")
SELECTED = "pauses, clocks, keys, proxies and order books are combined where they tell most"

IN_TRANSIT = tuple(f"proxy-{name}" for name in (*UNREADABLE, "cut-after", "cut-before", "interim", "drip"))
"""Of the faults behind a proxy, those of the connection."""

MEETINGS = (
    Meeting(PAUSED_ROWS, ("honour", "ignore", "reject", "lists-late"), (ON_LEDGER,)),
    Meeting(PAUSED_ROWS, ("honour", "ignore", "reject"), (ON_STATE,)),
    Meeting(PAUSED_ROWS, ("ignore",), (RENEWING, REFUNDING, OLDER[0], ON_SQLITE, *IN_POSTGRES)),
    Meeting(PAUSED_ROWS, ("honour", "ignore"), (ON_POSTGRES,)),
    Meeting(tuple(row for row in CLOCK_ROWS if row != "skew-behind"), _ids(SERVERS), (ON_LEDGER, ON_STATE)),
    Meeting(CLOCK_ROWS, ("ignore",), (ON_LEDGER, ON_STATE, RENEWING, ON_POSTGRES)),
    Meeting(LIMIT_ROWS, ("honour", "ignore", "reject", "lists-late"), (ON_SQLITE, ON_POSTGRES)),
    Meeting(("no-misfortune",), _ids(PROXIED), (ON_LEDGER, WITH_ROLE)),
    Meeting(SPENDING_ROWS, ("key-expires",), (WITH_ROLE,)),
    Meeting(WITH_AN_INTENT, ("sts-fails", "sts-hangs"), (WITH_ROLE,)),
    Meeting(REFRESHED_ROWS, ("key-expires",), (WITH_ROLE,)),
    Meeting(("before-answer",), tuple(c for c in IN_TRANSIT if c != "proxy-delay"), (ON_LEDGER,)),
    Meeting(("no-misfortune",), IN_TRANSIT, (ON_STATE, RENEWING, REFUNDING, *OLDER)),
    Meeting(
        ("no-misfortune", "two-copies"), ("interim", "drip"), (ON_LEDGER, ON_STATE, RENEWING, REFUNDING, WITH_ROLE)
    ),
    Meeting(("before-answer",), _ids(BOOKS), (ON_LEDGER, ON_STATE, OLDER[2])),
    Meeting(("after-intent",), tuple(f"book-{name}" for name in SILENT), (ON_LEDGER, ON_STATE, ON_POSTGRES)),
    Meeting(("before-answer",), tuple(f"book-{'-'.join(one)}" for one in UNCLEAR), (RENEWING,)),
)
"""What is run of the rows and columns that are not combined with everything."""


def cells() -> Iterator[Cell]:
    """Yield every cell, those that do not fit included; the alternatives are run on Airflow 3.3."""
    for (line, stores), contender in itertools.product(LINES.items(), (OURS, RENEWS, REFUNDS)):
        for store, row, column in itertools.product(stores, ROWS, (*SERVERS, *NETWORK, *PROXIED, *BOOKS)):
            yield Cell(line, contender, store, row, column)
    for row, column in itertools.product((*ROWS, *REFRESHED), (*NETWORK, *PROXIED, *KEYS)):
        yield Cell(*WITH_ROLE, row, column)
    for (name, other), row, column in itertools.product(ALTERNATIVES.items(), ROWS, SERVERS):
        yield Cell("3.3", name, other.store, row, column)
    for line, stores in LOOP_LINES.items():
        for store, row, column in itertools.product(stores, LOOPED, SERVERS):
            yield Cell(line, OURS, store, row, column)
