"""Measure everything, show it as it comes, and write it down."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Any

from verification import published
from verification.bench import page
from verification.bench.figures import Part

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".bench" / "results.json.xz"
PARTS = ("costs", "ledgers", "imports", "fleet", "polling", "simulation", "real")
"""Modules of this package, each with a function ``measure(quick)``, in the order of the page."""


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m verification.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer samples, more noise; nothing is published")
    parser.add_argument("--only", default="", help=f"parts, with commas between: {', '.join(PARTS)}")
    parser.add_argument("--publish", action="store_true", help="write the figures and the pictures of the docs")
    chosen = parser.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]  # the SDK would send even a local sandbox's requests through it
    wanted = chosen.only.split(",") if chosen.only else PARTS
    if unknown := set(wanted) - set(PARTS):
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    parts = [part for part in PARTS if part in wanted]
    with tempfile.TemporaryDirectory() as home:
        os.environ["AIRFLOW_HOME"], os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = home, "False"
        found = {
            name: measured(name, import_module(f"verification.bench.{name}").measure, chosen.quick) for name in parts
        }
    results = page.PUBLISHED if chosen.publish and not chosen.quick else RESULTS
    results.parent.mkdir(exist_ok=True)
    every = {**(published.read(results) or {}), **found}
    published.write(results, json.dumps({name: every[name] for name in PARTS if name in every}, indent=1) + "\n")
    print(f"\nAs JSON: {results.relative_to(ROOT)} (xz)")
    if results == page.PUBLISHED:
        page.draw()


def measured(name: str, measure: Callable[[bool], Part], quick: bool) -> dict[str, Any]:
    """Measure a part and show it; return it as plain data."""
    start = time.monotonic()
    part = measure(quick)
    for table in part.tables:
        table.show()
    for target in part.targets:
        print(f"{'met   ' if target.is_met else 'MISSED'}  {target.what}: {target.reached} (wanted: {target.wanted})")
    print(f"{name} took {time.monotonic() - start:.0f} s", flush=True)
    return {"environment": environment(quick), **part.as_dict()}


def environment(quick: bool) -> dict[str, Any]:
    """Return what the figures depend on."""
    versions = {
        name: importlib.metadata.version(name) for name in ("apache-airflow", "tencentcloud-sdk-python-intl-en")
    }
    return {
        "date": date.today().isoformat(),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": sys.version.split()[0],
        "quick": quick,
        **versions,
    }


if __name__ == "__main__":
    main()
