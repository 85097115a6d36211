"""A reader, who does what a page says: in the order in which it says it, with a sandbox and an Airflow of their own."""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_tcbilling.get_provider_info import get_provider_info
from airflow_provider_tcbilling.hooks.connection import CONN_TYPE, EXTRA_FIELDS, Settings
from airflow_provider_tcbilling.task.ledger_connection import KINDS
from tests.docs.blocks import ROOT, Block
from tests.docs.likeness import missing_lines
from tests.docs.not_run import mark
from tests.docs.outputs import OUTPUTS
from tests.support.dag_runs import environment_of, run
from tests.support.databases import NotInstalled, postgresql

THE_PORT = "8765"
"""The port that the pages name. Here it is a free one."""

SANDBOX = "python -m airflow_provider_tcbilling.sandbox"
SECONDS = 120
SHELL = """
curl() { command curl --fail --noproxy '*' "$@"; }
"""
"""In every shell: an answer with an HTTP error is a failed command."""

HURRY = {
    "--delivery-seconds 20": "--delivery-seconds 0",
    '"extra": {"ledger_conn_id"': '"extra": {"order_book_lag": 1, "ledger_conn_id"',
}
"""What is shortened, so that the pages run in seconds."""

NAMED = re.compile(r"# ([\w/]+\.py)\n")
"""First line of a block that a reader saves under this name, in a project of their own."""

DAG_TEST = re.compile(r"AIRFLOW__CORE__DAGS_FOLDER=(\w+) airflow dags test tcbilling_(\w+)")
"""A command that runs an example. Where a page says it again, only the environment has changed."""

ASSIGNMENT = re.compile(r"export$|\w+=")
"""A word that only sets a variable."""

DAG_FILE = """
import pendulum
from airflow.providers.common.compat.sdk import DAG
{imports}
with DAG("docs", schedule=None, params={params!r}, default_args={{"trigger_rule": "all_done"}}) as dag:
{tasks}
    in_this_order = list(dag.tasks)
    for first, second in zip(in_this_order, in_this_order[1:]):
        if first.task_id not in second.upstream_task_ids:
            first >> second
"""
"""Tasks that a page shows without a Dag around them."""


