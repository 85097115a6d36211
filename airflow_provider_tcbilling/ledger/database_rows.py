"""Rows of a ledger in a database: what is derived from the text of a record, and what an event of it is called."""

from __future__ import annotations

import contextlib
import hashlib
import math
import uuid
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.reading import UNREADABLE, cents_of, json_of
from airflow_provider_tcbilling.ledger.database_form import expanded
from airflow_provider_tcbilling.ledger.store import Text
from airflow_provider_tcbilling.purchasing.key import key_bytes
from airflow_provider_tcbilling.purchasing.prices import MOST_CENTS
from airflow_provider_tcbilling.purchasing.record import amounts_of
from airflow_provider_tcbilling.purchasing.record_json import moment, with_new_names

OPEN = ("intended", "charged", "refused", "")
"""States of a purchase that may have an order that is not known. The empty one is of a record that cannot be read."""

PRUNED = "pruned"
"""The state of a row whose record was removed because it was delivered long ago."""

ALWAYS = 253_402_300_799.0
"""Epoch seconds: a record whose time cannot be read counts as changed, and in limits, at any moment."""

MAX_CENTS = 2**63 - 1

_USER = "a user"
"""How the owner begins where a user decided."""


class StoredText(str):
    """
    The text of a record, and the version of its row.

    :param version: A replacement that expects this text is refused if the row has another version by then.
    """

    version: int

    @classmethod
    def of(cls, record: bytes, version: int) -> StoredText:
        """Return the text of a row; of a damaged one its bytes, which are no JSON."""
        try:
            text = cls(expanded(record))
        except ValueError:
            text = cls(bytes(record).decode("latin-1"))
        text.version = version
        return text


@lru_cache(64)
def id_of(key: str) -> str:
    """Return the primary key of a purchase."""
    return str(uuid.UUID(bytes=hashlib.sha256(key_bytes(key)).digest()[:16]))


def record_of(text: Text) -> Mapping[str, Any]:
    """Return the fields of a record; none if it is damaged."""
    try:
        stored = json_of(text)
    except (ValueError, RecursionError):
        return {}
    return stored if isinstance(stored, Mapping) else {}


def columns_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the columns repeat of a record, so that a query needs not read it. Odd values are left out."""
    record = with_new_names(record)
    payload, placed_by = (_mapping(record.get(name)) for name in ("payload", "placed_by"))
    return {
        "account": written(record.get("account"), 100),
        "action": written(record.get("action"), 60),
        "state": written(record.get("state"), 20),
        "order_id": order_of(record),
        "product": written(payload.get("ProductCode") or payload.get("InstanceId"), 255),
        "dag_id": written(placed_by.get("dag_id"), 255),
        "intended_at": _moment(record.get("intended_at")),
        "changed_at": _moment(record.get("changed_at")) or ALWAYS,
        "paid_cents": _cents(record.get("paid_cents")),
        "currency": written(record.get("currency"), 20) or None,
        "run": written(placed_by.get("run_id"), 255),
        **money_of(record),
    }


def money_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that limits and the memory of prices read. An amount that cannot be read is unknown."""
    gross, paid, reserved = (_price(record.get(name)) for name in ("gross_cents", "paid_cents", "reserved_cents"))
    currency, reserved_currency = (written(record.get(name), 20) for name in ("currency", "reserved_currency"))
    settled, counted = amounts_of(record.get("state"), record.get("action"), gross, paid, reserved)
    is_overrun = bool(gross) and reserved is not None and ((gross or 0) > reserved or currency != reserved_currency)
    return {
        "price_key": written(record.get("price_key"), 32),
        "reserved_cents": reserved,
        "gross_cents": settled,
        "overrun_cents": gross if is_overrun else None,
        "counted_cents": counted,
        "counted_currency": currency or reserved_currency,
        "counted_at": _moment(record.get("reserved_at")) or _moment(record.get("intended_at")) or ALWAYS,
    }


def _price(cents: Any) -> int | None:
    """Return an amount as it is summed up; ``None`` if it is none."""
    return min(cents, MOST_CENTS) if type(cents) is int and cents >= 0 else None


def order_of(record: Mapping[str, Any]) -> str | None:
    """Return the number of the order of a record; ``None`` if it has none."""
    return written(record.get("order_id"), 100) or None


def server_of(record: Mapping[str, Any]) -> str:
    """Return the name of the server of a record; empty if it names none."""
    endpoint = record.get("endpoint")
    return written(server_name(endpoint), 300) if isinstance(endpoint, str) else ""


def account_of(record: Mapping[str, Any]) -> str:
    """Return the account of a record, or the hash of its SecretId where the account is not known."""
    return written(record.get("account"), 100) or written(record.get("key_id"), 100)


def written(value: Any, size: int) -> str:
    """Return a text as every database can store it; empty if it is none."""
    if not isinstance(value, str):
        return ""
    return value.encode("utf-8", "replace").decode().replace("\0", "")[:size]


def kind_of(old: Mapping[str, Any], new: Mapping[str, Any], *, is_overrun: bool = False) -> str:
    """
    Return what a change is called among the events: one word.

    :param is_overrun: It shows for the first time a price above the reservation.
    """
    was, state = old.get("state"), new.get("state")
    if is_overrun and not str(new.get("owner") or "").startswith(_USER):
        return "overrun"
    if str(new.get("owner") or "").startswith(_USER):
        return "settled" if old else "restored"
    if state == was:
        return "taken_over" if old and old.get("owner") != new.get("owner") else "changed"
    return {"ordered": "placed"}.get(str(state), written(state, 20) or "changed")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _moment(value: Any) -> float | None:
    with contextlib.suppress(*UNREADABLE):
        return moment(value)
    return None


def _cents(value: Any) -> int | None:
    with contextlib.suppress(*UNREADABLE):
        cents = None if value in (None, "") else cents_of(value)
        return cents if cents is not None and abs(cents) <= MAX_CENTS else None
    return None


def milliseconds(seconds: float) -> int:
    """Return epoch seconds as the events have them."""
    return math.floor(seconds * 1000)
