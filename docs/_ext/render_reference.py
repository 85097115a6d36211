"""
Write the generated parts of the documentation, and the picture of the kill matrix.

A page holds a part between ``<!-- generated: NAME -->`` and ``<!-- end -->``. Pages may move: they are found by their
markers. ``--check`` writes nothing, and names the files that are stale.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from reference import actions, errors, project, sandbox

from verification.bench import page
from verification.cluster import tables as cluster
from verification.kill_matrix import data, picture, tables

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PICTURE = DOCS / "_figures" / "kill-matrix.svg"
PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
LINK = re.compile(r"\(part:(\w+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SUBJECTS = (actions, errors, sandbox, project, tables, cluster, page)


def pages() -> dict[Path, str]:
    """Return the text of every page by its path."""
    paths = [ROOT / "README.md", *(path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts)]
    return {path: path.read_text(encoding="utf-8") for path in paths}


def sections(texts: Mapping[Path, str]) -> dict[str, tuple[Path, str]]:
    """Return for each part the page that holds it, and the anchor of its section there."""
    found: dict[str, tuple[Path, str]] = {}
    for path, text in texts.items():
        for marker in PART.finditer(text):
            heading = HEADING.findall(text, 0, marker.start())[-1]
            found.setdefault(marker[2], (path, re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")))
    return found


def rendered(texts: Mapping[Path, str], parts: Mapping[str, str]) -> dict[Path, str]:
    """Return the text of every page with its parts made anew."""
    places = sections(texts)
    if unknown := places.keys() - parts.keys():
        sys.exit(f"No generated part is called {', '.join(sorted(unknown))}")

    def page_of(path: Path) -> str:
        return PART.sub(lambda marker: marker[1] + linked(parts[marker[2]], path, places), texts[path])

    return {path: page_of(path) for path in texts}


def linked(part: str, path: Path, places: Mapping[str, tuple[Path, str]]) -> str:
    """Return a part with its links to other parts as they are from a page."""

    def target(link: re.Match[str]) -> str:
        page_of_part, anchor = places[link[1]]
        return f"({os.path.relpath(page_of_part, path.parent) if page_of_part != path else ''}#{anchor})"

    return LINK.sub(target, part)


def main() -> None:
    """Write what is stale, or name it."""
    texts = pages()
    written = rendered(texts, {name: text for subject in SUBJECTS for name, text in subject.parts().items()})
    texts[PICTURE] = PICTURE.read_text(encoding="utf-8") if PICTURE.exists() else ""
    written[PICTURE] = picture.draw(data.read())
    stale = {path: text for path, text in written.items() if text != texts[path]}
    if stale and "--check" in sys.argv:
        sys.exit(
            f"Stale: {', '.join(str(path.relative_to(ROOT)) for path in stale)}. Run docs/_ext/render_reference.py"
        )
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
