"""Differences: the parts of a purchase that its record has otherwise."""

from __future__ import annotations

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.fingerprint import is_same
from airflow_provider_tcbilling.purchasing.record import Record


def differences_of(record: Record, wanted: Record) -> list[str]:
    """Return the differences between a record and the purchase that is wanted now."""
    compared = {
        "purchase": (record.key, wanted.key),
        "endpoint": (server_name(record.endpoint), server_name(wanted.endpoint)),
        "action": (record.action, wanted.action),
        **{
            name: (record.payload.get(name), wanted.payload.get(name))
            for name in sorted({*record.payload, *wanted.payload})
        },
    }
    differences = [f"{what}: it was {was!r}, and is {is_!r} now" for what, (was, is_) in compared.items() if was != is_]
    if is_same(record.fingerprint, wanted.fingerprint) is False and not differences:
        return ["a part of it that is not shown here"]
    return differences


def difference_of_account(record: Record, account: str) -> str:
    """Return the account of a record, and that of a key, which is empty if nothing tells it."""
    was = f"account {record.account}" if record.account else "a key of which no account is known"
    return f"account: it was begun with {was}, and the key is of account {account or 'unknown'} now"
