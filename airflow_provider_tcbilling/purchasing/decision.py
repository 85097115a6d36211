"""
Decision: what is done after a query of the order book, as a table.

The first row whose conditions hold decides. The purchase, ``explain`` and the documentation read the same table, and a
pure function applies it, so every combination can be tested.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_provider_tcbilling.api.errors import AnotherAccount, OutcomeUnknown, TcBillingError, is_of_key
from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.purchasing.money_action import Evidence
from airflow_provider_tcbilling.purchasing.record import Record, State

log = logging.getLogger(__name__)

ORDER_BOOK_LAG = 30.0
"""Seconds after which a new order is surely listed. The real figure is not documented."""

REPLAY_WINDOW = 300.0
"""Seconds in which Tencent's own Terraform provider sends the same token again; no longer one is documented."""

IDENTICAL_SECONDS = 3600.0
"""How much longer a purchase waits for identical ones that are under way: each ends within minutes."""

SHARED_CLOCK_MARGIN = 5.0
"""Seconds by which the readings of one clock that two machines share may differ."""

TAKE_OVER_SECONDS = 60.0
"""How long a try that takes over from another process may still send, once nothing of the other can be under way."""


class Next(Enum):
    """The next step after a query of the order book."""

    ADOPT = "the order is ours"
    SEND = "send again: the same token, the same bytes"
    WAIT = "query again later"
    STOP = "a user must decide"


class Attempt(Enum):
    """A request that is about to be sent, by what is known of the requests before it."""

    FIRST = "none was sent"
    AFTER_A_GUESS = "one may have been sent, and there is no record of it"
    REPEAT = "one may have been carried out"


class Finding(Enum):
    """The result of a query of the order book."""

    UNDER_WAY = "too early to say: a request may be under way, or its order not be listed yet"
    ONE = "exactly one order matches"
    UNCLEAR = "more than one purchase or order may be meant"
    MOVED = "no order tells it, and the instance is not as it was before"
    SEND = "no order matches, and a try would send the same client token again"
    NONE = "no order matches"
    SAID_PAID = "no order matches, and the server said that the money was taken"
    REFUSED = "no order matches, and the server refused a repeat of a request that it had not answered"
    TWIN = "the server placed a second order, which no record owns"
    TWIN_LATER = "the request was sent twice, and it is too early to say whether there is a second order"
    OPEN = "the order is open"
    DELIVERED = "the order is carried out"
    DEAD = "the order has failed"
    UNLISTED = "the order is not listed"
    UNREADABLE = "it cannot be read"
    ELSEWHERE = "not queried: the record is of another endpoint than the connection's"
    NOT_ASKED = "not queried: there is nothing to search for"


@dataclass(frozen=True)
class Rules:
    """
    The choices of a purchase.

    :param lag: Seconds after which a new order is surely listed in the order book.
    :param replay_window: Seconds since the first request in which the same token may be sent again, after a query.
        ``None`` is five minutes, and as much longer as the next try of a lost process needs to take over safely.
    :param trust_token: Send the same token again also after the window, and when several orders match.
    :param request_seconds: How long one request may take.
    :param clock_margin: Seconds by which the clocks of two processes that share a record may differ.
    :param not_bought_seconds: How long after the first request no user should say that nothing was bought.
    :param retry_seconds: How long after a lost process its next try begins at the latest.
    """

    lag: float = ORDER_BOOK_LAG
    replay_window: float | None = None
    trust_token: bool = False
    request_seconds: float = 70.0
    clock_margin: float = CLOCK_MARGIN
    not_bought_seconds: float = 600.0
    retry_seconds: float = 600.0

    @property
    def patience(self) -> float:
        """Seconds for which something that may resolve itself is waited for."""
        return REPLAY_WINDOW if self.replay_window is None else self.replay_window

    @property
    def beside(self) -> float:
        """Seconds by which clocks may differ beyond what a query allows for by itself."""
        return max(0.0, self.clock_margin - CLOCK_MARGIN)

    def quiet_from(self, record: Record) -> float:
        """Return the epoch seconds from when on no request of another process is under way, or not listed."""
        # The clock that wrote it may be behind ours.
        margin = 0.0 if record.is_presumed else self.clock_margin
        return record.sending_until + margin + self.lag

    def replay_until(self, now: float, sending_until: float) -> float:
        """Return the epoch seconds until which a request that is first sent now may be sent again."""
        if self.replay_window is not None:
            return now + self.replay_window
        quiet = sending_until + self.clock_margin + self.lag
        return max(now + REPLAY_WINDOW, now + self.retry_seconds + self.lag, quiet) + TAKE_OVER_SECONDS


