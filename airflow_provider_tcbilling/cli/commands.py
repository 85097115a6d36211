"""
The command line that explains a purchase, settles it, and lists all of them. It never spends.

``python -m airflow_provider_tcbilling`` on every line of Airflow, ``airflow tcbilling`` where it takes commands from
providers. Airflow loads this module with each of its commands, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID

if TYPE_CHECKING:
    from airflow_provider_tcbilling.cli.lookup import PurchaseName
    from airflow_provider_tcbilling.hooks.session import Session

ABOUT = "Explain a purchase at Tencent Cloud, settle it, or list all of them. Nothing here spends."
STATES = ("intended", "charged", "refused", "declined", "ordered", "delivered", "unusable")
DONE, NOT_DONE, WRONG_USAGE = 0, 1, 2

ATTEMPTS = 3
"""Tries of one query of the order book: a user waits."""

Answer = tuple[str, int]
"""The text to print, and the exit code."""


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

        try:
            with _nothing_else_on_stdout():
                answer, code = self.work(chosen)
        except WrongUsage as error:
            _print(lines_of(f"{self.name}: {error}"), sys.stderr)
            return WRONG_USAGE
        except (Refused, TcBillingError) as error:
            _print(lines_of(str(error)), sys.stderr)
            return NOT_DONE
        _print(lines_of(answer), sys.stdout)
        return code

    def run_and_exit(self, chosen: argparse.Namespace) -> None:
        """Do the same for Airflow, which ignores the return value of a command."""
        if code := self.run(chosen):
            sys.exit(code)


def explain(chosen: argparse.Namespace) -> Answer:
    """Show the record of one purchase, the evidence of the order book, and the safe next step."""
    from airflow_provider_tcbilling.cli.explain import as_text, explanation_of
    from airflow_provider_tcbilling.cli.lookup import find

    name = _name(chosen, token=chosen.token, order_id=chosen.order_id)
    with _connected(chosen.conn_id) as tencent:
        settings, client = tencent.settings, tencent.buying
        explanation = explanation_of(find(name, settings, client), settings, client, chosen.conn_id)
    return _as_json(explanation) if chosen.json else as_text(explanation), DONE if explanation["found"] else NOT_DONE


def settle(chosen: argparse.Namespace) -> Answer:
    """Write a user's decision into the record of one purchase."""
    from airflow_provider_tcbilling.cli.lookup import PurchaseName, find, task_of
    from airflow_provider_tcbilling.cli.settle import Settlement, record_from

    if sum(map(bool, (chosen.order_id, chosen.not_bought, chosen.restore))) != 1:
        raise WrongUsage("give one of --order-id, --not-bought and --restore")
    if chosen.restore and any((chosen.key, chosen.token, chosen.dag_id, chosen.run_id, chosen.task_id)):
        raise WrongUsage("the record to restore names its purchase: leave --key and the task out")
    restored = record_from(_text_of(chosen.restore)) if chosen.restore else None
    name = PurchaseName(restored.key, task=task_of(restored)) if restored else _name(chosen, token=chosen.token)
    with _connected(chosen.conn_id) as tencent:
        settings, client = tencent.settings, tencent.buying
        settlement = Settlement(find(name, settings, client), settings, client, chosen.force)
        if restored:
            return settlement.restore(restored), DONE
        return settlement.is_order(chosen.order_id) if chosen.order_id else settlement.not_bought(), DONE


def list_all(chosen: argparse.Namespace) -> Answer:
    """List every purchase of the ledger, in one line each."""
    from airflow_provider_tcbilling.cli.lookup import Refused, all_in

    with _connected(chosen.conn_id) as tencent:
        settings = tencent.settings
    if not settings.ledger:
        raise Refused(f"Connection {chosen.conn_id} names no ledger, and only a ledger can list its records.")
    rows = [row for row in all_in(settings) if chosen.state in (None, row["state"])]
    if chosen.json:
        return _as_json(rows), DONE
    line = "{state:<10} {changed_at:<27} {order_id:<24} {paid:>14}  {key}"
    lines = [
        line.format_map({name: _cell(value) for name, value in {**row, "paid": _paid(row)}.items()}) for row in rows
    ]
    return "\n".join([*lines, f"{len(rows)} in {settings.ledger}"]), DONE


