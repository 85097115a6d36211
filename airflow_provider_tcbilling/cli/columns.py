"""Columns of text for a terminal: aligned, whatever a record holds."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

from airflow_provider_tcbilling.api.text import harmless

GAP = "  "


def columns(rows: Sequence[Sequence[Any]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """
    Return rows as lines of aligned columns. Each value is data: it stays in its cell, and steers nothing.

    :param rows: The cells of each row; a value that is missing is shown as ``-``.
    :param right: The columns that are aligned to the right, from zero.
    """
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(cells_wide, column)) for column in zip(*cells, strict=True)]
    return [GAP.join(_padded(*cell) for cell in _measured(row, widths, right)).rstrip() for row in cells]


def cells_wide(text: str) -> int:
    """Return how many cells of a terminal a text takes: a wide character takes two, a combining one none."""
    return sum(_width(character) for character in text)


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Me", "Mn"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _cell(value: Any) -> str:
    return "-" if value is None or value == "" else harmless(value)


def _measured(row: list[str], widths: list[int], right: frozenset[int]) -> list[tuple[str, int, bool]]:
    return [(text, width, place in right) for place, (text, width) in enumerate(zip(row, widths, strict=True))]


def _padded(text: str, width: int, is_right: bool) -> str:
    blanks = " " * (width - cells_wide(text))
    return blanks + text if is_right else text + blanks
