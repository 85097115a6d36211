"""Text that comes from the server, made harmless: it is data, and never code, markup, or a line of its own."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

MAX_CHARACTERS = 500
"""Of a text that is shown; a longer text is cut."""

MAX_SHOWN = 200
"""Characters of an argument in a message."""

MAX_CELL = 128
"""Characters of a cell of a table; as many as an id may have."""

NUMBER = (r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", "a number of letters, digits, _ and -")
"""The form of the number of an order or of a request: the documentation shows digits."""

INSTANCE_ID = (r"[\w*][\w.:*-]{0,127}", "an id of letters, digits, and _ . : * -")
"""The form of the id of an instance. Some products name their instances by a domain, such as ``*.example.com``."""

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories of characters that steer a terminal, break a line, turn text around, or show nothing."""

_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {chr(n) for n in range(0xFE00, 0xFE10)}
"""Characters of other categories that show nothing."""

_NOT_INERT = re.compile(r"[^\w .:/@+,()=*-]")
_LAST_EXTENSION = re.compile(r"\.[^\W\d]\w*$")

_MARKUP = re.compile(r"(?<![^\W_])_|_(?![^\W_])|[!-+;-?\[-^`{-~]")
"""Everything that Markdown or HTML may read as more than itself; an underscore within a word is none of it."""

_LINKS = re.compile(r"(?<=:)(?=/)|(?<=/)(?=/)|(?=@)|(?=\.[^\W\d_])|(?<=www)(?=\.)", re.IGNORECASE)
"""Where a blank keeps an address, a host name or a mail address from becoming a link."""


def harmless(text: Any, limit: int = MAX_CHARACTERS) -> str:
    r"""
    Return a text as one bounded line in which every control character is visible, such as ``\\x1b`` or ``\\u202e``.

    :param text: A value of the server; a value that is not text is written as text.
    :param limit: The most characters; a longer text ends with three dots.
    """
    line = str(text)
    shown = line if line.isascii() and line.isprintable() else visible(line[: limit + 1])
    return shown if len(shown) <= limit else f"{shown[: limit - 3]}..."


def shown(value: Any, limit: int = MAX_SHOWN) -> str:
    """Return an argument as Python writes it, for a message: one bounded line."""
    try:
        written = repr(value)
    except Exception:
        # Python writes no number of more than 4300 digits, and the repr of an object may fail.
        written = f"a value of type {type(value).__name__}"
    return harmless(written, limit)


def harmless_object(sent: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object whose names and values are harmless; numbers stay."""
    return {harmless(name): value if isinstance(value, int) else harmless(value) for name, value in sent.items()}


def visible(text: str) -> str:
    """Return a text in which every control character is visible, line breaks too."""
    return text if text.isascii() and text.isprintable() else "".join(map(_visible, text))


def inert(text: Any, limit: int = MAX_CHARACTERS) -> str:
    """
    Return a text that a template engine reads as itself.

    An engine may render it, and may read a text that ends with a template's extension as a file. So only letters,
    digits, blanks and the characters ``.:/@+,()=_-`` stay; any other becomes an underscore, and a last part such as
    ``.sh`` is followed by a dot.
    """
    plain = _NOT_INERT.sub("_", harmless(text, limit))
    return f"{plain}." if _LAST_EXTENSION.search(plain) else plain


def in_markdown(text: Any, limit: int = MAX_CELL) -> str:
    """
    Return a text for a cell of a Markdown table: it stays in its cell, and is neither markup, HTML nor a link.

    Punctuation is written as HTML entities. A blank breaks every text that would become a link, as in ``www .example``.
    """
    spaced = _LINKS.sub(" ", harmless(text, limit))
    return _MARKUP.sub(lambda found: f"&#{ord(found.group())};", spaced).strip()


def amount(cents: int | None, currency: str | None) -> str:
    """Return an amount as an invoice writes it, such as ``100.00 USD``; cents are 1/100 of every currency here."""
    if cents is None:
        return "an amount that is not known yet"
    whole, rest = divmod(abs(cents), 100)
    return f"{'-' if cents < 0 else ''}{whole}.{rest:02} {currency or '(its currency is not known)'}"


def says_nothing(text: str) -> bool:
    """Whether a text is empty, or ``None``: a template writes either where it has no value."""
    return text.strip() in ("", "None")


def lines_of(text: str) -> str:
    """Return a text of several lines for a terminal: only its line breaks are obeyed."""
    return "\n".join(map(visible, text.split("\n")))


def matching(value: Any, pattern: tuple[str, str]) -> str:
    """Return an id as it is, empty if it does not match its pattern."""
    return value if isinstance(value, str) and re.fullmatch(pattern[0], value) else ""


def _visible(character: str) -> str:
    if unicodedata.category(character) in _INVISIBLE or character in _BLANK:
        return character.encode("unicode_escape").decode("ascii")
    return character


def folded(shown: Any) -> str:
    """Return a text as it is compared, empty if it is none."""
    return shown.strip().casefold() if isinstance(shown, str) else ""
