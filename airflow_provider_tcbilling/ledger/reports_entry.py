"""Entry: a purchase of the ledger, as far as the books need it. It is small, so that a report can hold many."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, REFUND_INSTANCE
from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.purchasing.record_json import lease_of, order_of

UNUSABLE = "unusable"
"""The state of a record that cannot be used."""

WITHOUT_ORDER = frozenset({State.INTENDED.value, State.CHARGED.value, State.REFUSED.value})
"""States of a purchase that may have an order which is not known."""


@dataclass(frozen=True)
class Price:
    """
    The price that the ledger knows of a purchase, in 1/100 of *currency*.

    :param gross_cents: Paid money and vouchers, of all sub-orders; ``None`` if it is not known.
    :param paid_cents: Paid money alone; ``None`` likewise.
    """

    gross_cents: int | None = None
    paid_cents: int | None = None
    currency: str = ""

    @property
    def counted_cents(self) -> int | None:
        """The amount that the ledger counts; ``None`` if no price is known."""
        return self.paid_cents if self.gross_cents is None else self.gross_cents


@dataclass(frozen=True)
class Entry:
    """
    One purchase of the ledger. Moments are epoch seconds.

    :param order_id: The number of its order, be it a sub-order's or a big deal's; empty if it knows none.
    :param state: That of the record; ``pruned`` where only the row is left, ``unusable`` where it cannot be read.
    :param at: When the intent was stored; ``None`` if that is not known.
    :param until: Until when a request may have been under way; ``None`` if the record tells nothing about it.
    :param reserved_cents: The amount that was reserved before it was sent; ``None`` if none was.
    :param account: The account, where it was read; empty if it is not known.
    :param key_id: Hash of the SecretId, which is of one account.
    :param thing: Hash of the request; empty if it is not known. Two purchases of one thing have the same.
    :param twins: Second orders that no record owns, one line each.
    :param reason: Why the record cannot be used.
    :param is_by_hand: A user has said that the order is its own, and no task has sent it.
    :param is_settled_now: Its price was unknown before this report.
    """

    key: str
    order_id: str = ""
    action: str = CREATE_INSTANCE.name
    state: str = State.ORDERED.value
    at: float | None = None
    until: float | None = None
    price: Price = field(default_factory=Price)
    reserved_cents: int | None = None
    reserved_currency: str = ""
    account: str = ""
    key_id: str = ""
    server: str = ""
    product: str = ""
    thing: str = ""
    client_token: str = ""
    approved_by: str = ""
    instance_ids: tuple[str, ...] = ()
    twins: tuple[str, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    is_by_hand: bool = False
    is_settled_now: bool = False

    @property
    def is_refund(self) -> bool:
        """Whether it gives an instance back: it spends nothing, and gives no room back."""
        return self.action == REFUND_INSTANCE.name

    @property
    def is_unusable(self) -> bool:
        """Whether its record cannot be used."""
        return self.state == UNUSABLE

    @property
    def is_open(self) -> bool:
        """Whether it may have an order that is not known."""
        return not self.order_id and self.state in WITHOUT_ORDER


def price_of(record: Record) -> Price:
    """Return the price that a record knows. One that reserved an amount knows its price only with its vouchers."""
    is_known = record.settled_cents is not None or record.action == REFUND_INSTANCE.name
    return Price(record.gross_cents, record.paid_cents if is_known else None, record.currency or "")


def entry_of(record: Record) -> Entry:
    """Return the purchase of a record."""
    payload = record.payload
    product = payload.get("ProductCode") or payload.get("InstanceId") or ""
    is_timed = bool(record.owner) and not record.is_word_of_a_user
    return Entry(
        key=record.key,
        order_id=record.order_id or "",
        action=record.action,
        state=record.state.value,
        at=record.intended_at,
        until=record.sending_until if is_timed else None,
        price=price_of(record),
        reserved_cents=record.reserved_cents,
        reserved_currency=record.reserved_currency,
        account=record.account,
        key_id=record.key_id,
        server=server_name(record.endpoint),
        product=product if isinstance(product, str) else "",
        thing=hashlib.sha256(json.dumps([record.action, dict(payload)], sort_keys=True).encode()).hexdigest()[:16]
        if payload
        else "",
        client_token=record.client_token,
        approved_by=record.approved_by,
        instance_ids=record.instance_ids,
        twins=record.twins,
        is_by_hand=record.is_word_of_a_user,
        origin=record.placed_by,
    )


def entry_of_stored(stored: Any, where: str) -> Entry:
    """
    Return the purchase of a stored value. One that cannot be used keeps the order that it names.

    :param where: The place of the record, for a user.
    """
    try:
        return entry_of(Record.from_json(stored, where))
    except InvalidRecord as error:
        readable = stored if isinstance(stored, Mapping) else {}
        key, endpoint = readable.get("key"), readable.get("endpoint")
        return Entry(
            key=key if isinstance(key, str) and key else where.rpartition("/")[2],
            order_id=order_of(readable),
            state=UNUSABLE,
            at=(lease_of(readable) or (None,))[0],
            server=server_name(endpoint) if isinstance(endpoint, str) else "",
            reason=error.reason,
        )


def with_price(record: Record, price: Price, now: float) -> Record:
    """Return a record that knows its price, which a report has read in the order book."""
    known = replace(record, paid_cents=price.paid_cents, gross_cents=price.gross_cents)
    return replace(known, currency=price.currency, changed_at=now)
