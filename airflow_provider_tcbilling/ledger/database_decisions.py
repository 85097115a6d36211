"""Decisions of users in a ledger in a database: prices that were accepted, and purchases that were approved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, insert, select, update

from airflow_provider_tcbilling.ledger.database_events import locked_place
from airflow_provider_tcbilling.ledger.database_rows import id_of, milliseconds, written
from airflow_provider_tcbilling.ledger.database_statements import execute_all
from airflow_provider_tcbilling.ledger.database_tables import approvals, prices
from airflow_provider_tcbilling.purchasing.approval import Approval

if TYPE_CHECKING:
    from sqlalchemy import Table
    from sqlalchemy.engine import Connection

    from airflow_provider_tcbilling.purchasing.prices import Acceptance


def accept_price(connection: Connection, book: tuple[str, str], price_key: str, price: Acceptance, at: float) -> None:
    """
    Remember that a user has accepted a price, with an event.

    :param book: The server and the account of the orders.
    :param at: Epoch seconds.
    """
    server, account = (written(name, size) for name, size in zip(book, (300, 100), strict=True))
    who = written(price.accepted_by, 100)
    key = {"server": server, "price_key": price_key, "account": account}
    row = {
        "accepted_cents": price.cents,
        "currency": written(price.currency, 20),
        "accepted_by": who,
        "accepted_at": at,
    }
    event = {"kind": "accepted", "who": who, "cents": price.cents, "currency": row["currency"]}
    _note(connection, (server, account), id_of(f"price {price_key}"), event, milliseconds(at))
    _put(connection, prices, key, row)


def approve(connection: Connection, book: tuple[str, str], given: Sequence[Approval], at_ms: int) -> None:
    """Remember approvals, each with an event."""
    for approval in given:
        who, currency = written(approval.approved_by, 100), written(approval.currency, 20)
        event = {"kind": "approved", "who": who, "cents": approval.cents, "currency": currency}
        purchase = id_of(approval.key)
        _note(connection, book, purchase, event, at_ms)
        row = {
            "purchase": purchase,
            "key": written(approval.key, len(approval.key)),
            "cents": approval.cents,
            "currency": currency,
            "approved_by": who,
            "approved_at": approval.approved_at,
            "valid_until": approval.valid_until,
        }
        _put(connection, approvals, {"code": written(approval.code, 64)}, row)


def approval_of(connection: Connection, code: str) -> Approval | None:
    """Return the approval of a code."""
    row = connection.execute(select(approvals).where(approvals.c.code == code)).mappings().first()
    if row is None:
        return None
    names = ("code", "key", "cents", "currency", "approved_by", "approved_at", "valid_until")
    return Approval(**{name: row[name] for name in names})


def _note(connection: Connection, book: tuple[str, str], purchase: str, event: dict[str, Any], at_ms: int) -> None:
    place = locked_place(connection, book, purchase)
    execute_all(connection, place.next_event({"purchase": purchase, "at_ms": at_ms, **event}))


def _put(connection: Connection, table: Table, key: dict[str, Any], row: dict[str, Any]) -> None:
    """Store a row in place of the one of its key. The book is locked, so nobody else does it at this moment."""
    own = and_(*(table.c[name] == value for name, value in key.items()))
    if not connection.execute(update(table).where(own).values(row)).rowcount:
        connection.execute(insert(table).values(**key, **row))
