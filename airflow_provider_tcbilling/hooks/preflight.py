"""Preflight: everything about a connection that can be tested without buying, one line for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.errors import InvalidRequest, TcBillingError
from airflow_provider_tcbilling.hooks._checks import FAILED, NOT_TESTED, OK, SKIPPED, WARNING, Check, checks_of
from airflow_provider_tcbilling.hooks._ledger_check import tests_of
from airflow_provider_tcbilling.hooks._preflight_account import SERVER, Subject
from airflow_provider_tcbilling.hooks._preflight_money import MONEY, LimitNow, money_tests

if TYPE_CHECKING:
    from airflow_provider_tcbilling.hooks.session import Session

__all__ = ["ATTEMPTS", "Preflight", "preflight_of"]

ATTEMPTS = 3
"""Tries of one query: a user waits."""


@dataclass(frozen=True)
class Preflight:
    """
    The result of a preflight.

    :param conn_id: The Airflow connection.
    :param checks: One for each property, with a ``name``, a ``result``, which is *ok*, *warning*, *FAILED* or *not
        tested*, and ``about``, what was found.
    :param limits: The limits of the connection, each with its window now and the cents that it has counted in it.
    """

    conn_id: str
    checks: tuple[Check, ...]
    limits: tuple[LimitNow, ...] = ()

    @property
    def has_passed(self) -> bool:
        """Whether nothing has failed. A property that cannot be tested has not failed."""
        return all(check.result != FAILED for check in self.checks)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain JSON types."""
        return {
            "connection": self.conn_id,
            "passed": self.has_passed,
            "checks": [vars(check) for check in self.checks],
            "limits": [limit.as_dict() for limit in self.limits],
        }


def preflight_of(conn_id: str, tencent: Session) -> Preflight:
    """
    Test a connection. Only reading requests are sent, and what a test of the ledger writes, it removes.

    :param tencent: A session of the connection, which the caller closes.
    """
    subject = Subject(tencent)
    checks = [*_of_connection(subject)]
    if checks[0].result == FAILED:
        names = (*(name for name, *_ in SERVER), "ledger", *MONEY)
        checks += [Check(name, NOT_TESTED, f"since {checks[0].name} failed") for name in names]
    else:
        # The ledger first: it has the queue of the requests, and a new one is made when it is opened.
        of_ledger = [*_of_ledger(subject)]
        checks += [*checks_of(SERVER, subject), *of_ledger, *checks_of(money_tests(subject), subject)]
    checks.append(Check("purchases", NOT_TESTED, f"{CREATE_INSTANCE.permission} cannot be tested without buying"))
    shown = [replace(check, result=NOT_TESTED) if check.result == SKIPPED else check for check in checks]
    return Preflight(conn_id, tuple(shown), tuple(subject.limits))


def _of_connection(subject: Subject) -> Iterator[Check]:
    """Read the connection, and yield a check for each mistake in it."""
    try:
        language = subject.settings.language
    except InvalidRequest as error:
        yield from (Check("connection", FAILED, mistake) for mistake in error.mistakes)
    except (TcBillingError, AirflowException) as error:
        yield Check("connection", FAILED, str(error))
    else:
        yield Check("connection", OK, f"it has no mistake, and messages are in {language}")


def _of_ledger(subject: Subject) -> Iterator[Check]:
    """Test the ledger as ``ledger check`` does."""
    if not subject.settings.ledger:
        yield Check("ledger", WARNING, "the connection names none, so nothing counts money. Set up one in a database")
        return
    try:
        tests = tests_of(store := subject.store)
    except TcBillingError as error:
        subject.failure_of_ledger = "ledger"
        yield Check("ledger", FAILED, str(error))
        return
    if not tests:
        yield Check("ledger", NOT_TESTED, f"{store.about} is a {type(store).__name__}, which has no tests here")
    for (name, _, is_needed), check in zip(tests, checks_of(tests, store), strict=True):
        if is_needed and check.result == FAILED:
            subject.failure_of_ledger = f"ledger: {name}"
        yield replace(check, name=f"ledger: {name}")
