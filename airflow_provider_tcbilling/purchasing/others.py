"""Others: the orders that other purchases own, and the purchases without an order that may own one that matches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord
from airflow_provider_tcbilling.purchasing.record import Record
from airflow_provider_tcbilling.purchasing.record_json import (
    is_declined,
    is_elsewhere,
    lease_of,
    order_of,
    tells_what_was_asked,
)

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.store import Store

LooksAlike = Callable[[Mapping[str, Any]], bool]
"""Whether an order of a payload could not be told from that of the purchase."""


@dataclass
class Others:
    """
    What a store knows of the other purchases.

    :param owned: Numbers of the orders that others own.
    :param own: Numbers of the orders that were assigned to the purchase itself.
    :param rivals: Others that may have placed an order that matches, each in a few words.
    :param open_alike: The usable records without an order whose order would look alike, of any time.
    :param has_damaged: There is one that cannot be used and may be such a record.
    """

    owned: set[str] = field(default_factory=set)
    own: set[str] = field(default_factory=set)
    rivals: list[str] = field(default_factory=list)
    open_alike: list[Record] = field(default_factory=list)
    has_damaged: bool = False


def read_others(
    store: Store, record: Record, looks_alike: LooksAlike, beside: float = 0.0, order_ids: Collection[str] = ()
) -> Others:
    """
    Return what a store knows of the purchases beside one.

    A record that cannot be used owns the order that it names. If it names none it is a rival, unless what can be read
    of it speaks against that.

    :param beside: Seconds by which the clock of this machine is known to be wrong.
    :param order_ids: Orders whose owner is searched; those of older purchases may be left out else.
    :raises StoreFailed: The store cannot be read.
    """
    owners = store.owners(server_name(record.endpoint), order_ids)
    found = Others(
        owned={order_id for order_id, key in owners.items() if key != record.key},
        own={order_id for order_id, key in owners.items() if key == record.key},
    )
    for location, stored in store.others(record.key, record.intended_at - beside, order_ids):
        try:
            other = Record.from_json(stored, location)
        except InvalidRecord as error:
            order_id, is_rival = _claim_of_damaged(stored, record, looks_alike, beside)
            if order_id:
                found.owned.add(order_id)
            elif is_rival:
                found.has_damaged = True
                found.rivals.append(f"an unknown one, as its record cannot be used, {error.reason}: {location}")
            continue
        if other.order_id and _is_comparable(other, record):
            found.owned.add(other.order_id)
        elif _is_comparable(other, record) and other.key not in owners.values() and _is_alike(other, looks_alike):
            found.open_alike.append(other)
            if other.overlaps(record, beside):
                found.rivals.append(f"{other.key}, its record: {location}")
    return found


def _is_comparable(other: Record, record: Record) -> bool:
    """Whether an order of the one could be in the same order book, and do the same, as one of the other."""
    is_elsewhere = other.is_at_another_server(record.endpoint) or other.is_of_another_account(record)
    return not is_elsewhere and other.action == record.action


def _is_alike(other: Record, looks_alike: LooksAlike) -> bool:
    return other.state.may_have_an_order and _may_be_alike(other.payload, other.action, looks_alike)


def _claim_of_damaged(stored: Any, record: Record, looks_alike: LooksAlike, beside: float) -> tuple[str, bool]:
    if not isinstance(stored, Mapping):
        return "", True
    if is_elsewhere(stored, record.endpoint, record.action):
        return "", False
    lease = lease_of(stored) or (record.intended_at, record.sending_until)
    overlaps = replace(record, intended_at=lease[0], sending_until=lease[1]).overlaps(record, beside)
    is_alike = _may_be_alike(stored.get("payload"), record.action, looks_alike)
    return order_of(stored), overlaps and is_alike and not is_declined(stored)


def _may_be_alike(payload: Any, action: str, looks_alike: LooksAlike) -> bool:
    return not tells_what_was_asked(payload, action) or looks_alike(payload)
