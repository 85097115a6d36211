"""The commands and blocks of the pages that these tests do not run, each with the reason."""

from __future__ import annotations

import re

SUITE = "it runs, or contains, this very suite; .ci/run runs it"
HOURS = "it takes an hour or more"
INSTALLS = "it would change the environment that runs the tests; the Makefile installs in the same way"

NOT_RUN: dict[str, str] = {
    r"make (test|check)\b": SUITE,
    r"make demo\b": "it starts a whole Airflow; .ci/run runs it, and tests/system starts one too",
    r"make (matrix|schedules|kill-matrix|mutants|bench)\b": HOURS,
    r"make docs\b": "make check builds the same pages, from packages that the tests do without",
    r"from airflow\.sdk import DAG, task\b": "tests/dags runs the Dag of the README, on every line of Airflow 3",
    r"pip install \.": INSTALLS,
    r"pip install '\.\[sandbox\]'": INSTALLS,
}
"""Regular expression of a command, or of the first line of a block, to the reason why it is not run."""


def mark(text: str) -> str:
    """Return the line of the table that says why a command or block is not run, empty if it is run."""
    return next((pattern for pattern in NOT_RUN if re.match(pattern, text)), "")
