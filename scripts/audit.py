"""Check the pins of requirements/*.txt, and say plainly what could not be checked: ``make audit``.

The exit code is 0 if all was checked and nothing found, 1 if something was found, 2 if something could not be checked.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = Path(sys.executable).with_name("uv")
AUDITOR = ROOT / ".audit" / "bin" / "pip-audit"
PIN = re.compile(r"([a-z0-9-]+)==([^\s;]+)(?: ; (.+))?")
HASH = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Pin:
    """One release, for the systems that the marker names; empty for all."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]


@dataclass
class Findings:
    """What is wrong, what is worth knowing, and what could not be checked."""

    wrong: list[str]
    newer: list[str]
    unchecked: list[str]


def pins_of(path: Path) -> list[Pin]:
    """
    Read the pins of a list.

    :raises ValueError: A line is something else, or has no hash, so an installer could not check it.
    """
    pins = []
    for line in re.sub(r" *\\\n +", " ", path.read_text(encoding="utf-8")).splitlines():
        if not line or line.startswith("#"):
            continue
        pin, *hashes = line.split(" --hash=")
        found = PIN.fullmatch(pin)
        if not found:
            raise ValueError(f"{path.name}: {pin!r} is not pinned by name and version")
        if not hashes or not all(map(HASH.fullmatch, hashes)):
            raise ValueError(f"{path.name}: {pin} has no hash, or one that is not SHA-256")
        pins.append(Pin(found[1], found[2], found[3] or "", tuple(hashes)))
    return pins


def output_of(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def check_index(path: Path, findings: Findings) -> None:
    """Let the installer resolve a list against the index, with hashes; it names what is missing or withdrawn."""
    with tempfile.TemporaryDirectory() as target:
        done = output_of(UV, "pip", "install", "--dry-run", "--no-progress", "--color", "never", "--target", target,
                         "--python", sys.executable, "--require-hashes", "-r", path)  # fmt: skip
    said = " ".join(done.stderr.split())
    findings.wrong += [f"{path.name}: {name} is withdrawn" for name in re.findall(r"`(\S+==\S+)` is yanked", said)]
    if done.returncode:
        reason = f"{path.name} on this system: {said[:300]}"
        is_offline = re.search(r"error sending request|dns error|Failed to fetch|offline", said)
        (findings.unchecked if is_offline else findings.wrong).append(reason)


def check_newer(findings: Findings) -> None:
    """List what is installed here and has a newer release. That is no mistake: a pin is as of a day."""
    done = output_of(UV, "pip", "list", "--python", sys.executable, "--outdated", "--format", "json")
    if done.returncode:
        findings.unchecked.append("newer releases: the index did not answer")
        return
    findings.newer += [f"{one['name']} {one['version']} -> {one['latest_version']}" for one in json.loads(done.stdout)]


def check_vulnerabilities(path: Path, findings: Findings) -> None:
    """
    Let pip-audit ask the index for known vulnerabilities.

    pip-audit counts a package that the index tells nothing of as skipped, and calls the rest clean. An index without
    vulnerability data would look like a clean one, so what was skipped counts as not checked.
    """
    done = output_of(
        AUDITOR, "--disable-pip", "--require-hashes", "--progress-spinner", "off", "-f", "json", "-r", path
    )
    try:
        dependencies = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, TypeError):
        findings.unchecked.append(
            f"known vulnerabilities of {path.name}: pip-audit failed: {done.stderr[-200:].strip()}"
        )
        return
    skipped = [one["name"] for one in dependencies if "skip_reason" in one]
    if skipped:
        findings.unchecked.append(
            f"known vulnerabilities of {len(skipped)} of {len(dependencies)} packages in {path.name}: "
            f"the index tells nothing of {', '.join(skipped[:3])}{' and others' if len(skipped) > 3 else ''}"
        )
    findings.wrong += [
        f"{path.name}: {one['name']} {one['version']} has {hole['id']}, fixed in {', '.join(hole['fix_versions'])}"
        for one in dependencies
        for hole in one.get("vulns", ())
    ]


def check(paths: list[Path]) -> Findings:
    findings = Findings([], [], [])
    for path in paths:
        try:
            pins = pins_of(path)
        except ValueError as error:
            findings.wrong.append(str(error))
            continue
        print(f"{path.name}: {len(pins)} pins, {sum(len(pin.hashes) for pin in pins)} hashes", flush=True)
        check_index(path, findings)
        check_vulnerabilities(path, findings)
    check_newer(findings)
    return findings


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="lists to check; all if none is named")
    paths = parser.parse_args(arguments).files or sorted((ROOT / "requirements").glob("*.txt"))
    findings = check(paths)
    for title, lines in (
        ("Newer releases of what is installed here", findings.newer),
        ("NOT CHECKED", findings.unchecked),
        ("Wrong", findings.wrong),
    ):
        if lines:
            print(f"\n{title}:", *lines, sep="\n  ")
    if not findings.wrong and not findings.unchecked:
        print("\nEvery pin has hashes, can be installed, is not withdrawn, and has no known vulnerability.")
    return 1 if findings.wrong else 2 if findings.unchecked else 0


if __name__ == "__main__":
    sys.exit(main())
