"""Resuming: find the order of a task that resumes, in its record or else in its own XCom."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.purchasing.record import Record
from airflow_provider_tcbilling.task.store import store_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.models import Order
    from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook

log = logging.getLogger(__name__)


def recorded_order(context: Context, hook: TcBillingHook, key: Callable[[], str]) -> Order | None:
    """
    Return the order of the record; ``None`` if it has none, or cannot be read.

    :param key: Returns the key of the purchase; raises if the task was edited so that it has none.
    """
    try:
        store = store_of(context, hook.get_settings())
        stored = store.read(name := key())
        return None if stored is None else Record.from_json(stored, store.location(name)).order
    except Exception as error:
        log.warning("The record of the purchase could not be read: %s", harmless(error))
        return None


def announced_order(context: Context) -> str:
    """Return the number of the order that the task has announced in its XCom; empty if there is none."""
    ti = context["ti"]
    try:
        order_id = ti.xcom_pull(task_ids=ti.task_id, key="order_id", map_indexes=ti.map_index)
    except Exception as error:
        log.warning("The task's own XCom could not be read: %s", harmless(error))
        return ""
    return order_id if isinstance(order_id, str) else ""
