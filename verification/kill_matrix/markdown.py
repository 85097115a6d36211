"""Tables in Markdown, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

DASH = "\N{EN DASH}"


def head(corner: str, heads: Sequence[str], rule: str = "---") -> Iterator[str]:
    """Yield the first two lines of a table."""
    yield row_of(corner, heads)
    yield row_of("---", [rule] * len(heads))


def row_of(first: str, texts: Sequence[str]) -> str:
    """Return a line of a table."""
    return f"| {' | '.join([first, *texts])} |"
