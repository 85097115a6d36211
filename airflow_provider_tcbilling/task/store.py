"""The store that remembers the purchase of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.ledger.store import NoStore, Store
from airflow_provider_tcbilling.ledger.task_state import TaskStateStore
from airflow_provider_tcbilling.purchasing.errors import StoreFailed

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


def store_of(context: Context, ledger_uri: str) -> Store:
    """
    Return what remembers the purchase of a task: the ledger if there is one, else what the line of Airflow has.

    :raises StoreFailed: The ledger cannot be opened. Nothing was sent.
    """
    if ledger_uri:
        return open_ledger(ledger_uri)
    if context.get("task_state_store") is not None:
        return TaskStateStore(context)
    return NoStore()


def open_ledger(ledger_uri: str) -> Store:
    """
    Open a ledger with the class that the deployment has chosen: ``[tcbilling] ledger_class``, or else our own.

    :raises StoreFailed: It cannot be opened. Nothing was sent.
    """
    from airflow.providers.common.compat.sdk import conf

    try:
        kind = conf.getimport("tcbilling", "ledger_class", fallback=None) or ObjectStore
        ledger = kind(ledger_uri)
    except Exception as error:
        raise StoreFailed(f"The ledger {ledger_uri} cannot be opened, so nothing was sent: {error!r}") from error
    if not isinstance(ledger, Store):
        raise StoreFailed(f"[tcbilling] ledger_class is {kind!r}, which is no Store, so nothing was sent.")
    return ledger
