"""Directives: the parts of a page that read the code when the documentation is built."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from arguments import PACKAGE, argument_table, found, markdown, raises_table, summary, table
from command_line import command_tables
from decision import decision_table
from docutils import nodes
from docutils.parsers.rst import directives
from permissions import permissions_by_task, permissions_of
from rooms import House
from sequence import drawn
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

HERE = Path(__file__).parent


class FromCode(SphinxDirective):
    """A directive whose page is built anew when the code has changed."""

    def run(self) -> list[nodes.Node]:
        modules = [module.__file__ for name, module in sys.modules.items() if name.startswith(PACKAGE)]
        for path in [*HERE.glob("*.py"), *filter(None, modules)]:
            self.env.note_dependency(str(path))
        return self.made()

    def made(self) -> list[nodes.Node]:
        raise NotImplementedError


class AboutThing(FromCode):
    """Markdown about the thing that the argument names."""

    required_arguments = 1
    optional_arguments = 0
    classes: ClassVar[list[str]] = []

    def writes(self, thing: Any) -> str:
        raise NotImplementedError

    def made(self) -> list[nodes.Node]:
        parsed = self.parse_text_to_nodes(self.writes(found(self.arguments[0])))
        return [nodes.container("", *parsed, classes=self.classes)] if self.classes else parsed


class Arguments(AboutThing):
    """What a task takes."""

    def writes(self, thing: Any) -> str:
        return argument_table(thing)

    classes: ClassVar[list[str]] = ["stacked", "arguments"]


class Summary(AboutThing):
    """What a class says of itself. Links to the class lead here."""

    def writes(self, thing: Any) -> str:
        return summary(thing)

    def made(self) -> list[nodes.Node]:
        name = self.arguments[0]
        target = nodes.target("", "", ids=[name])
        self.env.domains.python_domain.note_object(name, "class", name, location=target)
        return [target, *super().made()]


class Raises(AboutThing):
    """What a task raises."""

    def writes(self, thing: Any) -> str:
        return raises_table(thing)


class CommandLine(AboutThing):
    """The options of each command; the argument is the function that runs the command line."""

    def writes(self, thing: Any) -> str:
        return command_tables(thing)

    classes: ClassVar[list[str]] = ["stacked", "options"]


class Permissions(FromCode):
    """The actions and permissions of the task that the argument names, or of all tasks."""

    optional_arguments = 1

    def made(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(permissions_of(*self.arguments) if self.arguments else permissions_by_task())


class Decision(FromCode):
    """The table that decides after a query of the order book."""

    def made(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(decision_table())


class Rooms(FromCode):
    """The folders of the package: a drawing, and a table of what each one holds."""

    def made(self) -> list[nodes.Node]:
        house = House()
        caption = (
            "An arrow is an allowed import, also of everything further down. Rooms with a green edge know no Airflow."
        )
        figure = f'<figure class="drawing rooms">{house.svg()}<figcaption>{caption}</figcaption></figure>'
        rows = [(f"`{room}`", markdown(about)) for room, about in house.rooms()]
        return [nodes.raw("", figure, format="html"), *self.parse_text_to_nodes(table(("Room", "Content"), rows))]


class Sequence(FromCode):
    """A drawing of messages between actors; its argument is the title."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True
    option_spec: ClassVar[dict[str, Callable[[str], str]]] = {"actors": directives.unchanged_required}

    def made(self) -> list[nodes.Node]:
        title = html.escape(self.arguments[0])
        actors = [actor.strip() for actor in self.options["actors"].split(",")]
        try:
            drawing = drawn(actors, [line.strip() for line in self.content if line.strip()])
        except ValueError as error:
            raise self.error(str(error)) from None
        figure = f'<figure class="drawing sequence">{drawing}<figcaption>{title}</figcaption></figure>'
        return [nodes.raw("", figure, format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    for directive in (Arguments, Decision, Permissions, Raises, Rooms, Sequence, Summary):
        app.add_directive(directive.__name__.lower(), directive)
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
