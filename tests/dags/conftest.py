"""A metadata database, and a DAG file that is run to its end in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SECRET_ID, SECRET_KEY

ROOT = Path(__file__).parents[2]
AIRFLOW_3_0_TELLS_THE_KEY = re.compile(r"\[debug +\] Sending request +msg=MaskSecret\(")
"""A line of Airflow 3.0's own, in which it tells its log to hide the key of a connection, key and all."""


@pytest.fixture(scope="module")
def airflow_home(tmp_path_factory):
    """A migrated metadata database."""
    home = tmp_path_factory.mktemp("airflow")
    environment = environment_of(home)
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=environment, check=True, capture_output=True)
    return home


def environment_of(home, url="", folder=ROOT / "example_dags", ledger_uri=""):
    connection = {"conn_type": "tcbilling", "host": url, "login": SECRET_ID, "password": SECRET_KEY}
    connection["extra"] = {"order_book_lag": 1, "ledger_uri": ledger_uri}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    return {
        **kept,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW_CONN_TCBILLING_DEFAULT": json.dumps(connection),
    }


def run(home, sandbox, path, ending="success", ledger_uri="", options=()):
    """
    Run a DAG file, see how it ends, and return all that it printed.

    :param ending: How the run ends, or a list of how each run does.
    :param options: Those of ``run_dag.py``.
    """
    command = [
        sys.executable,
        "-W",
        "error::DeprecationWarning:airflow_provider_tcbilling",
        str(Path(__file__).with_name("run_dag.py")),
    ]
    done = subprocess.run(
        [*command, str(path), *options],
        env=environment_of(home, sandbox.url, path.parent, ledger_uri),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    printed = done.stdout + done.stderr
    endings = [ending] if isinstance(ending, str) else ending
    assert re.findall(r"^dag run ended: (\w+)$", printed, re.MULTILINE) == endings, printed[-5000:]
    assert SECRET_KEY not in "\n".join(
        line for line in printed.splitlines() if not AIRFLOW_3_0_TELLS_THE_KEY.search(line)
    )
    return printed
