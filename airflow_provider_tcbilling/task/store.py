"""The store that remembers the purchase of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.ledger.store import NoStore, Store
from airflow_provider_tcbilling.ledger.task_state import TaskStateStore
from airflow_provider_tcbilling.purchasing.errors import StoreFailed
from airflow_provider_tcbilling.purchasing.record_json import MOMENTS

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.hooks.connection import Settings


def store_of(context: Context, settings: Settings | None) -> Store:
    """
    Return what remembers the purchase of a task: the ledger if there is one, else what the line of Airflow has.

    :raises StoreFailed: The ledger cannot be opened. Nothing was sent.
    """
    if settings and settings.ledger:
        return open_ledger(settings)
    if context.get("task_state_store") is not None:
        return TaskStateStore(context)
    return NoStore()


def open_ledger(settings: Settings) -> Store:
    """
    Open the ledger that a connection names.

    A ``ledger_conn_id`` is opened as a database; a ``ledger_uri`` by the class that the deployment has chosen,
    ``[tcbilling] ledger_class``, or else as object storage.

    :raises StoreFailed: It cannot be opened. Nothing was sent.
    """
    try:
        if settings.ledger_conn_id:
            from airflow_provider_tcbilling.task.ledger_connection import open_database

            return open_database(settings.ledger_conn_id)
        return _opened_by_class(settings.ledger_uri)
    except StoreFailed:
        raise
    except Exception as error:
        raise StoreFailed(f"The ledger {settings.ledger} cannot be opened, so nothing was sent: {error!r}") from error


def refuse_if_away(store: Store) -> None:
    """
    Raise if a store cannot be read. A folder that is not mounted would look like an empty ledger.

    :raises StoreFailed: It cannot be read.
    """
    next(store.others("", since=MOMENTS[1]), None)


def _opened_by_class(ledger_uri: str) -> Store:
    from airflow.providers.common.compat.sdk import conf

    kind = conf.getimport("tcbilling", "ledger_class", fallback=None) or ObjectStore
    ledger = kind(ledger_uri)
    if not isinstance(ledger, Store):
        raise StoreFailed(f"[tcbilling] ledger_class is {kind!r}, which is no Store, so nothing was sent.")
    return ledger
