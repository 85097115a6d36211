"""Whether what was printed is like what a page says is printed: numbers, ids and times may differ."""

from __future__ import annotations

import re

MASKS = (
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)?", "<time>"),
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<token>"),
    (r"\b\d{15,}\b", "<order>"),
    (r"ins-[0-9a-f]+", "<instance>"),
    (r"file://[^\s;]*/", "<ledger>/"),
    (r"file://[^\s;]+", "<ledger>"),
    (r"-[0-9a-f]{24}\b", "-<hash>"),
    (r"127\.0\.0\.1:\d+", "<sandbox>"),
    (r"\s+", " "),
)


def masked(line: str) -> str:
    for pattern, shown in MASKS:
        line = re.sub(pattern, shown, line)
    return line.strip()


def missing_lines(said: list[str], printed: str) -> list[str]:
    """
    Return the lines of a page that were not printed, in this order.

    ``...`` stands for anything within a line, and a line of nothing else for any lines.
    """
    left = [masked(line) for line in printed.splitlines()]
    missing = []
    for line in said:
        wanted = re.compile(".*".join(map(re.escape, masked(line).split("..."))))
        place = next((place for place, found in enumerate(left) if wanted.fullmatch(found)), None)
        if place is None:
            missing.append(line)
        else:
            left = left[place + 1 :]
    return missing
