"""The ledger of the demonstration: a SQLite file, its connections, and what ``ledger list`` shows of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support.real_airflow import AirflowTrouble, clean_environment

CONN_ID = "tcbilling_ledger"
LIST_SECONDS = 120.0
"""How long the command may take, most of which it needs to import Airflow."""


class Ledger:
    """
    A ledger in a file.

    :param home: Airflow's folder, in which the file is.
    """

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()
        self.path = self._home / "ledger.db"

    def connections(self, sandbox: str) -> dict[str, str]:
        """
        Return the environment variables of both connections.

        :param sandbox: The connection that the sandbox prints, in JSON.
        """
        ledger = {"conn_type": "sqlite", "host": str(self.path)}
        tencent = {**json.loads(sandbox), "extra": {"ledger_conn_id": CONN_ID}}
        return {
            f"AIRFLOW_CONN_{CONN_ID.upper()}": json.dumps(ledger),
            "AIRFLOW_CONN_TCBILLING_DEFAULT": json.dumps(tencent),
        }

    def list(self, sandbox: str) -> str:
        """
        Return what ``ledger list`` prints.

        :raises AirflowTrouble: The command failed.
        """
        listed = subprocess.run(
            [sys.executable, "-m", "airflow_provider_tcbilling", "ledger", "list"],
            env=clean_environment({**self.connections(sandbox), "AIRFLOW_HOME": str(self._home)}),
            cwd=self._home,
            capture_output=True,
            text=True,
            timeout=LIST_SECONDS,
            check=False,
        )
        if listed.returncode:
            raise AirflowTrouble(f"ledger list ended with code {listed.returncode}: {listed.stderr[-2000:]}")
        return listed.stdout.rstrip()
