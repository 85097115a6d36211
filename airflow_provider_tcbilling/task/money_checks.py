"""Checks of amounts, approvers and validities, as a connection, a task and the command line write them."""

from __future__ import annotations

import re
from typing import Any

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.schema import whole_number
from airflow_provider_tcbilling.api.text import visible
from airflow_provider_tcbilling.purchasing.limits import MOST_CENTS
from airflow_provider_tcbilling.task.arguments import LONGEST_DAYS, seconds_of

MAX_APPROVER = 128
"""Characters of the name of a user."""


def cents_of(value: Any) -> int:
    """
    Return an amount from 0 on, also one that a form wrote as text; ``ValueError`` for anything else.

    One with decimals is refused: whoever writes 150.00 does not mean 150 cents.
    """
    if isinstance(value, float) or (isinstance(value, str) and not re.fullmatch(r"\s*[0-9]+\s*", value, re.ASCII)):
        raise ValueError("not a whole number of cents")
    if not 0 <= (cents := whole_number(value)) < MOST_CENTS:
        raise ValueError("not an amount")
    return cents


def approvers_of(value: Any) -> tuple[str, ...]:
    """Return the names of users, from a list or a text with commas; ``ValueError`` if one of them is none."""
    if not isinstance(value, (str, list, tuple)):
        raise ValueError("not a list")
    names = value.split(",") if isinstance(value, str) else list(value)
    if not names or not all(isinstance(name, str) and _is_a_user(name.strip()) for name in names):
        raise ValueError("not names")
    return tuple(dict.fromkeys(name.strip() for name in names))


def _is_a_user(name: str) -> bool:
    return 0 < len(name) <= MAX_APPROVER and visible(name) == name


def valid_for_of(value: Any) -> float:
    """Return the seconds for which an approval is valid; ``ValueError`` for 0, and for no span."""
    if not (seconds := seconds_of(value)):
        raise ValueError("never valid")
    return seconds


AN_AMOUNT = Check(cents_of, f"a whole number of cents from 0 to {MOST_CENTS - 1}, without decimals")
APPROVERS = Check(approvers_of, "names of users, as a list or as a text with commas between them, none of them empty")
A_VALIDITY = Check(
    valid_for_of,
    f"a number of seconds above 0, or an ISO 8601 duration such as P1D, and at most {LONGEST_DAYS} days",
)
