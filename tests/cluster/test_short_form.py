"""The short form of the cluster: lost machines of a real Airflow on PostgreSQL, Redis and Celery."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.real_airflow import clean_environment
from verification.cluster import machine
from verification.cluster.scenarios import IGNORE, SHORT
from verification.cluster.trial import DATABASE

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".cluster" / "bin" / "python"
RUN_SECONDS = 2400
LINE = re.compile(r"\d+/\d+  (\S+) +(\d+) / (\d+) / (\d+) / (\d+) / (\d+)")

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(bool(machine.missing()), reason=f"this machine has no {' and no '.join(machine.missing())}"),
    pytest.mark.skipif(not PYTHON.exists(), reason="make test-system sets up .cluster, with the Celery executor"),
]


def test_a_fleet_that_loses_machines_buys_all_once_and_nobody_is_needed():
    command = [str(PYTHON), "-X", "faulthandler", "-m", "verification.cluster", "--short"]
    env = clean_environment({"PYTHONPATH": str(ROOT)})

    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)

    found = {name: tuple(map(int, figures)) for name, *figures in LINE.findall(done.stdout)}
    expected = {f"{scenario}/{DATABASE}/{IGNORE}": (16, 16, 0, 0, 0) for scenario in SHORT}
    output = f"{done.stdout}\n{done.stderr}"
    assert set(found) == {f"{scenario}/{store}/{IGNORE}" for scenario, stores in SHORT.items() for store in stores}, (
        output
    )
    assert {name: found[name] for name in expected} == expected, output
    assert all(double == lost == 0 for _, _, _, double, lost in found.values()), output
