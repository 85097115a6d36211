"""The doctor: what our record and the order book say of one purchase, and the safe next step. It only looks."""

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
from airflow_provider_tcbilling.cli.lookup import Case
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
from airflow_provider_tcbilling.task.dag_run import TWINS
from airflow_provider_tcbilling.task.next_steps import COMMAND, NEWER, NO_RECORD, STEPS, UNUSABLE, command_line, moment
from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch

MONEY_ACTIONS: Mapping[str, type[MoneyAction]] = {kind.action.name: kind for kind in (NewInstance, Renewal, Refund)}
"""By the action that a record names."""


SHOWN = (
    *("action", "client_token", "order_id", "instance_ids", "paid_cents", "currency", "reason"),
    *("intended_at", "changed_at", "placed_by", "endpoint", "payload"),
)
"""What a person is shown of a record."""


@dataclass(frozen=True)
class Look:
    """What a look into the order book showed: the finding, the orders and their reasons in words."""

    finding: Finding
    words: tuple[str, ...] = ()


def diagnose(case: Case, settings: Settings, client: BillingClient, conn_id: str) -> dict[str, Any]:
    """
    Explain a purchase, as plain JSON; *record* is what is stored, with its secrets masked. It never spends or writes.

    :param case: From :func:`airflow_provider_tcbilling.cli.lookup.find`.
    :param conn_id: The connection, for the commands that a person is told.
    :raises StoreFailed: The records of others could not be read, so nothing can be said of an order that matches.
    """
    record, key = case.record, case.key or ""
    state = (NEWER if case.is_newer else UNUSABLE) if case.unusable else record.state.value if record else NO_RECORD
    look = Look(Finding.NOT_ASKED) if case.unusable else look_for(case, settings, client)
    words = {
        "console": settings.console_url.partition("#")[0],
        # A key may hold the server's text, and a line of its own would read as a step.
        "settle": visible(command_line("settle", case.store.options(key), conn_id)),
        "restore": visible(command_line("settle", "--restore FILE", conn_id)),
        "replay": moment(record.replay_until) if record else "",
        "decidable": moment(max(decidable_from(case, record, settings, client), time.time())) if record else "",
    }
    return {
        "purchase": str(case.named),
        "asked_at": moment(time.time()),
        "found": state != NO_RECORD or look.finding in (Finding.OPEN, Finding.DELIVERED, Finding.DEAD),
        "key": case.key,
        "state": state,
        "where": case.where,
        "client_token": record.client_token if record else client_token_for(key) if key else None,
        "record": record.as_json() if record else None,
        "unusable": case.unusable and case.unusable.reason,
        "notes": list(case.notes),
        "finding": look.finding.name.lower(),
        "order_book": [look.finding.value, *look.words],
        "next_step": STEPS[state, look.finding].format_map(words),
    }


def as_text(told: Mapping[str, Any]) -> str:
    """Return what :func:`diagnose` tells, for a terminal."""
    record = told["record"] or {"client_token": told["client_token"], "reason": told["unusable"]}
    facts = {**{name.replace("_", " "): record.get(name) for name in SHOWN}, "where": told["where"]}
    notes = [f"Note: {harmless(note)}" for note in told["notes"]]
    finding, *words = told["order_book"]
    parts = [
        (f"Our record says: {told['state']}", [*(f"{n:<14}{_words(v)}" for n, v in facts.items() if v), *notes]),
        (f"The order book says: {finding}", [f"- {harmless(line, MAX_LINE)}" for line in words]),
        ("Safe next step:", [part for line in told["next_step"].splitlines() for part in _wrapped(line)]),
    ]
    lines = [f"  {line}" if line else title for title, rest in parts for line in ("", *rest)]
    return lines_of("\n".join([f"Purchase {harmless(told['purchase'])}, asked at {told['asked_at']}", *lines]))


