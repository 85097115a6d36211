"""The commands and blocks of the pages that these tests do not run, each with the reason."""

from __future__ import annotations

import re

SUITE = "it runs, or contains, this very suite; .ci/run runs it"
HOURS = "it takes an hour or more"
ELSEWHERE = "there is no Docker and no Kubernetes where the tests run; tests/deploy compares the files with Airflow"
DOWNLOADS = "it needs a package index, or uses what came from there"

NOT_RUN: dict[str, str] = {
    r"make (test|check)\b": SUITE,
    r"make demo\b": "it starts a whole Airflow; .ci/run runs it, and tests/system starts one too",
    r"# waits for a user": "a user must answer; tests/system/test_approval.py does",
    r"python -m airflow_provider_tcbilling approve\b": "its plan is in a task's log; tests/cli runs it",
    r"make sandbox\b": "it runs until it is stopped; other pages start the sandbox themselves",
    r"make (matrix|schedules|kill-matrix|cluster|mutants|bench)\b": HOURS,
    r"make (docs|dist|test-dist|release-check|pins|audit)\b": f"{DOWNLOADS}; make check builds the pages",
    r"(pip install|python -m venv|cat sandbox\.pem|tccli/bin/)": f"{DOWNLOADS}; the Makefile installs in the same way",
    r"(docker|helm|kubectl|cd deploy/compose)\b": ELSEWHERE,
    r"AIRFLOW__CORE__DAGS_FOLDER=\S+ python -m pytest\b": "the tests of a page run when it has been read to its end",
}
"""Regular expression of a command, or of the first line of a block, to the reason why it is not run."""


def mark(text: str) -> str:
    """Return the line of the table that says why a command or block is not run, empty if it is run."""
    return next((pattern for pattern in NOT_RUN if re.match(pattern, text)), "")
