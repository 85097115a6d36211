"""The sandbox: its faults, the distortions of its order book, its command line."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys

from airflow_provider_tcbilling.sandbox.distortions import DISTORTIONS
from airflow_provider_tcbilling.sandbox.faults import KINDS, Kind
from airflow_provider_tcbilling.sandbox.limits import Range
from reference.markdown import table


def parts() -> dict[str, str]:
    """Return every part by its name."""
    distortions = [
        (f"`{name}`", distortion.about, "a field" if distortion.of_value else "the answer")
        for name, distortion in DISTORTIONS.items()
    ]
    return {
        "faults": table(("Fault", "What it does", "Options (default)", "Strikes the"), map(_fault, KINDS)),
        "distortions": table(("Distortion", "The order book", "Distorts"), distortions),
        "sandbox_flags": _flags(),
    }


def _fault(name: str) -> tuple[str, ...]:
    kind = KINDS[name]
    options = ", ".join(f"`{option}` (`{value!r}`{_range(kind, option)})" for option, value in kind.options.items())
    return f"`{name}`", kind.about, options, kind.part.value


def _range(kind: Kind, option: str) -> str:
    limit = kind.limits.get(option)
    return f", {limit.least:,} to {limit.most:,}" if isinstance(limit, Range) else ""


def _flags() -> str:
    command = [sys.executable, "-m", "airflow_provider_tcbilling.sandbox", "--help"]
    shown = subprocess.run(command, env={**os.environ, "COLUMNS": "100"}, capture_output=True, text=True, check=True)
    return f"```text\n{inspect.cleandoc(shown.stdout.partition('options:')[2])}\n```\n"
