"""The rooms below the tasks do not know what runs them, so they do not speak of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "airflow_provider_tcbilling"
PRODUCT = "airflow-provider-tcbilling"
"""The name of the product is data: a User-Agent, a folder, the purpose of a fingerprint. It may not change."""

OF_TASKS = re.compile(r"\b(airflow|dags?|tasks?|(?<!\.)clear(s|ed|ing)?)\b", re.IGNORECASE)


@pytest.mark.parametrize("room", ["api", "purchasing", "waiting"])
def test_a_room_below_the_tasks_does_not_speak_of_them(room):
    files = sorted((PACKAGE / room).rglob("*.py"))
    lines = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if OF_TASKS.search(line.replace(PRODUCT, ""))
    ]

    assert files
    assert lines == []
