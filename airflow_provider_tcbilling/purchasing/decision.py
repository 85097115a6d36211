"""
Decision: what is done after a look into the order book, as a pure function.

=================  ==============  =============  ==============================================
orders that match  may be ours     state          then
=================  ==============  =============  ==============================================
one                no              any            adopt it
some               by a rival      any            wait, then stop
several            no              any            stop
any                an unclear one  any            wait, then stop
none               no              charged        stop, whatever the policy
none               no              refused        stop, whatever the policy
none, but changed  no              any            wait, then stop, whatever the policy
none               no              window closed  stop
none               no              window open    send, and look once more after the lag
=================  ==============  =============  ==============================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.purchasing.money_action import Evidence
from airflow_provider_tcbilling.purchasing.record import Record, State

ORDER_BOOK_LAG = 30.0
"""Seconds after which a new order is surely listed. The real figure is not documented."""

REPLAY_WINDOW = 300.0
"""Seconds in which Tencent's own Terraform provider sends the same token again; no longer one was ever seen."""

TAKE_OVER_SECONDS = 60.0
"""How long a try that takes over from another process may still send, once nothing of the other can be under way."""


class Next(Enum):
    """The next step after a look into the order book."""

    ADOPT = "the order is ours"
    SEND = "send again: the same token, the same bytes"
    WAIT = "look again later"
    STOP = "a person must look"


class Finding(Enum):
    """The result of a query of the order book, in words."""

    UNDER_WAY = "too early to say: a request may be under way, or its order not be listed yet"
    ONE = "exactly one order fits"
    UNCLEAR = "more than one purchase or order may be meant"
    MOVED = "no order tells it, and the instance is not as it was before"
    SEND = "no order fits, and a try would send the same client token again"
    NONE = "no order fits"
    SAID_PAID = "no order fits, and the server said that the money was taken"
    REFUSED = "no order fits, and the server refused a repeat of a request that it had not answered"
    TWIN = "the server placed a second order, which no record owns"
    TWIN_LATER = "the request was sent twice, and it is too early to say whether there is a second order"
    OPEN = "the order is open"
    DELIVERED = "the order is carried out"
    DEAD = "the order has failed"
    UNLISTED = "the order is not listed"
    UNREADABLE = "it cannot be read"
    ELSEWHERE = "it was not asked: the record is of another endpoint than the connection's"
    NOT_ASKED = "it was not asked: nothing tells what to look for"


@dataclass(frozen=True)
class Rules:
    """
    The choices of a purchase.

    :param lag: Seconds after which a new order is surely listed in the order book.
    :param replay_window: Seconds since the first request in which the same token may be sent again, after a look.
        ``None`` is five minutes, and as much longer as another process needs to take over safely.
    :param trust_token: Send the same token again also after the window, and when several orders fit.
    :param request_seconds: How long one request may take.
    :param clock_margin: Seconds by which the clocks of two processes that share a record may differ.
    :param not_bought_seconds: How long after the first request no user should say that nothing was bought.
    """

    lag: float = ORDER_BOOK_LAG
    replay_window: float | None = None
    trust_token: bool = False
    request_seconds: float = 70.0
    clock_margin: float = CLOCK_MARGIN
    not_bought_seconds: float = 600.0

    @property
    def patience(self) -> float:
        """Seconds for which something that may clear up is waited for."""
        return REPLAY_WINDOW if self.replay_window is None else self.replay_window

    @property
    def beside(self) -> float:
        """Seconds by which clocks may differ beyond what a look allows for by itself."""
        return max(0.0, self.clock_margin - CLOCK_MARGIN)

    def replay_until(self, now: float, sending_until: float) -> float:
        """Return the epoch seconds until which a request that is first sent now may be sent again."""
        if self.replay_window is not None:
            return now + self.replay_window
        quiet = sending_until + self.clock_margin + self.lag
        return max(now + REPLAY_WINDOW, quiet + TAKE_OVER_SECONDS)


@dataclass(frozen=True)
class Situation:
    """
    The facts that a decision needs.

    :param seen: What a look has shown, without the orders that other records own.
    :param rivals: Other purchases that may own an order that matches, in words.
    :param is_patient: There is time left to look again.
    :param rivals_may_clear_up: A rival is going to know its order.
    :param trusts_token: The policy sends the token again where nothing decides.
    :param replay_is_safe: The action is one whose token may be trusted at all.
    :param now: Epoch seconds.
    """

    record: Record
    seen: Evidence
    rivals: Sequence[str]
    is_patient: bool
    rivals_may_clear_up: bool
    trusts_token: bool
    replay_is_safe: bool
    now: float


def decide(it: Situation) -> tuple[Next, str]:  # noqa: PLR0911 - one return is one row of the table
    """Return what is done, and why."""
    found, unclear, state = it.seen.orders, it.seen.unclear, it.record.state
    stop = Next.SEND if it.trusts_token and not state.is_final else Next.STOP
    if unclear:
        step = Next.WAIT if it.is_patient else stop if it.replay_is_safe else Next.STOP
        return step, f"nothing tells whether a listed order is this one ({len(found)} fit, {len(unclear)} may)"
    if len(found) == 1 and not it.rivals:
        return Next.ADOPT, ""
    if found and it.rivals:
        step = Next.WAIT if it.is_patient and it.rivals_may_clear_up else stop
        return step, f"what fits may be the order of another purchase ({'; '.join(it.rivals)})"
    if found:
        return stop, f"{len(found)} orders fit, and nothing tells which one it is"
    if state.is_final:
        return Next.STOP, _final(it.record)
    if it.seen.bar:
        return Next.WAIT if it.is_patient and it.seen.may_clear_up else Next.STOP, it.seen.bar
    if it.now >= it.record.replay_until:
        return stop, "no order fits, but the time in which the same client token may be sent again is over"
    return Next.SEND, ""


def finding_of(record: Record, seen: Evidence, step: Next) -> Finding:
    """Return what a look has found, for a person."""
    if step is Next.ADOPT:
        return Finding.ONE
    if seen.orders or seen.unclear:
        return Finding.UNCLEAR
    if record.state.is_final:
        return Finding.SAID_PAID if record.state is State.CHARGED else Finding.REFUSED
    if seen.bar and record.state is not State.DECLINED:
        return Finding.MOVED
    return Finding.SEND if step is Next.SEND and record.state is not State.DECLINED else Finding.NONE


def _final(record: Record) -> str:
    if record.state is State.CHARGED:
        return f"the server said that the money was taken, and no order fits: {record.reason}"
    return f"the server refused a repeat of a request that it had not answered, and no order fits: {record.reason}"
