"""The store that remembers the purchase of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tcbilling.api.errors import StoreFailed
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.ledger.store import NoStore, Store
from airflow_provider_tcbilling.ledger.task_state import TaskStateStore

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


def store_of(context: Context, ledger_uri: str) -> Store:
    """
    Return what remembers the purchase of a task: the ledger if there is one, else what the line of Airflow has.

    :raises StoreFailed: The ledger cannot be opened. Nothing was sent.
    """
    if ledger_uri:
        try:
            return ObjectStore(ledger_uri)
        except Exception as error:
            raise StoreFailed(f"The ledger {ledger_uri} cannot be opened, so nothing was sent: {error!r}") from error
    if context.get("task_state_store") is not None:
        return TaskStateStore(context)
    return NoStore()
