"""The events of a ledger in a database: append-only, and chained by hashes in each book, so that an edit shows."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from airflow_provider_tcbilling.ledger.database_statements import BOOK, BOOK_GOES_ON, NEW_BOOK, NEW_EVENT
from airflow_provider_tcbilling.ledger.database_tables import books, events

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

FIRST = str(uuid.UUID(int=0))
"""The hash before the first event of a book."""

HASHED = ("seq", "purchase", "kind", "at_ms", "who", "order_id", "cents", "currency")
"""The columns of an event that its hash covers, after the hash of the event before."""

CHUNK = 5_000


@dataclass(frozen=True)
class Book:
    """A book as it is while its last event is locked: the events of one account at one server."""

    id: int
    seq: int
    hash: str


def locked_book(connection: Connection, server: str, account: str) -> Book:
    """Return a book, which stays locked until the transaction ends; it is opened if there is none."""
    wanted = {"server": server, "account": account}
    found = BOOK.on(connection, wanted).first()
    if found is None:
        NEW_BOOK.on(connection, {**wanted, "seq": 0, "hash": FIRST})
        found = BOOK.on(connection, wanted).one()
    return Book(found.id, found.seq, str(found.hash))


def append(connection: Connection, book: Book, event: dict[str, Any]) -> None:
    """
    Append an event to a book.

    :param event: Its columns, but ``book``, ``seq`` and ``hash``.
    """
    row = {"order_id": None, "cents": None, "currency": None, **event, "book": book.id, "seq": book.seq + 1}
    row["hash"] = hash_of(book.hash, row)
    NEW_EVENT.on(connection, row)
    BOOK_GOES_ON.on(connection, {"book": book.id, "new_seq": row["seq"], "new_hash": row["hash"]})


def hash_of(before: str, event: Mapping[str, Any]) -> str:
    """Return the hash of an event: half of a SHA-256."""
    plain = json.dumps([before, *(event[name] for name in HASHED)]).encode()
    return str(uuid.UUID(bytes=hashlib.sha256(plain).digest()[:16]))


def flaws(connection: Connection) -> Iterator[str]:
    """Yield each place at which the events of a book are not those that were appended."""
    for book in connection.execute(select(books).order_by(books.c.id)).all():
        name = f"{book.server or 'no server'}, {book.account or 'no account'}"
        seq, before = 0, FIRST
        for event in _events_of(connection, book.id):
            seq += 1
            if event["seq"] != seq:
                yield f"book {book.id} ({name}): events {seq} to {event['seq'] - 1} are missing"
            elif event["hash"] != hash_of(before, event):
                yield f"book {book.id} ({name}): event {seq} or the one before it was edited"
            seq, before = event["seq"], event["hash"]
        if (seq, before) != (book.seq, str(book.hash)):
            yield f"book {book.id} ({name}): the last event is {seq}, and {book.seq} were written"


def _events_of(connection: Connection, book: int) -> Iterator[dict[str, Any]]:
    seq = 0
    while True:
        wanted = select(events).where(events.c.book == book, events.c.seq > seq).order_by(events.c.seq).limit(CHUNK)
        rows = connection.execute(wanted).mappings().all()
        for row in rows:
            yield {**row, "purchase": str(row["purchase"]), "hash": str(row["hash"])}
        if len(rows) < CHUNK:
            return
        seq = rows[-1]["seq"]
