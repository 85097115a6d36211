"""Mutant: one guard, broken, and the place in the package where it stands."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "airflow_provider_tcbilling"


class Stale(Exception):
    """A mutant names an anchor or a part that the package does not have, or has more than once."""


@dataclass(frozen=True)
class Mutant:
    """
    One broken guard.

    :param about: What goes wrong without the guard.
    :param anchor: The function, method, class or constant that holds the guard, such as ``Purchase.place``. The file is
        not named, so a mutant follows its anchor when that moves. Where two files have such a name, ``file:name``.
    :param part: The code of the guard. It stands once in the anchor.
    :param broken: What stands there instead.
    :param test: The test that must fail.
    """

    about: str
    anchor: str
    part: str
    broken: str
    test: str

    def place(self) -> tuple[Path, str]:
        """
        Return the file of the anchor, and its text with the guard broken.

        :raises Stale: The anchor or the part is not there exactly once.
        """
        file, _, name = self.anchor.rpartition(":")
        found = [place for place in _anchors().get(name, ()) if file in ("", place[0].stem)]
        if len(found) != 1:
            raise Stale(f"{self.anchor} stands {len(found)} times")
        path, first, last = found[0]
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        code = "".join(lines[first:last])
        if code.count(self.part) != 1:
            raise Stale(f"the part stands {code.count(self.part)} times in {self.anchor}")
        return path, "".join([*lines[:first], code.replace(self.part, self.broken), *lines[last:]])


@lru_cache(maxsize=1)
def _anchors() -> dict[str, list[tuple[Path, int, int]]]:
    """Return the file and the lines of each name in the package."""
    anchors: dict[str, list[tuple[Path, int, int]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, first, last in _names(ast.parse(path.read_text(encoding="utf-8"))):
            anchors.setdefault(name, []).append((path, first, last))
    return anchors


def _names(tree: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, int, int]]:
    for node in tree.body:
        names: list[str] = []
        first = node.lineno
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names, first = [node.name], min([first, *(decorator.lineno for decorator in node.decorator_list)])
        elif isinstance(node, ast.Assign):
            names = [part.id for target in node.targets for part in ast.walk(target) if isinstance(part, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        yield from ((prefix + name, first - 1, node.end_lineno or first) for name in names)
        if isinstance(node, ast.ClassDef):
            yield from _names(node, f"{prefix}{node.name}.")
