"""List: the purchases of a ledger that a user wants to see, sorted, and one line for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import pendulum

from airflow_provider_tcbilling.api.text import amount
from airflow_provider_tcbilling.cli.columns import columns
from airflow_provider_tcbilling.ledger.store import Store
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord
from airflow_provider_tcbilling.purchasing.record import Record

UNUSABLE = "unusable"
"""The state of a record that cannot be used."""

HEAD = ("STATE", "CHANGED", "ORDER", "PAID", "PURCHASE")
PAID = frozenset({3})

LISTED = ("state", "changed_at", "order_id", "paid_cents", "currency", "key")
LISTED_TOO = ("intended_at", "action", "product", "dag_id")

SORTS: Mapping[str, str] = {"changed": "changed_at", "intended": "intended_at", "paid": "paid_cents", "key": "key"}
"""The field of a record by the name of the order of a list."""

ALL = 2**31 - 1
"""Purchases that a list has at most where a user wants all."""


@dataclass(frozen=True)
class Wanted:
    """
    The purchases that a user wants to see, and the order in which they come; ``None`` wants all.

    :param state: A state of records, or *unusable*.
    :param product: The code of a product, or the id of an instance that is renewed or refunded.
    :param since: Epoch seconds; the record changed since then.
    :param text: A part of the key, the order, the product or the DAG, in either case.
    :param sort: A name of :data:`SORTS`. The last change, the latest intent and the highest amount come first.
    :param reverse: They come last.
    :param limit: The most rows; 0 wants all.
    """

    state: str | None = None
    dag_id: str | None = None
    product: str | None = None
    since: float | None = None
    text: str | None = None
    sort: str = "changed"
    reverse: bool = False
    limit: int = 0

    @property
    def is_of_unusable(self) -> bool:
        """Whether a record that cannot be used matches: of such a one nothing but its state is known."""
        return self.state in (None, UNUSABLE) and {self.dag_id, self.product, self.since, self.text} == {None}

    @property
    def is_descending(self) -> bool:
        """Whether the highest value comes first."""
        return self.reverse is (self.sort == "key")

    def matches(self, record: Record) -> bool:
        """Whether a user wants to see a record."""
        dag_id, product = dag_of(record), product_of(record)
        texts = (record.key, record.order_id or "", product, dag_id)
        return (
            self.state in (None, record.state.value)
            and self.dag_id in (None, dag_id)
            and self.product in (None, product)
            and (self.since is None or self.since <= record.changed_at)
            and (self.text is None or any(self.text.lower() in text.lower() for text in texts))
        )


@dataclass(frozen=True)
class Listing:
    """
    One answer of the list.

    :param rows: The purchases that are shown, each as plain JSON.
    :param total: How many match; ``None`` if more than were counted.
    :param doubtful: How many records cannot be used, and may match.
    """

    rows: list[dict[str, Any]]
    total: int | None
    doubtful: int = 0

    def lines(self, place: str) -> list[str]:
        """Return the list for a terminal."""
        table = columns([HEAD, *map(_line, self.rows)], right=PAID) if self.rows else []
        return [*table, *self.notes(place)]

    def notes(self, place: str) -> list[str]:
        """Return how many there are, how many more, and how many cannot tell."""
        shown, total = len(self.rows), "many more" if self.total is None else self.total
        count = f"{shown} in {place}" if shown == self.total else f"{shown} of {total} in {place}; --limit 0 has all"
        doubt = f"Records that cannot be used, and may match: {self.doubtful}. --state {UNUSABLE} names them."
        return [count, doubt] if self.doubtful else [count]


def listing_of(store: Store, wanted: Wanted) -> Listing:
    """
    Return the purchases of a ledger that a user wants to see.

    :raises StoreFailed: The ledger cannot be read.
    """
    search = getattr(store, "search", None)
    return _searched(search, wanted) if search else _read(store, wanted)


def _searched(search: Callable[[Any], Any], wanted: Wanted) -> Listing:
    """Let the database choose and sort."""
    from airflow_provider_tcbilling.ledger.database_search import Query

    state = "" if wanted.state == UNUSABLE else wanted.state
    sort = f"{'-' * wanted.is_descending}{SORTS[wanted.sort]}"
    conditions = (wanted.dag_id, wanted.product, wanted.since, wanted.text)
    found = search(Query(state, *conditions, sort, wanted.limit or ALL))
    doubtful = 0 if wanted.is_of_unusable else search(Query("", limit=1)).count
    return Listing([*map(_row_of_database, found.rows)], found.count if found.is_counted else None, doubtful)


def _read(store: Store, wanted: Wanted) -> Listing:
    """Read all records, choose and sort."""
    records, others, doubtful = [], [], 0
    for location, stored in store.all():
        try:
            record = Record.from_json(stored, location)
        except InvalidRecord as error:
            others += [_unusable(f"{location.rpartition('/')[2]}: {error.reason}")] * wanted.is_of_unusable
            doubtful += not wanted.is_of_unusable
            continue
        if wanted.matches(record):
            records.append(record)
    ordered = _sorted(records, SORTS[wanted.sort], is_descending=wanted.is_descending)
    limit = wanted.limit or ALL
    return Listing([*map(_row_of, ordered[:limit]), *others][:limit], len(records) + len(others), doubtful)


def product_of(record: Record) -> str:
    """Return the code of the product that a purchase is of, or else the id of the instance."""
    product = record.payload.get("ProductCode") or record.payload.get("InstanceId")
    return product if isinstance(product, str) else ""


def dag_of(record: Record) -> str:
    """Return the DAG of the task that placed a purchase; empty if it is not known."""
    dag_id = record.placed_by.get("dag_id")
    return dag_id if isinstance(dag_id, str) else ""


def _sorted(records: list[Record], field: str, *, is_descending: bool) -> list[Record]:
    """Sort records by a field; those that have none come last."""
    value: Callable[[Record], Any] = attrgetter(field)
    having = [record for record in records if value(record) is not None]
    without = [record for record in records if value(record) is None]
    return sorted(having, key=lambda record: (value(record), record.key), reverse=is_descending) + without


def _row_of(record: Record) -> dict[str, Any]:
    """Return a purchase for a list, as plain JSON."""
    row = {**record.as_json(), "product": product_of(record) or None, "dag_id": dag_of(record) or None}
    return {name: row[name] for name in (*LISTED, *LISTED_TOO)}


def _row_of_database(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same from a row of a database, whose times are in epoch seconds, and whose empty texts say nothing."""
    if not row["state"]:
        return _unusable(row["key"])
    times = {name: _written(row[name]) for name in ("changed_at", "intended_at")}
    return {name: {**row, **times}[name] or None for name in (*LISTED, *LISTED_TOO)} | {"paid_cents": row["paid_cents"]}


def _written(seconds: float | None) -> str | None:
    return None if seconds is None else str(pendulum.from_timestamp(seconds).to_iso8601_string())


def _unusable(name: str) -> dict[str, Any]:
    """Return a record that cannot be used for a list; *name* stands in place of its key."""
    return {**dict.fromkeys((*LISTED, *LISTED_TOO)), "state": UNUSABLE, "key": name}


def _line(row: Mapping[str, Any]) -> tuple[Any, ...]:
    paid = None if row["paid_cents"] is None else amount(row["paid_cents"], row["currency"])
    return row["state"], row["changed_at"], row["order_id"], paid, row["key"]
