"""Check: the self-test of a ledger, one line for each property that it must have on every machine."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.cli.columns import columns
from airflow_provider_tcbilling.cli.ledger_verdict import Failed, Warned
from airflow_provider_tcbilling.cli.lookup import Refused, refuse_if_away
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.ledger.store import Store
from airflow_provider_tcbilling.task.next_steps import moment

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "FAILED", "skipped"


@dataclass(frozen=True)
class Check:
    """
    The result of one test.

    :param name: The property.
    :param result: *ok*, *warning* where it holds and a user should know something, *FAILED*, or *skipped* since a
        test before it has failed.
    """

    name: str
    result: str
    about: str


Test = tuple[str, Callable[[Any], str], bool]
"""The name of a property, the function that tests it and returns what it found, and whether the rest needs it."""


def checks_of(store: Store) -> Iterator[Check]:
    """
    Test a ledger, property by property. Each test removes its own writes.

    :raises Refused: The ledger is of a class of the deployment's own, whose properties are not known here.
    """
    if isinstance(store, ObjectStore):
        tests = OBJECT_TESTS
    elif hasattr(store, "verify_chain"):
        tests = database_tests()
    else:
        raise Refused(f"{store.about} is a {type(store).__name__}, which has no tests here.")
    failed = ""
    for name, test, is_needed in tests:
        check = Check(name, SKIPPED, f"since {failed} failed") if failed else _tested(name, test, store)
        yield check
        if is_needed and check.result == FAILED:
            failed = name


def hold(checks: list[Check]) -> bool:
    """Whether the ledger has every property."""
    return all(check.result in (OK, WARNING) for check in checks)


def lines_of(checks: list[Check], place: str) -> list[str]:
    """Return the results for a terminal."""
    count = sum(check.result not in (OK, WARNING) for check in checks)
    tests = len(checks)
    end = f"The {place} fails {count} of {tests} tests." if count else f"The {place} has all {tests} properties."
    return [*columns([(check.result, check.name, check.about) for check in checks]), end]


def _tested(name: str, test: Callable[[Any], str], store: Store) -> Check:
    try:
        return Check(name, OK, test(store))
    except Warned as warning:
        return Check(name, WARNING, str(warning))
    except (Failed, TcBillingError) as failure:
        return Check(name, FAILED, str(failure))
    except Exception as error:
        return Check(name, FAILED, repr(error))


def _named(name: str, created_at: float) -> str:
    created = f", created at {moment(created_at)}" if created_at < math.inf else ""
    return f"{name}{created}. Each worker must print the same id"


def database_tests() -> tuple[Test, ...]:
    """Return the tests of a ledger in a database."""
    from airflow_provider_tcbilling.cli import ledger_check_database as of

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
