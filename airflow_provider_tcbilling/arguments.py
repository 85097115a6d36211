"""Arguments as a person, a Dag's params or a template writes them."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

Check = tuple[Callable[[Any], bool], str]
"""What an argument must be: as a rule, and in words."""

_FLAGS = {True: True, False: False, "true": True, "false": False}


def seconds_of(span: Any) -> float:
    """
    Return a span in seconds.

    :param span: A timedelta, a number of seconds, or either as text: ISO 8601, such as ``P14D``, of which a month has
        30 days and a year 365.
    :raises ValueError: It is no span, or below zero.
    """
    import pendulum

    if isinstance(span, str):
        span = pendulum.parse(span) if span.startswith("P") else float(span)
    if isinstance(span, timedelta):
        span = span.total_seconds()
    if isinstance(span, bool) or not isinstance(span, (int, float)) or not 0 <= span < math.inf:
        raise ValueError(f"{span!r} is not a span")
    return float(span)


def is_span(value: Any) -> bool:
    """Whether an argument is a span, or left out."""
    try:
        return value is None or seconds_of(value) >= 0
    except ValueError:
        return False


def is_true(value: Any) -> bool:
    """
    Return a flag; a template may have written it as text.

    :raises KeyError: It is neither true nor false.
    """
    return _FLAGS[value.lower() if isinstance(value, str) else value]


def is_flag(value: Any) -> bool:
    """Whether an argument is true or false, and nothing else that Python takes for it."""
    return isinstance(value, bool) or (isinstance(value, str) and value.lower() in _FLAGS)


def one_of(*words: str) -> Check:
    """Return the check of an argument that is one of some words."""
    return words.__contains__, f"one of {', '.join(words)}"


A_SPAN: Check = (is_span, "a timedelta, a number of seconds, or an ISO 8601 duration such as P14D")
A_FLAG: Check = (is_flag, "True or False")
