"""The facts about an Airflow task that fails, read from its context, its connection and its record's place."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.ledger.store import NoStore, Store
from airflow_provider_tcbilling.ledger.task_state import options_of
from airflow_provider_tcbilling.task.dag_run import may_have_run_before
from airflow_provider_tcbilling.task.failure_message import READS, WORDS, TaskEnd
from airflow_provider_tcbilling.task.next_steps import command_line
from airflow_provider_tcbilling.task.store import store_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.hooks.connection import Settings
    from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
    from airflow_provider_tcbilling.purchasing.purchase import Purchase


T = TypeVar("T")


def end_of(
    context: Context, hook: TcBillingHook, action: str = "", purchase: Purchase | None = None, **more: Any
) -> TaskEnd:
    """
    Return the facts about a task. It never raises: a fact that cannot be read is left out.

    :param action: Name of the action that the task sends; empty if it only reads.
    :param purchase: The purchase of the task; ``None`` if it failed before it had a purchase.
    :param more: Other facts: fields of :class:`~airflow_provider_tcbilling.task.failure_message.TaskEnd`.
    """
    name, settings = hook.tcbilling_conn_id, _tried(hook.get_settings, None)
    conn_id = harmless(name) if isinstance(name, str) else "CONN_ID"
    facts: dict[str, Any] = {
        "key_name": settings.key_name if settings else "",
        "console": settings.console_url.partition("#")[0] if settings else "the console",
        "words": WORDS.get(action, READS),
        "is_retried": _is_retried(context.get("ti")),
        **more,
    }
    if action:
        in_doubt = purchase.is_in_doubt if purchase else None
        order_id = facts["order_id"] = facts.get("order_id") or (purchase.order_id if purchase else "")
        facts["in_doubt"] = bool(in_doubt)
        facts["is_unread"] = in_doubt is None and _tried(lambda: may_have_run_before(context), True)
        options, facts["keeps_records"] = _options(context, settings, purchase.key if purchase else None)
        purchase_name = options or (f"--order-id {shlex.quote(order_id)}" if order_id else "")
        facts["explain"] = command_line("explain", purchase_name, conn_id) if purchase_name else ""
        facts["settle"] = command_line("settle", options, conn_id)
        facts["restore"] = command_line("settle", "--restore FILE", conn_id)
    elif facts.get("order_id"):
        facts["explain"] = command_line("explain", f"--order-id {shlex.quote(facts['order_id'])}", conn_id)
    return TaskEnd(conn_id, **facts)


def _options(context: Context, settings: Settings | None, key: str | None) -> tuple[str, bool]:
    """Return the options that name the purchase on the command line, and whether a record of it can be settled."""
    no_store: Store = NoStore()
    store = _tried(lambda: store_of(context, settings), no_store)
    if not store.keeps_records and settings:
        return "", False
    return store.options(key) if key and store.keeps_records else _tried(lambda: options_of(context), ""), True


def _tried(read: Callable[[], T], default: T) -> T:
    """Read a fact; return the default if it cannot be read."""
    try:
        return read()
    except Exception:
        return default


def _is_retried(ti: Any) -> bool:
    tries, most = getattr(ti, "try_number", None), getattr(ti, "max_tries", None)
    return isinstance(tries, int) and isinstance(most, int) and tries <= most
