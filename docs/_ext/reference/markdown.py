"""Markdown: what the generated parts share."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table. Line breaks within a cell become spaces."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(' '.join(cell.split()) for cell in line)} |\n" for line in lines)


def first_sentence(described: object) -> str:
    """Return the first paragraph of a docstring."""
    return (inspect.getdoc(described) or "").partition("\n\n")[0]


def link_to(part: str, text: str) -> str:
    """Return a link to the section that holds a generated part, on whichever page that is."""
    return f"[{text}](part:{part})"
