"""The limits of a sandbox: which numbers, texts and bodies a control call, a fault or an option may hold."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.sandbox.errors import TooLarge, WrongControl

MAX_REQUEST_BYTES = 10 * 2**20
"""Of a request to the billing API, as the real one documents it."""

MAX_CONTROL_BYTES = 2**20
"""Of a control call."""

MAX_TEXT = 1_000
"""Characters of a text in a control call."""

MAX_DEPTH = 32
"""Levels of objects and lists in a body. A deeper one could be read, and then not written."""

YEAR = 366 * 86_400


@dataclass(frozen=True)
class Range:
    """
    The numbers that a field may have. True, NaN and infinity are none of them.

    :param least: The smallest.
    :param most: The largest.
    """

    least: int
    most: int
    is_whole: bool = False

    def __str__(self) -> str:
        return f"a{' whole' if self.is_whole else ''} number from {self.least} to {self.most}"

    def has(self, value: Any) -> bool:
        """Whether a value is one of them."""
        numbers = int if self.is_whole else (int, float)
        return isinstance(value, numbers) and not isinstance(value, bool) and self.least <= value <= self.most

    def check(self, name: str, value: Any) -> None:
        """
        Refuse a value that is not one of them.

        :raises WrongControl: With the field's name.
        """
        if not self.has(value):
            raise WrongControl(f"{name} must be {self}")


def is_text(value: Any) -> bool:
    """Whether a value is a text, and not too long."""
    return isinstance(value, str) and len(value) <= MAX_TEXT


async def read_body(stream: AsyncIterator[bytes], most: int) -> bytes:
    """
    Return a body of at most so many bytes, whatever its headers say of its length.

    :raises TooLarge: It is longer.
    """
    parts, size = [], 0
    async for part in stream:
        size += len(part)
        if size > most:
            raise TooLarge
        parts.append(part)
    return b"".join(parts)


def read_json(body: bytes) -> Any:
    """
    Read a body that may be anything.

    :raises ValueError: It is not JSON, or it is nested too deeply.
    """
    try:
        read = json.loads(body or b"{}")
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level: Iterable[Any] = [read]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise ValueError("nested too deeply")
    return read


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def is_finite(value: Any) -> bool:
    """Whether a JSON value can be written as JSON: it holds neither NaN nor infinity."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
