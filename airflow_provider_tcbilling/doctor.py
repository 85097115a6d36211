"""The doctor: what our record and the order book say of one purchase, and the safe next step. It only looks."""

from __future__ import annotations

import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import pendulum

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, ORDER_BOOK_DAYS
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.delivery import DeliveryWatch
from airflow_provider_tcbilling.api.errors import (
    MAX_LINE,
    DeliveryFailed,
    DeliveryTimeout,
    OutcomeUnknown,
    StoreFailed,
    TcBillingError,
)
from airflow_provider_tcbilling.api.instance import NewInstance
from airflow_provider_tcbilling.api.models import unique
from airflow_provider_tcbilling.api.orderbook import order_numbered
from airflow_provider_tcbilling.api.purchase import Next, Purchase, Rules, client_token_for
from airflow_provider_tcbilling.api.record import COMMAND, Record, State, command_line
from airflow_provider_tcbilling.api.refund import Refund
from airflow_provider_tcbilling.api.renewal import Renewal
from airflow_provider_tcbilling.api.spending import Sighting, Spending
from airflow_provider_tcbilling.api.text import harmless, lines_of, visible
from airflow_provider_tcbilling.cases import Case
from airflow_provider_tcbilling.connection import Settings

SPENDINGS: Mapping[str, type[Spending]] = {kind.action.name: kind for kind in (NewInstance, Renewal, Refund)}
"""By the action that a record names."""


class Finding(Enum):
    """What the order book says, in words."""

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


SHOWN = (
    *("action", "client_token", "order_id", "instance_ids", "paid_cents", "currency", "reason"),
    *("first_sent_at", "changed_at", "placed_by", "endpoint", "payload"),
)
"""What a person is shown of a record."""

NO_RECORD, UNUSABLE, NEWER = "no record", "a record that cannot be used", "a record of a newer version"

_CHOOSE = (
    "Do not just clear: it stops again. Look at the orders in every status: {console}\n"
    "One of them is this purchase:\n"
    "  {settle} --order-id NUMBER\n"
    "None is, and the first request is ten minutes old:\n"
    "  {settle} --not-bought\n"
    "Then clear the task. After --order-id it returns that order; after --not-bought it BUYS."
)
_MAY_BE_IT = (
    "Do not clear: it would BUY, although an order fits. Is that order this purchase? Then:\n"
    "  {settle} --order-id NUMBER\n"
    "If you are sure that it is not, clear the task."
)
_FINAL = (
    "Call Tencent's support with the request id above. It is never sent again under this key, and cannot be settled as "
    "not bought. When they name the order:\n"
    "  {settle} --order-id NUMBER\n"
    "Then clear the task: it returns that order, and buys nothing. If it was refunded or never charged, a new "
    "purchase_key or a new run buys anew."
)
_ONE = (
    "Clear the task: it adopts this order, and buys nothing. Without a ledger it stops, if another task of its Dag "
    "may have bought the same."
)
_FINAL_STEPS = {
    Finding.ONE: _ONE,
    Finding.UNCLEAR: _FINAL,
    Finding.MOVED: _FINAL,
    Finding.SAID_PAID: _FINAL,
    Finding.REFUSED: _FINAL,
    Finding.UNREADABLE: _FINAL,
}
_UNOWNED = (
    "No record owns this order: somebody else placed it, or a purchase that has no record. It stays paid. If it is "
    "that of a purchase with a record, settle that purchase with this number."
)
_ASK_AGAIN = "Bring the order book back (network, permission), then ask again."
_DIED = (
    "Call Tencent's support with the order's number. A clear returns the same dead order, and buys nothing. To replace "
    "it, use a new run or another purchase_key: that buys."
)

_WITH_AN_ORDER = {
    Finding.OPEN: "Clear the task: it waits on for this order, and buys nothing. An InstanceDeliverySensor can, too.",
    Finding.DELIVERED: "Nothing is lost. If the task failed, clear it: it returns this order, and buys nothing.",
    Finding.DEAD: _DIED,
    Finding.UNLISTED: (
        f"Look for the order in the console, {{console}}: the order book goes back {ORDER_BOOK_DAYS} days, and knows "
        "one account. A clear waits for this order, and buys nothing."
    ),
    Finding.UNREADABLE: f"{_ASK_AGAIN} The order is known and stays paid. A clear buys nothing.",
    Finding.TWIN: (
        "The purchase was paid TWICE. A clear returns the order of the record, and buys nothing. Have the second order "
        "refunded: in the console, {console}, with a RefundInstanceOperator, or by Tencent's support."
    ),
    Finding.TWIN_LATER: "Ask again later. A clear returns the order of the record, and buys nothing.",
}

