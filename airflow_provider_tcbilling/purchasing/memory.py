"""Memory: the record of one purchase in its store, and what it says of others."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.fingerprint import is_same
from airflow_provider_tcbilling.api.masking import is_masked, without_these
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, OrderNotRecorded, PurchaseChanged, StoreFailed
from airflow_provider_tcbilling.purchasing.money_action import MoneyAction
from airflow_provider_tcbilling.purchasing.record import Record, State, Store
from airflow_provider_tcbilling.purchasing.record_json import (
    is_declined,
    is_elsewhere,
    lease_of,
    order_of,
    tells_what_was_asked,
)

SETTLE_SECONDS = 2.0
"""How long a process that takes a purchase over waits to see whether another one does the same."""

LATEST_CHANGE = 2 * 86_400.0
"""Seconds by which a record may come from the future: a process whose clock is farther off can have sent nothing."""

WRITE_TRIES = 3

T = TypeVar("T")
log = logging.getLogger(__name__)


class Memory:
    """
    The record of one purchase.

    :param store: Where it is.
    :param asked: What is asked for now. A record of something else is refused, unless it was declined.
    :param spending: The purchase of *asked*, with the secrets that no record has; ``None`` where a user decides.
    """

    def __init__(
        self,
        store: Store,
        asked: Record,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        spending: MoneyAction | None = None,
    ) -> None:
        self._store = store
        self._asked = asked
        self._spending = spending
        self._has_warned = False
        self._clock = clock
        self._sleep = sleep

    @property
    def where(self) -> str:
        """Where the record is, in words."""
        return self._store.where(self._asked.key)

    def read(self) -> Record | None:
        """
        Return the record, ``None`` if there is none.

        :raises InvalidRecord: It cannot be used.
        :raises PurchaseChanged: It is of something else.
        :raises StoreFailed: It could not be read.
        """
        stored = self._try(lambda: self._store.read(self._asked.key))
        if stored is None:
            return None
        record = Record.from_json(stored, self.where)
        if record.changed_at > self._clock() + LATEST_CHANGE:
            raise InvalidRecord(self.where, "it was written in the future, or the clock of this machine is wrong")
        if self._spending and record.fingerprint == self._spending.plain_fingerprint:
            record = replace(record, fingerprint=self._asked.fingerprint)
        differences = _differences(record, self._asked)
        if differences and record.state is not State.DECLINED:
            raise PurchaseChanged(self.where, differences)
        self._warn_of_what_was_not_compared(record)
        return record

    def _warn_of_what_was_not_compared(self, record: Record) -> None:
        """Say once that a secret may have been edited: a record that another key has sealed cannot tell."""
        asked = self._asked
        if self._has_warned or record.state is State.DECLINED or not is_masked(asked.payload):
            return
        if is_same(record.fingerprint, asked.fingerprint) is None:
            self._has_warned = True
            log.warning(
                "The purchase was begun with another key, so its secrets could not be compared: if one was edited "
                "since, nothing tells. All else that is asked for is as the record says."
            )

    def refresh(self, record: Record) -> Record:
        """Return the record as it is stored by now, or as it was if nothing is stored."""
        return self.read() or record

    def begin(self, declined: Record | None, intent: Record) -> bool:
        """Store the intent; return False if another process may have stored its own, at the same moment or before."""
        if declined is None and self._store.is_exclusive:
            return self._create(intent)
        return self.claim(declined, intent)

    def claim(self, known: Record | None, mine: Record) -> bool:
        """
        Store a record in place of the one that is known; return whether it is surely ours.

        Of two processes that write at the same moment the last one is the owner, and both look again after a pause. A
        process that stood still between its look and its write may have written after the other one looked, so it
        gives the record up: its owner is unknown then, and nothing is sent before its lease is over.
        """
        if not self._store.keeps_records:
            return True
        began = self._clock()
        if self.read() != known:
            return False
        if known is not None:
            self.write(mine)
        elif not self._create(mine):
            return False
        if self._clock() - began > SETTLE_SECONDS:
            log.warning("This process stood still while it took the purchase over, so it waits and looks first.")
            self.write(self._given_up(mine))
            return False
        return self.is_still_owned_by(mine.owner)

    def _given_up(self, mine: Record) -> Record:
        """Return it without an owner: what it may have overwritten can be under way for a lease from now on."""
        until = self._clock() + mine.sending_until - mine.changed_at
        return replace(mine, owner=f"{mine.owner}, perhaps", sending_until=max(mine.sending_until, until))

    def is_still_owned_by(self, owner: str) -> bool:
        """Wait, to see whether another process takes the purchase over at the same moment."""
        self._sleep(SETTLE_SECONDS)
        record = self.read()
        return record is None or record.owner == owner

    def _create(self, record: Record) -> bool:
        return self._try(lambda: self._store.create(record.key, record.as_json()))

    def write(self, record: Record) -> None:
        """Store a record in place of the one before."""
        self._try(lambda: self._store.write(record.key, record.as_json()))

    def keep(self, record: Record, order: Order) -> Order:
        """
        Store the order before anything else is done with it, and return the one that the record knows.

        :raises OrderNotRecorded: The store fails. The order is in the log, with the record to restore.
        """
        ordered = self._ordered(record, order)
        for tries_left in reversed(range(WRITE_TRIES)):
            try:
                self.write(ordered)
                break
            except StoreFailed as failed:
                if not tries_left:
                    log.error("%s The record to restore: %s", failed, json.dumps(ordered.as_json()))
                    raise OrderNotRecorded(order.order_id, self.where) from failed
                self._sleep(SETTLE_SECONDS)
        return ordered.order or order

    def _ordered(self, record: Record, order: Order) -> Record:
        """Return the record with its order, or with that of another process that went on while this one stood still."""
        if self._clock() > record.sending_until:
            with contextlib.suppress(TcBillingError):
                stored = self.read()
                if stored and stored.order_id not in (None, order.order_id):
                    log.error("The server placed a SECOND order for this purchase, which no record owns: %s", order)
                    return replace(stored, twins=(*stored.twins, f"order {order.order_id}, placed after a standstill"))
        return record.ordered(order, self._clock())

    def note_delivery(self, order: Order) -> None:
        """Add to the record what the delivery showed; a store that fails is only logged."""
        try:
            record = self.read()
            if record and record.order_id == order.order_id and record.state is not State.DELIVERED:
                self.write(record.ordered(order, self._clock(), State.DELIVERED))
        except TcBillingError as error:
            log.warning("The delivery of order %s was not recorded: %s", order.order_id, error)

    def decline(self, record: Record, reason: str, *, was_refused: bool) -> None:
        """Note that nothing was bought. A refusal uses the token up; what never reached the server does not."""
        generation, reason = record.generation + was_refused, self._without_secrets(reason)
        declined = replace(record, state=State.DECLINED, generation=generation, reason=reason, changed_at=self._clock())
        try:
            self.replace_own(record, declined)
        except StoreFailed as failed:
            log.warning("%s The next try looks into the order book first.", failed)

    def replace_own(self, mine: Record, new: Record) -> None:
        """
        Store a record in place of our own, unless our lease is over: another process may know more by then.

        :raises StoreFailed: It could not be written.
        """
        if self.refresh(mine).owner != mine.owner or self._clock() > mine.sending_until:
            log.warning("Another process may have taken the purchase over, so its record is left as it is.")
            return
        self.write(new)
        if self._clock() > mine.sending_until and self.refresh(new).owner == mine.owner:
            log.warning("This process stood still while it wrote, so the next try looks into the order book first.")
            self.write(self._given_up(mine))

    def conclude(self, record: Record, state: State, reason: str) -> Record:
        """
        Note that it is never sent again although no order is known; a record that knows an order is left as it is.

        :raises StoreFailed: It could not be written.
        """
        stored = self.refresh(record)
        if stored.order:
            return stored
        final = replace(record, state=state, reason=self._without_secrets(reason), changed_at=self._clock())
        self.write(final)
        return final

    def others(
        self, record: Record, looks_alike: Callable[[Mapping[str, Any]], bool], beside: float = 0.0
    ) -> tuple[set[str], list[str]]:
        """
        Return the orders that other records own, and which other purchases may have placed one that fits.

        A record that cannot be used owns the order that it names. If it names none it is a rival, unless what can be
        read of it speaks against that.

        :param beside: Seconds by which the clock of this machine is known to be wrong.
        """
        owned: set[str] = set()
        rivals: list[str] = []
        for where, stored in self._try(lambda: list(self._store.others(record.key))):
            try:
                other = Record.from_json(stored, where)
                order_id, is_rival = _claim(other, record, looks_alike, beside)
                words = f"{other.key}, its record: {where}"
            except InvalidRecord as error:
                order_id, is_rival = _claim_of_damaged(stored, record, looks_alike, beside)
                words = f"one that cannot be told, as its record cannot be used, {error.reason}: {where}"
            if order_id:
                owned.add(order_id)
            elif is_rival:
                rivals.append(words)
        return owned, rivals

    def _without_secrets(self, reason: str) -> str:
        """Return what the server said, which may repeat what it does not like, as it may be stored."""
        return without_these(self._spending.secrets, reason) if self._spending else reason

    def _try(self, use: Callable[[], T]) -> T:
        try:
            return use()
        except TcBillingError:
            raise
        except Exception as error:
            text = f"The record of the purchase ({self.where}) cannot be read or written: {error!r}"
            raise StoreFailed(text) from error


LooksAlike = Callable[[Mapping[str, Any]], bool]
"""Whether an order of a payload could not be told from that of the purchase."""

Claim = tuple[str, bool]
"""The order that another record owns, empty if it knows none; and whether it may have placed one that fits."""


def _claim(other: Record, record: Record, looks_alike: LooksAlike, beside: float) -> Claim:
    is_elsewhere = other.is_at_another_server(record.endpoint) or other.is_of_another_account(record)
    if is_elsewhere or other.action != record.action:
        return "", False
    may_fit = other.state.may_have_an_order and other.overlaps(record, beside)
    return other.order_id or "", may_fit and _may_be_alike(other.payload, record.action, looks_alike)


def _claim_of_damaged(stored: Any, record: Record, looks_alike: LooksAlike, beside: float) -> Claim:
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


def _differences(record: Record, asked: Record) -> list[str]:
    """Return in words how a record differs from what is asked for now."""
    compared = {
        "purchase": (record.key, asked.key),
        "endpoint": (server_name(record.endpoint), server_name(asked.endpoint)),
        "action": (record.action, asked.action),
        **{
            name: (record.payload.get(name), asked.payload.get(name))
            for name in sorted({*record.payload, *asked.payload})
        },
    }
    differences = [f"{what}: it was {was!r}, and is {is_!r} now" for what, (was, is_) in compared.items() if was != is_]
    if is_same(record.fingerprint, asked.fingerprint) is False and not differences:
        return ["a part of it that is not shown here"]
    return differences
