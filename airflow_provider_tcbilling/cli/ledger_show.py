"""Show: the record of one purchase, and the events of it that the ledger remembers. It only reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pendulum

from airflow_provider_tcbilling.api.errors import MAX_LINE
from airflow_provider_tcbilling.api.text import amount, harmless
from airflow_provider_tcbilling.cli.columns import columns
from airflow_provider_tcbilling.cli.lookup import FoundPurchase

FIELDS = (
    *("state", "action", "order_id", "instance_ids", "paid", "reason", "twins", "client_token", "account", "endpoint"),
    *("intended_at", "sending_until", "replay_until", "changed_at", "owner", "placed_by", "payload", "before"),
)
"""The fields of a record that a user is shown, in this order; those that say nothing are left out."""

EVENTS = ("AT", "EVENT", "ORDER", "PAID", "BY")
PAID = frozenset({3})


def purchase_of(found: FoundPurchase) -> dict[str, Any]:
    """
    Return one purchase as plain JSON, with its events if the ledger remembers them.

    :raises StoreFailed: The events cannot be read.
    """
    events_of = getattr(found.store, "events_of", None)
    return {
        "purchase": str(found.name),
        "key": found.key,
        "where": found.where,
        "record": found.record.as_json() if found.record else None,
        "unusable": found.unusable and found.unusable.reason,
        "notes": list(found.notes),
        "events": [*_with_names(events_of(found.key))] if events_of and found.key else None,
    }


def as_text(purchase: Mapping[str, Any]) -> Iterator[str]:
    """Yield one purchase, as :func:`purchase_of` returns it, for a terminal, line by line."""
    yield f"Purchase {harmless(purchase['purchase'], MAX_LINE)}"
    yield f"  in {harmless(purchase['where'], MAX_LINE)}"
    if not purchase["record"]:
        reason = purchase["unusable"]
        yield f"  The record cannot be used: {harmless(reason, MAX_LINE)}" if reason else "  There is no record of it."
    for name, value in _facts(purchase["record"] or {}):
        yield f"  {name:<14}{harmless(value, MAX_LINE)}"
    for note in purchase["notes"]:
        yield f"  Note: {harmless(note, MAX_LINE)}"
    if purchase["events"]:
        yield "Events:"
        for line in columns([EVENTS, *map(_line, purchase["events"])], right=PAID):
            yield f"  {line}"


def _facts(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    paid = None if record.get("paid_cents") is None else amount(record["paid_cents"], record["currency"])
    for name in FIELDS:
        value = paid if name == "paid" else record.get(name)
        if isinstance(value, Mapping):
            value = [f"{part} {item}" for part, item in value.items()]
        if value or value == 0:
            yield name.replace("_", " "), ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _with_names(events: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the events as plain JSON; one without a process is of the process of the event before."""
    who = None
    for event in events:
        who = event["who"] or who
        at = pendulum.from_timestamp(event["at_ms"] / 1000).to_iso8601_string()
        named = {"at": at, "event": event["kind"], "order_id": event["order_id"], "cents": event["cents"]}
        yield {**named, "currency": event["currency"], "by": who, "book": event["book"], "seq": event["seq"]}


def _line(event: Mapping[str, Any]) -> tuple[Any, ...]:
    paid = None if event["cents"] is None else amount(event["cents"], event["currency"])
    return event["at"], event["event"], event["order_id"], paid, event["by"]
