"""XComs as Airflow's database has them."""

from __future__ import annotations

import json
from typing import Any


def plain(value: Any) -> Any:
    """Return the JSON data of an XCom; some lines of Airflow store it as text of text."""
    while isinstance(value, (str, bytes)):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    return value
