"""
The fields of a stored record, each checked before anything of it is believed.

A field that decides whether something is sent, or which order is whose, is of its type and possible, or the record is
damaged. An informational field is left out where it is odd: an order must not be lost because its price cannot be read.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import pendulum

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.endpoint import parsed, server_name
from airflow_provider_tcbilling.api.reading import UNREADABLE, cents_of
from airflow_provider_tcbilling.api.schema import TOKEN, Kind
from airflow_provider_tcbilling.api.text import INSTANCE_ID, NUMBER, harmless, matching

TIMES = ("intended_at", "sending_until", "replay_until", "changed_at")

_RENAMED = {"first_sent_at": "intended_at"}
"""Fields of records that an earlier release wrote, and their names now."""

LONGEST_LEASE = 7 * 86_400.0
"""Seconds for which a request may be under way: no time-outs that a connection may have add up to more."""

MOMENTS = (-1e9, 2.5e11)
"""Epoch seconds that can be written as a date, in any zone."""

MAX_SHOWN = 60
"""Characters of a damaged value in a message."""

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_SPENDS = frozenset(name for name, action in ACTIONS.items() if action.moves_money)


def fields_of(stored: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return the fields of a record by name; its times in epoch seconds.

    A name that is not known is left out: a later version may have added it.

    :raises ValueError: The record is damaged. The text names the field.
    """
    fields: dict[str, Any] = {}
    stored = with_new_names(stored)
    for name, read in _READERS.items():
        if name not in stored:
            if name in _REQUIRED:
                raise ValueError(f"there is no {name}")
            continue
        try:
            fields[name] = read(stored[name])
        except UNREADABLE:
            shown = "" if isinstance(stored[name], Mapping) else f" {harmless(repr(stored[name]), MAX_SHOWN)}"
            raise ValueError(f"its {name}{shown} cannot be one") from None
    for name in ("payload", "before"):
        if odd := _odd_in(fields["action"], fields.get(name, {})):
            raise ValueError(f"{odd} in its {name} is of another type")
    began, until = fields["intended_at"], fields["sending_until"]
    if until - max(began, fields["changed_at"]) > LONGEST_LEASE or began - until > LONGEST_LEASE:
        raise ValueError("its intended_at and sending_until contradict each other")
    return fields


