"""The fields of the connection, and the lines of Airflow that are tested."""

from __future__ import annotations

import re
from pathlib import Path

from airflow_provider_tcbilling.hooks.connection import EXTRA_FIELDS
from reference.markdown import table

REQUIREMENTS = Path(__file__).resolve().parents[3] / "requirements"
PINS = re.compile(r"# Everything for Airflow (\S+) on Python (\S+ to \S+), packages as of ([0-9-]+)")


def parts() -> dict[str, str]:
    """Return every part by its name."""
    extras = [
        (f"`{field.name}`", field.type + ", secret" * field.is_secret, field.default, field.about)
        for field in EXTRA_FIELDS
    ]
    pins = [PINS.match(path.read_text(encoding="utf-8")) for path in sorted(REQUIREMENTS.glob("airflow-*.in"))]
    return {
        "extra_fields": table(("Name", "Type", "Default", "Meaning"), extras),
        "airflow_lines": table(("Airflow", "Python", "Packages as of"), [pin.groups() for pin in pins if pin]),
    }
