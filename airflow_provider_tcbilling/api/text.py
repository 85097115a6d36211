"""Text that comes from the server, made harmless: it is data, and never code, markup, or a line of its own."""

from __future__ import annotations

import unicodedata
from typing import Any

MAX_CHARACTERS = 500
"""Of a text that is shown; what is longer is cut."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of characters that steer a terminal, break a line, turn text around, or show nothing."""


def harmless(text: Any, limit: int = MAX_CHARACTERS) -> str:
    r"""
    Return a text as one bounded line in which every control character is visible, such as ``\\x1b`` or ``\\u202e``.

    :param text: Whatever the server sent; what is not text is written as text.
    :param limit: The most characters; a longer text ends with three dots.
    """
    words = str(text)
    shown = words if words.isascii() and words.isprintable() else "".join(map(_visible, words[: limit + 1]))
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def _visible(character: str) -> str:
    if unicodedata.category(character) in _INVISIBLE:
        return character.encode("unicode_escape").decode("ascii")
    return character
