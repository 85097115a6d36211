"""JSON text: objects that are sent as text, always in the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


class JsonText(str):
    """JSON text that remembers its object, so that it is read once."""

    __slots__ = ("read",)
    read: Mapping[str, Any]


canonical_json = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode
"""Serialise so that the same value always gives the same bytes: sorted keys, no blanks, ASCII."""

compact_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""Serialise a payload, whose fields stand in the table's order already."""

_read_json = json.JSONDecoder().decode


def json_object(value: Any) -> JsonText:
    """
    Return a JSON object as text.

    :param value: A mapping, or JSON text.
    :raises ValueError: It is neither, or no object.
    """
    if not isinstance(value, (str, Mapping)):
        raise ValueError(f"{type_of(value)} is neither a mapping nor JSON text")
    try:
        read = _read_json(value) if isinstance(value, str) else value
        text = JsonText(canonical_json(read))
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(read, Mapping):
        raise ValueError(f"JSON, but not an object: {type_of(read)}")
    text.read = read
    return text


def is_json_object(value: Any) -> bool:
    """Whether a value is the text of a JSON object."""
    try:
        return isinstance(value, str) and isinstance(json.loads(value), dict)
    except (ValueError, RecursionError):
        return False


def type_of(value: Any) -> str:
    """Name the type of a value for a message that must not show it."""
    return f"a value of type {type(value).__name__}"
