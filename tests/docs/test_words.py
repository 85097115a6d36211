"""The words in backticks are true: modules, files, commands, options, arguments and their defaults are there."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import pkgutil
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version
from airflow.models.baseoperator import BaseOperator
from airflow.providers.common.compat.sdk import conf

import airflow_provider_tcbilling
from airflow_provider_tcbilling import cli
from tests.docs.blocks import PAGES, ROOT, tokens_of, words_of

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not airflow_version.startswith("3.3."), reason="the pages are about where make test runs"),
]

PACKAGE = "airflow_provider_tcbilling"
NOT_OURS = frozenset(
    {"catchup", "max_active_runs", "schedule", "render_template_as_native_obj", "reset_dag_runs", "mode", "n"}
)
"""Arguments of others that the pages name: Airflow's, its REST API's, fsspec's."""


def importable() -> dict[str, Any]:
    """Return every public class and function of the package by its name."""
    found: dict[str, Any] = {}
    for module in pkgutil.walk_packages([str(ROOT / PACKAGE)], f"{PACKAGE}."):
        if not module.name.endswith("__main__"):
            for name, thing in vars(importlib.import_module(module.name)).items():
                if inspect.isclass(thing) or inspect.isfunction(thing):
                    found.setdefault(name, thing)
    return found


@pytest.fixture(scope="module")
def things():
    return importable()


def arguments_of(thing: Any) -> dict[str, inspect.Parameter]:
    """Return what a function or a class takes, what it inherits included."""
    found: dict[str, inspect.Parameter] = {}
    for kind in inspect.getmro(thing) if inspect.isclass(thing) else [thing]:
        call = vars(kind).get("__init__") if inspect.isclass(thing) else kind
        with contextlib.suppress(TypeError, ValueError):
            found = {**inspect.signature(call).parameters, **found}
    return found


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page, things):
    known = {name for thing in things.values() for name in arguments_of(thing)} | NOT_OURS
    wrong = []
    for word in words_of(page):
        wrong += [f"`{word}`: {what}" for what in mistakes_in(word, things, known)]

    assert wrong == []


def mistakes_in(word: str, things: dict[str, Any], known: set[str]):
    if re.fullmatch(rf"{PACKAGE}(\.\w+)+", word) and not is_importable(word):
        yield "no such module or attribute"
    if re.fullmatch(r"(docs|example_dags|scripts|tests|requirements|api|sandbox)/[\w./-]*", word) and not is_file(word):
        yield "no such file"
    if made := re.match(r"make ([a-z-]+)", word):
        if f"\n{made[1]}:" not in (ROOT / "Makefile").read_text(encoding="utf-8"):
            yield "no such target of make"
    if re.match(rf"(python -m {PACKAGE}|airflow tcbilling) \w", word) and not is_command(word):
        yield "no such command, or it takes no such options"
    if found := re.fullmatch(r"\[(\w+)\] (\w+)", word):
        if not conf.has_option(found[1], found[2]) and found[1] != "tcbilling":
            yield "no such option of Airflow's configuration"
    if re.fullmatch(r"[A-Z]\w+(Operator|Sensor|Trigger|Hook|Client|Failed|Unknown)", word) and word not in things:
        yield "no such class"
    if (found := re.fullmatch(r"(\w+)=[^=].*", word)) and found[1].islower() and found[1] not in known:
        yield "nothing takes such an argument"


def is_importable(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
        return True
    with contextlib.suppress(ImportError):
        return hasattr(importlib.import_module(module), attribute)
    return False


def is_file(name: str) -> bool:
    return any((Path(root) / name).exists() for root in (ROOT, ROOT / PACKAGE))


def is_command(line: str) -> bool:
    """Whether the command line takes these options. It is not run: the connection is missing, and that is reached."""
    words = shlex.split(line)
    options = words[words.index(PACKAGE if PACKAGE in words else "tcbilling") + 1 :]
    told = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(told):
        patch.setattr(cli.Command, "run", lambda command, chosen: 0)
        try:
            return cli.main(options) == 0
        except SystemExit:
            return False


# Tables of arguments


TABLES = {
    ("docs/buying.md", "What to give"): "CreateInstanceOperator",
    ("docs/buying.md", "Runs that may not spend"): "CreateInstanceOperator",
    ("docs/waiting.md", "In a task of its own"): "InstanceDeliverySensor",
    ("docs/renewing.md", "What expires"): "ExpiringInstancesOperator",
    ("docs/renewing.md", "Renew it once"): "RenewInstanceOperator",
}
"""The tables whose first column is named Argument, by the heading above them, and whose arguments they are."""


def tables_of(page: str):
    """Yield each table's heading, and its rows of cells as they are written."""
    heading, rows = "", None
    tokens = tokens_of(page)
    for before, token in zip(tokens, tokens[1:]):
        if before.type == "heading_open":
            heading = token.content
        elif before.type == "table_open":
            rows = []
        elif before.type == "tr_open":
            rows.append([])
        elif token.type == "inline" and before.type in ("th_open", "td_open"):
            rows[-1].append(token.content)
        if token.type == "table_close":
            yield heading, rows


def argument_tables():
    return {
        (page, heading): rows
        for page in PAGES
        for heading, rows in tables_of(page)
        if rows[0][0] == "Argument"
    }


def test_each_table_of_arguments_is_known_here():
    assert set(argument_tables()) == set(TABLES)


@pytest.mark.parametrize(("page", "heading"), TABLES)
def test_a_table_of_arguments_names_what_there_is_with_its_default(page, heading, things):
    operator = things[TABLES[page, heading]]
    takes = {**arguments_of(BaseOperator), **arguments_of(operator)}
    head, *rows = argument_tables()[page, heading]

    for name, default, *_ in rows:
        for argument in re.findall(r"`(\w+)", name):
            assert argument in takes, argument
            if head[1] == "Default":
                assert says(default, takes[argument].default), (argument, default, takes[argument].default)


def says(cell: str, default: Any) -> bool:
    """Whether a cell of a table says what the default is. Airflow's own defaults are configured, and only named."""
    if cell in ("required", "none", "all", "") or cell.startswith(("`[", "7 days")):
        return default is inspect.Parameter.empty if cell == "required" else True
    word = cell.strip("`").strip('"')
    return word in (str(default), repr(default)) or (word.isdigit() and float(word) == default)
