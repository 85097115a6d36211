"""Checks: tests that are run one after the other, each with its result in one line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.error_codes import remedy_of
from airflow_provider_tcbilling.api.errors import ApiError, TcBillingError

OK, WARNING, FAILED, SKIPPED, NOT_TESTED = "ok", "warning", "FAILED", "skipped", "not tested"


class Failed(Exception):
    """The property does not hold; the text says why."""


class Warned(Exception):
    """The property holds, and a user should know something; the text says what."""


class NotTested(Exception):
    """The property cannot be tested here; the text says why."""


@dataclass(frozen=True)
class Check:
    """
    The result of one test.

    :param name: The property.
    :param result: *ok*, *warning* where it holds and a user should know something, *FAILED*, *skipped* since a test
        before it has failed, or *not tested*.
    """

    name: str
    result: str
    about: str


Test = tuple[str, Callable[[Any], str], bool]
"""The name of a property, the function that tests it and returns what it found, and whether the rest needs it."""


def checks_of(tests: Sequence[Test], subject: Any) -> Iterator[Check]:
    """Run tests of a subject, and yield the result of each. After the failure of a needed one the rest is skipped."""
    failed = ""
    for name, test, is_needed in tests:
        check = Check(name, SKIPPED, f"since {failed} failed") if failed else _tested(name, test, subject)
        yield check
        if is_needed and check.result == FAILED:
            failed = name


def message_of(error: ApiError) -> str:
    """Return what to correct after an error of the server, if that is known, with the code and the request."""
    return f"{remedy_of(error.code) or error.message} [{error.code}, request {error.request_id}]"


def _tested(name: str, test: Callable[[Any], str], subject: Any) -> Check:
    try:
        return Check(name, OK, test(subject))
    except Warned as warning:
        return Check(name, WARNING, str(warning))
    except NotTested as reason:
        return Check(name, NOT_TESTED, str(reason))
    except ApiError as error:
        return Check(name, FAILED, message_of(error))
    except (Failed, TcBillingError) as failure:
        return Check(name, FAILED, str(failure))
    except Exception as error:
        return Check(name, FAILED, repr(error))
