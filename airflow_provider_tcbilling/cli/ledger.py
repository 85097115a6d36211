"""
The commands of the ledger: prepare it, test it, fill it, list it, show one purchase of it, and prune it.

Airflow loads this module with each of its commands, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.cli.command import (
    CONN_ID,
    DONE,
    JSON,
    Answer,
    Command,
    Group,
    Option,
    WrongUsage,
    as_json,
    connected,
    note,
)

if TYPE_CHECKING:
    from airflow_provider_tcbilling.hooks.connection import Settings

STATES = ("intended", "charged", "refused", "declined", "ordered", "delivered", "unusable")
SORTS = ("changed", "intended", "paid", "key")

SHOWN = 100
"""Purchases that a list shows, unless a user wants more."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def list_(chosen: argparse.Namespace) -> Answer:
    """List the purchases of the ledger, in one line each."""
    from airflow_provider_tcbilling.cli.ledger_list import Wanted, listing_of
    from airflow_provider_tcbilling.cli.lookup import reading
    from airflow_provider_tcbilling.task.store import open_ledger

    if chosen.limit < 0:
        raise WrongUsage("--limit is a number of purchases, and 0 for all")
    since = _moment("--since", chosen.since) if chosen.since else None
    wanted = Wanted(chosen.state, chosen.dag_id, chosen.product, since, chosen.text)
    settings = _settings(chosen.conn_id)
    place = settings.ledger_uri
    listing = reading(
        place,
        lambda: listing_of(open_ledger(place), wanted, chosen.sort, reverse=chosen.reverse, limit=chosen.limit),
    )
    if not chosen.json:
        return "\n".join(listing.lines(place)), DONE
    note("\n".join(listing.notes(place)))
    return as_json(listing.rows), DONE


def _settings(conn_id: str) -> Settings:
    """
    Return the settings of a connection that names a ledger.

    :raises Refused: It names none.
    """
    from airflow_provider_tcbilling.cli.lookup import Refused

    with connected(conn_id) as tencent:
        settings = tencent.settings
    if not settings.ledger_uri:
        raise Refused(f"Connection {conn_id} names no ledger, and only a ledger can list its records.")
    return settings


def _moment(option: str, written: str) -> float:
    """
    Return the epoch seconds of a date, or of a date and a time; without a zone it is in UTC.

    :raises WrongUsage: It is none.
    """
    import pendulum

    try:
        read = pendulum.parse(written) if _MOMENT.fullmatch(written) else None
    except ValueError:
        read = None
    if isinstance(read, pendulum.DateTime):
        return read.timestamp()
    raise WrongUsage(f"{option} is a date such as 2026-11-01, or a time such as 2026-11-01T08:00:00+08:00")


def list_command(about: str, limit: int) -> Command:
    """Return the command that lists purchases, with the most that it shows unless a user wants more."""
    return Command("list", about, (*_FILTERS, Option(*_LIMIT, {"type": int, "default": limit}), CONN_ID, JSON), list_)


_FILTERS = (
    Option("--state", "only those in this state", {"choices": STATES}),
    Option("--dag-id", "only those of this DAG"),
    Option("--product", "only those of this product or sub-product, by its code"),
    Option("--since", "only those that changed since this date or time, in UTC unless it has a zone"),
    Option("--text", "only those with this text anywhere in the record"),
    Option(
        "--sort",
        "the last change, the latest intent or the highest amount first, or by key",
        {"choices": SORTS, "default": SORTS[0]},
    ),
    Option("--reverse", "in the reverse order", {"action": "store_true"}),
)
_LIMIT = ("--limit", "the most purchases; 0 has all")

LEDGER = Group(
    "ledger",
    "prepare the ledger, test it, fill it, list it, and prune it",
    (list_command("the purchases of the ledger, one line each", SHOWN),),
)
