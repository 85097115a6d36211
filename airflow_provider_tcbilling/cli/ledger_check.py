"""Check: the self-test of a ledger, for a terminal."""

from __future__ import annotations

from airflow_provider_tcbilling.cli.columns import columns
from airflow_provider_tcbilling.cli.lookup import Refused
from airflow_provider_tcbilling.hooks._checks import OK, WARNING, Check, checks_of
from airflow_provider_tcbilling.hooks._ledger_check import tests_of
from airflow_provider_tcbilling.ledger.store import Store


def checks_of_ledger(store: Store) -> list[Check]:
    """
    Test a ledger, property by property. Each test removes its own writes.

    :raises Refused: The ledger is of a class of the deployment's own, whose properties are not known here.
    """
    if not (tests := tests_of(store)):
        raise Refused(f"{store.about} is a {type(store).__name__}, which has no tests here.")
    return [*checks_of(tests, store)]


def hold(checks: list[Check]) -> bool:
    """Whether the ledger has every property."""
    return all(check.result in (OK, WARNING) for check in checks)


def lines_of(checks: list[Check], place: str) -> list[str]:
    """Return the results for a terminal."""
    count = sum(check.result not in (OK, WARNING) for check in checks)
    tests = len(checks)
    end = f"The {place} fails {count} of {tests} tests." if count else f"The {place} has all {tests} properties."
    return [*columns([(check.result, check.name, check.about) for check in checks]), end]
