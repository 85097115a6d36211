"""Rooms: the folders of the package and their imports, drawn from the import contracts that `make check` holds."""

from __future__ import annotations

import html
import importlib
import inspect
import sys
from pathlib import Path

from arguments import PACKAGE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
WIDTH, ROW, GAP = 356, 40, 18
AIRFLOW = "airflow"


class House:
    """The layers, and the rooms beside them, as the contracts say."""

    def __init__(self) -> None:
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        contracts = settings["tool"]["importlinter"]["contracts"]
        layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
        folders = {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}
        self.layers = [[room for room in map(str.strip, layer.split("|")) if room in folders] for layer in layers]
        self.without_airflow = {
            room.rpartition(".")[2]
            for contract in contracts
            if AIRFLOW in contract.get("forbidden_modules", ())
            for room in contract["source_modules"]
        }
        self.beside = sorted(folders - {room for layer in self.layers for room in layer})

    def rooms(self) -> list[tuple[str, str]]:
        """Return each room with what it holds, as its docstring says."""
        return [(room, about(room)) for layer in [*self.layers, self.beside] for room in layer]

    def svg(self) -> str:
        """Return the layers from top to bottom, with an arrow for what may be imported; beside the last, the others."""
        parts, y = [], 2
        lowest = self.layers[-1][0]
        for layer in self.layers:
            rooms = [*layer, *(self.beside if layer == self.layers[-1] else ())]
            width = (WIDTH - 4 - GAP * (len(rooms) - 1)) / len(rooms)
            for place, room in enumerate(rooms):
                parts.append(self._box(room, 2 + place * (width + GAP), y, width))
                if room in self.beside:
                    x = 2 + place * (width + GAP)
                    parts.append(f'<path class="line" d="M{x:.0f} {y + ROW / 2}h-{GAP - 3}" marker-end="url(#down)"/>')
            y += ROW + GAP
            if lowest not in layer:
                parts.append(f'<path class="line" d="M{WIDTH / 4} {y - GAP}v{GAP - 3}" marker-end="url(#down)"/>')
        tip = (
            '<marker id="down" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
            '<path class="tip" d="M0 0l10 5-10 5z"/></marker>'
        )
        return f'<svg viewBox="0 0 {WIDTH} {y - GAP + 4}"><defs>{tip}</defs>{"".join(parts)}</svg>'

    def _box(self, room: str, x: float, y: float, width: float) -> str:
        kind = "done" if room in self.without_airflow else ""
        size = "m small" if len(room) * 8.2 > width else "m"
        return (
            f'<rect class="box {kind}" x="{x:.0f}" y="{y}" width="{width:.0f}" height="{ROW}" rx="9"/>'
            f'<text class="c {size}" x="{x + width / 2:.0f}" y="{y + ROW / 2 + 5}">{html.escape(room)}</text>'
        )


def about(room: str) -> str:
    text = inspect.getdoc(importlib.import_module(f"{PACKAGE}.{room}")) or ""
    return text.partition("\n\n")[0]
