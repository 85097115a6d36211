"""The facts about an Airflow task that fails, read from its context, its connection and its record's place."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

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


def end_of(
    context: Context, hook: TcBillingHook, action: str = "", purchase: Purchase | None = None, **known: Any
) -> TaskEnd:
    """
    Return the facts about a task. It never raises: a fact that cannot be read is left out.

    :param action: Name of the action that the task sends; empty if it only reads.
    :param purchase: The purchase of the task; ``None`` if it failed before it had a purchase.
    :param known: Other facts: fields of :class:`~airflow_provider_tcbilling.task.failure_message.TaskEnd`.
    """
    told, settings = hook.tcbilling_conn_id, _settings_of(hook)
    conn_id = harmless(told) if isinstance(told, str) else "CONN_ID"
    facts: dict[str, Any] = {
        "key_name": settings.key_name if settings else "",
        "console": settings.console_url.partition("#")[0] if settings else "the console",
        "words": WORDS.get(action, READS),
        "is_retried": _is_retried(context.get("ti")),
        **known,
    }
    if action:
        in_doubt = purchase.is_in_doubt if purchase else None
        order_id = facts["order_id"] = facts.get("order_id") or (purchase.order_id if purchase else "")
        facts["in_doubt"], facts["is_unread"] = bool(in_doubt), in_doubt is None and _may_have_run_before(context)
        options, facts["keeps_records"] = _options(context, settings, purchase.key if purchase else None)
        asked = options or (f"--order-id {shlex.quote(order_id)}" if order_id else "")
        facts["explain"] = command_line("explain", asked, conn_id) if asked else ""
        facts["settle"] = command_line("settle", options, conn_id)
        facts["restore"] = command_line("settle", "--restore FILE", conn_id)
    elif facts.get("order_id"):
        facts["explain"] = command_line("explain", f"--order-id {shlex.quote(facts['order_id'])}", conn_id)
    return TaskEnd(conn_id, **facts)


def _settings_of(hook: TcBillingHook) -> Settings | None:
    try:
        return hook.get_settings()
    except Exception:
        return None


def _options(context: Context, settings: Settings | None, key: str | None) -> tuple[str, bool]:
    """Return the options that name the purchase on the command line, and whether a record of it can be settled."""
    try:
        store: Store = store_of(context, settings.ledger_uri if settings else "")
    except Exception:
        store = NoStore()
    if not store.keeps_records and settings:
        return "", False
    return store.options(key) if key and store.keeps_records else _task(context), True


def _task(context: Context) -> str:
    try:
        return options_of(context)
    except Exception:
        return ""


def _may_have_run_before(context: Context) -> bool:
    try:
        return may_have_run_before(context)
    except Exception:
        return True


def _is_retried(ti: Any) -> bool:
    tries, most = getattr(ti, "try_number", None), getattr(ti, "max_tries", None)
    return isinstance(tries, int) and isinstance(most, int) and tries <= most
