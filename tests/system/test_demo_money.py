"""The demonstration of money: every step keeps its promise, on a real Airflow."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("airflow.sdk.execution_time.hitl", reason="approvals came with Airflow 3.1")
pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 1200
"""It takes a minute or two on an idle machine."""


def test_every_step_of_the_demonstration_keeps_its_promise():
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo_money"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    kept, of = re.search(r"Money under control: (\d+) of (\d+) steps as promised", done.stdout).groups()
    assert kept == of == "8"
    assert "The page for finance: " in done.stdout
