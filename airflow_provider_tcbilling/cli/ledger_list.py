"""List: the purchases of a ledger that a user wants to see, sorted, and one line for each."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from airflow_provider_tcbilling.api.text import amount
from airflow_provider_tcbilling.cli.columns import columns
from airflow_provider_tcbilling.ledger.store import Store
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord
from airflow_provider_tcbilling.purchasing.record import Record

UNUSABLE = "unusable"
"""The state of a record that cannot be used."""

HEAD = ("STATE", "CHANGED", "ORDER", "PAID", "PURCHASE")
LISTED = ("state", "changed_at", "order_id", "paid_cents", "currency", "key")
PAID = frozenset({3})

SORTS: Mapping[str, str] = {"changed": "changed_at", "intended": "intended_at", "paid": "paid_cents", "key": "key"}
"""The field of a record by the name of the order of a list."""


@dataclass(frozen=True)
class Wanted:
    """
    The purchases that a user wants to see; ``None`` wants all.

    :param state: A state of records, or *unusable*.
    :param product: The code of a product or of a sub-product.
    :param since: Epoch seconds; the record changed since then.
    :param text: A text anywhere in the record, in either case.
    """

    state: str | None = None
    dag_id: str | None = None
    product: str | None = None
    since: float | None = None
    text: str | None = None

    @property
    def is_of_unusable(self) -> bool:
        """Whether a record that cannot be used matches: of such a one nothing but its state is known."""
        return self.state in (None, UNUSABLE) and {self.dag_id, self.product, self.since, self.text} == {None}

    def matches(self, record: Record) -> bool:
        """Whether a user wants to see a record."""
        return (
            self.state in (None, record.state.value)
            and self.dag_id in (None, record.placed_by.get("dag_id"))
            and self.product in (None, *products_of(record))
            and (self.since is None or self.since <= record.changed_at)
            and (self.text is None or self.text.casefold() in _text_of(record))
        )


@dataclass(frozen=True)
class Listing:
    """
    One answer of the list.

    :param rows: The purchases that are shown, each as plain JSON.
    :param total: How many match.
    :param doubtful: How many records cannot be used, and may match.
    """

    rows: list[dict[str, Any]]
    total: int
    doubtful: int = 0

    def lines(self, place: str) -> list[str]:
        """Return the list for a terminal."""
        table = columns([HEAD, *map(_line, self.rows)], right=PAID) if self.rows else []
        return [*table, *self.notes(place)]

    def notes(self, place: str) -> list[str]:
        """Return how many there are, how many more, and how many cannot tell."""
        shown, is_all = len(self.rows), len(self.rows) == self.total
        count = f"{shown} in {place}" if is_all else f"{shown} of {self.total} in {place}; --limit 0 has all"
        doubt = f"Records that cannot be used, and may match: {self.doubtful}. --state {UNUSABLE} names them."
        return [count, doubt] if self.doubtful else [count]


def listing_of(
    store: Store, wanted: Wanted, sort: str = "changed", *, reverse: bool = False, limit: int = 0
) -> Listing:
    """
    Return the purchases of a ledger that a user wants to see.

    :param sort: A name of :data:`SORTS`. The last change, the latest intent and the highest amount come first.
    :param reverse: They come last.
    :param limit: The most rows; 0 returns all.
    :raises StoreFailed: The ledger cannot be read.
    """
    records, others, doubtful = [], [], 0
    for location, stored in store.all():
        try:
            record = Record.from_json(stored, location)
        except InvalidRecord as error:
            others += [unusable(location, error)] * wanted.is_of_unusable
            doubtful += not wanted.is_of_unusable
            continue
        if wanted.matches(record):
            records.append(record)
    ordered = _sorted(records, SORTS[sort], reverse=reverse is (sort == "key"))
    rows = [*map(row_of, ordered[: limit or None]), *others]
    return Listing(rows[: limit or None], len(records) + len(others), doubtful)


def row_of(record: Record) -> dict[str, Any]:
    """Return a purchase for a list, as plain JSON."""
    stored = record.as_json()
    product, sub_product = (record.payload.get(name) for name in ("ProductCode", "SubProductCode"))
    more = {"dag_id": record.placed_by.get("dag_id"), "product_code": product, "sub_product_code": sub_product}
    return {**{column: stored[column] for column in LISTED}, "intended_at": stored["intended_at"], **more}


def unusable(location: str, error: InvalidRecord) -> dict[str, Any]:
    """Return a record that cannot be used for a list: the name of its object in place of its key."""
    empty = dict.fromkeys((*LISTED, "intended_at", "dag_id", "product_code", "sub_product_code"))
    return {**empty, "state": UNUSABLE, "key": f"{location.rpartition('/')[2]}: {error.reason}"}


def products_of(record: Record) -> tuple[Any, ...]:
    """Return the codes of the product and of the sub-product of a purchase."""
    return record.payload.get("ProductCode"), record.payload.get("SubProductCode")


def _text_of(record: Record) -> str:
    return json.dumps(record.as_json(), ensure_ascii=False, default=str).casefold()


def _sorted(records: list[Record], field: str, *, reverse: bool) -> list[Record]:
    """Sort records by a field; those that have none come last."""
    value: Callable[[Record], Any] = attrgetter(field)
    having = [record for record in records if value(record) is not None]
    without = [record for record in records if value(record) is None]
    return sorted(having, key=lambda record: (value(record), record.key), reverse=reverse) + without


def _line(row: Mapping[str, Any]) -> tuple[Any, ...]:
    paid = None if row["paid_cents"] is None else amount(row["paid_cents"], row["currency"])
    return row["state"], row["changed_at"], row["order_id"], paid, row["key"]