STEPS: Mapping[tuple[str, Finding], str] = {
    ("intended", Finding.UNDER_WAY): "Ask again later. Or clear the task: it waits by itself, and looks first.",
    ("intended", Finding.ONE): _ONE,
    ("intended", Finding.UNCLEAR): _CHOOSE.replace("--not-bought\n", "--not-bought --force\n"),
    ("intended", Finding.MOVED): _CHOOSE.replace("--not-bought\n", "--not-bought --force\n"),
    ("intended", Finding.SEND): (
        "Clear the task before {replay}: it looks again, and sends the same client token and the same bytes, which "
        "buys if nothing was bought. Later it stops, and a person must look."
    ),
    ("intended", Finding.NONE): _CHOOSE,
    ("intended", Finding.UNREADABLE): (
        f"{_ASK_AGAIN} A clear sends nothing until it was read, unless the task says on_unknown_outcome='replay'."
    ),
    **{(state, finding): step for state in ("ordered", "delivered") for finding, step in _WITH_AN_ORDER.items()},
    **{(state, finding): step for state in ("charged", "refused") for finding, step in _FINAL_STEPS.items()},
    ("declined", Finding.ONE): _MAY_BE_IT,
    ("declined", Finding.UNCLEAR): _MAY_BE_IT,
    ("declined", Finding.NONE): "Nothing was bought. Correct what the reason names, then clear the task: it BUYS.",
    ("declined", Finding.UNREADABLE): f"{_ASK_AGAIN} The record says that nothing was bought: a clear BUYS.",
    (NO_RECORD, Finding.NOT_ASKED): (
        "No record does not mean that nothing was bought. Look at the orders in every status: {console}\n"
        "If one is this purchase, do not clear: give its number to an InstanceDeliverySensor, and mark the task as "
        "success. If none is, and the log of the task names this purchase, a clear looks once more, and sends the "
        "request if no order fits."
    ),
    (NO_RECORD, Finding.OPEN): _UNOWNED,
    (NO_RECORD, Finding.DELIVERED): _UNOWNED,
    (NO_RECORD, Finding.DEAD): "No record owns this order. Call Tencent's support with its number.",
    (NO_RECORD, Finding.UNLISTED): "Compare the number with the console, {console}. There may be a typing mistake.",
    (NO_RECORD, Finding.UNREADABLE): _ASK_AGAIN,
    (UNUSABLE, Finding.NOT_ASKED): (
        "A clear is refused until the record is in order, and sends nothing. Save the JSON that the log tells after "
        "'The record to restore:' in a file, then:\n"
        "  {restore}\n"
        "If the log has none, look at the orders in every status: {console}\n"
        "Then repair a copy of the record by hand, and restore that."
    ),
    (NEWER, Finding.NOT_ASKED): (
        "Update airflow-provider-tcbilling here and on the workers. Until then a clear is refused, and sends nothing."
    ),
    **{
        (state.value, Finding.ELSEWHERE): "Ask with --conn-id of the connection that the purchase was made with."
        for state in State
    },
}
"""What to do next, by what the record says and what the order book says."""


@dataclass(frozen=True)
class Look:
    """What a look into the order book showed: the finding, the orders and their reasons in words."""

    finding: Finding
    words: tuple[str, ...] = ()


