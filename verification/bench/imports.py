"""What an import adds to a process that has Airflow, and to the parsing of a DAG file."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from verification.bench.figures import BASELINE, Part, Table, Target, compared, in_turn

EXAMPLE = Path(__file__).resolve().parents[2] / "example_dags" / "buy_and_use.py"

ALL = "all operators, sensors and triggers"
HTTP = f"{BASELINE}HTTP provider's operator"
MODULES = "from airflow_provider_tcbilling.{0} import {1}"
IMPORTS = {
    ALL: "\n".join(
        MODULES.format(folder, names)
        for folder, names in {
            "operators": "expiry, instance, refund, renewal",
            "sensors": "delivery, expiry",
            "triggers": "delivery, expiry, shared_watch",
        }.items()
    ),
    "operators.instance alone": MODULES.format("operators", "instance"),
    "get_provider_info, in every component": "from airflow_provider_tcbilling import get_provider_info",
    HTTP: "import airflow.providers.http.operators.http",
    f"{BASELINE}SDK's billing client": "from tencentcloud.billing.v20180709 import billing_client, models",
}

CHILD = """
import json, time, tracemalloc
import psutil
{setup}
{traced} and tracemalloc.start()
rss = psutil.Process().memory_info
before, start = rss().rss, time.perf_counter()
{measured}
took = time.perf_counter() - start
memory = {{"MB RSS": (rss().rss - before) / 2**20, "MB heap": tracemalloc.get_traced_memory()[0] / 2**20}}
print(json.dumps({{"ms": took * 1e3, **memory}}))
"""
"""What a fresh process runs for one sample."""


def measure(quick: bool) -> Part:
    """Measure both."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "AIRFLOW_HOME": home, "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        imports = measure_imports(env, 3 if quick else 11)
        parsing = measure_parsing(env, 3 if quick else 11)
    took = next(row for row in imports[0].rows if row[0] == ALL)[4]
    wanted = "Importing all operators, sensors and triggers, over Airflow"
    return Part([*imports, parsing], [Target.at_most(wanted, took, 25, " ms")])


def in_process(setup: str, measured: str, env: Mapping[str, str], traced: bool = False) -> dict[str, float]:
    """Run statements after a setup in a fresh process; return what they took, by unit."""
    command = [sys.executable, "-I", "-c", CHILD.format(setup=setup, measured=measured, traced=traced)]
    child = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if child.returncode:
        sys.exit(child.stderr)
    return dict(json.loads(child.stdout.splitlines()[-1]))


def measure_imports(env: Mapping[str, str], rounds: int) -> list[Table]:
    """Measure what an import adds to a process that has Airflow's task SDK."""
    ours = "[name for name in sys.modules if name.startswith('airflow_provider_tcbilling')]"
    setup = f"import sys; from airflow.sdk import BaseOperator; [sys.modules.pop(name) for name in {ours}]"
    cases = {name: partial(in_process, setup, statement, env) for name, statement in IMPORTS.items()}
    if "apache-airflow-providers-http" not in {found.name for found in importlib.metadata.distributions()}:
        del cases[HTTP]
    taken = in_turn(cases, rounds)
    traced = in_turn({name: partial(case, traced=True) for name, case in cases.items()}, 3)
    note = "Added to 'from airflow.sdk import BaseOperator', a fresh process each time; provider_info, which that "
    note += "imports, is forgotten and counted. RSS reuses freed memory; the heap (tracemalloc, apart) says more."
    return [
        compared(title, note, {name: [one[unit] for one in samples] for name, samples in source.items()}, unit)
        for title, unit, source in (
            ("Import, time", "ms", taken),
            ("Import, resident memory", "MB RSS", taken),
            ("Import, heap", "MB heap", traced),
        )
    ]


def measure_parsing(env: Mapping[str, str], rounds: int) -> Table:
    """Measure what running a DAG file takes once Airflow was imported: an example, and the same without us."""
    text = re.sub(r"(?s)CreateInstanceOperator\(.*?\n    \)", 'EmptyOperator(task_id="buy")', EXAMPLE.read_text())
    empty = "from airflow.providers.standard.operators.empty import EmptyOperator"
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder, EXAMPLE.name)
        plain.write_text(re.sub(r"from airflow_provider_tcbilling.*", empty, text))
        files = {f"example_dags/{EXAMPLE.name}": EXAMPLE, f"{BASELINE}the same with EmptyOperator": plain}
        setup = "import runpy; from airflow.sdk import DAG, BaseOperator, task"
        cases = {name: partial(in_process, setup, f"runpy.run_path({str(p)!r})", env) for name, p in files.items()}
        taken = {name: [one["ms"] for one in samples] for name, samples in in_turn(cases, rounds).items()}
    added = statistics.median(ours - theirs for ours, theirs in zip(*taken.values(), strict=True))
    note = (
        "After 'from airflow.sdk import DAG, BaseOperator, task', a fresh process each time; other imports included. "
    )
    return compared("Parsing a DAG file", f"{note}Pair by pair, ours adds {added:.1f} ms.", taken, "ms")
