"""DAG files that are run to their ends on a real Airflow, in processes that have imported it already."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import SECRET_ID, SECRET_KEY

ROOT = Path(__file__).parents[2]
RUN_DAG = Path(__file__).with_name("run_dag.py")
AIRFLOW_3_0_TELLS_THE_KEY = re.compile(r"\[debug +\] Sending request +msg=MaskSecret\(")
"""A line of Airflow 3.0's own, in which it tells its log to hide the key of a connection, key and all."""


def migrate_once(folder: Path) -> Path:
    """
    Return an Airflow home with a migrated database. All workers of the test run share it, and none writes to it.

    :param folder: A folder that the workers share.
    """
    home = folder / "migrated-airflow"
    with (folder / "migrated-airflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "is-migrated").exists():
            command = [sys.executable, "-m", "airflow", "db", "migrate"]
            done = subprocess.run(command, env=environment_of(home), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            (home / "is-migrated").touch()
    return home


def copied_home(migrated: Path, home: Path) -> Path:
    """Make an Airflow home with a migrated database that nothing else uses."""
    home.mkdir()
    shutil.copyfile(migrated / "airflow.db", home / "airflow.db")
    settings = (migrated / "airflow.cfg").read_text(encoding="utf-8")
    (home / "airflow.cfg").write_text(settings.replace(str(migrated), str(home)), encoding="utf-8")
    return home


def environment_of(home, url="", folder=ROOT / "example_dags", ledger_uri=""):
    """
    Return the environment of a process of Airflow, with the connection to a sandbox.

    :param ledger_uri: The ledger; a path that ends with ``.db`` is a ledger in SQLite.
    """
    connection = {"conn_type": "tcbilling", "host": url, "login": SECRET_ID, "password": SECRET_KEY}
    ledger = {"ledger_conn_id": "ledger"} if ledger_uri.endswith(".db") else {"ledger_uri": ledger_uri}
    connection["extra"] = {"order_book_lag": 1, **ledger}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return {
        **kept,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW_CONN_TCBILLING_DEFAULT": json.dumps(connection),
        "AIRFLOW_CONN_LEDGER": json.dumps({"conn_type": "sqlite", "host": ledger_uri}),
    }


def run(home, sandbox, path, ending="success", ledger_uri="", options=(), environment=None):
    """
    Run a DAG file, see how it ends, and return all that it printed.

    :param ending: How the run ends, or a list of how each run does.
    :param options: Those of ``run_dag.py``.
    :param environment: The whole environment of the process, in place of one with a connection to the sandbox.
    """
    environment = environment or environment_of(home, sandbox.url, path.parent, ledger_uri)
    printed = _airflow().run([str(path), *options], environment)
    endings = [ending] if isinstance(ending, str) else ending
    assert re.findall(r"^dag run ended: (\w+)$", printed, re.MULTILINE) == endings, printed[-5000:]
    assert SECRET_KEY not in "\n".join(
        line for line in printed.splitlines() if not AIRFLOW_3_0_TELLS_THE_KEY.search(line)
    )
    return printed


class WarmAirflow:
    """
    A process that has imported Airflow, and forks a child for each run of a DAG file.

    A child has a database, a connection and a DAG folder of its own, so it leaves nothing behind for the next one.
    """

    def __init__(self) -> None:
        self._home = tempfile.mkdtemp(prefix="tcbilling-warm-airflow-")
        warnings = ["-W", "error::DeprecationWarning:airflow_provider_tcbilling"]
        self._process = subprocess.Popen(
            [sys.executable, *warnings, str(RUN_DAG), "--serve"],
            env={
                **environment_of(self._home),
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, arguments: list[str], environment: dict[str, str]) -> str:
        """Return what ``run_dag.py`` printed."""
        with tempfile.NamedTemporaryFile(dir=self._home) as output:
            job = {"arguments": arguments, "environment": environment, "output": output.name}
            print(json.dumps(job), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline()
            printed = Path(output.name).read_text(encoding="utf-8")
        assert answer == "done\n", f"The process that runs DAGs has ended: {answer!r}\n{printed[-5000:]}"
        return printed

    def close(self) -> None:
        self._process.communicate()
        shutil.rmtree(self._home)


@functools.cache
def _airflow() -> WarmAirflow:
    return WarmAirflow()


def close_airflow() -> None:
    """End the process that runs DAGs, if there is one."""
    if _airflow.cache_info().currsize:
        _airflow().close()
        _airflow.cache_clear()
