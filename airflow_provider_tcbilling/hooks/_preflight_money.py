"""The tests of everything that guards money: limits with their windows now, approvals, and the memory of prices."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pendulum

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.text import amount, harmless
from airflow_provider_tcbilling.hooks._checks import Failed, NotTested, Test, Warned
from airflow_provider_tcbilling.purchasing.limits import Limit, Window
from airflow_provider_tcbilling.purchasing.reservation import Counted, Reservation

if TYPE_CHECKING:
    from airflow_provider_tcbilling.hooks._preflight_account import Subject

PURCHASES = {
    Window.ORDER: "each purchase{scope}",
    Window.RUN: "all purchases{scope} of one run together",
    Window.DAY: "all purchases{scope} of one day together",
    Window.MONTH: "all purchases{scope} of one month together",
}

UNSEEN = ". The ledger has no such purchase yet: compare the spelling, since a slip there counts nothing"
NAMED = 5
"""Price keys that are named."""


@dataclass(frozen=True)
class LimitNow:
    """
    A limit, its window now, and what it has counted in it.

    :param begin: Epoch seconds. It, *end* and *counted* are ``None`` for an order and a run, each of which is counted
        by itself.
    """

    limit: Limit
    begin: float | None = None
    end: float | None = None
    counted: Counted | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        limit, counted = self.limit, self.counted
        return {
            "name": limit.name,
            "window": str(limit.window),
            "max_cents": limit.max_cents,
            "currency": limit.currency,
            "product": limit.product or None,
            "dag": limit.origin or None,
            "begin": self.begin,
            "end": self.end,
            "settled_cents": counted and counted.settled,
            "reserved_cents": counted and counted.reserved,
        }


def money_tests(subject: Subject) -> tuple[Test, ...]:
    """Return a test for each limit of a connection, and those of the other guards."""
    limits = subject.settings.spending_limits
    of_limits: list[Test] = [(f"limit {limit.name}", partial(_limit, limit), False) for limit in limits]
    return (*(of_limits or [("limits", _no_limits, False)]), ("approval", approval, False), ("prices", prices, False))


def approval(subject: Subject) -> str:
    """Write the rules of approvals in words."""
    settings = subject.settings
    if settings.approve_above_cents is None:
        return "no purchase needs one, unless its DAG asks for it"
    currency = next((limit.currency for limit in settings.spending_limits), "of the account's currency")
    above = amount(settings.approve_above_cents, currency)
    by = ", ".join(settings.approvers) or "each user who can answer"
    but = ", but not by the user who started the run" if settings.approver_is_not_requester else ""
    return f"above {above}, by {by}{but}, valid for {pendulum.duration(seconds=settings.approval_valid_for).in_words()}"


def prices(subject: Subject) -> str:
    """Count the prices that the ledger remembers."""
    if not subject.settings.ledger_conn_id:
        raise NotTested("only a ledger in a database remembers prices")
    from airflow_provider_tcbilling.ledger.database_prices import price_memory

    store: Any = subject.counting_store()
    server = server_name(subject.settings.endpoint)
    memory = store.database.reading(lambda connection: price_memory(connection, server, subject.account))
    known = f"price keys that have a price: {memory.known}"
    if not memory.blocked:
        needed = "" if memory.known else ". Where a rule needs the price, the first purchase of each needs max_cents"
        return f"{known}, blocked: none{needed}"
    some = ", ".join(f"{harmless(name)} ({amount(cents, money)})" for name, cents, money in memory.blocked[:NAMED])
    raise Warned(f"{known}, blocked: {len(memory.blocked)}, since an order cost more than was reserved: {some}")


def _no_limits(subject: Subject) -> str:
    raise Warned("none is set, so the balance of the account is the only end of what tasks may spend")


def _limit(limit: Limit, subject: Subject) -> str:
    """Write a limit in words, with its window now and what it has counted."""
    most = amount(limit.max_cents, limit.currency)
    rule = f"{PURCHASES[limit.window].format(scope=_scope(limit))} may cost at most {most}{_unseen(limit, subject)}"
    if limit.window in (Window.ORDER, Window.RUN):
        subject.limits.append(LimitNow(limit))
        if rule.endswith(UNSEEN):
            raise Warned(rule)
        return rule
    store, zone = subject.counting_store(), subject.settings.limits_zone
    now = store.now()
    begin, end = limit.span(now, zone)
    counted = store.usage(_reservation(limit, subject)).counted[0]
    subject.limits.append(LimitNow(limit, begin, end, counted))
    left = limit.max_cents - counted.settled - counted.reserved
    amounts = {"settled": counted.settled, "reserved": counted.reserved, "left": max(left, 0)}
    shown = ", ".join(f"{amount(cents, limit.currency)} {name}" for name, cents in amounts.items())
    text = f"{rule}. From {_local(begin, zone)} to {_local(end, zone)} ({zone}): {shown}"
    if counted.foreign:
        raise Failed(f"{text}. Purchases in another currency: {counted.foreign}, so every purchase is refused")
    if counted.unknown:
        raise Warned(f"{text}. Purchases whose price is not known: {counted.unknown}. Until it is, each one is refused")
    if UNSEEN in rule:
        raise Warned(text)
    if left <= 0:
        raise Warned(f"{text}, so every purchase is refused until then")
    return text


def _unseen(limit: Limit, subject: Subject) -> str:
    """Say so if a limit is narrowed to what no purchase of the ledger is of: a slip, or the first purchase to come."""
    if not (limit.product or limit.origin):
        return ""
    from airflow_provider_tcbilling.ledger.database_search import Query

    store: Any = subject.counting_store()
    narrowed = Query(product=limit.product or None, dag_id=limit.origin or None, limit=1)
    return "" if store.search(narrowed).rows else UNSEEN


def _reservation(limit: Limit, subject: Subject) -> Reservation:
    """Return a reservation of nothing, for which a store counts what the limit counts."""
    return Reservation(
        key="",
        cents=None,
        currency=limit.currency,
        limits=(limit,),
        zone=subject.settings.limits_zone,
        server=server_name(subject.settings.endpoint),
        account=subject.account,
    )


def _scope(limit: Limit) -> str:
    product = f" of {limit.product}" if limit.product else ""
    return f"{product} by DAG {limit.origin}" if limit.origin else product


def _local(moment: float, zone: str) -> str:
    return pendulum.from_timestamp(moment, tz=zone).format("YYYY-MM-DD HH:mm")


MONEY = ("limits", "approval", "prices")
"""Names of these tests, for a connection that cannot be read."""
