"""
The command line that explains a purchase, settles it, and keeps the ledger. It never spends.

``python -m airflow_provider_tcbilling`` on every line of Airflow, ``airflow tcbilling`` where it takes commands from
providers. Airflow loads this module with each of its commands, so it imports nothing heavy.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_provider_tcbilling.cli.books import BOOKS
from airflow_provider_tcbilling.cli.command import (
    CONN_ID,
    DONE,
    JSON,
    NAME,
    NOT_DONE,
    ORDER_ID,
    WRONG_USAGE,
    Answer,
    Command,
    Group,
    Option,
    WrongUsage,
    as_json,
    connected,
    purchase_name,
    read_all_connections,
)
from airflow_provider_tcbilling.cli.ledger import LEDGER, list_command

__all__ = ["COMMANDS", "DONE", "NOT_DONE", "WRONG_USAGE", "get_cli_commands", "main"]

ABOUT = "Explain a purchase at Tencent Cloud, settle it, compare the books, or keep the ledger. Nothing here spends."


def explain(chosen: argparse.Namespace) -> Answer:
    """Show the record of one purchase, the evidence of the order book, and the safe next step."""
    from airflow_provider_tcbilling.cli.explain import as_text, explanation_of
    from airflow_provider_tcbilling.cli.lookup import find

    name = purchase_name(chosen, token=chosen.token, order_id=chosen.order_id)
    with connected(chosen.conn_id) as tencent:
        settings, client = tencent.settings, tencent.buying
        explanation = explanation_of(find(name, settings, client), settings, client, chosen.conn_id)
    return as_json(explanation) if chosen.json else as_text(explanation), DONE if explanation["found"] else NOT_DONE


def settle(chosen: argparse.Namespace) -> Answer:
    """Write a user's decision into the record of one purchase."""
    from airflow_provider_tcbilling.cli.lookup import PurchaseName, find, task_of
    from airflow_provider_tcbilling.cli.settle import Settlement, record_from

    decisions = (chosen.order_id, chosen.not_bought, chosen.restore, chosen.accept_price is not None)
    if sum(map(bool, decisions)) != 1:
        raise WrongUsage("give one of --order-id, --not-bought, --restore and --accept-price")
    if chosen.accept_price is not None:
        return _accept_price(chosen), DONE
    if chosen.price_key:
        raise WrongUsage("--price-key belongs to --accept-price")
    if chosen.restore and any((chosen.key, chosen.token, chosen.dag_id, chosen.run_id, chosen.task_id)):
        raise WrongUsage("the record to restore names its purchase: leave --key and the task out")
    restored = record_from(_text_of(chosen.restore)) if chosen.restore else None
    name = PurchaseName(restored.key, task=task_of(restored)) if restored else purchase_name(chosen, token=chosen.token)
    with connected(chosen.conn_id) as tencent:
        settings, client = tencent.settings, tencent.buying
        settlement = Settlement(find(name, settings, client), settings, client, chosen.force)
        if restored:
            return settlement.restore(restored), DONE
        return settlement.is_order(chosen.order_id) if chosen.order_id else settlement.not_bought(), DONE


def approve(chosen: argparse.Namespace) -> Answer:
    """Approve the purchases of a plan."""
    import getpass

    from airflow_provider_tcbilling.cli.approve import approve as approve_plan
    from airflow_provider_tcbilling.task.money_checks import A_VALIDITY

    if chosen.plan == "-" and chosen.yes_total is None:
        raise WrongUsage("a plan from the standard input needs --yes-total, since nobody can type the total there")
    if chosen.until is not None and (mistake := A_VALIDITY.mistake("--until", chosen.until)):
        raise WrongUsage(mistake)
    seconds = None if chosen.until is None else A_VALIDITY.read(chosen.until)
    text, by = _text_of(chosen.plan), chosen.by if chosen.by is not None else getpass.getuser()
    with connected(chosen.conn_id) as tencent:
        return approve_plan(text, tencent, by=by, seconds=seconds, yes_total=chosen.yes_total), DONE


def preflight(chosen: argparse.Namespace) -> Answer:
    """Test everything about a connection that can be tested without buying."""
    read_all_connections()
    from airflow_provider_tcbilling.cli.preflight import as_text
    from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook

    result = TcBillingHook(chosen.conn_id).preflight()
    answer = as_json(result.as_dict()) if chosen.json else as_text(result, chosen.width)
    return answer, DONE if result.has_passed else NOT_DONE


def _accept_price(chosen: argparse.Namespace) -> str:
    from airflow_provider_tcbilling.cli.accept_price import accept_price
    from airflow_provider_tcbilling.cli.lookup import find

    name = None if chosen.price_key else purchase_name(chosen, token=chosen.token)
    with connected(chosen.conn_id) as tencent:
        found = find(name, tencent.settings, tencent.buying) if name else None
        return accept_price(tencent, found, chosen.price_key or "", chosen.accept_price)


