"""The table of the demonstration of money: each step, its promise, and what was shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


class NotAsPromised(Exception):
    """A step did not show what it should. The message says what it showed."""


@dataclass
class Step:
    """
    A step of the demonstration.

    :param promise: What it should show.
    :param shown: What it showed.
    """

    name: str
    promise: str
    shown: str = "not reached"
    is_kept: bool = False


def expect(is_true: object, shown: str) -> None:
    """
    Refuse a step that does not show what it should.

    :raises NotAsPromised: *is_true* is false.
    """
    if not is_true:
        raise NotAsPromised(shown)


def print_table(console: Console, steps: Sequence[Step]) -> None:
    """Print the steps."""
    from rich.table import Table
    from rich.text import Text

    kept = sum(step.is_kept for step in steps)
    title = f"Money under control: {kept} of {len(steps)} steps as promised"
    table = Table(title=title, title_justify="left", show_lines=True)
    for name, ratio in (("Step", 3), ("Promise", 6), ("Shown", 12), ("", 1)):
        table.add_column(name, overflow="fold", ratio=ratio)
    for number, step in enumerate(steps, 1):
        verdict = Text("yes", style="green") if step.is_kept else Text("NO", style="bold red")
        table.add_row(f"{number}. {step.name}", step.promise, Text(step.shown), verdict)
    console.print(table)
