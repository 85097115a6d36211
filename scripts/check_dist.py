"""Check what ``make dist`` built: nothing is missing or superfluous, and the tests that it carries can be collected."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from airflow_provider_tcbilling import __version__

ROOT = Path(__file__).resolve().parent.parent
NAME = f"airflow_provider_tcbilling-{__version__}"
PACKAGE = "airflow_provider_tcbilling/"
PARTS = ("airflow_provider_tcbilling", "tests", "scripts", "verification")
"""Folders that the source distribution holds whole."""


def files_of(folder: Path) -> set[str]:
    """Return the files below a folder of the checkout, without what tools leave there."""
    found = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found}


def check_wheel(path: Path) -> list[str]:
    inside = set(zipfile.ZipFile(path).namelist())
    modules = {name for name in inside if not name.startswith(f"{NAME}.dist-info/")}
    wanted = files_of(ROOT / PACKAGE)
    mistakes = [f"missing in the wheel: {name}" for name in sorted(wanted - modules)]
    mistakes += [f"superfluous in the wheel: {name}" for name in sorted(modules - wanted)]
    entry = f"{NAME}.dist-info/entry_points.txt"
    if "provider_info" not in zipfile.ZipFile(path).read(entry).decode():
        mistakes.append("the wheel does not tell Airflow of the provider")
    return mistakes


def check_sdist(path: Path, folder: Path) -> list[str]:
    with tarfile.open(path) as archive:
        archive.extractall(folder, filter="data")
    inside = {p.relative_to(folder / NAME).as_posix() for p in (folder / NAME).rglob("*") if p.is_file()}
    wanted = {name for part in PARTS for name in files_of(ROOT / part)}
    mistakes = [f"missing in the sdist: {name}" for name in sorted(wanted - inside)]
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    env = {**os.environ, "PYTHONPATH": str(folder / NAME)}
    done = subprocess.run(command, cwd=folder / NAME, env=env, capture_output=True, text=True, check=False)
    print("The tests of the sdist:", done.stdout.strip().rpartition("\n")[2])
    if done.returncode:
        mistakes.append(f"the tests of the sdist cannot be collected:\n{done.stdout[-3000:]}")
    return mistakes


def main() -> int:
    wheel, sdist = ROOT / "dist" / f"{NAME}-py3-none-any.whl", ROOT / "dist" / f"{NAME}.tar.gz"
    with tempfile.TemporaryDirectory() as folder:
        mistakes = check_wheel(wheel) + check_sdist(sdist, Path(folder))
    print(*mistakes, sep="\n")
    return 1 if mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