@dataclass(frozen=True)
class Situation:
    """
    The facts that a decision needs.

    :param evidence: The result of a query, without the orders that other records own.
    :param rivals: Other purchases that may own an order that matches, each in a few words.
    :param are_identical: The rivals are purchases of the same, and under way: once they are not, the orders are shared.
    :param is_patient: There is time left to query again.
    :param rivals_may_resolve: A rival is going to know its order.
    :param trusts_token: The policy sends the token again where nothing decides.
    :param replay_is_safe: The action is one whose token may be trusted at all.
    :param now: Epoch seconds.
    """

    record: Record
    evidence: Evidence
    rivals: Sequence[str]
    is_patient: bool
    rivals_may_resolve: bool
    trusts_token: bool
    replay_is_safe: bool
    now: float
    are_identical: bool = False

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts that the table compares, by the names of its columns."""
        evidence, state = self.evidence, self.record.state
        return {
            "matches": Matches.of(len(evidence.orders)),
            "unclear": bool(evidence.unclear),
            "rivals": bool(self.rivals),
            "identical": self.are_identical,
            "state": state if state.is_final else State.INTENDED,
            "changed": bool(evidence.bar),
            "window": Window.OPEN if self.now < self.record.replay_until else Window.CLOSED,
        }


class Matches(Enum):
    """How many orders match."""

    NONE = "0"
    ONE = "1"
    SEVERAL = "2 or more"

    @classmethod
    def of(cls, count: int) -> Matches:
        """Return the word for a number of orders."""
        return (cls.NONE, cls.ONE, cls.SEVERAL)[min(count, 2)]


class Window(Enum):
    """Whether the same client token may still be sent again without a user's decision."""

    OPEN = "open"
    CLOSED = "closed"


class Override(Enum):
    """Whether ``on_unknown_outcome="replay"`` sends the token again instead of a stop."""

    NEVER = "never"
    IF_SAFE = "yes, where the action takes a token; else never"
    YES = "yes"


@dataclass(frozen=True)
class Row:
    """
    One row of the table. A condition that is ``None`` holds always.

    :param about: The situation.
    :param matches: The numbers of orders that match.
    :param unclear: There is an order that cannot be told apart: a compared field is missing or not understood.
    :param rivals: Another purchase may own an order that matches.
    :param identical: It is a purchase of the same, and under way.
    :param state: The state of the record: of those without an order, *intended* is the usual one.
    :param changed: The instance is not as it was before, and no order explains that.
    :param window: Whether the time in which the same token may be sent again is over.
    :param verdict: The next step.
    :param finding: The result, for a user.
    :param why: The reason for a user, as a template.
    :param waits: The step is tried again, while there is patience, before it counts.
    :param override: Whether the policy may send instead of a stop.
    """

    about: str
    verdict: Next
    finding: Finding
    why: str = ""
    matches: tuple[Matches, ...] | None = None
    unclear: bool | None = None
    rivals: bool | None = None
    identical: bool | None = None
    state: State | None = None
    changed: bool | None = None
    window: Window | None = None
    waits: bool = False
    override: Override = Override.NEVER

    def holds(self, facts: Mapping[str, Any]) -> bool:
        """Whether the row is about a situation."""
        wanted = {
            name: getattr(self, name) for name in ("unclear", "rivals", "identical", "state", "changed", "window")
        }
        agrees = all(value is None or value == facts[name] for name, value in wanted.items())
        return agrees and (self.matches is None or facts["matches"] in self.matches)