def look_for(case: Case, settings: Settings, client: BillingClient) -> Look:
    """
    Look into the order book for the order of a purchase, or for orders that fit.

    :raises StoreFailed: The records of others could not be read.
    """
    record = case.record
    if record and record.is_at_another_server(settings.endpoint):
        return Look(Finding.ELSEWHERE, (f"record: {record.endpoint}, connection: {settings.endpoint}",))
    order_id = record.order_id if record else case.named.order_id
    try:
        if record and order_id and record.is_resent and (twin := _twin(case, record, settings, client)):
            return twin
        if order_id:
            return _follow(client, order_id, record.action if record else CREATE_INSTANCE.name)
        return _search(case, record, settings, client) if record else Look(Finding.NOT_ASKED)
    except StoreFailed:
        raise
    except TcBillingError as error:
        return Look(Finding.UNREADABLE, (str(error),))


def spending_of(record: Record, client: BillingClient) -> MoneyAction:
    """Return what a record asked for. What was masked in it is nothing that the order book shows."""
    kind = MONEY_ACTIONS[record.action]
    return kind(client, kind.action.named(record.payload))


def _follow(client: BillingClient, order_id: str, action: str) -> Look:
    order = order_numbered(client, order_id)
    if not order:
        return Look(Finding.UNLISTED)
    try:
        DeliveryWatch(client, order_id, action=action, deadline=0.0).step()
    except DeliveryFailed as error:
        return Look(Finding.DEAD, (order.summary, str(error)))
    except DeliveryTimeout:
        return Look(Finding.OPEN, (order.summary,))
    return Look(Finding.DELIVERED, (order.summary,))


def _purchase(case: Case, record: Record, settings: Settings, client: BillingClient) -> Purchase:
    """Return the purchase of a record, to judge as a try of the task would."""
    rules = Rules(lag=settings.order_book_lag, clock_margin=settings.clock_margin)
    task = case.named.task
    is_of_iteration = task is not None and task.loop_index is not None and task.key == record.key
    has_twins = case.has_twins and (record.action == CREATE_INSTANCE.name or is_of_iteration)
    return Purchase(record.key, spending_of(record, client), case.store, rules, twins=TWINS if has_twins else "")


def decidable_from(case: Case, record: Record, settings: Settings, client: BillingClient) -> float:
    """Return the epoch seconds before which nobody can say that nothing was bought."""
    return _purchase(case, record, settings, client).decidable_from(record)


def _twin(case: Case, record: Record, settings: Settings, client: BillingClient) -> Look | None:
    """Return the second order of a request that was sent twice; ``None`` if there is surely none."""
    purchase = _purchase(case, record, settings, client)
    try:
        found = unique([*record.twins, *(order.summary for order in purchase.second_orders(record))])
    except OutcomeUnknown as doubt:
        return Look(Finding.TWIN_LATER, (str(doubt),))
    if found:
        return Look(Finding.TWIN, (f"the record's order: {record.order_id}", *found))
    if time.time() < (listed := purchase.checked_from(record)):
        return Look(Finding.TWIN_LATER, (f"ask again after {moment(listed)}",))
    return None


def _search(case: Case, record: Record, settings: Settings, client: BillingClient) -> Look:
    """Judge as a try of the task would."""
    purchase = _purchase(case, record, settings, client)
    evidence, decision = purchase.foresee(record)
    may_be_under_way = record.state is State.INTENDED
    if may_be_under_way and time.time() < (quiet := purchase.quiet_from(record)):
        return Look(
            Finding.UNDER_WAY, (f"ask again after {moment(quiet)}", *(order.summary for order in evidence.orders))
        )
    return _judged(record, evidence, decision)


def _judged(record: Record, evidence: Evidence, decision: Decision) -> Look:
    finding, is_declined = decision.finding, record.state is State.DECLINED
    if is_declined and finding in (Finding.MOVED, Finding.SEND):
        finding = Finding.NONE  # A declined record is sent with a new token, whatever the instance is like.
    words = tuple(order.summary for order in (*evidence.orders, *evidence.unclear))
    reasons = {
        Finding.ONE: (),
        Finding.SAID_PAID: (record.reason,),
        Finding.REFUSED: (record.reason,),
        Finding.SEND: (),
    }
    reason = reasons.get(finding, () if is_declined and not words else (decision.why,))
    return Look(finding, (*reason, *words))


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{name} {told}" for name, told in value.items()]
    return harmless(", ".join(map(str, value)) if isinstance(value, list) else value, MAX_LINE)


def _wrapped(line: str) -> list[str]:
    """Break a long line of words; a command stays whole, to be copied."""
    return [line] if COMMAND in line else textwrap.wrap(line, 100)
