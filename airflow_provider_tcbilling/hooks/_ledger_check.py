"""Check: the self-test of a ledger, one line for each property that it must have on every machine."""

from __future__ import annotations

import math

from airflow_provider_tcbilling.hooks._checks import Failed, Test, Warned
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.ledger.store import Store
from airflow_provider_tcbilling.task.next_steps import moment
from airflow_provider_tcbilling.task.store import refuse_if_away


def tests_of(store: Store) -> tuple[Test, ...]:
    """Return the tests of a ledger, none for a class of the deployment's own. Each test removes its own writes."""
    if isinstance(store, ObjectStore):
        return OBJECT_TESTS
    return database_tests() if hasattr(store, "verify_chain") else ()


def _named(name: str, created_at: float) -> str:
    created = f", created at {moment(created_at)}" if created_at < math.inf else ""
    return f"{name}{created}. Each worker must print the same id"


def database_tests() -> tuple[Test, ...]:
    """Return the tests of a ledger in a database."""
    from airflow_provider_tcbilling.hooks import _ledger_check_database as of

    return (
        ("reachable", of.is_reachable, True),
        ("schema", of.has_schema, True),
        ("may write", of.may_write, True),
        ("creates exclusively", of.creates_exclusively, False),
        ("replaces conditionally", of.replaces_conditionally, False),
        ("survives a crash", of.survives_a_crash, False),
        ("clock", of.has_the_time, False),
        ("identity", lambda store: _named(store.identity.id, store.identity.created_at), False),
        ("apart from Airflow", of.is_apart, False),
        ("events", of.has_all_events, False),
        ("rate limit", of.counts_requests, False),
    )


def _is_listed(store: ObjectStore) -> str:
    refuse_if_away(store)
    return store.about


def _creates_exclusively(store: ObjectStore) -> str:
    if not store.creates_exclusively:
        raise Failed("two processes may both create a record, and both send. The log says what the storage did")
    return "of two creations at the same moment one was refused"


def _replaces_conditionally(store: ObjectStore) -> str:
    if not store.replaces_conditionally:
        raise Warned("no: a try that takes a purchase over waits for a while first, and reads the record again")
    return "of two replacements one is refused"


def _has_an_identity(store: ObjectStore) -> str:
    identity = getattr(store, "identity", None)
    if identity is None:
        raise Warned("this ledger has none, so compare on each machine that the list shows the same purchases")
    return _named(*identity())


OBJECT_TESTS: tuple[Test, ...] = (
    ("reachable", _is_listed, True),
    ("creates exclusively", _creates_exclusively, False),
    ("replaces conditionally", _replaces_conditionally, False),
    ("identity", _has_an_identity, False),
)
