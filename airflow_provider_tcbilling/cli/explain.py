"""Explain: the record of one purchase, the evidence of the order book, and the safe next step. It only reads."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import (
    MAX_LINE,
    DeliveryFailed,
    DeliveryTimeout,
    OutcomeUnknown,
    TcBillingError,
)
from airflow_provider_tcbilling.api.models import unique
from airflow_provider_tcbilling.api.text import harmless, lines_of, visible
from airflow_provider_tcbilling.cli.lookup import FoundPurchase
from airflow_provider_tcbilling.hooks.connection import Settings
from airflow_provider_tcbilling.purchasing.decision import Decision, Finding, Rules
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from airflow_provider_tcbilling.purchasing.evidence import order_numbered
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.money_action import Evidence, MoneyAction
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.purchasing.refund import Refund
from airflow_provider_tcbilling.purchasing.renewal import Renewal
from airflow_provider_tcbilling.task.next_steps import (
    COMMAND,
    NEWER,
    NO_KEY,
    NO_RECORD,
    STEPS,
    UNUSABLE,
    command_line,
    moment,
)
from airflow_provider_tcbilling.task.twins import TWINS
from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch

MONEY_ACTIONS: Mapping[str, type[MoneyAction]] = {kind.action.name: kind for kind in (NewInstance, Renewal, Refund)}
"""By the action that a record names."""


SHOWN = (
    *("action", "client_token", "order_id", "instance_ids", "paid_cents", "currency", "reason"),
    *("intended_at", "changed_at", "placed_by", "endpoint", "payload"),
)
"""The fields of a record that a user is shown."""


@dataclass(frozen=True)
class QueryResult:
    """The result of a query of the order book: the finding, and in words its reasons and the orders."""

    finding: Finding
    details: tuple[str, ...] = ()


def explanation_of(found: FoundPurchase, settings: Settings, client: BillingClient, conn_id: str) -> dict[str, Any]:
    """
    Explain a purchase, as plain JSON; *record* is the stored one, with its secrets masked. It never spends or writes.

    :param found: From :func:`airflow_provider_tcbilling.cli.lookup.find`.
    :param conn_id: The connection, for the commands that the user can copy.
    :raises StoreFailed: The records of others could not be read, so the owner of an order that matches is not known.
    """
    record, key = found.record, found.key or ""
    state = _state_of(found)
    result = QueryResult(Finding.NOT_ASKED) if found.unusable else query(found, settings, client)
    facts = {
        "console": settings.console_url.partition("#")[0],
        # A key may hold text of the server, and a line break in it would forge a step.
        "settle": visible(command_line("settle", found.store.options(key), conn_id)),
        "restore": visible(command_line("settle", "--restore FILE", conn_id)),
        "replay": moment(record.replay_until) if record else "",
        "decidable": moment(max(decidable_from(found, record, settings, client), found.store.now())) if record else "",
    }
    return {
        "purchase": str(found.name),
        "asked_at": moment(time.time()),
        "found": state not in (NO_RECORD, NO_KEY) or result.finding in (Finding.OPEN, Finding.DELIVERED, Finding.DEAD),
        "key": found.key,
        "state": state,
        "where": found.where,
        "client_token": record.client_token if record else client_token_for(key) if key else None,
        "record": record.as_json() if record else None,
        "unusable": found.unusable and found.unusable.reason,
        "notes": list(found.notes),
        "finding": result.finding.name.lower(),
        "order_book": [result.finding.value, *result.details],
        "next_step": STEPS[state, result.finding].format_map(facts),
    }


def _state_of(found: FoundPurchase) -> str:
    if found.unusable:
        return NEWER if found.is_newer else UNUSABLE
    if found.record:
        return found.record.state.value
    return NO_RECORD if found.key or found.name.order_id else NO_KEY


def as_text(explanation: Mapping[str, Any]) -> str:
    """Return an explanation, as :func:`explanation_of` returns it, for a terminal."""
    record = explanation["record"] or {"client_token": explanation["client_token"], "reason": explanation["unusable"]}
    facts = {**{name.replace("_", " "): record.get(name) for name in SHOWN}, "where": explanation["where"]}
    notes = [f"Note: {harmless(note)}" for note in explanation["notes"]]
    finding, *details = explanation["order_book"]
    parts = [
        (f"Our record says: {explanation['state']}", [*(f"{n:<14}{_cell(v)}" for n, v in facts.items() if v), *notes]),
        (f"The order book says: {finding}", [f"- {harmless(line, MAX_LINE)}" for line in details]),
        ("Safe next step:", [part for line in explanation["next_step"].splitlines() for part in _wrapped(line)]),
    ]
    lines = [f"  {line}" if line else title for title, rest in parts for line in ("", *rest)]
    return lines_of(
        "\n".join([f"Purchase {harmless(explanation['purchase'])}, asked at {explanation['asked_at']}", *lines])
    )


def query(found: FoundPurchase, settings: Settings, client: BillingClient) -> QueryResult:
    """
    Query the order book for the order of a purchase, or for orders that match.

    :raises StoreFailed: The records of others could not be read.
    """
    record = found.record
    if record and record.is_at_another_server(settings.endpoint):
        return QueryResult(Finding.ELSEWHERE, (f"record: {record.endpoint}, connection: {settings.endpoint}",))
    order_id = record.order_id if record else found.name.order_id
    if record and record.is_word_of_a_user and not order_id:
        return QueryResult(Finding.NOT_ASKED)
    try:
        if record and order_id and record.is_resent and (twin := _twin(found, record, settings, client)):
            return twin
        if order_id:
            return _follow(client, order_id, record.action if record else CREATE_INSTANCE.name)
        return _search(found, record, settings, client) if record else QueryResult(Finding.NOT_ASKED)
    except StoreFailed:
        raise
    except TcBillingError as error:
        return QueryResult(Finding.UNREADABLE, (str(error),))


def money_action_of(record: Record, client: BillingClient) -> MoneyAction:
    """Return the money action of a record. Its masked fields are not in the order book."""
    kind = MONEY_ACTIONS[record.action]
    return kind(client, kind.action.named(record.payload))


def _follow(client: BillingClient, order_id: str, action: str) -> QueryResult:
    order = order_numbered(client, order_id)
    if not order:
        return QueryResult(Finding.UNLISTED)
    try:
        DeliveryWatch(client, order_id, action=action, deadline=0.0).step()
    except DeliveryFailed as error:
        return QueryResult(Finding.DEAD, (order.summary, str(error)))
    except DeliveryTimeout:
        return QueryResult(Finding.OPEN, (order.summary,))
    return QueryResult(Finding.DELIVERED, (order.summary,))


def _purchase(found: FoundPurchase, record: Record, settings: Settings, client: BillingClient) -> Purchase:
    """Return the purchase of a record, which judges as a try of the task does."""
    rules = Rules(lag=settings.order_book_lag, clock_margin=settings.clock_margin)
    task = found.name.task
    is_of_iteration = task is not None and task.loop_index is not None and task.key == record.key
    has_twins = found.has_twins and (record.action == CREATE_INSTANCE.name or is_of_iteration)
    return Purchase(record.key, money_action_of(record, client), found.store, rules, twins=TWINS if has_twins else "")


def decidable_from(found: FoundPurchase, record: Record, settings: Settings, client: BillingClient) -> float:
    """Return the epoch seconds before which it is too early to say that nothing was bought."""
    if record.is_word_of_a_user:
        return record.changed_at
    return _purchase(found, record, settings, client).decidable_from(record)


def _twin(found: FoundPurchase, record: Record, settings: Settings, client: BillingClient) -> QueryResult | None:
    """Return the second order of a request that was sent twice; ``None`` if there is surely none."""
    purchase = _purchase(found, record, settings, client)
    try:
        twins = unique([*record.twins, *(order.summary for order in purchase.second_orders(record))])
    except OutcomeUnknown as doubt:
        return QueryResult(Finding.TWIN_LATER, (str(doubt),))
    if twins:
        return QueryResult(Finding.TWIN, (f"the record's order: {record.order_id}", *twins))
    if found.store.now() < (listed := purchase.checked_from(record)):
        return QueryResult(Finding.TWIN_LATER, (f"run explain again after {moment(listed)}",))
    return None


def _search(found: FoundPurchase, record: Record, settings: Settings, client: BillingClient) -> QueryResult:
    """Judge as a try of the task does."""
    purchase = _purchase(found, record, settings, client)
    evidence, decision = purchase.foresee(record)
    may_be_under_way = record.state is State.INTENDED
    if may_be_under_way and found.store.now() < (quiet := purchase.quiet_from(record)):
        return QueryResult(
            Finding.UNDER_WAY,
            (f"run explain again after {moment(quiet)}", *(order.summary for order in evidence.orders)),
        )
    return _judged(record, evidence, decision)


def _judged(record: Record, evidence: Evidence, decision: Decision) -> QueryResult:
    finding, is_declined = decision.finding, record.state is State.DECLINED
    if is_declined and finding in (Finding.MOVED, Finding.SEND):
        finding = Finding.NONE  # A declined record is sent with a new token, whatever the instance is like.
    orders = tuple(order.summary for order in (*evidence.orders, *evidence.unclear))
    reasons = {
        Finding.ONE: (),
        Finding.SAID_PAID: (record.reason,),
        Finding.REFUSED: (record.reason,),
        Finding.SEND: (),
    }
    reason = reasons.get(finding, () if is_declined and not orders else (decision.why,))
    return QueryResult(finding, (*reason, *orders))


def _cell(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{name} {item}" for name, item in value.items()]
    return harmless(", ".join(map(str, value)) if isinstance(value, list) else value, MAX_LINE)


def _wrapped(line: str) -> list[str]:
    """Break a long line of words; a command stays whole, to be copied."""
    return [line] if COMMAND in line else textwrap.wrap(line, 100)
