"""Error links: the name of an error class leads to the line of the page that says what to do after it."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from error_names import error_names
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

STEPS = "how-to/recover-a-failed-task"
"""The page with the next step for each error. Its table has the error in the first column."""

FIRST_COLUMN = "Error"
ERRORS = error_names()


def anchor_of(name: str) -> str:
    return f"error-{name.lower()}"


def mark_lines(app: Sphinx, document: nodes.document) -> None:
    """Give each line of the table of next steps an address, and remember which there are."""
    if app.env.docname != STEPS:
        return
    for table in document.findall(nodes.tgroup):
        (head, *_), *rows = [list(row.findall(nodes.entry)) for row in table.findall(nodes.row)]
        for first, *_ in rows if head.astext() == FIRST_COLUMN else ():
            if first.astext() in ERRORS:
                first["ids"].append(anchor_of(first.astext()))


class LinkErrors(SphinxPostTransform):
    """Make a link of each error class that stands in a sentence."""

    default_priority = 700

    def run(self, **_: Any) -> None:
        if STEPS not in self.env.found_docs:
            return
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext()
            if name not in ERRORS or self._is_linked(literal):
                continue
            address = self.app.builder.get_relative_uri(self.env.docname, STEPS)
            link = nodes.reference("", "", internal=True, refuri=f"{address}#{anchor_of(name)}", classes=["error"])
            literal.replace_self(link)
            link += literal

    def _is_linked(self, literal: nodes.literal) -> bool:
        """Whether it is a link, a heading, or the very line that the link would lead to."""
        above: nodes.Node | None = literal.parent
        while above is not None:
            is_target = isinstance(above, nodes.entry) and any(one.startswith("error-") for one in above["ids"])
            if isinstance(above, (nodes.reference, nodes.title)) or is_target:
                return True
            above = above.parent
        return False


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", mark_lines)
    app.add_post_transform(LinkErrors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
