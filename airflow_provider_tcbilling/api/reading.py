"""
Reading: JSON and numbers of other origin.

Deciding fields, such as the number of an order or its status, are read strictly. An informational field, such as a
price, is read in each notation that has occurred. A field that cannot be read is reported as such, and stops nothing
beside it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

from airflow_provider_tcbilling.api.errors import OutcomeUnknown

UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""The errors that reading a value of the wrong shape raises."""

MAX_DEPTH = 24
"""Levels of an object within an object; deeper levels are left out, so that it can be shown and compared."""

MAX_DIGITS = 18
"""Digits of a whole number; a longer one counts as infinite. Python refuses to write one of thousands."""

_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,30}(\.[0-9]{1,30})?\s*", re.ASCII)

T = TypeVar("T")


def json_of(content: bytes | str) -> Any:
    """
    Read JSON so that its values can be written, compared and shown.

    A name that stands twice in one object, with different values, reads as the list of all of them. None of
    them is surely the right one, and a list is of the wrong type wherever one value is expected.

    :raises ValueError: It is not JSON.
    :raises RecursionError: It is nested too deep to be read at all.
    """
    read = json.loads(content, object_pairs_hook=_object, parse_int=_int)
    level = [read] if isinstance(read, (dict, list)) else []
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _values(outer) if isinstance(inner, (dict, list))]
    for too_deep in level:
        too_deep.clear()
    return read


def number_of(value: Any) -> float | None:
    """Read a number, also one that is written as a text; ``None`` if it is none, or larger than any here can be."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e15 and math.isfinite(value) else None


def whole_of(value: Any) -> int | None:
    """Read a whole number, also one that is written as a text; ``None`` if it is none."""
    number = number_of(value)
    return int(number) if number is not None and number.is_integer() else None


def cents_of(value: Any) -> int | None:
    """Read an amount to the nearest cent; ``None`` if it is none. A missing or null amount is 0."""
    if value is None or value == "":
        return 0
    number = number_of(value)
    return None if number is None else round(number)


def read_by(action: str, reader: Callable[[], T]) -> T:
    """
    Read a successful answer of an action.

    :raises OutcomeUnknown: It holds something that cannot be read.
    """
    try:
        return reader()
    except UNREADABLE as error:
        raise OutcomeUnknown(f"{action}: the answer holds something unreadable.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        for name in read:
            values = [value for other, value in pairs if other == name]
            if any(value != values[0] for value in values):
                read[name] = values
    return read


def _int(digits: str) -> float:
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def _values(outer: Any) -> Any:
    return outer.values() if isinstance(outer, dict) else outer