NAME = (
    Option("--key", "the purchase's key: its purchase_key, or the one that the log of the task names"),
    Option("--dag-id", "instead: the DAG of the task that buys"),
    Option("--run-id", "its run"),
    Option("--task-id", "the task itself"),
    Option("--map-index", "its place, if it is mapped", {"type": int, "default": -1}),
    Option("--loop-index", "which iteration, if it is in a loop; the first is 0", {"type": int}),
    Option("--token", "instead: the client token"),
)
CONN_ID = Option("--conn-id", f"the Airflow connection ({DEFAULT_CONN_ID})", {"default": DEFAULT_CONN_ID})
JSON = Option("--json", "answer in JSON", {"action": "store_true"})

COMMANDS = (
    Command(
        "explain",
        "the record of one purchase, the evidence of the order book, and the safe next step",
        (*NAME, Option("--order-id", "instead: the order's number"), CONN_ID, JSON),
        explain,
    ),
    Command(
        "settle",
        "write a user's decision into the record of one purchase",
        (
            *NAME,
            Option("--order-id", "decide: this order is the purchase; a clear then returns it"),
            Option("--not-bought", "decide: nothing was bought; a clear then BUYS", {"action": "store_true"}),
            Option("--restore", "decide: the record is the JSON in this file, - for the standard input"),
            Option("--force", "go on although the order book leaves a doubt", {"action": "store_true"}),
            CONN_ID,
        ),
        settle,
    ),
    Command(
        "list",
        "all purchases of the ledger, one line each",
        (Option("--state", "only those in this state", {"choices": STATES}), CONN_ID, JSON),
        list_all,
    ),
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_tcbilling", description=ABOUT)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        options = commands.add_parser(command.name, help=command.help, description=command.help)
        for option in command.options:
            options.add_argument(option.flag, help=option.help, **option.more)
        options.set_defaults(run=command.run)
    chosen = parser.parse_args(arguments)
    code: int = chosen.run(chosen)
    return code


def get_cli_commands() -> list[Any]:
    """Return the commands for ``airflow tcbilling``, which Airflow 3.2 and newer load."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    arg: Callable[..., Any] = Arg
    commands = [
        ActionCommand(
            name=command.name,
            help=command.help,
            func=command.run_and_exit,
            args=tuple(arg((option.flag,), help=option.help, **option.more) for option in command.options),
        )
        for command in COMMANDS
    ]
    return [GroupCommand(name="tcbilling", help=ABOUT, subcommands=commands)]


def _name(chosen: argparse.Namespace, token: str | None = None, order_id: str | None = None) -> PurchaseName:
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
def _connected(conn_id: str) -> Iterator[Session]:
    """Yield the connection's settings and clients. A user may use connections that only the database has."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
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


def _text_of(path: str) -> str:
    from airflow_provider_tcbilling.cli.lookup import Refused

    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error


def _print(text: str, stream: TextIO) -> None:
    """Print; a character that the terminal's encoding does not have is written as an escape."""
    encoding = stream.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream)


def _paid(row: Mapping[str, Any]) -> str | None:
    from airflow_provider_tcbilling.api.text import amount

    return None if row["paid_cents"] is None else amount(row["paid_cents"], row["currency"])


def _cell(value: Any) -> Any:
    """Return a cell of the list: one line of text, or a number."""
    from airflow_provider_tcbilling.api.text import harmless

    return "-" if value is None else value if isinstance(value, int) else harmless(value)


def _as_json(value: Any) -> str:
    """Return JSON that a terminal may show: a character that it would obey is escaped, others are not."""
    from airflow_provider_tcbilling.api.text import visible

    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(c if c == "\n" or visible(c) == c else json.dumps(c)[1:-1] for c in text)


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
