"""
Beside: the objects of a ledger that are no records, which are its identity and the assignments of orders.

Their names do not end as a record's does, so no version of this package lists them as records. All are made once, and
never changed. The name of the identity is not hidden: a pattern that moves or deletes all records should take it along.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping

import pendulum

from airflow_provider_tcbilling.api.reading import UNREADABLE, json_of
from airflow_provider_tcbilling.purchasing.record_json import moment

IDENTITY = "tcbilling-ledger.identity"
"""The name of the object that identifies a ledger."""

_IDENTITY_FORMAT = "airflow-provider-tcbilling ledger"
_OWNER_FORMAT = "airflow-provider-tcbilling owner of an order"


def new_identity(now: float) -> bytes:
    """Return the text of a new identity, made at a time in epoch seconds."""
    created_at = pendulum.from_timestamp(now).to_iso8601_string()
    return _text({"format": _IDENTITY_FORMAT, "id": str(uuid.uuid4()), "created_at": created_at})


def identity_of(text: bytes) -> tuple[str, float]:
    """
    Return the id of a ledger, and the epoch seconds when it was made, as the text of an identity tells.

    :raises ValueError: It is damaged.
    """
    stored = _fields(text, _IDENTITY_FORMAT, "id", "created_at")
    try:
        return stored["id"], moment(stored["created_at"])
    except UNREADABLE:
        raise ValueError("its created_at is no time") from None


def owner_name(server: str, order_id: str) -> str:
    """Return the name of the object that tells to which purchase an order is assigned."""
    return f"{hashlib.sha256(json.dumps([server, order_id]).encode()).hexdigest()[:32]}.owner"


def new_owner(server: str, order_id: str, key: str) -> bytes:
    """Return the text of a new assignment."""
    return _text({"format": _OWNER_FORMAT, "server": server, "order_id": order_id, "key": key})


def owner_of(text: bytes, server: str, order_id: str) -> str:
    """
    Return the key of the purchase to which an order is assigned, as the text of an assignment tells.

    :raises ValueError: It is damaged.
    """
    stored = _fields(text, _OWNER_FORMAT, "server", "order_id", "key")
    if (stored["server"], stored["order_id"]) != (server, order_id):
        raise ValueError("it is of another order than its name says")
    return stored["key"]


def _fields(text: bytes, form: str, *names: str) -> Mapping[str, str]:
    """Return some fields of an object, all of them texts."""
    try:
        stored = json_of(text)
        if stored["format"] == form and all(isinstance(stored[name], str) and stored[name] for name in names):
            return {name: stored[name] for name in names}
    except UNREADABLE:
        pass
    raise ValueError("it is damaged, or cannot be read")


def _text(fields: Mapping[str, str]) -> bytes:
    return f"{json.dumps(fields, indent=2)}\n".encode()
