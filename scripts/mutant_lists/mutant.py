"""Mutant: one guard, broken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One broken guard: the file in the package, the line, what it becomes, and the test that must fail."""

    about: str
    path: str
    line: str
    broken: str
    test: str