def plan(chosen: argparse.Namespace) -> Answer:
    """Show what a task would do now, and what it would cost at most."""
    from airflow_provider_tcbilling.cli.plan import as_text, plan_of_task
    from airflow_provider_tcbilling.cli.task_of_dag import TaskName

    if not (chosen.dag_id and chosen.task_id):
        raise WrongUsage("name the task: --dag-id and --task-id")
    if chosen.map_index >= 0 and not chosen.run_id:
        raise WrongUsage("--map-index is the place of a task in a run: give --run-id as well")
    name = TaskName(chosen.dag_id, chosen.task_id, chosen.run_id, chosen.map_index)
    made = plan_of_task(name, chosen.file)
    return as_json(made) if chosen.json else as_text(made, chosen.width), DONE


COMMANDS = (
    Command(
        "explain",
        "the record of one purchase, the evidence of the order book, and the safe next step",
        (*NAME, ORDER_ID, CONN_ID, JSON),
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
            Option(
                "--accept-price",
                "decide: a price above its reservation is right, up to so many cents, or as it was paid",
                {"nargs": "?", "const": ""},
            ),
            Option("--price-key", "with --accept-price, in place of a purchase: the price key that a message names"),
            Option("--force", "go on although the order book leaves a doubt", {"action": "store_true"}),
            CONN_ID,
        ),
        settle,
    ),
    Command(
        "plan",
        "what a task would buy now, its worst case, the limits and the approval; sends nothing that pays",
        (
            Option("--dag-id", "the DAG of the task"),
            Option("--task-id", "the task: one that buys, renews or refunds"),
            Option("--run-id", "its run, for arguments and a key that depend on it"),
            Option("--map-index", "its place, if it is mapped", {"type": int, "default": -1}),
            Option("--file", "the file of the DAG, if it is not among those of Airflow"),
            JSON,
        ),
        plan,
    ),
    Command(
        "approve",
        "approve the purchases of a plan, each at its price and for a time; buys nothing",
        (
            Option("--plan", "the plan: JSON in this file, - for the standard input", {"required": True}),
            Option("--until", "how long it counts, such as P1D; at most, and else, as long as the connection allows"),
            Option("--by", "name of the user who approves; else that of this session"),
            Option("--yes-total", "for scripts: the total in cents, in place of typing it", {"type": int}),
            CONN_ID,
        ),
        approve,
    ),
    Command(
        "preflight",
        "test everything about a connection that can be tested without buying, one line each",
        (CONN_ID, JSON),
        preflight,
    ),
    *BOOKS,
    list_command("all purchases of the ledger, one line each: ledger list without a limit", 0),
    LEDGER,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m airflow_provider_tcbilling", description=ABOUT)
    _add(parser, COMMANDS)
    chosen = parser.parse_args(arguments)
    code: int = chosen.run(chosen)
    return code


def _add(parser: argparse.ArgumentParser, members: tuple[Command | Group, ...]) -> None:
    """Add commands, and groups of commands, to a parser."""
    commands = parser.add_subparsers(dest="command", required=True)
    for member in members:
        options = commands.add_parser(member.name, help=member.help, description=member.help)
        if isinstance(member, Group):
            _add(options, member.commands)
            continue
        for option in member.options:
            options.add_argument(option.flag, help=option.help, **option.more)
        options.set_defaults(run=member.run)


def get_cli_commands() -> list[Any]:
    """Return the commands for ``airflow tcbilling``, which Airflow 3.2 and newer load."""
    return [_for_airflow(Group("tcbilling", ABOUT, COMMANDS))]


def _for_airflow(member: Command | Group) -> Any:
    """Return a command, or a group of commands, as Airflow declares its own."""
    from airflow.cli.cli_config import ActionCommand, GroupCommand

    if isinstance(member, Group):
        return GroupCommand(member.name, member.help, [_for_airflow(command) for command in member.commands])
    args = tuple(map(_arg_for_airflow, member.options))
    return ActionCommand(name=member.name, help=member.help, func=member.run_and_exit, args=args)


def _arg_for_airflow(option: Option) -> Any:
    """Return an option as Airflow declares its own. Its class hands all to argparse, and takes only a part of it."""
    from airflow.cli.cli_config import Arg

    kind: Callable[..., Any] = Arg
    arg = kind((option.flag,), help=option.help)
    arg.kwargs.update(option.more)
    return arg


def _text_of(path: str) -> str:
    from airflow_provider_tcbilling.cli.lookup import Refused

    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error