def with_new_names(stored: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record with the names that its fields have now; a record that has both names has the new one."""
    return {**{_RENAMED[name]: value for name, value in stored.items() if name in _RENAMED}, **stored}


def is_elsewhere(damaged: Mapping[str, Any], endpoint: str, action: str) -> bool:
    """Whether a record that cannot be used tells that it is of another server, or of another action."""
    did, at = damaged.get("action"), damaged.get("endpoint")
    if isinstance(did, str) and did in _SPENDS and did != action:
        return True
    try:
        return parsed(_address(at)).name != server_name(endpoint)
    except UNREADABLE:
        return False


def is_declined(damaged: Mapping[str, Any]) -> bool:
    """Whether a record that cannot be used tells that nothing was bought."""
    return damaged.get("state") == "declined"


def order_of(damaged: Mapping[str, Any]) -> str:
    """Return the order that a record names which cannot be used; empty if it names none."""
    return matching(damaged.get("order_id"), NUMBER)


def lease_of(damaged: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return from when until when a record that cannot be used may have sent; ``None`` if it does not tell."""
    damaged = with_new_names(damaged)
    try:
        return moment(damaged["intended_at"]), moment(damaged["sending_until"])
    except UNREADABLE:
        return None


def tells_what_was_asked(payload: Any, action: str) -> bool:
    """Whether the payload of a record is whole, so that it can speak against an order."""
    if not isinstance(payload, Mapping) or _odd_in(action, payload):
        return False
    return all(payload.get(field.name) for field in ACTIONS[action].fields if field.required and field.name != TOKEN)


def moment(written: Any) -> float:
    """
    Read a time with its zone, in ISO 8601.

    :raises ValueError: It is none, or so far away that it cannot be written in another zone.
    """
    read = pendulum.parse(written) if _MOMENT.fullmatch(written) else None
    if not isinstance(read, pendulum.DateTime) or not MOMENTS[0] <= read.timestamp() <= MOMENTS[1]:
        raise ValueError("this is no moment")
    return read.timestamp()


def _text(value: Any) -> str:
    str.encode(value)
    return str(value)


def _name(value: Any) -> str:
    if not _text(value).strip():
        raise ValueError("this is no name")
    return str(value)


def _token(value: Any) -> str:
    if not value.isascii() or len(value) > 64:
        raise ValueError("this is no client token")
    return _name(value)


def _spends(value: Any) -> str:
    if value not in _SPENDS:
        raise ValueError("this moves no money")
    return str(value)


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("this is no count")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("this is neither true nor false")
    return value


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError("this is no object")
    return value


def _address(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("this is no address")
    return value


def _order_id(value: Any) -> str | None:
    if value is not None and not matching(value, NUMBER):
        raise ValueError("this is no number of an order")
    return None if value is None else str(value)


def _list(value: Any) -> list[Any]:
    return [value] if isinstance(value, str) else list(value) if isinstance(value, (list, tuple)) else []


def _instance_ids(value: Any) -> tuple[str, ...]:
    return tuple(one for one in _list(value) if matching(one, INSTANCE_ID))


def _odd_in(action: str, fields: Mapping[str, Any]) -> str:
    """Return the field of a request, or of the state before it, that is not of its type; empty if none is."""
    for field in ACTIONS[action].fields:
        if field.kind is not Kind.JSON and field.name in fields and not field.has_kind(fields[field.name]):
            return field.name
    orders = fields.get("orders", [])
    if not isinstance(orders, list) or not all(isinstance(number, str) for number in orders):
        return "orders"
    odd = (name for name in ("expire_time", "status") if not isinstance(fields.get(name), (str, type(None))))
    return next(odd, "")


def _price(value: Any) -> int | None:
    """Return an amount that no server has written; ``None`` if it is none, so that its price is unknown."""
    return value if type(value) is int and value >= 0 else None


def _moment_or_none(value: Any) -> float | None:
    with contextlib.suppress(*UNREADABLE):
        return moment(value)
    return None


def _text_or_nothing(value: Any) -> str:
    return harmless(value) if isinstance(value, str) else ""


_DECIDING: dict[str, Callable[[Any], Any]] = {
    "key": _name,
    "client_token": _token,
    "generation": _count,
    "fingerprint": _name,
    "endpoint": _address,
    "action": _spends,
    "state": _name,
    "owner": _text,
    **dict.fromkeys(TIMES, moment),
    "payload": _object,
    "before": _object,
    "order_id": _order_id,
    "key_id": _text,
    "account": _text,
    "is_resent": _flag,
    "is_checked": _flag,
}
_REQUIRED = frozenset(tuple(_DECIDING)[:12])

_INFORMING: dict[str, Callable[[Any], Any]] = {
    "placed_by": lambda value: value if isinstance(value, Mapping) else {},
    "reason": lambda value: value if isinstance(value, str) else harmless(value) if value else "",
    "request_id": lambda value: value if isinstance(value, str) else None,
    "currency": lambda value: value if isinstance(value, str) else None,
    "instance_ids": _instance_ids,
    "paid_cents": lambda value: None if value in (None, "") else cents_of(value),
    **dict.fromkeys(("gross_cents", "reserved_cents"), _price),
    "reserved_at": _moment_or_none,
    **dict.fromkeys(("reserved_currency", "price_key", "approved_by"), _text_or_nothing),
    "twins": lambda value: tuple(harmless(one) for one in _list(value)),
}

_READERS = {**_DECIDING, **_INFORMING}
