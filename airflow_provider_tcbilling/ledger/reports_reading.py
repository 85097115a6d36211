"""Reading: the purchases of a ledger for a report, in any kind of store."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_tcbilling.ledger.reports_entry import UNUSABLE, Entry, entry_of_stored
from airflow_provider_tcbilling.ledger.store import Store
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord

BEFORE, AFTER = 8 * 86_400.0, 2 * 86_400.0
"""Seconds by which an intent may precede its order, and by which the clocks of both may differ, generously."""


def entries_near(store: Store, since: float, until: float) -> Iterator[Entry]:
    """
    Yield the purchases whose order may be of a span, and more.

    :param since: Epoch seconds, as *until*.
    :raises StoreFailed: The ledger cannot be read.
    """
    since, until = since - BEFORE, until + AFTER
    if hasattr(store, "database"):
        from airflow_provider_tcbilling.ledger.database_books import entries_between

        yield from entries_between(store.database, since, until)
        return
    for location, stored in store.all():
        entry = entry_of_stored(stored, location)
        if entry.at is None or since <= entry.at <= until:
            yield entry


def entry_of_key(store: Store, key: str) -> Entry | None:
    """
    Return the purchase of a key; ``None`` if there is none.

    :raises StoreFailed: The ledger cannot be read.
    """
    if hasattr(store, "database"):
        from airflow_provider_tcbilling.ledger.database_books import entry_with_key

        return entry_with_key(store.database, key)
    try:
        stored = store.read(key)
    except InvalidRecord as error:
        return Entry(key=key, state=UNUSABLE, reason=error.reason)
    return None if stored is None else entry_of_stored(stored, store.location(key))
