"""
The commands of the ledger: prepare it, test it, fill it, list it, show one purchase of it, and prune it.

Airflow loads this module with each of its commands, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, cast

from airflow_provider_tcbilling.cli.command import (
    CONN_ID,
    DONE,
    JSON,
    NAME,
    NOT_DONE,
    ORDER_ID,
    Answer,
    Command,
    Group,
    Option,
    WrongUsage,
    as_json,
    connected,
    note,
    purchase_name,
)

if TYPE_CHECKING:
    from airflow_provider_tcbilling.hooks.connection import Settings
    from airflow_provider_tcbilling.ledger.database import DatabaseStore
    from airflow_provider_tcbilling.ledger.store import Store

STATES = ("intended", "charged", "refused", "declined", "ordered", "delivered", "unusable")
SORTS = ("changed", "intended", "paid", "key")

SHOWN = 100
"""Purchases that a list shows, unless a user wants more."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)


def upgrade(chosen: argparse.Namespace) -> Answer:
    """Create the tables of the ledger, or bring them to the schema of this release; or print the SQL that does so."""
    from airflow_provider_tcbilling.cli.ledger_schema import upgrade_sql, upgraded

    store = _database(chosen.conn_id)
    return upgrade_sql(store) if chosen.sql else "\n".join(upgraded(store)), DONE


def check(chosen: argparse.Namespace) -> Answer:
    """Test the ledger, and print one line for each property of it."""
    from airflow_provider_tcbilling.cli.ledger_check import checks_of_ledger, hold, lines_of

    store = _ledger(chosen.conn_id)
    checks = checks_of_ledger(store)
    code = DONE if hold(checks) else NOT_DONE
    if chosen.json:
        return as_json({"ledger": store.about, "holds": hold(checks), "checks": [vars(one) for one in checks]}), code
    return "\n".join(lines_of(checks, store.about.removeprefix("the "))), code


def verify(chosen: argparse.Namespace) -> Answer:
    """Compare the purchases of the ledger with its events, and the events with their hashes."""
    from airflow_provider_tcbilling.cli.ledger_verify import verified

    result = verified(_database(chosen.conn_id))
    code = DONE if result.holds else NOT_DONE
    return as_json(result.as_json()) if chosen.json else "\n".join(result.lines()), code


def import_(chosen: argparse.Namespace) -> Answer:
    """Take the records of a folder or a bucket into the ledger."""
    from airflow_provider_tcbilling.cli.ledger_import import import_from

    store = _database(chosen.conn_id)
    result = import_from(chosen.source, store)
    code = DONE if result.is_whole else NOT_DONE
    return as_json(result.as_json()) if chosen.json else "\n".join(result.lines(str(store.address))), code


def list_(chosen: argparse.Namespace) -> Answer:
    """List the purchases of the ledger, in one line each."""
    from airflow_provider_tcbilling.cli.ledger_list import Wanted, listing_of
    from airflow_provider_tcbilling.cli.lookup import reading

    if chosen.limit < 0:
        raise WrongUsage("--limit is a number of purchases, and 0 for all")
    since = _moment("--since", chosen.since) if chosen.since else None
    filters = (chosen.state, chosen.dag_id, chosen.product, since, chosen.text)
    wanted = Wanted(*filters, chosen.sort, chosen.reverse, chosen.limit)
    store = _ledger(chosen.conn_id)
    place = store.about.removeprefix("the ledger ")
    listing = reading(place, lambda: listing_of(store, wanted))
    if not chosen.json:
        return "\n".join(listing.lines(place)), DONE
    note("\n".join(listing.notes(place)))
    return as_json(listing.rows), DONE


def show(chosen: argparse.Namespace) -> Answer:
    """Show the record of one purchase, and its events."""
    from airflow_provider_tcbilling.cli.ledger_show import as_text, purchase_of
    from airflow_provider_tcbilling.cli.lookup import find

    name = purchase_name(chosen, token=chosen.token, order_id=chosen.order_id)
    _settings(chosen.conn_id)
    with connected(chosen.conn_id) as tencent:
        purchase = purchase_of(find(name, tencent.settings, tencent.buying))
    code = DONE if purchase["record"] else NOT_DONE
    return as_json(purchase) if chosen.json else "\n".join(as_text(purchase)), code


