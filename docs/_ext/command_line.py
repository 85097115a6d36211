"""Command line: the commands and options of the package, from the parser that reads them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from arguments import table


class Reached(BaseException):
    """The parser is ready."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def parser_of(main: Any) -> argparse.ArgumentParser:
    """Return the parser that a command line builds for itself."""

    def stop(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        raise Reached(parser)

    with patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            main([])
        except Reached as ready:
            return ready.parser
    raise TypeError(f"{main} reads no arguments")


def groups_of(parser: argparse.ArgumentParser) -> list[argparse._SubParsersAction[Any]]:
    """Return the choices of commands that a parser offers."""
    return [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]


def commands_of(parser: argparse.ArgumentParser, above: str = "") -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield each command with its help and its own parser; one of a group has the name of the group before its own."""
    for action in groups_of(parser):
        for chosen in action._choices_actions:
            name, its_own = f"{above}{chosen.dest}", action.choices[chosen.dest]
            if groups_of(its_own):
                yield from commands_of(its_own, f"{name} ")
            else:
                yield name, chosen.help or "", its_own


def option_row(option: argparse.Action) -> tuple[str, str, str]:
    name = option.option_strings[-1] if option.option_strings else ""
    value = "" if option.nargs == 0 else f" {option.metavar or option.dest.upper()}"
    choices = f" One of {', '.join(f'`{choice}`' for choice in option.choices)}." if option.choices else ""
    default = "" if option.default in (None, False, argparse.SUPPRESS) else f"`{option.default}`"
    about = option.help or ""
    return f"`{(name + value).strip()}`", default, about[:1].upper() + about[1:].rstrip(".") + "." + choices


def command_tables(main: Any) -> str:
    """Return a table of options for each command, below its name."""
    parts = []
    for name, about, parser in commands_of(parser_of(main)):
        rows = [option_row(option) for option in parser._actions if option.dest != "help"]
        parts.append(f"**`{name}`**: {about}.\n\n{table(('Option', 'Default', 'Meaning'), rows)}")
    return "\n".join(parts)
