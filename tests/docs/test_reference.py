"""The reference is whole: each task has its page and each argument a meaning, each state, field and warning a line."""

from __future__ import annotations

import ast
import inspect
import json
import re

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_tcbilling.cli.commands import main
from airflow_provider_tcbilling.purchasing.record import Record, State
from tests.docs.blocks import PAGES, ROOT, blocks_of, tables_of, text_of
from tests.docs.extensions import extension
from tests.docs.test_errors_table import FAILS, RETRIES, ROWS, SKIPS
from tests.docs.test_words import PACKAGE
from tests.support.cli_output import EACH_COMMAND

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(not airflow_version.startswith("3.3."), reason="the pages are about where make test runs"),
]

ARGUMENTS = re.compile(r"```\{arguments\} (\S+)")
DOCUMENTED = [name for page in PAGES for name in ARGUMENTS.findall(text_of(page))]
RECORD_PAGE, LOG_PAGE = "docs/reference/record-format.md", "docs/reference/log-messages.md"


def columns_of(page, head):
    """Return the first cells of the table whose head begins so, without their backticks."""
    (rows,) = [rows for _, (first, *rows) in tables_of(page) if first[: len(head)] == head]
    return [row[0].strip("`") for row in rows]


def test_each_task_has_a_page():
    tasks = {name for name in extension("permissions").CALLS if name}

    assert {name.rpartition(".")[2] for name in DOCUMENTED} == tasks


@pytest.mark.parametrize("name", DOCUMENTED)
def test_each_argument_has_a_type_and_a_meaning(name):
    module = extension("arguments")
    arguments = module.arguments_of(module.found(name))

    assert [it.name for it in arguments if not (it.type and it.meaning)] == []
    assert any(it.is_templated for it in arguments)
    assert "tcbilling_conn_id" in {it.name for it in arguments}


def test_an_unpacked_typed_dictionary_counts_as_arguments():
    module = extension("arguments")
    parameter = next(module.unpacked(module.Argument, "Unpack[Argument]"))

    assert parameter == ("name", parameter[1])
    assert module.type_of(parameter[1]) == "`str`"


def test_a_policy_shows_the_texts_that_it_accepts():
    module = extension("arguments")
    parameter = inspect.Parameter("of", inspect.Parameter.KEYWORD_ONLY, default=State.ORDERED, annotation="State | str")

    assert module.type_of(parameter).startswith("`intended` or ")
    assert module.default_of(parameter) == "`ordered`"


def test_each_command_has_its_options():
    tables = extension("command_line").command_tables(main)

    for name, command in EACH_COMMAND:
        assert f"**`{name}`**" in tables
        assert all(f"`{option.more.get('metavar', option.flag)}" in tables for option in command.options)


def test_each_state_has_a_line():
    assert columns_of(RECORD_PAGE, ["State"]) == [state.value for state in (
        State.INTENDED, State.ORDERED, State.DELIVERED, State.DECLINED, State.CHARGED, State.REFUSED
    )]  # fmt: skip
    assert len(columns_of(RECORD_PAGE, ["State"])) == len(State)


def test_each_field_of_a_record_has_a_line_and_the_one_on_the_page_can_be_read():
    (shown,) = [json.loads(block.text) for block in blocks_of(RECORD_PAGE) if block.kind == "json"]
    record = Record.from_json(shown, "the page")

    assert record.as_json() == shown
    assert set(columns_of(RECORD_PAGE, ["Field", "JSON type"])) == set(shown)


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/reference/")])
def test_a_task_ends_with_an_error_as_the_page_of_errors_says(page):
    ends = {name: ending for name, ending, *_ in ROWS}
    tables = [rows for _, (first, *rows) in tables_of(page) if first[:2] == ["Error", "The task"]]

    for name, ending, *_ in (row for rows in tables for row in rows):
        assert [ending.startswith(word) for word in (SKIPS, FAILS, RETRIES)] == [
            ends[name].startswith(word) for word in (SKIPS, FAILS, RETRIES)
        ], name


def test_each_error_leads_to_a_line_with_the_next_step():
    names = extension("error_names").error_names()

    assert {"AuthError", "LeftAlone", "PurchaseCharged", "WrongEvent"} < names
    assert set(columns_of("docs/how-to/recover-a-failed-task.md", ["Error"])) == names


# Warnings


def warnings_of_the_source():
    """Yield the text of each message at level WARNING or ERROR that the package logs."""
    for path in (ROOT / PACKAGE).rglob("*.py"):
        if "sandbox" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("warning", "error", "exception", "critical", "log")
                and ast.unparse(node.func.value).rpartition(".")[2] == "log"
            ):
                texts = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                yield texts[0]


def test_each_warning_that_the_package_logs_is_on_the_page():
    lines = [
        [part.strip() for part in message.split("...") if part.strip()]
        for _, (head, *rows) in tables_of(LOG_PAGE)
        for row in rows
        for message in re.findall(r"`([^`]+)`", row[0])
    ]
    texts = [text for text in warnings_of_the_source() if text != "%s"]

    assert len(texts) > 20
    assert [text for text in texts if not any(all(part in text for part in line) for line in lines)] == []


# Drawings


def test_a_sequence_with_a_line_that_is_no_step_is_refused():
    sequence = extension("sequence")

    assert "<svg" in sequence.drawn(["A", "B"], ["A -> B: ask", "B -x A: lost", "A dies: killed", "... later", "= end"])
    for line in ("A -> C: nobody", "nothing", "A => B: no arrow"):
        with pytest.raises(ValueError, match="no step"):
            sequence.drawn(["A", "B"], [line])


def test_the_drawing_of_the_rooms_has_every_folder_of_the_package():
    house = extension("rooms").House()

    assert {room for room, _ in house.rooms()} == {path.parent.name for path in (ROOT / PACKAGE).glob("*/__init__.py")}
    assert all(about for _, about in house.rooms())
    assert {"api", "purchasing", "waiting"} <= house.without_airflow
