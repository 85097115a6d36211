"""Ownership: which process may send a purchase, as its record says, and which order is its own."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.fingerprint import is_same
from airflow_provider_tcbilling.api.masking import is_masked, without_these
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.purchasing.differences import difference_of_account, differences_of
from airflow_provider_tcbilling.purchasing.errors import (
    AccountChanged,
    InvalidRecord,
    OrderIsAnothers,
    OrderNotRecorded,
    PurchaseChanged,
    StoreFailed,
)
from airflow_provider_tcbilling.purchasing.others import Others, read_others
from airflow_provider_tcbilling.purchasing.record import Record, State

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.store import Store, Text
    from airflow_provider_tcbilling.purchasing.money_action import MoneyAction
    from airflow_provider_tcbilling.purchasing.reservation import Reservation

LATEST_CHANGE = 2 * 86_400.0
"""Seconds by which a record may come from the future: a process whose clock is farther off can have sent nothing."""

WRITE_TRIES, WRITE_PAUSE = 3, 2.0
"""How often, and seconds after which, something is stored again that must not be lost."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class Ownership:
    """
    The record of one purchase, and the process that may send it.

    A process becomes the owner when its intent is stored: by a creation of which only one succeeds, by a replacement
    that compares, or, where the store can do neither, by a pause after which the last to write is the owner.

    :param store: Keeps the record.
    :param wanted: The purchase as it is wanted now. A record of another one is refused, unless it was declined.
    :param action: The action of *wanted*, with the secrets that no record has; ``None`` where a user decides.
    """

    def __init__(
        self,
        store: Store,
        wanted: Record,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        action: MoneyAction | None = None,
    ) -> None:
        self._store = store
        self._wanted = wanted
        self._action = action
        self._has_warned = False
        self._clock = clock
        self._sleep = sleep

    @property
    def location(self) -> str:
        """The place of the record, for a user."""
        return self._store.location(self._wanted.key)

    def may_miss(self, since: float) -> bool:
        """Whether the store may miss an intent of that time, in epoch seconds."""
        return since < self._store.complete_since_for(self._wanted.placed_by)

    def read(self) -> Record | None:
        """
        Return the record, ``None`` if there is none.

        :raises InvalidRecord: It cannot be used.
        :raises PurchaseChanged: It is of something else.
        :raises StoreFailed: It could not be read.
        """
        return self._read()[0]

    def _read(self) -> tuple[Record | None, Text | None]:
        text = self._store.text(self._wanted.key)
        if text is None:
            return None, None
        record = Record.from_json(self._store.value_of(self._wanted.key, text), self.location)
        if record.changed_at > self._clock() + LATEST_CHANGE:
            raise InvalidRecord(self.location, "it was written in the future, or the clock of this machine is wrong")
        if record.is_word_of_a_user:
            record = self._with_request(record)
        if self._action and record.fingerprint == self._action.plain_fingerprint:
            record = replace(record, fingerprint=self._wanted.fingerprint)
        differences = differences_of(record, self._wanted)
        if differences and record.state is not State.DECLINED:
            raise PurchaseChanged(self.location, differences)
        self._warn_of_secrets_not_compared(record)
        return record, text

    def _with_request(self, record: Record) -> Record:
        """
        Return a record that a user made, with the request as it is wanted now: none was written that could differ.

        A store that is not shared has one record for each place, so the user may not know how its purchase is named.
        """
        wanted = self._wanted
        key = record.key if self._store.is_shared else wanted.key
        return replace(record, key=key, payload=wanted.payload, fingerprint=wanted.fingerprint)

    def _warn_of_secrets_not_compared(self, record: Record) -> None:
        """Log once that a secret may have been edited: a record that another key has sealed cannot be compared."""
        if self._has_warned or record.state is State.DECLINED or not is_masked(self._wanted.payload):
            return
        if is_same(record.fingerprint, self._wanted.fingerprint) is None:
            self._has_warned = True
            log.warning(
                "The purchase was begun with another key, so its secrets could not be compared: if one was edited "
                "since, nothing tells. All else that is asked for is as the record says."
            )

    def refuse_another_account(self, record: Record, action: MoneyAction) -> None:
        """Raise if the record is of another account, or may be and nothing tells: one key is of one account."""
        if record.state is State.DECLINED:
            return None
        if record.key_id in ("", action.key_id) or (record.account and record.account == action.account()):
            return action.bind(record.account)
        if record.order_id and not record.account and action.lists(record.order_id):
            return None
        raise AccountChanged(self.location, [difference_of_account(record, action.account())])

    def gone_on(self, record: Record) -> Record | None:
        """Return the record of another process that has gone on with the purchase; ``None`` if none surely has."""
        with contextlib.suppress(TcBillingError):
            current = self.refresh(record)
            if current.owner != record.owner and current.state is not State.DECLINED:
                return current
        return None

    def refresh(self, record: Record) -> Record:
        """Return the record as it is stored by now, or as it was if nothing is stored."""
        return self.read() or record

    def begin(self, declined: Record | None, intent: Record, reservation: Reservation | None = None) -> bool:
        """Store the intent; return False if another process may have stored its own, at the same moment or before."""
        if declined is None and self._store.creates_exclusively:
            return self.put(intent, None, reservation)
        return self.claim(declined, intent, reservation)

    def claim(self, expected: Record | None, mine: Record, reservation: Reservation | None = None) -> bool:
        """
        Store a record in place of the expected one; return whether it is surely ours.

        A store that compares answers this at once. In any other store, of two processes that write at the same moment
        the last one is the owner, and both read again after a pause. A process that stood still between its query and
        its write may have written after the other one read, so it gives the record up: its owner is unknown then, and
        nothing is sent before its lease is over.
        """
        if not self._store.keeps_records:
            return True
        began = self._clock()
        stored, text = self._read()
        if stored != expected:
            return False
        if not self.put(mine, text, reservation):
            if text is not None and self._store.text(mine.key) == text:
                raise StoreFailed(f"{self.location} refuses to replace a record that has not changed.")
            return False
        is_sure = self._store.creates_exclusively if text is None else self._store.replaces_conditionally
        if is_sure:
            return True
        if self._clock() - began > self._store.pause_seconds:
            log.warning("This process stood still while it took the purchase over, so it waits and queries first.")
            self.write(self._given_up(mine))
            return False
        return self.is_still_owned_by(mine.owner)

    def put(self, record: Record, expected: Text | None, reservation: Reservation | None = None) -> bool:
        """Store a record in place of a text, or as the first one; return False if there is another one by now."""
        reserving = {"reservation": reservation} if reservation else {}
        if expected is None:
            return self._store.create(record.key, record.as_json(), **reserving)
        return self._store.replace(record.key, record.as_json(), expected, **reserving)

    def _given_up(self, mine: Record) -> Record:
        """Return it without an owner: what it may have overwritten can be under way for a lease from now on."""
        until = self._clock() + mine.sending_until - mine.changed_at
        return replace(mine, owner=f"{mine.owner}, perhaps", sending_until=max(mine.sending_until, until))

    def is_still_owned_by(self, owner: str) -> bool:
        """Wait, to see whether another process takes the purchase over at the same moment."""
        self._sleep(self._store.pause_seconds)
        record = self.read()
        return record is None or record.owner == owner

    def write(self, record: Record) -> None:
        """Store a record in place of the one before."""
        self._store.replace(record.key, record.as_json())

    def adopt(self, record: Record, order_id: str) -> Record | None:
        """
        Store an order of the order book as this purchase's, and return the record that knows it.

        :return: ``None`` if it has become another purchase's meanwhile, or the record has changed.
        :raises OrderNotRecorded: The store fails. The order is in the log, with the record to restore.
        """
        order = Order(order_id, client_token=record.client_token)
        ordered = record.ordered(order, self._clock())
        return self._insist(lambda: self._adopt(record, order_id), ordered, order, StoreFailed)

    def _adopt(self, record: Record, order_id: str) -> Record | None:
        try:
            stored, text = self._read()
            if stored not in (None, record):
                return None
            if not self._store.replaces_conditionally and self.assign(order_id) != record.key:
                return None
            adopted = record.ordered(Order(order_id, client_token=record.client_token), self._clock())
            return adopted if self.put(adopted, text) else None
        except OrderIsAnothers:
            return None

    @property
    def hands_over(self) -> bool:
        """Whether an order can be given to another purchase, which may go on at the same moment."""
        return self._store.replaces_conditionally

    def hand_over(self, other: Record, order_id: str) -> bool:
        """
        Store an order in the record of another purchase; return False if that has changed, or the order is another's.

        :raises StoreFailed: It could not be written.
        """
        return Ownership(self._store, other, self._clock, self._sleep)._adopt(other, order_id) is not None

    def keep(self, record: Record, order: Order) -> Record:
        """
        Store the order before anything else is done with it, and return the record that knows it.

        :raises OrderIsAnothers: It has become another purchase's.
        :raises OrderNotRecorded: The store fails. The order is in the log, with the record to restore.
        """
        ordered = self._ordered(record, order)
        self._insist(lambda: self.write(ordered), ordered, order, StoreFailed)
        return ordered

    def is_anothers(self, record: Record, order: Order, query: Callable[[Record, Order], bool]) -> bool:
        """
        Return the answer of a query whether an order is another purchase's.

        :raises OrderNotRecorded: It cannot be answered. The next try finds the order in the order book.
        """
        ordered = record.ordered(order, self._clock())
        return self._insist(lambda: query(record, order), ordered, order, TcBillingError)

    def _insist(self, use: Callable[[], T], ordered: Record, order: Order, failure: type[TcBillingError]) -> T:
        """
        Use the store for an order that is known, and try again if it fails.

        :raises OrderNotRecorded: It fails each time. The order is in the log, with the record to restore.
        """
        for tries_left in reversed(range(WRITE_TRIES)):
            try:
                return use()
            except OrderIsAnothers:
                raise
            except failure as failed:
                if not tries_left:
                    log.error("%s The record to restore: %s", failed, json.dumps(ordered.as_json()))
                    raise OrderNotRecorded(order.order_id, self.location) from failed
                self._sleep(WRITE_PAUSE)
        raise AssertionError("the last try returns or raises")

    def _ordered(self, record: Record, order: Order) -> Record:
        """Return the record with its order, or with that of another process that went on while this one stood still."""
        if self._clock() > record.sending_until:
            with contextlib.suppress(TcBillingError):
                stored = self.read()
                if stored and stored.order_id not in (None, order.order_id):
                    # It may be the same order by its other number, or an identical purchase's: the order book tells.
                    log.warning("This process stood still, and its order %s is not that of the record.", order.order_id)
                    return replace(stored, is_resent=True, is_checked=False)
        return record.ordered(order, self._clock())

    def note_delivery(self, order: Order) -> None:
        """Add to the record what the delivery showed; a store that fails is only logged."""
        try:
            for _ in range(WRITE_TRIES):
                record, text = self._read()
                if not record or record.order_id != order.order_id or record.state is State.DELIVERED:
                    return
                delivered = record.ordered(order, self._clock(), State.DELIVERED)
                if self._store.replace(record.key, delivered.as_json(), text):
                    break
            else:
                raise StoreFailed(f"{self.location} changes at each moment")
            if delivered.is_overrun:
                log.error(
                    "Order %s cost %s, and %s was reserved for it. The order stays. Within limits, nothing more of "
                    "this price is bought until a user accepts it: settle --accept-price.",
                    order.order_id,
                    *delivered.prices,
                )
        except TcBillingError as error:
            log.warning("The delivery of order %s was not recorded: %s", order.order_id, error)

    def decline(self, record: Record, reason: str, *, was_refused: bool) -> Record | None:
        """
        Note that nothing was bought. A refusal uses the token up; what never reached the server does not.

        :return: The record of another process that has gone on with the purchase; ``None`` if none surely has.
        """
        generation, reason = record.generation + was_refused, self._without_secrets(reason)
        declined = replace(record, state=State.DECLINED, generation=generation, reason=reason, changed_at=self._clock())
        try:
            self.replace_own(record, declined)
        except StoreFailed as failed:
            log.warning("%s The next try queries the order book first.", failed)
        return self.gone_on(record)

    def replace_own(self, mine: Record, new: Record) -> None:
        """
        Store a record in place of our own, unless our lease is over: another process may know more by then.

        :raises StoreFailed: It could not be written.
        """
        stored, text = self._read()
        is_ours = (stored or mine).owner == mine.owner and self._clock() <= mine.sending_until
        if not is_ours or not self._store.replace(new.key, new.as_json(), text):
            log.warning("Another process may have taken the purchase over, so its record is left as it is.")
            return
        if self._store.replaces_conditionally:
            return  # Nobody had taken it over, or the comparison would have failed.
        if self._clock() > mine.sending_until and self.refresh(new).owner == mine.owner:
            log.warning("This process stood still while it wrote, so the next try queries the order book first.")
            self.write(self._given_up(mine))

    def close_window(self, record: Record) -> None:
        """Note that the same token is not sent again without a user's decision; a store that fails is only logged."""
        try:
            stored, text = self._read()
            if stored and stored == record and record.replay_until > (now := self._clock()):
                self._store.replace(record.key, replace(record, replay_until=now, changed_at=now).as_json(), text)
        except TcBillingError as error:
            log.warning("The next try may send the same client token again, as this stop was not recorded: %s", error)

    def conclude(self, record: Record, state: State, reason: str) -> Record:
        """
        Note that it is never sent again although no order is known; a record that knows an order is left as it is.

        :raises StoreFailed: It could not be written.
        """
        final = replace(record, state=state, reason=self._without_secrets(reason), changed_at=self._clock())
        for _ in range(WRITE_TRIES):
            stored, text = self._read()
            if stored and stored.order:
                return stored
            if self._store.replace(final.key, final.as_json(), text):
                return final
        raise StoreFailed(f"{self.location} changes at each moment, so the answer of the server is not recorded.")

    def others(
        self,
        record: Record,
        looks_alike: Callable[[Mapping[str, Any]], bool],
        beside: float = 0.0,
        order_ids: Collection[str] = (),
    ) -> Others:
        """
        Return what the store knows of the other purchases: see :func:`.read_others`.

        :raises StoreFailed: The records of others could not be read.
        """
        return read_others(self._store, record, looks_alike, beside, order_ids)

    @property
    def assigns_orders(self) -> bool:
        """Whether :meth:`assign` gives an order to one purchase only."""
        return self._store.assigns_orders

    def assign(self, order_id: str) -> str:
        """
        Make an order this purchase's, unless it is another's; return the key of the purchase that has it.

        :raises StoreFailed: It could not be written.
        """
        if not self._store.assigns_orders:
            return self._wanted.key
        return self._store.assign(server_name(self._wanted.endpoint), order_id, self._wanted.key)

    def _without_secrets(self, reason: str) -> str:
        """Return what the server said, which may repeat what it does not like, as it may be stored."""
        return without_these(self._action.secrets, reason) if self._action else reason
