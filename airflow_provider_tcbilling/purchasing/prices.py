"""
Prices: what is known of the price of a purchase before it is made.

The API has no quote. A purchase costs as much as the last one of the same price key, or as a user says it may. Both are
a worst case: the most that it may cost, as far as anybody knows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.actions import ACTIONS, CREATE_INSTANCE
from airflow_provider_tcbilling.api.json_text import canonical_json
from airflow_provider_tcbilling.api.reading import json_of
from airflow_provider_tcbilling.api.text import folded

PRICED = (
    "ProductCode", "SubProductCode", "RegionCode", "ZoneCode", "Parameter", "Quantity", "Period", "PeriodUnit"
)  # fmt: skip
"""The fields of a request that its price depends on. Neither the project nor the renew flag is one."""

MOST_CENTS = 10**12
"""An amount counts as no more than this, so that a sum of a million of them can be written in every database."""


@dataclass(frozen=True)
class Price:
    """
    The price memory of one price key: the gross prices (paid and vouchers) of its delivered orders.

    :param highest_cents: The highest of them, in 1/100 of *currency*; ``None`` if there is none.
    :param currency: That of the latest order. Prices in another currency do not count; empty if there is none.
    :param blocked_cents: The highest price above what was reserved for it that no user has accepted; ``None`` if none.
    """

    highest_cents: int | None = None
    currency: str = ""
    blocked_cents: int | None = None


@dataclass(frozen=True)
class Acceptance:
    """
    A user's consent to a price that was above its reservation.

    :param cents: The price, in 1/100 of *currency*. A higher one blocks again.
    :param accepted_by: Name of the user.
    """

    cents: int
    currency: str
    accepted_by: str


UNKNOWN = Price()
"""Nothing is remembered."""


def price_key_of(action: str, payload: Mapping[str, Any], sealed: str = "") -> str:
    """
    Return the name of everything that has the same price, as far as anybody knows.

    :param action: Name of the action.
    :param payload: Its request. Secrets in the parameter count as they are masked, so the price key shows none.
    :param sealed: A seal of masked parts that may have a price; empty if there are none.
    """
    request = ACTIONS[action].with_defaults(payload)
    priced = {name: _canonical(name, request.get(name)) for name in PRICED}
    # Of a renewal only the instance tells what is renewed.
    instance = None if action == CREATE_INSTANCE.name else request.get("InstanceId")
    named = [action, priced, instance, *([sealed] if sealed else [])]
    return hashlib.sha256(canonical_json(named).encode()).hexdigest()[:32]


def _canonical(name: str, value: Any) -> Any:
    if name != "Parameter":
        return folded(value) if isinstance(value, str) else value
    try:
        return json_of(value)
    except (TypeError, ValueError, RecursionError):
        return str(value)
