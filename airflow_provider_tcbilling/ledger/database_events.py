"""The events of a ledger in a database: append-only, and chained by hashes in each book, so that an edit shows."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from airflow_provider_tcbilling.ledger.database_statements import (
    BOOK_GOES_ON,
    NEW_BOOK,
    NEW_EVENT,
    PLACE,
    PLACE_THAT_RESERVES,
)
from airflow_provider_tcbilling.ledger.database_tables import books, events

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Row

    from airflow_provider_tcbilling.ledger.database_statements import Write

FIRST = str(uuid.UUID(int=0))
"""The hash before the first event of a book."""

HASHED = ("seq", "purchase", "kind", "at_ms", "who", "order_id", "cents", "currency")
"""The columns of an event that its hash covers, after the hash of the event before."""

CHUNK = 5_000


@dataclass(frozen=True)
class Place:
    """
    A book as it is while its last event is locked: the events of one account at one server.

    :param row: The purchase that a change is of; ``None`` if there is none.
    :param owner: The primary key of the purchase that has its order; ``None`` if none has it.
    """

    book: int
    seq: int
    hash: str
    row: Row[Any] | None
    owner: str | None

    def next_event(self, event: dict[str, Any]) -> list[Write]:
        """
        Return the statements that append an event.

        :param event: Its columns, but ``book``, ``seq`` and ``hash``.
        """
        row = {"order_id": None, "cents": None, "currency": None, **event, "book": self.book, "seq": self.seq + 1}
        row["hash"] = hash_of(self.hash, row)
        goes_on = {"book": self.book, "new_seq": row["seq"], "new_hash": row["hash"]}
        return [(NEW_EVENT, row), (BOOK_GOES_ON, goes_on)]


def locked_place(
    connection: Connection,
    book: tuple[str, str],
    purchase: str,
    order: tuple[str, str | None] = ("", None),
    *,
    reserves: bool = False,
) -> Place:
    """
    Return the place of a change in a book, which stays locked until the transaction ends.

    :param book: Its server and its account. It is opened if there is none.
    :param order: The server and the number of the order of the change.
    :param reserves: Lock the whole ledger against other reservations, whose books may be of the same account.
    """
    place = PLACE_THAT_RESERVES if reserves else PLACE
    server, account = book
    wanted = {"server": server, "account": account, "purchase": purchase}
    wanted.update(order_server=order[0], order_id=order[1] or "")
    found = place.on(connection, wanted).first()
    if found is None:
        NEW_BOOK.on(connection, {"server": server, "account": account, "seq": 0, "hash": FIRST})
        found = place.on(connection, wanted).one()
    owner = None if found.owner is None else str(found.owner)
    return Place(found.id, found.seq, str(found.hash), None if found.version is None else found, owner)


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