TABLE = (
    Row(
        "an order that cannot be told apart",
        Next.STOP,
        Finding.UNCLEAR,
        "nothing tells whether a listed order is this one ({found} match, {unclear} may)",
        unclear=True,
        waits=True,
        override=Override.IF_SAFE,
    ),
    Row("one order, of no other purchase", Next.ADOPT, Finding.ONE, matches=(Matches.ONE,), rivals=False),
    Row(
        "an order, and identical purchases under way",
        Next.STOP,
        Finding.UNDER_WAY,
        "an order that matches may be that of an identical purchase, which is under way ({rivals})",
        matches=(Matches.ONE, Matches.SEVERAL),
        rivals=True,
        identical=True,
        waits=True,
        override=Override.YES,
    ),
    Row(
        "an order that may be another purchase's",
        Next.STOP,
        Finding.UNCLEAR,
        "an order that matches may be of another purchase ({rivals})",
        matches=(Matches.ONE, Matches.SEVERAL),
        rivals=True,
        waits=True,
        override=Override.YES,
    ),
    Row(
        "several orders",
        Next.STOP,
        Finding.UNCLEAR,
        "{found} orders match, and nothing tells which one it is",
        matches=(Matches.SEVERAL,),
        override=Override.YES,
    ),
    Row(
        "the server said that it was paid",
        Next.STOP,
        Finding.SAID_PAID,
        "the server said that the money was taken, and no order matches: {reason}",
        matches=(Matches.NONE,),
        state=State.CHARGED,
    ),
    Row(
        "the server refused a repeat",
        Next.STOP,
        Finding.REFUSED,
        "the server refused a repeat of a request that it had not answered, and no order matches: {reason}",
        matches=(Matches.NONE,),
        state=State.REFUSED,
    ),
    Row("the instance has changed", Next.STOP, Finding.MOVED, "{changed}", (Matches.NONE,), changed=True, waits=True),
    Row(
        "the window is closed",
        Next.STOP,
        Finding.NONE,
        "no order matches, but the time in which the same client token may be sent again is over",
        matches=(Matches.NONE,),
        window=Window.CLOSED,
        override=Override.YES,
    ),
    Row("nothing, and the window is open", Next.SEND, Finding.SEND, matches=(Matches.NONE,)),
)
"""
The decision. The policy never overrides a row of a final state: what a server called paid, or refused after an
unanswered try, is never sent again. After each repeat the order book is queried once more for a second order.
"""


@dataclass(frozen=True)
class Decision:
    """
    The next step, why, and the row that decided.

    :param why: For a user; empty where the step needs no reason.
    """

    step: Next
    why: str
    row: Row

    @property
    def finding(self) -> Finding:
        """The result of the query, for a user."""
        return Finding.SEND if self.step is Next.SEND and self.row.finding is Finding.NONE else self.row.finding


def decide(it: Situation) -> Decision:
    """Return what is done: pure, for any situation."""
    facts, evidence = it.facts, it.evidence
    row = next(row for row in TABLE if row.holds(facts))
    why = row.why.format(
        found=len(evidence.orders),
        unclear=len(evidence.unclear),
        rivals="; ".join(it.rivals),
        reason=it.record.reason,
        changed=evidence.bar,
    )
    return Decision(_step(row, it), why, row)


def _step(row: Row, it: Situation) -> Next:
    if row.verdict is not Next.STOP:
        return row.verdict
    may_resolve = it.rivals_may_resolve if row.rivals else it.evidence.may_resolve or not row.changed
    if row.waits and it.is_patient and may_resolve:
        return Next.WAIT
    may_send = row.override is Override.YES or (row.override is Override.IF_SAFE and it.replay_is_safe)
    return Next.SEND if may_send and it.trusts_token and not it.record.state.is_final else Next.STOP


def step_if_unreadable(
    rules: Rules, record: Record, error: TcBillingError, *, is_patient: bool, may_change: bool
) -> Next:
    """
    Return the step where the order book cannot be read this time, or at all.

    :param is_patient: There is time to query again.
    :param may_change: The key is none that lasts, so that another one may be about to take its place.
    :raises AnotherAccount: It would be that of another account.
    :raises TcBillingError: Another try may read it, and there is no time for one.
    """
    if isinstance(error, AnotherAccount) or (error.transient and not is_patient):
        raise error
    may_pass = error.transient or (is_patient and may_change and is_of_key(error))
    if not may_pass:
        return Next.SEND if rules.trust_token and not record.state.is_final else Next.STOP
    log.warning("The order book cannot be read: %s", error)
    return Next.WAIT


def step_after(error: TcBillingError, *, is_over: bool, may_change: bool) -> tuple[Next, str, Finding]:
    """
    Return the step where no order matches and the try before ended with an error: a refusal proves nothing.

    :param is_over: It was tried for long enough.
    :param may_change: The key is none that lasts, so that another one may be about to take its place.
    """
    if not (error.transient or (may_change and not is_over and is_of_key(error))):
        why = f"no order matches, an earlier try may have been carried out, and the server says: {error}"
        return Next.STOP, why, Finding.NONE
    if is_over:
        why = f"It may have been carried out, and no order matches yet. The last try: {error}"
        raise OutcomeUnknown(why) from error
    return Next.SEND, "", Finding.SEND
