"""
The frame of a command: its options, its answer, its errors and its exit code.

Airflow loads this module with each of its commands, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow_provider_tcbilling.cli.lookup import PurchaseName
    from airflow_provider_tcbilling.hooks.session import Session

DONE, NOT_DONE, WRONG_USAGE = 0, 1, 2

ATTEMPTS = 3
"""Tries of one query of the order book: a user waits."""

Answer = tuple[str, int]
"""The text to print, and the exit code."""


class Rendered(str):
    """An answer with the colours of a terminal, made of texts that are harmless already."""


class WrongUsage(Exception):
    """The options do not make sense together."""


@dataclass(frozen=True)
class Option:
    """One option; argparse and Airflow's ``Arg`` both understand *more*."""

    flag: str
    help: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """One command."""

    name: str
    help: str
    options: tuple[Option, ...]
    work: Callable[[argparse.Namespace], Answer]

    def run(self, chosen: argparse.Namespace) -> int:
        """Do it, print the answer, and return the exit code: 0 done, 1 refused or not found, 2 wrong usage."""
        from airflow_provider_tcbilling.api.errors import TcBillingError
        from airflow_provider_tcbilling.api.text import lines_of
        from airflow_provider_tcbilling.cli.lookup import Refused

        chosen.width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        try:
            with _nothing_else_on_stdout():
                answer, code = self.work(chosen)
        except WrongUsage as error:
            _print(lines_of(f"{self.name}: {error}"), sys.stderr)
            return WRONG_USAGE
        except (Refused, TcBillingError) as error:
            _print(lines_of(str(error)), sys.stderr)
            return NOT_DONE
        _print(answer if isinstance(answer, Rendered) else lines_of(answer), sys.stdout)
        return code

    def run_and_exit(self, chosen: argparse.Namespace) -> None:
        """Do the same for Airflow, which ignores the return value of a command."""
        if code := self.run(chosen):
            sys.exit(code)


@dataclass(frozen=True)
class Group:
    """Commands below one name."""

    name: str
    help: str
    commands: tuple[Command | Group, ...]


NAME = (
    Option("--key", "the purchase's key: its purchase_key, or the one that the log of the task names"),
    Option("--dag-id", "instead: the DAG of the task that buys"),
    Option("--run-id", "its run"),
    Option("--task-id", "the task itself"),
    Option("--map-index", "its place, if it is mapped", {"type": int, "default": -1}),
    Option("--loop-index", "which iteration, if it is in a loop; the first is 0", {"type": int}),
    Option("--token", "instead: the client token"),
)
ORDER_ID = Option("--order-id", "instead: the order's number")
CONN_ID = Option("--conn-id", f"the Airflow connection ({DEFAULT_CONN_ID})", {"default": DEFAULT_CONN_ID})
JSON = Option("--json", "answer in JSON", {"action": "store_true"})


def purchase_name(chosen: argparse.Namespace, token: str | None = None, order_id: str | None = None) -> PurchaseName:
    """Return the purchase that the options name, in exactly one way."""
    from airflow_provider_tcbilling.cli.lookup import PurchaseName, Task

    parts = (chosen.dag_id, chosen.run_id, chosen.task_id)
    if any(parts) and not all(parts):
        raise WrongUsage("--dag-id, --run-id and --task-id belong together")
    task = Task(*parts, map_index=chosen.map_index, loop_index=chosen.loop_index) if all(parts) else None
    name = PurchaseName(chosen.key, token, order_id, task)
    if sum(map(bool, vars(name).values())) != 1:
        raise WrongUsage("name the purchase in one way: --key, or --dag-id with --run-id and --task-id")
    return name


@contextmanager
def connected(conn_id: str) -> Iterator[Session]:
    """Yield the connection's settings and clients."""
    read_all_connections()
    from airflow_provider_tcbilling.api.errors import TcBillingError
    from airflow_provider_tcbilling.cli.lookup import Refused
    from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook

    with TcBillingHook(conn_id).session(attempts=ATTEMPTS) as tencent:
        try:
            tencent.settings  # noqa: B018 - read here, so that only its own failures are about the connection
        except TcBillingError:
            raise
        except Exception as error:
            raise Refused(f"Connection {conn_id} cannot be read: {error}") from error
        yield tencent


def read_all_connections() -> None:
    """Let this process read connections that only Airflow's database has, as a user may."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")


def _print(text: str, stream: TextIO) -> None:
    """Print; a character that the terminal's encoding does not have is written as an escape."""
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def as_json(value: Any) -> str:
    """Return JSON that a terminal may show: a character that it would obey is escaped, others are not."""
    from airflow_provider_tcbilling.api.text import visible

    def escaped(found: re.Match[str]) -> str:
        character = found.group()
        return character if visible(character) == character else json.dumps(character)[1:-1]

    return re.sub(r"[^\n -~]", escaped, json.dumps(value, indent=2, ensure_ascii=False))


def note(text: str) -> None:
    """Print a line beside the answer, on the standard error."""
    from airflow_provider_tcbilling.api.text import lines_of

    _print(lines_of(text), sys.stderr)


@contextmanager
def _nothing_else_on_stdout() -> Iterator[None]:
    """Send log lines to stderr: Airflow logs on stdout, and its lines would stand in the answer."""
    others = logging.root.manager.loggerDict.values()
    loggers = [logging.root, *(logger for logger in others if isinstance(logger, logging.Logger))]
    handlers = [h for logger in loggers for h in logger.handlers if isinstance(h, logging.StreamHandler)]
    moved = [handler for handler in handlers if vars(handler).get("stream") is sys.stdout]
    stdout = sys.stdout
    for handler in moved:
        handler.setStream(sys.stderr)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        for handler in moved:
            handler.setStream(stdout)
