"""
Phone tables: each cell of a table carries the name of its column, so that a narrow screen can stack the cells.

A table of sentences is stacked there by itself, any other one with ``{container} stacked`` around it.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.writers.html5 import HTML5Translator

LABEL = "column-name"
SENTENCE = 40
"""Characters from which on a cell counts as a sentence."""

MOST_COLUMNS = 5
"""Of a table that is stacked by itself: the cells of a wider one are compared side by side."""

SHORT = 28
"""Characters of a cell that stands in one line with the name of its column."""


class NameColumns(SphinxPostTransform):
    """Note in each cell of a body what its column is called, and which tables are stacked."""

    default_priority = 900

    def run(self, **_: Any) -> None:
        for table in self.document.findall(nodes.tgroup):
            lengths = map(length_of, table.findall(nodes.entry))
            if table["cols"] <= MOST_COLUMNS and max(lengths, default=0) > SENTENCE:
                table.parent["classes"].append("stacked")
            for head in table.findall(nodes.thead):
                names = [entry.astext() for entry in next(head.findall(nodes.row)).findall(nodes.entry)]
                for row in next(table.findall(nodes.tbody)).findall(nodes.row):
                    for name, entry in zip(names, row.findall(nodes.entry), strict=False):
                        entry[LABEL] = name
                        length = length_of(entry)
                        entry["classes"].append("long" if length > SHORT else "short" if length else "blank")


def length_of(entry: nodes.entry) -> int:
    """Return the number of characters that a reader sees."""
    return sum(len(text) for text in entry.findall(nodes.Text) if not isinstance(text.parent, nodes.raw))


class Translator(HTML5Translator):
    """Sphinx's own, which writes the name of the column, too."""

    def starttag(self, node: Any, *arguments: Any, **attributes: Any) -> str:
        if isinstance(node, nodes.entry) and node.get(LABEL):
            attributes["data-label"] = node[LABEL]
        return str(super().starttag(node, *arguments, **attributes))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(NameColumns)
    app.set_translator("html", Translator)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