def diagnose(case: Case, settings: Settings, client: BillingClient, conn_id: str) -> dict[str, Any]:
    """
    Explain a purchase, as plain JSON; *record* is what is stored, with its secrets masked. It never spends or writes.

    :param case: From :func:`airflow_provider_tcbilling.cases.find`.
    :param conn_id: The connection, for the commands that a person is told.
    :raises StoreFailed: The records of others could not be read, so nothing can be said of an order that fits.
    """
    record, key = case.record, case.key or ""
    state = (NEWER if case.is_newer else UNUSABLE) if case.unusable else record.state.value if record else NO_RECORD
    look = Look(Finding.NOT_ASKED) if case.unusable else look_for(case, settings, client)
    words = {
        "console": settings.console_url.partition("#")[0],
        # A key may hold the server's text, and a line of its own would read as a step.
        "settle": visible(command_line("settle", case.store.named(key), conn_id)),
        "restore": visible(command_line("settle", "--restore FILE", conn_id)),
        "replay": _moment(record.replay_until) if record else "",
    }
    return {
        "purchase": str(case.named),
        "asked_at": _moment(time.time()),
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


def spending_of(record: Record, client: BillingClient) -> Spending:
    """Return what a record asked for. What was masked in it is nothing that the order book shows."""
    kind = SPENDINGS[record.action]
    return kind(client, kind.action.named(record.payload))


def _follow(client: BillingClient, order_id: str, action: str) -> Look:
    order = order_numbered(client, order_id)
    if not order:
        return Look(Finding.UNLISTED)
    try:
        DeliveryWatch(client, order_id, action=action, deadline=0.0).step()
    except DeliveryFailed as error:
        return Look(Finding.DEAD, (order.words, str(error)))
    except DeliveryTimeout:
        return Look(Finding.OPEN, (order.words,))
    return Look(Finding.DELIVERED, (order.words,))


def _purchase(case: Case, record: Record, settings: Settings, client: BillingClient) -> Purchase:
    """Return the purchase of a record, to judge as a try of the task would."""
    rules = Rules(lag=settings.order_book_lag, clock_margin=settings.clock_margin)
    task = case.named.task
    is_of_iteration = task is not None and task.loop_index is not None and task.key == record.key
    has_twins = case.has_twins and (record.action == CREATE_INSTANCE.name or is_of_iteration)
    return Purchase(record.key, spending_of(record, client), case.store, rules, has_twins=has_twins)


def _twin(case: Case, record: Record, settings: Settings, client: BillingClient) -> Look | None:
    """Return the second order of a request that was sent twice; ``None`` if there is surely none."""
    purchase = _purchase(case, record, settings, client)
    try:
        found = unique([*record.twins, *(order.words for order in purchase.twins_of(record))])
    except OutcomeUnknown as doubt:
        return Look(Finding.TWIN_LATER, (str(doubt),))
    if found:
        return Look(Finding.TWIN, (f"the record's order: {record.order_id}", *found))
    if time.time() < (listed := purchase.checked_from(record)):
        return Look(Finding.TWIN_LATER, (f"ask again after {_moment(listed)}",))
    return None


def _search(case: Case, record: Record, settings: Settings, client: BillingClient) -> Look:
    """Judge as a try of the task would."""
    purchase = _purchase(case, record, settings, client)
    seen, step, why = purchase.foresee(record)
    may_be_under_way = record.state is State.INTENDED
    if may_be_under_way and time.time() < (quiet := purchase.quiet_from(record)):
        return Look(Finding.UNDER_WAY, (f"ask again after {_moment(quiet)}", *(order.words for order in seen.orders)))
    return _judged(record, seen, step, why)


def _judged(record: Record, seen: Sighting, step: Next, why: str) -> Look:
    words = tuple(order.words for order in (*seen.orders, *seen.unclear))
    if step is Next.ADOPT:
        return Look(Finding.ONE, words)
    if words:
        return Look(Finding.UNCLEAR, (why, *words))
    if record.state.is_final:
        return Look(Finding.SAID_PAID if record.state is State.CHARGED else Finding.REFUSED, (record.reason,))
    if record.state is State.DECLINED:
        return Look(Finding.NONE)
    if seen.bar:
        return Look(Finding.MOVED, (why,))
    return Look(Finding.SEND) if step is Next.SEND else Look(Finding.NONE, (why,))


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        value = [f"{name} {told}" for name, told in value.items()]
    return harmless(", ".join(map(str, value)) if isinstance(value, list) else value, MAX_LINE)


def _wrapped(line: str) -> list[str]:
    """Break a long line of words; a command stays whole, to be copied."""
    return [line] if COMMAND in line else textwrap.wrap(line, 100)


def _moment(seconds: float) -> str:
    return pendulum.from_timestamp(int(seconds)).to_iso8601_string()
