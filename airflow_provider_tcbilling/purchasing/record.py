"""Record: what is remembered of one purchase."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

import pendulum

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, RENEW_INSTANCE
from airflow_provider_tcbilling.api.endpoint import NoSuchHost, parsed, server_name
from airflow_provider_tcbilling.api.masking import payload_without_secrets
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.api.text import amount, inert
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord
from airflow_provider_tcbilling.purchasing.record_json import TIMES, fields_of

FORMAT = "airflow-provider-tcbilling purchase"
VERSION = 2
READABLE = (1, VERSION)
"""Versions that are read. In version 1 the fingerprint is a plain hash, and fewer parts of the payload are masked."""

SPENDING_ACTIONS = (CREATE_INSTANCE.name, RENEW_INSTANCE.name)
"""The actions that take money. A refund gives no room back."""

_MONEY = ("gross_cents", "reserved_cents", "reserved_currency", "reserved_at", "price_key", "approved_by")
"""Fields that are written only where they are set."""

_LISTS = ("instance_ids", "twins")


class State(str, Enum):
    """
    How far a purchase has come.

    *Charged* and *refused* are never sent again: the server said that it was paid, or refused a repeat of a request
    that it had not answered.
    """

    INTENDED = "intended"
    CHARGED = "charged"
    REFUSED = "refused"
    DECLINED = "declined"
    ORDERED = "ordered"
    DELIVERED = "delivered"

    @property
    def is_final(self) -> bool:
        """Whether nothing is sent any more although no order is known, whatever the policy."""
        return self in (State.CHARGED, State.REFUSED)

    @property
    def may_have_an_order(self) -> bool:
        """Whether an order may exist that is not known."""
        return self is State.INTENDED or self.is_final


@dataclass(frozen=True)
class Record:
    """
    What is remembered of one purchase. Moments are epoch seconds here, and ISO 8601 in UTC where they are stored.

    :param key: Name of the purchase, from which the token is derived.
    :param generation: How often the token was changed; only a definite, uncharged refusal changes it.
    :param fingerprint: Hash of what is bought, secrets too, sealed with the SecretKey.
    :param endpoint: Address of the API. An order of one site or sandbox is no evidence about another.
    :param owner: The process that may send. It changes when another one takes the purchase over.
    :param intended_at: From here on a request may have been sent.
    :param sending_until: Until here a request of the owner may be under way.
    :param replay_until: Until here the same token may be sent again without a user's decision.
    :param changed_at: When this was written.
    :param payload: The request, without key and token; each part that may be a secret is masked.
    :param placed_by: The origin of the purchase, as its caller describes it.
    :param before: The state before the first request, such as an instance's expiry; empty if it was not queried.
    :param reason: Why it was declined, or what the server said of it.
    :param paid_cents: What was paid, in 1/100 of *currency*; ``None`` until the order book was read.
    :param gross_cents: The price before vouchers, in 1/100 of *currency*; ``None`` likewise.
    :param reserved_cents: The most that it may cost, in 1/100 of *reserved_currency*; ``None`` if nothing said so.
    :param reserved_at: Epoch seconds from when on it counts towards limits; ``None`` is *intended_at*.
    :param price_key: Name of all purchases that have the same price; empty if it is not known.
    :param approved_by: The user that approved it; empty if nobody had to.
    :param key_id: Hash of the SecretId that was used. The same key is of the same account.
    :param account: Number of the account, where it was read; empty if it is not known.
    :param is_resent: The request was sent more than once, so there may be two orders.
    :param is_checked: The order book was searched for a second order after its lag.
    :param twins: Second orders that were found, one line each. No record owns them.
    """

    key: str
    client_token: str
    generation: int
    fingerprint: str
    endpoint: str
    action: str
    state: State
    owner: str
    intended_at: float
    sending_until: float
    replay_until: float
    changed_at: float
    payload: Mapping[str, Any] = field(default_factory=dict)
    placed_by: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    order_id: str | None = None
    request_id: str | None = None
    instance_ids: tuple[str, ...] = ()
    paid_cents: int | None = None
    currency: str | None = None
    gross_cents: int | None = None
    reserved_cents: int | None = None
    reserved_currency: str = ""
    reserved_at: float | None = None
    price_key: str = ""
    approved_by: str = ""
    key_id: str = ""
    account: str = ""
    is_resent: bool = False
    is_checked: bool = False
    twins: tuple[str, ...] = ()

    @property
    def order(self) -> Order | None:
        """The order, if there is one. Callers hand it on to templates, so its texts are inert."""
        if self.order_id is None:
            return None
        request_id, currency = (text and inert(text) for text in (self.request_id, self.currency))
        ids = tuple(map(inert, self.instance_ids))
        return Order(self.order_id, ids, self.client_token, request_id, self.paid_cents, currency)

    @property
    def is_word_of_a_user(self) -> bool:
        """Whether a user made it where there was none: it says what came of the purchase, not what was requested."""
        return not self.payload and (bool(self.order_id) or self.state is State.DECLINED)

    @property
    def is_presumed(self) -> bool:
        """Whether no process has written it: an earlier try may have sent something, and there is no record of it."""
        return not self.owner

    @property
    def settled_cents(self) -> int | None:
        """The price that is known, in 1/100 of :attr:`counted_currency`. A record of before limits has no vouchers."""
        return self._sums[0]

    @property
    def counted_cents(self) -> int | None:
        """The cents that limits count, in 1/100 of :attr:`counted_currency`; ``None`` if nothing tells its price."""
        return self._sums[1]

    @property
    def _sums(self) -> tuple[int | None, int | None]:
        return amounts_of(self.state.value, self.action, self.gross_cents, self.paid_cents, self.reserved_cents)

    @property
    def counted_currency(self) -> str:
        """The currency of what it counts; empty if it is not known."""
        return self.currency or self.reserved_currency

    @property
    def counts_from(self) -> float:
        """Epoch seconds from when on it counts towards limits."""
        return self.intended_at if self.reserved_at is None else self.reserved_at

    @property
    def prices(self) -> tuple[str, str]:
        """The price and the reservation, for a user."""
        return amount(self.gross_cents, self.currency), amount(self.reserved_cents, self.reserved_currency)

    @property
    def is_overrun(self) -> bool:
        """Whether it cost more than was reserved for it, or was paid in another currency. Nothing is in no currency."""
        if self.reserved_cents is None or not self.gross_cents:
            return False
        return self.gross_cents > self.reserved_cents or self.currency != self.reserved_currency

    def overlaps(self, other: Record, beside: float = 0.0) -> bool:
        """Whether the two may have placed orders at the same time, as far as clocks can be trusted."""
        return (
            self.intended_at - 2 * CLOCK_MARGIN - beside <= other.sending_until
            and other.intended_at - 2 * CLOCK_MARGIN - beside <= self.sending_until
        )

    def is_of_another_account(self, other: Record) -> bool:
        """Whether the two are known to be of different accounts."""
        return bool(self.account and other.account) and self.account != other.account

    def is_at_another_server(self, endpoint: str) -> bool:
        """Whether it is of another server than this, however the two addresses are written."""
        return server_name(self.endpoint) != server_name(endpoint)

    def ordered(self, order: Order, now: float, state: State = State.ORDERED) -> Record:
        """Return the record of a purchase whose order is known."""
        return replace(
            self,
            state=state,
            changed_at=now,
            order_id=order.order_id,
            request_id=order.request_id,
            instance_ids=tuple(order.instance_ids),
            paid_cents=order.paid_cents,
            currency=order.currency,
            gross_cents=order.gross_cents,
        )

    def as_json(self) -> dict[str, Any]:
        """Return what is stored: plain JSON that a user can read."""
        unset = [name for name in _MONEY if getattr(self, name) in (None, "")]
        own = {name: value for name, value in vars(self).items() if name not in unset}
        plain = {"format": FORMAT, "version": VERSION, **own}
        written = {
            name: pendulum.from_timestamp(plain[name]).to_iso8601_string()
            for name in (*TIMES, "reserved_at")
            if name in plain
        }
        return {**plain, **written, "state": self.state.value, **{name: list(plain[name]) for name in _LISTS}}

    @classmethod
    def from_json(cls, stored: Any, where: str) -> Record:
        """
        Read what was stored.

        :param where: Where it is, for the message.
        :raises InvalidRecord: It is damaged, was written by something else, or by a newer version. Nothing was sent.
        """
        if not isinstance(stored, Mapping) or stored.get("format") != FORMAT:
            raise InvalidRecord(where, "it was not written by this package, or it is damaged")
        if type(stored.get("version")) is not int or stored["version"] not in READABLE:
            readable = " and ".join(map(str, READABLE))
            raise InvalidRecord(where, f"it has version {stored.get('version')!r}, and this package knows {readable}")
        try:
            fields = fields_of(stored)
            state = State(fields["state"])
            if state is State.INTENDED and fields.get("reason"):
                state = State.CHARGED  # As it was written before this state had a name.
            # An earlier version may have masked less.
            payload = payload_without_secrets(fields.get("payload", {}))
            record = cls(**{**fields, "payload": payload, "state": state})
            with contextlib.suppress(NoSuchHost):  # Nothing was sent there, and the record says so.
                parsed(record.endpoint)
        except ValueError as error:
            raise InvalidRecord(where, f"it is damaged ({error})") from error
        if (record.state in (State.ORDERED, State.DELIVERED)) != bool(record.order_id):
            word = "with" if record.order_id else "without"
            raise InvalidRecord(where, f"it is damaged (state {record.state.value} {word} an order)")
        return record


def amounts_of(
    state: Any, action: Any, gross: int | None, paid: int | None, reserved: int | None
) -> tuple[int | None, int | None]:
    """
    Return the price that is settled, and what counts towards limits, in cents; ``None`` where nothing tells.

    A declined purchase counts nothing, and so does a refund. A record of before limits has only what was paid.

    :param gross: Its price before vouchers, *paid* the part that was paid with money; *reserved* the worst case.
    """
    if action not in SPENDING_ACTIONS:
        return None, 0
    paid = paid if paid is None or paid >= 0 else None
    settled = paid if gross is None and reserved is None else gross
    if state == State.DECLINED.value:
        return settled, 0
    known = [cents for cents in (paid, reserved) if cents is not None]
    return settled, settled if settled is not None else max(known, default=None)
