"""Break each guard of a purchase once, and see the test that guards it fail: ``make mutants``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from verification.mutant_lists import MUTANTS
from verification.mutant_lists.mutant import Mutant, Stale

ROOT = Path(__file__).resolve().parent.parent


def fate(mutant: Mutant, folder: Path) -> str:
    """Break the line in a copy of the project, run its test, and return what became of the mutant."""
    try:
        original, broken = mutant.place()
    except Stale as why:
        return f"STALE, {why}"
    path = folder / original.relative_to(ROOT)
    sound = path.read_text(encoding="utf-8")
    path.write_text(broken, encoding="utf-8")
    try:
        code = run_tests([mutant.test], folder)
    finally:
        path.write_text(sound, encoding="utf-8")
    return {0: "SURVIVED", 1: "killed"}.get(code, f"NO TEST (pytest says {code})")


def run_tests(tests: list[str], folder: Path, seconds: float = 300.0) -> int:
    """Run tests against the copy and return pytest's exit code; 1 says that some failed, or took too long."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.run(
            command, cwd=folder, env=env, capture_output=True, check=False, timeout=seconds
        ).returncode
    except subprocess.TimeoutExpired:
        return 1


def main() -> int:
    """Try every mutant; the exit code is 0 if all are killed, each by the test that it names."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in ("airflow_provider_tcbilling", "tests", "scripts", "verification", "docs", "example_dags"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md"):
            shutil.copy(ROOT / name, folder)
        if run_tests(sorted({mutant.test for mutant in MUTANTS}), folder, 3000.0) != 0:
            print("The tests fail before anything is broken.")
            return 1
        fates = []
        for mutant in MUTANTS:
            fates.append(fate(mutant, folder))
            print(f"{fates[-1]:10} {mutant.about:50} {mutant.test.rpartition('::')[2]}", flush=True)
    killed = fates.count("killed")
    print(f"{killed} killed, {len(fates) - killed} not")
    return 0 if killed == len(fates) else 1


if __name__ == "__main__":
    sys.exit(main())
