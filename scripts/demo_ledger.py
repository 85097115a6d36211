"""The ledger of a demonstration: a SQLite file, its connections, and the commands that read it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.real_airflow import AirflowTrouble, clean_environment

CONN_ID = "tcbilling_ledger"
COMMAND_SECONDS = 120.0
"""How long a command may take, most of which it needs to import Airflow."""


class Finished(NamedTuple):
    """A command that has ended: its exit code, and what it printed."""

    code: int
    text: str


class Ledger:
    """
    A ledger in a file.

    :param home: Airflow's folder, in which the file is.
    """

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()
        self.path = self._home / "ledger.db"

    def connections(self, sandbox: str, rules: Mapping[str, Any] | None = None) -> dict[str, str]:
        """
        Return the environment variables of both connections.

        :param sandbox: The connection that the sandbox prints, in JSON.
        :param rules: More fields of its extra.
        """
        ledger = {"conn_type": "sqlite", "host": str(self.path)}
        tencent = {**json.loads(sandbox), "extra": {"ledger_conn_id": CONN_ID, **(rules or {})}}
        return {
            f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(ledger),
            "AIRFLOW_CONN_TCBILLING_DEFAULT": json.dumps(tencent),
        }

    def list(self, sandbox: str) -> str:
        """
        Return what ``ledger list`` prints.

        :raises AirflowTrouble: The command failed.
        """
        listed = self.command(self.connections(sandbox), "ledger", "list")
        if listed.code:
            raise AirflowTrouble(f"ledger list ended with code {listed.code}: {listed.text[-2000:]}")
        return listed.text

    def command(self, connections: Mapping[str, str], *arguments: str) -> Finished:
        """
        Run a command of this package, and return its exit code and its output; with errors, if it ended badly.

        :param connections: Environment variables.
        :raises AirflowTrouble: It takes too long.
        """
        try:
            done = subprocess.run(
                [sys.executable, "-m", "airflow_provider_tcbilling", *arguments],
                env=clean_environment({**connections, "AIRFLOW_HOME": str(self._home)}),
                cwd=self._home,
                capture_output=True,
                text=True,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise AirflowTrouble(f"{' '.join(arguments)}: not done after {COMMAND_SECONDS:.0f} s") from None
        text = done.stdout if done.returncode == 0 else done.stdout or done.stderr
        return Finished(done.returncode, text.rstrip())
