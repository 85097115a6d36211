"""The words in backticks are true: modules, files, commands, options, arguments and their defaults are there."""

from __future__ import annotations

import ast
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
from airflow.providers.common.compat.sdk import DAG, BaseOperator, BaseSensorOperator, conf

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.error_codes import ERROR_CODES
from airflow_provider_tcbilling.cli import commands as cli
from airflow_provider_tcbilling.get_provider_info import get_provider_info
from tests.docs.blocks import PAGES, ROOT, tables_of, words_of

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not airflow_version.startswith("3.3."), reason="the pages are about where make test runs"),
]

PACKAGE = "airflow_provider_tcbilling"
NOT_OURS = {
    "reset_dag_runs": "the REST API of Airflow 3.4",
    "n": "a parameter of a Dag, in an example",
    "password": "a field of Airflow's connections",
}
"""Names on the pages that are neither ours nor arguments of Airflow's Dags and tasks."""

SOURCE = frozenset(
    re.findall(
        r"\w+",
        "".join(
            path.read_text(encoding="utf-8")
            for folder in (PACKAGE, "example_dags", "tests")
            for path in (ROOT / folder).rglob("*.py")
            if path != Path(__file__)
        ),
    )
)
FIELDS = frozenset(field.arg for action in ACTIONS.values() for field in (*action.fields, *action.answer))
CODES = frozenset(code.rpartition(".")[2] for code in ERROR_CODES)


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
    takers = [*things.values(), DAG, BaseOperator, BaseSensorOperator]
    known = {name for thing in takers for name in arguments_of(thing)} | set(NOT_OURS)
    wrong = []
    for word in words_of(page):
        wrong += [f"`{word}`: {what}" for what in mistakes_in(word, things, known)]

    assert wrong == []


LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors_of(page: Path) -> set[str]:
    """Return the places of a page that a link can name: its headings and its labels."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings} | set(
        re.findall(r"^\(([\w/:-]+)\)=$", text, re.MULTILINE)
    )


@pytest.mark.parametrize("page", PAGES)
def test_each_link_of_a_page_leads_to_a_place_that_is_there(page):
    """Sphinx checks the links of its own pages only; README and its siblings link to these pages, too."""
    wrong = []
    for target, anchor in LINK.findall((ROOT / page).read_text(encoding="utf-8")):
        path = ((ROOT / page).parent / target) if target else ROOT / page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors_of(path)):
            wrong.append(f"{target}#{anchor}")

    assert wrong == []


def mistakes_in(word: str, things: dict[str, Any], known: set[str]):
    """Yield what is wrong with a word in backticks. Each kind of word is known by its look."""
    checks = (
        (rf"{PACKAGE}(\.\w+)+", lambda it: is_importable(it[0]), "no such module or attribute"),
        (r"(docs|example_dags|scripts|tests|requirements|api|sandbox)/[\w./-]*", lambda it: is_file(it[0]), "no file"),
        (r"make ([a-z-]+).*", lambda it: f"\n{it[1]}:" in (ROOT / "Makefile").read_text(), "no target of make"),
        (
            rf"(python -m {PACKAGE}|airflow tcbilling) \w.*",
            lambda it: is_command(it[0]),
            "no command, or other options",
        ),
        (r"\[(\w+)\] (\w+)", lambda it: is_option(it[1], it[2]), "no option of Airflow's configuration"),
        (r"[A-Z]\w+(Operator|Sensor|Trigger|Hook|Client|Failed|Unknown)", lambda it: it[0] in things, "no class"),
        (r"([a-z_]+)=[^=].*", lambda it: it[1] in known, "nothing takes such an argument"),
        (r"[a-z]+(_[a-z]+)+", lambda it: it[0] in SOURCE | FIELDS | known, "nothing in the package is called so"),
    )
    for pattern, is_true, mistake in checks:
        if (found := re.fullmatch(pattern, word)) and word not in CODES and not is_true(found):
            yield mistake


def is_option(section: str, option: str) -> bool:
    ours = get_provider_info()["config"]
    return conf.has_option(section, option) or option in ours.get(section, {}).get("options", {})


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
    ("docs/how-to/buy.md", "Runs that may not spend"): "CreateInstanceOperator",
}
"""The tables whose first column is named Argument, by the heading above them, and whose arguments they are."""


def argument_tables():
    return {(page, heading): rows for page in PAGES for heading, rows in tables_of(page) if rows[0][0] == "Argument"}


def test_each_table_of_arguments_is_known_here():
    assert set(argument_tables()) == set(TABLES)


@pytest.mark.parametrize(("page", "heading"), TABLES)
def test_a_table_of_arguments_names_what_there_is_with_its_default(page, heading, things):
    operator = things[TABLES[page, heading]]
    takes = arguments_of(operator)
    head, *rows = argument_tables()[page, heading]

    for name, default, *meaning in rows:
        for argument in re.findall(r"`(\w+)[`=]", name):
            assert argument in takes, argument
            if head[1] == "Default" and not meaning[0].startswith("Airflow's own"):
                assert says(default, takes[argument].default), (argument, default, takes[argument].default)


def says(cell: str, default: Any) -> bool:
    """Whether a cell of a table says what the default is. One that is configured is only named."""
    if cell in ("required", "none", "all", "") or cell.startswith("`["):
        return default is inspect.Parameter.empty if cell == "required" else True
    word = cell.strip("`").strip('"')
    return word in (str(default), repr(default)) or (word.isdigit() and float(word) == default)


# Messages


MESSAGES = ("It begins with, or contains", "The line")
"""The first column of the tables that say what a message means."""

FILLED_IN = re.compile(r"\.\.\.|…|\[|NORMAL|not listed|" + "|".join(ACTIONS))
"""Parts of a message that are put in where it is made."""


def texts_of_the_source():
    """Return all that the package can write, its blanks to be filled in left empty."""
    for path in (ROOT / PACKAGE).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_each_message_that_a_page_explains_is_one_that_the_package_writes():
    texts = list(texts_of_the_source())
    messages = [
        message
        for page in PAGES
        for _, (head, *rows) in tables_of(page)
        if head[0] in MESSAGES
        for row in rows
        for message in re.findall(r"`([^`]+)`", row[0])
    ]

    assert messages
    assert [
        message
        for message in messages
        for part in map(str.strip, FILLED_IN.split(message))
        if not any(part.strip("()") in text for text in texts)
    ] == []
