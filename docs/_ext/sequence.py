"""
Sequence: a drawing of messages between actors that fits a phone and follows the colours of the page.

Each line is one step. ``A -> B: text`` is a message, ``A ->$ B: text`` one that spends, ``A -x B: text`` a lost one.
``A dies: text`` ends a process, ``A: text`` is a note beside it, ``... text`` time that passes, ``= text`` a good end
and ``! text`` a bad one.
"""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Callable

WIDTH, HEAD, LINE = 356, 30, 15
"""Of the drawing: its width, and the heights of a head and of a line of text, in its own units."""

LETTER, BOLD = 6.2, 7.2
"""Width of a letter."""

MESSAGE = re.compile(r"(.+?) -([>x]\$?) (.+?): (.+)")
DEATH = re.compile(r"(.+?) dies: (.+)")
NOTE = re.compile(r"(.+?): (.+)")


class Drawing:
    """A sequence as it grows, from top to bottom."""

    def __init__(self, actors: list[str]) -> None:
        step = WIDTH / len(actors)
        self.x = {actor: step * (place + 0.5) for place, actor in enumerate(actors)}
        self.ends: dict[str, float] = {}
        self.y = HEAD + 10.0
        self.parts: list[str] = []

    def text(self, x: float, text: str, kind: str = "", width: float = WIDTH) -> None:
        """Write lines around x, within the drawing, and move down by their height."""
        letter = BOLD if kind in ("b", "bad") else LETTER
        lines = textwrap.wrap(text, int(width / letter))
        half = max(map(len, lines)) * letter / 2
        middle = min(max(x, half + 2), WIDTH - half - 2)
        for line in lines:
            self.y += LINE
            self.parts.append(
                f'<text class="c {kind}" x="{middle:.0f}" y="{self.y - 4:.0f}">{html.escape(line)}</text>'
            )

    def message(self, sender: str, mark: str, receiver: str, text: str) -> None:
        start, end = self.x[sender], self.x[receiver]
        self.text((start + end) / 2, text)
        self.y += 5
        toward = 1 if end > start else -1
        is_lost, spends = mark.startswith("x"), mark.endswith("$")
        tip = (start + end) / 2 if is_lost else end - 3 * toward
        kind = "line spends" if spends else "line again" if is_lost else "line"
        head = (
            ""
            if is_lost
            else ' marker-end="url(#sequence-tip-spends)"'
            if spends
            else ' marker-end="url(#sequence-tip)"'
        )
        self.parts.append(f'<path class="{kind}" d="M{start:.0f} {self.y:.0f}H{tip:.0f}"{head}/>')
        if is_lost:
            self.cross(tip)
        self.y += 11

    def cross(self, x: float) -> None:
        y = self.y
        self.parts.append(f'<path class="cross" d="M{x - 6:.0f} {y - 6:.0f}l12 12m0 -12l-12 12"/>')

    def death(self, actor: str, text: str) -> None:
        self.y += 8
        self.cross(self.x[actor])
        self.ends[actor] = self.y
        self.y += 6
        self.text(self.x[actor], text, "bad")
        self.y += 8

    def note(self, actor: str, text: str) -> None:
        self.text(self.x[actor], text, "s", WIDTH * 0.55)
        self.y += 9

    def gap(self, text: str) -> None:
        self.y += 5
        self.parts.append(f'<path class="line gap" d="M4 {self.y:.0f}H{WIDTH - 4}"/>')
        self.y += 3
        self.text(WIDTH / 2, text, "s")
        self.y += 9

    def end(self, text: str, kind: str) -> None:
        lines = textwrap.wrap(text, int((WIDTH - 24) / BOLD))
        height = len(lines) * LINE + 12
        self.parts.append(
            f'<rect class="box {kind}" x="2" y="{self.y + 2:.0f}" width="{WIDTH - 4}" height="{height}" rx="9"/>'
        )
        self.y += 7
        self.text(WIDTH / 2, text, "b", WIDTH - 24)
        self.y += 12

    def svg(self) -> str:
        """Return the drawing: heads and lifelines behind everything else."""
        behind = []
        for actor, x in self.x.items():
            half = len(actor) * BOLD / 2 + 8
            last = self.ends.get(actor, self.y)
            behind.append(f'<path class="life" d="M{x:.0f} {HEAD}V{last:.0f}"/>')
            behind.append(
                f'<rect class="box" x="{x - half:.0f}" y="2" width="{2 * half:.0f}" height="{HEAD - 4}" rx="8"/>'
                f'<text class="c b" x="{x:.0f}" y="{HEAD / 2 + 5:.0f}">{html.escape(actor)}</text>'
            )
        tips = "".join(
            f'<marker id="sequence-tip{name}" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto"><path class="tip{name}" d="M0 0l10 5-10 5z"/></marker>'
            for name in ("", "-spends")
        )
        drawing = "".join([*behind, *self.parts])
        return f'<svg viewBox="0 0 {WIDTH} {self.y + 4:.0f}"><defs>{tips}</defs>{drawing}</svg>'


def drawn(actors: list[str], lines: list[str]) -> str:
    """
    Return the drawing of these lines.

    :raises ValueError: A line is no step. The text has it.
    """
    it = Drawing(actors)
    for line in lines:
        for does, parts in steps(it, line):
            does(*parts)
            break
        else:
            raise ValueError(f"no step of a sequence: {line}")
    return it.svg()


def steps(it: Drawing, line: str) -> list[tuple[Callable[..., None], tuple[str, ...]]]:
    """Return what a line may be, the most particular reading first."""
    found: list[tuple[Callable[..., None], tuple[str, ...]]] = []
    if line.startswith("..."):
        found.append((it.gap, (line.removeprefix("...").strip(),)))
    if line.startswith(("= ", "! ")):
        found.append((it.end, (line[2:], "done" if line[0] == "=" else "stop")))
    for pattern, does, actors in ((MESSAGE, it.message, (0, 2)), (DEATH, it.death, (0,)), (NOTE, it.note, (0,))):
        match = pattern.fullmatch(line)
        if match and all(match.groups()[place] in it.x for place in actors):
            found.append((does, match.groups()))
    return found
