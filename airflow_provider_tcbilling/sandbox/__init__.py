"""
A local, stateful billing API: the server side of the tables in :mod:`airflow_provider_tcbilling.api`.

It is ours, not Tencent's: where the real service's behaviour is not documented it can play each possibility, and
``docs/reference/sandbox.md`` lists what it does not do.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_tcbilling.sandbox.options import Options
    from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
    from airflow_provider_tcbilling.sandbox.server import running

__all__ = ["Options", "Sandbox", "running"]

_HOMES = {"Options": "options", "Sandbox": "sandbox", "running": "server"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is used: the server needs packages that come with the extra ``sandbox`` only."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
