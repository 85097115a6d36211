"""Break each guard of a purchase once, and see the test that holds it fail: ``make mutants``."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from verification.mutant_lists import MUTANTS
from verification.mutant_lists.mutant import Mutant, Stale

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("airflow_provider_tcbilling", "tests", "scripts", "verification", "docs", "example_dags")
TEST_SECONDS, SOUND_SECONDS = 300.0, 3000.0
"""How long the test of a mutant may take, and all tests before anything is broken."""

KILLED = "killed"


def chosen(names: Sequence[str], only: str) -> list[Mutant]:
    """Return the mutants whose description, anchor or test contains *only* and, if there are *names*, one of these."""
    texts = {mutant: f"{mutant.about} {mutant.anchor} {mutant.test}" for mutant in MUTANTS}
    return [one for one, text in texts.items() if only in text and (not names or any(name in text for name in names))]


def fate(mutant: Mutant, folder: Path) -> str:
    """Break the code in a copy of the project, run its test, and return the end of the mutant."""
    try:
        original, broken = mutant.place()
    except Stale as why:
        return f"STALE, {why}"
    path = folder / original.relative_to(ROOT)
    sound = path.read_text(encoding="utf-8")
    path.write_text(broken, encoding="utf-8")
    try:
        code, _ = run_tests([mutant.test], folder, TEST_SECONDS, "-x")
    finally:
        path.write_text(sound, encoding="utf-8")
    return {0: "SURVIVED", 1: KILLED}.get(code, f"NO TEST (pytest says {code})")


def run_tests(tests: Sequence[str], folder: Path, seconds: float, *options: str) -> tuple[int, str]:
    """Run tests against a copy; return pytest's exit code and its last lines. Tests that take too long fail: 1."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", *options, *tests]
    env = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=seconds
        )
    except subprocess.TimeoutExpired:
        return 1, f"no end after {seconds:.0f} s"
    return done.returncode, "\n".join(done.stdout.splitlines()[-30:])


def copy_project(folder: Path) -> None:
    """Copy all that the tests need."""
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_build"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, folder)


def try_all(mutants: Sequence[Mutant], jobs: int) -> list[str]:
    """Try mutants, each in a copy that no other one uses at the time, and print the end of each."""
    with tempfile.TemporaryDirectory() as place:
        free: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            copy_project(Path(place) / str(number))
            free.put(Path(place) / str(number))

        def end_of(mutant: Mutant) -> str:
            folder = free.get()
            try:
                return fate(mutant, folder)
            finally:
                free.put(folder)

        code, output = run_tests(sorted({mutant.test for mutant in mutants}), Path(place) / "0", SOUND_SECONDS)
        if code:
            sys.exit(f"{output}\nThe tests fail before anything is broken.")
        fates = []
        with ThreadPoolExecutor(jobs) as pool:
            for mutant, end in zip(mutants, pool.map(end_of, mutants), strict=True):
                fates.append(end)
                print(f"{end:10} {mutant.about:50} {mutant.test.rpartition('::')[2]}", flush=True)
        return fates


def main(given: Sequence[str] | None = None) -> int:
    """Try mutants; the exit code is 0 if all are killed, each by the test that it names."""
    parser = argparse.ArgumentParser(prog="python -m verification.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", help="text in a mutant's description, anchor or test; all by default")
    parser.add_argument("--only", default="", metavar="TEXT", help="text that must be there in any case")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="mutants at once (%(default)s)")
    parser.add_argument("--list", action="store_true", help="run nothing, list the mutants")
    arguments = parser.parse_args(given)
    mutants = chosen(arguments.names, arguments.only)
    if not mutants:
        parser.error("no mutant is called so")
    if arguments.list:
        print(*(f"{mutant.about:50} {mutant.anchor:45} {mutant.test}" for mutant in mutants), sep="\n")
        return 0
    counts = Counter(fate.split()[0].strip(",") for fate in try_all(mutants, arguments.jobs))
    others = "".join(f", {number} {fate}" for fate, number in counts.items() if fate != KILLED)
    print(f"{counts[KILLED]} of {len(mutants)} killed{others}")
    return 0 if counts[KILLED] == len(mutants) else 1


if __name__ == "__main__":
    sys.exit(main())
