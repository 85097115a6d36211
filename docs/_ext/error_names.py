"""Error names: the classes of the package's errors, in whatever room they are."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

from airflow_provider_tcbilling.api.errors import TcBillingError

ROOMS = ("purchasing.purchase", "task.errors")
"""Modules that import every room that has errors of its own."""


def error_names() -> frozenset[str]:
    """Return the names of all errors but their common root."""
    for module in ROOMS:
        importlib.import_module(f"airflow_provider_tcbilling.{module}")
    return frozenset(
        kind.__name__ for kind in _below(TcBillingError) if kind.__module__.startswith("airflow_provider_")
    )


def _below(kind: type[TcBillingError]) -> Iterator[type[TcBillingError]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)
