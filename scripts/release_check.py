"""Check what a tag would publish: one version in tag, package and changelog. ``make release-check TAG=v0.2.0``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from airflow_provider_tcbilling import __version__

CHANGELOG = Path(__file__).resolve().parent.parent / "CHANGELOG.md"
HEADING = re.compile(r"^## (?P<version>\S+)(?: - (?P<date>\d{4}-\d\d-\d\d))?$", re.MULTILINE)


def mistakes(tag: str, version: str, changelog: str) -> list[str]:
    """Return why the tag must not be published, empty if it may be."""
    found = []
    if tag != f"v{version}":
        found.append(f"The tag {tag or '(none)'} is not v{version}, the version of the package.")
    headings = list(HEADING.finditer(changelog))
    dates = {heading["version"]: heading["date"] for heading in headings}
    if not dates.get(version):
        found.append(f"CHANGELOG.md has no section '## {version} - YYYY-MM-DD'.")
    for heading, after in zip(headings, [*headings[1:], None], strict=True):
        section = changelog[heading.end() : after.start() if after else None]
        if heading["version"] == "Unreleased" and section.strip():
            found.append(f"CHANGELOG.md has lines under 'Unreleased': move them to {version}.")
    return found


def main(tag: str) -> int:
    """Print the mistakes and return the exit code."""
    found = mistakes(tag, __version__, CHANGELOG.read_text(encoding="utf-8"))
    print(*found or [f"{tag} agrees with the package and the changelog."], sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2] or [""]))