def end(process: subprocess.Popen) -> None:
    """End a process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


class Reader:
    """
    Does what the blocks of one page say.

    :param given: What stands on the page, and what it is here: ids of instances and orders.
    :param params: Of a Dag run.
    :param ledger_uri: The ledger of the connection that is there before the page defines one.
    :param postgres: Starts a PostgreSQL, or returns the one that runs.
    """

    def __init__(self, home: Path, folder: Path, sandbox: Any, postgres: Callable[[], Any]) -> None:
        self.home, self.folder, self.sandbox, self.postgres = home, folder, sandbox, postgres
        self.port = sandbox.url.rpartition(":")[2]
        self.given: dict[str, str] = {}
        self.params: dict[str, Any] = {}
        self.ledger_uri = ""
        self.namespace: dict[str, Any] = {"__name__": "page"}
        self.json: Any = None
        self.tasks: list[str] = []
        self.project = folder / "project"
        self.printed = ""
        self._variables: list[str] = []
        self._tested: set[str] = set()
        self._servers: list[subprocess.Popen] = []
        self.checkout = folder / "checkout"
        """The files of the project, in a folder of its own, so that a command leaves nothing in the real one."""
        self.checkout.mkdir()
        for path in ROOT.iterdir():
            if not path.name.startswith("."):
                (self.checkout / path.name).symlink_to(path)

    def read(self, block: Block) -> None:
        """Do what a block says. A block of a kind that is not known here fails."""
        if block.kind != "console" and mark(block.text):
            return
        does = getattr(self, f"do_{block.kind.strip('{}') or 'layout'}", None)
        assert does, f"{block} is neither run nor marked as not run (tests/docs/not_run.py)"
        try:
            does(block)
        except Exception as error:
            raise AssertionError(f"{block}: {error}") from error

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def asked(self, path: str) -> Any:
        """Return what the control interface of the sandbox answers."""
        straight = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with straight.open(f"{self.url}/_sandbox/{path}") as answer:
            return json.load(answer)

    def shell(self, command: str) -> str:
        """Run a command as a user would, in a checkout, and return all that it printed. What it started is ended."""
        process = self._started(["bash", "-c", self._here("\n".join([SHELL, *self._variables, command]))])
        try:
            printed, _ = process.communicate(timeout=SECONDS)
        finally:
            end(process)
        assert process.returncode == 0, f"{command}\n{printed[-9000:]}"
        return printed

    def close(self) -> None:
        for server in self._servers:
            end(server)

    def _started(self, words: list[str]) -> subprocess.Popen:
        """Start a command in a session of its own."""
        return subprocess.Popen(
            words,
            cwd=self.checkout,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def do_console(self, block: Block) -> None:
        for command, said in block.commands():
            if mark(command):
                if command.startswith("make "):
                    self.shell(command.replace("make ", "make --dry-run ", 1))
            elif all(ASSIGNMENT.match(word) for word in shlex.split(command)):
                self._variables.append(command)
                self._check_connection(command)
            elif command.startswith(SANDBOX):
                self._serve(command)
            elif not said and command in self._tested:
                self._test_again(*DAG_TEST.fullmatch(command).groups())
            else:
                self.printed = self.shell(command)
                self._tested |= {command} if DAG_TEST.fullmatch(command) else set()
                missing = missing_lines([self._here(line) for line in said], self.printed)
                assert not missing, f"{block}: {command}\n\nnot printed: {missing}\n\nprinted:\n{self.printed}"

    def do_python(self, block: Block) -> None:
        code = self._here(block.text)
        named = NAMED.match(code)
        if named or "def test_" in code:
            self._save(named[1] if named else f"tests/test_page_{block.line}.py", code)
        if "def test_" in code:
            return
        if "DAG(" in code:
            self._dag(code)
        elif re.search(r"\w(Operator|Sensor)\b", code):
            self.tasks.append(code)
        else:
            self._plainly(block, code)

    def do_literalinclude(self, block: Block) -> None:
        """See that the file is there. Of an example, tests/dags runs all."""
        assert ((ROOT / block.page).parent / block.argument).exists()

    def do_text(self, block: Block) -> None:
        said = block.text.splitlines()
        produces = next((produces for start, produces in OUTPUTS.items() if block.text.startswith(start)), None)
        assert produces, f"{block} shows an output that nothing produces (tests/docs/outputs.py)"
        printed = produces(self.sandbox, self.folder)
        missing = missing_lines(said, printed)
        assert not missing, f"{block}\n\nnot printed: {missing}\n\nprinted:\n{printed}"

    def do_json(self, block: Block) -> None:
        self.json = json.loads(block.text)
        if "conn_type" in self.json:
            self._check_settings(self.json)

    def do_ini(self, block: Block) -> None:
        section, *options = [line for line in block.text.splitlines() if line]
        known = get_provider_info()["config"][section.strip("[]")]["options"]
        assert {option.partition(" = ")[0] for option in options} <= set(known)

    def do_sql(self, block: Block) -> None:
        """Run each statement on a PostgreSQL: in the ledger's database, but for the statements that make it."""
        try:
            self.postgres()
        except NotInstalled as error:
            pytest.skip(str(error))
        for statement in filter(str.strip, block.text.split(";")):
            is_first = statement.lstrip().startswith("CREATE")
            self.postgres().execute(statement, "postgres" if is_first else "tcbilling")

    def export(self, name: str, value: Any) -> None:
        """Set a variable for the commands of the page."""
        self._variables.append(f"export {name}={shlex.quote(json.dumps(value))}")

    def do_layout(self, block: Block) -> None:
        """Check that the files and folders of a drawing are there."""
        for word in re.findall(r"(?<!\S)[a-z_]+(?:/|\.py)", block.text):
            assert (ROOT / word).exists() or (ROOT / "airflow_provider_tcbilling" / word).exists(), word

    def finish(self) -> None:
        """Run the tests of the page, and the tasks that it showed without a Dag, as one Dag in this order."""
        if (self.project / "tests").is_dir():
            pytest_here = "AIRFLOW__CORE__DAGS_FOLDER=$PWD/dags python -m pytest -q -p no:cacheprovider --rootdir ."
            self.printed = self.shell(f"cd {self.project} && {pytest_here} tests")
        if self.tasks:
            lines = "\n".join(self.tasks).splitlines()
            imports = [line for line in lines if line.startswith(("import ", "from "))]
            tasks = textwrap.indent("\n".join(line for line in lines if line not in imports), "    ")
            code = DAG_FILE.format(imports="\n".join(imports), tasks=tasks, params=self.params)
            self._dag(code, ("--conf", json.dumps(self.params)))

    def _save(self, name: str, code: str) -> None:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code, encoding="utf-8")

    def _plainly(self, block: Block, code: str) -> None:
        """Run it, and see that an expression is what the comment behind it says."""
        said = dict(re.findall(r"^(\S.*?)  # (.+)$", code, re.MULTILINE))
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{block.page}:{block.line}", "exec"), self.namespace)
        self.printed += printed.getvalue()
        for expression, value in said.items():
            assert str(eval(expression, self.namespace)) == value, expression

    def _dag(self, code: str, options: tuple[str, ...] = ()) -> None:
        path = self.folder / "dags" / "page.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, encoding="utf-8")
        self.printed = run(self.home, self, path, ledger_uri=self.ledger_uri, options=options)

    def _test_again(self, folder: str, name: str) -> None:
        """Run an example in the environment of the page, in a process that has imported Airflow already."""
        exported = dict(line.partition("=")[::2] for line in self.shell("env -0").split("\0") if line)
        path = self.checkout / folder / f"{name}.py"
        self.printed = run(self.home, self, path, environment=exported)

    def _serve(self, command: str) -> None:
        """Start a sandbox, and go on when it says how to reach it. The page goes on with one that speaks http."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = str(free.getsockname()[1])
        server = self._started(shlex.split(f"{self._here(command)} --port {port}"))
        self._servers.append(server)
        greeting = list(itertools.takewhile(lambda line: not line.startswith("Stop it"), server.stdout))
        assert any(f":{port}/" in line for line in greeting), greeting
        for line in greeting:
            self._check_connection(line.partition("  export ")[2].strip())
        if "--tls-cert" not in command:
            self.port = port
            assert self.asked("health")

    def _check_connection(self, command: str) -> None:
        """See that a connection that a page defines can be read."""
        from airflow.models import Connection

        if "AIRFLOW_CONN_" not in command:
            return
        name = re.search(r"AIRFLOW_CONN_\w+", command)[0]
        text = self.shell(f'{command.removeprefix("export ")}; printf %s "${name}"')
        found = Connection.from_json(text) if text.startswith("{") else Connection(uri=text)
        if name.endswith("_LEDGER"):
            assert found.conn_type in KINDS
            return
        self._check_settings(
            {"conn_type": found.conn_type, "host": found.host, "login": found.login, "password": found.password,
             "port": found.port, "extra": found.extra_dejson}
        )  # fmt: skip

    def _check_settings(self, told: dict[str, Any]) -> None:
        from airflow.models import Connection

        assert told["conn_type"] == CONN_TYPE
        assert set(told.get("extra", {})) <= {known.name for known in EXTRA_FIELDS}
        Settings.read(Connection(conn_id="page", **told))

    def _here(self, text: str) -> str:
        """Return what a page says with what is here: its port, its ids, and no long waits."""
        for said, here in {**HURRY, **self.given, THE_PORT: self.port}.items():
            text = text.replace(said, here)
        return text

    def _environment(self) -> dict[str, str]:
        return {
            **environment_of(self.home, self.url, self.folder, self.ledger_uri),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "200",
            # A key that stands on a page must not leave this machine.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "TMPDIR": str(self.folder),
        }


@pytest.fixture
def reader(airflow_home, start_sandbox, tmp_path):
    """A reader, in front of a sandbox and a connection to it."""
    with contextlib.ExitStack() as servers:
        start = functools.cache(lambda: servers.enter_context(postgresql(is_durable=True)))
        person = Reader(airflow_home, tmp_path, start_sandbox(), start)
        yield person
        person.close()
