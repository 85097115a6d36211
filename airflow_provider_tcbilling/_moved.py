"""Names that have moved: their old places forward to the new ones, and warn."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

OF_TASKS = {"airflow_provider_tcbilling.api.purchase": ("task.dag_run",)}
"""Rooms that hold names of an old module, and of which a room below them does not speak."""


def forward(old: str, *rooms: str, **renamed: str) -> Callable[[str], Any]:
    """
    Return the ``__getattr__`` of a module whose names have moved.

    :param old: The module.
    :param rooms: The modules that have its names now, within this package.
    :param renamed: New names by old ones.
    """

    def look_up(name: str) -> Any:
        for room in () if name.startswith("__") else (*rooms, *OF_TASKS.get(old, ())):
            module = import_module(f"airflow_provider_tcbilling.{room}")
            if hasattr(module, renamed.get(name, name)):
                new = renamed.get(name, name)
                warnings.warn(
                    f"{old}.{name} has moved: import {new} from {module.__name__}", DeprecationWarning, stacklevel=2
                )
                return getattr(module, new)
        raise AttributeError(f"module {old!r} has no attribute {name!r}")

    return look_up
