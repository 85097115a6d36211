"""What stands in the pages: their code blocks, with page and line, and their words in backticks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
NAMES = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in NAMES if (ROOT / name).exists())]
)
SHELLS = ("bash", "sh", "shell", "console")
DRAWN = tuple(
    f"{{{name}}}"
    for name in ("arguments", "command-line", "decision", "permissions", "raises", "rooms", "sequence", "summary")
)
"""Directives of docs/_ext, which read the code when the pages are built."""

NO_CODE = ("{raw}", "{image}", "{toctree}", "{eval-rst}", "{include}", *DRAWN)
"""Directives that show no code. Sphinx checks the names that they hold."""

GENERATED = re.compile(r"<!-- generated: \w+ -->\n.*?<!-- end -->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """
    One code block of a page.

    :param kind: Its language or directive, empty if it has none.
    :param argument: The rest of its first line.
    """

    page: str
    line: int
    kind: str
    argument: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line} ({self.kind or 'no language'})"

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each command with the lines that the page prints below it. Without a prompt all lines are commands."""
        lines = self.text.replace("\\\n", " ").splitlines()
        has_prompt = any(line.startswith("$ ") for line in lines)
        found: list[tuple[str, list[str]]] = []
        for line in filter(str.strip, lines):
            if line.startswith("$ ") or not has_prompt:
                found.append((line.removeprefix("$ ").partition("  #")[0].strip(), []))
            else:
                assert found, f"{self}: output before the first command"
                found[-1][1].append(line)
        yield from found


def text_of(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def tokens_of(page: str) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(text_of(page))


def blocks_of(page: str) -> list[Block]:
    """Return the blocks of a page that a person wrote: what is generated is checked where it is generated."""
    text = text_of(page)
    generated = [
        range(text.count("\n", 0, found.start()), text.count("\n", 0, found.end()))
        for found in GENERATED.finditer(text)
    ]
    blocks = []
    for token in tokens_of(page):
        if token.type in ("fence", "code_block") and not any(token.map[0] in lines for lines in generated):
            kind, _, argument = token.info.partition(" ")
            kind = "console" if kind in SHELLS else kind
            blocks.append(Block(page, token.map[0] + 1, kind, argument.strip(), token.content))
    return [block for block in blocks if block.kind not in NO_CODE]


def words_of(page: str) -> Iterator[str]:
    """Yield what stands in backticks within the sentences and tables of a page."""
    for token in tokens_of(page):
        for child in token.children or ():
            if child.type == "code_inline":
                yield child.content


def tables_of(page: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield each table's heading, and its rows of cells as they are written."""
    heading, rows = "", []
    tokens = tokens_of(page)
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            heading = token.content
        elif before.type == "table_open":
            rows = []
        elif before.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and before.type in ("th_open", "td_open"):
            rows[-1].append(token.content)
        if token.type == "table_close":
            yield heading, rows