def prune(chosen: argparse.Namespace) -> Answer:
    """Remove the records of purchases that were delivered long ago, or count them."""
    from airflow_provider_tcbilling.cli.ledger_prune import pruned

    before = _moment("--before", chosen.before)
    return "\n".join(pruned(_database(chosen.conn_id), before, is_sure=chosen.yes, force=chosen.force)), DONE


def _settings(conn_id: str) -> Settings:
    """
    Return the settings of a connection that names a ledger.

    :raises Refused: It names none.
    """
    from airflow_provider_tcbilling.cli.lookup import Refused

    with connected(conn_id) as tencent:
        settings = tencent.settings
    if not settings.ledger:
        raise Refused(f"Connection {conn_id} names no ledger: give it ledger_conn_id or ledger_uri.")
    return settings


def _ledger(conn_id: str) -> Store:
    from airflow_provider_tcbilling.task.store import open_ledger

    return open_ledger(_settings(conn_id))


def _database(conn_id: str) -> DatabaseStore:
    """
    Return the ledger of a connection, which is in a database.

    :raises Refused: It is not.
    """
    from airflow_provider_tcbilling.cli.lookup import Refused

    settings = _settings(conn_id)
    if not settings.ledger_conn_id:
        raise Refused(
            f"Connection {conn_id} keeps its ledger in {settings.ledger_uri}, and only a ledger in a database, which "
            "ledger_conn_id names, is upgraded, verified, imported into and pruned."
        )
    store: Any = _ledger(conn_id)
    return cast("DatabaseStore", store)


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


_SWITCH = {"action": "store_true"}
_FROM = {"metavar": "FROM"}

_FILTERS = (
    Option("--state", "only those in this state", {"choices": STATES}),
    Option("--dag-id", "only those of this DAG"),
    Option("--product", "only those of this product, by its code, or of this instance, by its id"),
    Option("--since", "only those that changed since this date or time, in UTC unless it has a zone"),
    Option("--text", "only those with this text in their key, order, product or DAG"),
    Option(
        "--sort",
        "the last change, the latest intent or the highest amount first, or by key",
        {"choices": SORTS, "default": SORTS[0]},
    ),
    Option("--reverse", "in the reverse order", _SWITCH),
)
_LIMIT = ("--limit", "the most purchases; 0 has all")

LEDGER = Group(
    "ledger",
    "prepare the ledger, test it, fill it, list it, and prune it",
    (
        Command(
            "upgrade",
            "create the tables of a ledger in a database, or bring them to the schema of this release",
            (Option("--sql", "print the SQL for a role that may create tables, and change nothing", _SWITCH), CONN_ID),
            upgrade,
        ),
        Command("check", "test the ledger: one line for each property that it must have", (CONN_ID, JSON), check),
        Command(
            "verify",
            "walk the hashes of the events, and compare each purchase of a ledger in a database with its own",
            (CONN_ID, JSON),
            verify,
        ),
        Command(
            "import",
            "take the records of a folder or a bucket into a ledger in a database; what is there already stays",
            (
                Option("source", "the folder, as ledger_uri names it: s3://aws_default@bucket/purchases", _FROM),
                CONN_ID,
                JSON,
            ),
            import_,
        ),
        list_command("the purchases of the ledger, one line each", SHOWN),
        Command(
            "show",
            "the record of one purchase, and its events in a ledger in a database",
            (*NAME, ORDER_ID, CONN_ID, JSON),
            show,
        ),
        Command(
            "prune",
            "remove the records of purchases that were delivered long ago; their orders stay owned, totals are kept",
            (
                Option("--before", "those that changed last before this date or time", {"required": True}),
                Option("--yes", "remove them; without it they are counted", _SWITCH),
                Option("--force", "also records of the last 90 days, whose orders the order book still lists", _SWITCH),
                CONN_ID,
            ),
            prune,
        ),
    ),
)
