"""
Purchase: the rules of buying once.

A purchase has a key, its business name, and everything follows from it. The client token is derived from the key: not
from the try, not from a clock, not at random. The record says how far the purchase has come, and is written *before*
the first byte is sent::

                        refused: not charged, the token changes
               +----------------------------------------------------+
               v                                                    |
    nothing, declined ----> INTENDED ----- sent, answered ----> ORDERED ----> DELIVERED
        the intent is       |    ^  |                             ^
        stored first        |    |  +-- sent, no usable answer    |
                            |    |      or: a try before died     |
                            v    |                                |
                            look into the order book              |
                            |    |  |                             |
        none, in the window |    |  +-- exactly one fits: adopt --+
        the same token, the +----+
        same bytes               +----- several, or none after the window: stop, a person must look

*Look* waits until no request can be under way any more and the order book has had its lag. Orders that other records
own do not count; while another open record wants the same thing, nothing is adopted. So two layers, the token and the
order book, stand between a purchase and its double, and either alone is enough.

Renewals and refunds take the same way and have more evidence: what was seen of the instance before. Where that has
changed and no order tells why, nothing is sent again: see :class:`~airflow_provider_tcbilling.api.spending.Spending`.
"""

from __future__ import annotations

import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import pendulum

from airflow_provider_tcbilling.api.errors import (
    ApiError,
    OutcomeUnknown,
    PaidButNotDelivered,
    PurchaseOutcomeUnknown,
    StoreFailed,
    TcBillingError,
)
from airflow_provider_tcbilling.api.memory import SETTLE_SECONDS, Memory
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.api.record import Record, State, Store, fingerprint_of, without_secrets
from airflow_provider_tcbilling.api.spending import Candidate, Sighting, Spending

ORDER_BOOK_LAG = 30.0
"""Seconds after which a new order is surely listed. The real figure is not documented."""

REPLAY_WINDOW = 300.0
"""Seconds in which Tencent's own Terraform provider sends the same token again; no longer one was ever seen."""

PAUSE_SECONDS = 5.0
"""Between two looks at a record that another process may change."""

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "purchase.airflow-provider-tcbilling")

log = logging.getLogger(__name__)


def task_run_key(dag_id: str, run_id: str, task_id: str, map_index: int | None) -> str:
    """
    Return the key of a purchase that happens once in each run of a task; retries and clears keep it.

    :param map_index: Place of a mapped task; ``None`` and -1 both say that it is not mapped.
    """
    return json.dumps([dag_id, run_id, task_id, -1 if map_index is None else map_index])


def client_token_for(purchase_key: str, generation: int = 0) -> str:
    """
    Return the client token of a purchase key: 36 ASCII characters, always the same.

    :param generation: How often the purchase was refused, definitely and uncharged.
    """
    first = uuid.uuid5(_NAMESPACE, purchase_key)
    return str(uuid.uuid5(first, str(generation)) if generation else first)


class Next(Enum):
    """What is done after a look into the order book."""

    ADOPT = "the order is ours"
    SEND = "send again: the same token, the same bytes"
    WAIT = "look again later"
    STOP = "a person must look"


@dataclass(frozen=True)
class Rules:
    """
    What may be chosen about a purchase.

    :param lag: Seconds after which a new order is surely listed in the order book.
    :param replay_window: Seconds since the first request in which the same token may be sent again, after a look.
    :param trust_token: Send the same token again also after the window, and when several orders fit.
    :param request_seconds: How long one request may take.
    """

    lag: float = ORDER_BOOK_LAG
    replay_window: float = REPLAY_WINDOW
    trust_token: bool = False
    request_seconds: float = 70.0


class Purchase:
    """
    One thing to buy, once.

    :param key: Its name. Whoever uses the same key means the same purchase.
    :param spending: What is bought.
    :param store: What remembers it.
    :param client_token: Used as it is, instead of one derived from the key.
    :param placed_by: Who asks, for the record.
    :param presumed_since: Epoch seconds from when on an earlier try may have sent something that no record tells.
    :param has_twins: Others may buy the same at the same time.
    :param check: Called before anything is sent; raises if it must not be.
    :param steps: What a person can do about an unknown outcome, for the message.
    """

    def __init__(
        self,
        key: str,
        spending: Spending,
        store: Store,
        rules: Rules | None = None,
        *,
        client_token: str | None = None,
        placed_by: Mapping[str, Any] | None = None,
        presumed_since: float | None = None,
        has_twins: bool = False,
        check: Callable[[], None] = lambda: None,
        steps: tuple[str, ...] = (),
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.key = key
        self._spending = spending
        self._rules = rules or Rules()
        self._client_token = client_token
        self._placed_by = dict(placed_by or {})
        self._presumed_since = presumed_since
        self._has_twins = has_twins and not store.is_shared
        self._check = check
        self._steps = steps
        self._clock = clock or time.time
        self._sleep = sleep or time.sleep
        self._owner = uuid.uuid4().hex
        self._last_sent = 0.0
        self._observed: Mapping[str, Any] = {}
        self._memory = Memory(store, self._intent(), self._clock, self._sleep)

    def place(self) -> Order:
        """
        Buy it, or find out what an earlier try bought.

        **Money moves in this call.**

        :raises PurchaseOutcomeUnknown: Stopped: a person must look.
        :raises InvalidRecord: The record cannot be used. Nothing was sent.
        :raises PurchaseChanged: The record is of something else. Nothing was sent.
        :raises StoreFailed: The record could not be read or written. Another try is safe.
        :raises OrderNotRecorded: It was bought, and its record could not be written; the log has it.
        :raises OutcomeUnknown: It may have been bought, and the order book could not be read. Another try looks again.
        :raises ApiError: Refused, and nothing was bought.
        """
        record = self._memory.read()
        if record is None and self._presumed_since is not None:
            log.warning(
                "An earlier try may have sent this purchase, and no record tells. Looking before anything else."
            )
            return self._find_out(self._presumed(self._presumed_since))
        if record is None or record.state is State.DECLINED:
            self._check()
            self._observed = self._spending.observe()
            intent = self._intent(record.generation if record else 0, self._observed)
            if self._memory.begin(record, intent):
                return self._send_first(intent)
            record = self._memory.refresh(intent)
        return record.order or self._find_out(record)

    def foresee(self, record: Record) -> tuple[Sighting, Next, str]:
        """Return what is seen, what a try would do about it, and why. Nothing is sent; raises if it cannot be read."""
        seen = self._spending.look(record.first_sent_at, record.sending_until, record.before)
        return self._judge(record, seen, is_patient=False)

    def observed(self) -> Mapping[str, Any]:
        """Return what was seen before the first request; empty if nothing remembers it."""
        record = self._memory.read()
        return record.before if record else self._observed

    def note_delivery(self, order: Order) -> None:
        """Add to the record what the delivery showed. Nothing depends on it, so a store that fails is only logged."""
        try:
            record = self._memory.read()
            if record and record.order_id == order.order_id and record.state is not State.DELIVERED:
                self._memory.write(record.ordered(order, self._clock(), State.DELIVERED))
        except TcBillingError as error:
            log.warning("The delivery of order %s was not recorded: %s", order.order_id, error)

    # Sending

    def _send_first(self, intent: Record) -> Order:
        try:
            order = self._send(intent)
        except TcBillingError as error:
            if error.ambiguous:
                return self._find_out(self._in_doubt(intent, error), error)
            self._memory.decline(intent, str(error), was_refused=isinstance(error, ApiError) and not error.transient)
            raise
        return self._memory.keep(intent, order)

    def _send(self, record: Record) -> Order:
        """Send the request of a record that is stored."""
        try:
            order = self._spending.send(record.client_token, record.sending_until - self._rules.request_seconds)
        finally:
            self._last_sent = self._clock()
        log.info("Placed: order %s, client token %s, request %s.", order.order_id, order.client_token, order.request_id)
        return order

    def _in_doubt(self, record: Record, error: TcBillingError) -> Record:
        """Return the record of a request whose outcome nobody knows. One that is said to be paid is not sent again."""
        log.warning("It may have been carried out, so the order book is asked before anything is sent again. %s", error)
        if not isinstance(error, PaidButNotDelivered):
            return record
        final = replace(record, reason=str(error), replay_until=record.first_sent_at, changed_at=self._clock())
        try:
            self._memory.write(final)
        except StoreFailed as failed:
            # Another try would find an intent, and might pay again.
            raise self._stopped(record, [], f"{error} {failed}") from error
        return final

    # Finding out

    def _find_out(self, record: Record, error: TcBillingError | None = None) -> Order:
        """Look, and send again only when the order book shows nothing and the token still counts."""
        give_up = self._clock() + self._rules.replay_window
        while True:
            record = self._when_quiet(record)
            if record.order:
                return record.order
            if record.state is State.DECLINED:
                return self.place()
            found, step, why = self._look(record, give_up)
            if step is Next.SEND and error:
                step, why = self._after(error, give_up)
            if step is Next.ADOPT:
                log.warning("An earlier try did it: adopting %s. Nothing more was sent.", found[0].words)
                return self._memory.keep(record, Order(found[0].order_id, client_token=record.client_token))
            if step is Next.STOP:
                raise self._stopped(record, found, why)
            if step is Next.SEND:
                record, error = self._send_again(record)

    def _when_quiet(self, record: Record) -> Record:
        """Wait until nothing can be under way and the order book has had its lag, or until the record changes."""
        told = False
        while record.state is State.INTENDED and (now := self._clock()) < (quiet := self.quiet_from(record)):
            if not told:
                log.info("Waiting %.0f s until nothing can be under way and the order book is complete.", quiet - now)
                told = True
            self._sleep(min(PAUSE_SECONDS, quiet - now))
            record = self._memory.refresh(record)
        return record

    def quiet_from(self, record: Record) -> float:
        """Return the epoch seconds from when on nothing is under way, and the order book has had its lag."""
        sent = self._last_sent if record.owner == self._owner else record.sending_until
        return sent + self._rules.lag

    def _look(self, record: Record, give_up: float) -> tuple[list[Candidate], Next, str]:
        """Look once, at the order book and at the records of others; return what fits, and what that means."""
        is_patient = self._clock() < give_up
        try:
            until = max(record.sending_until, self._last_sent)
            seen = self._spending.look(record.first_sent_at, until, record.before)
        except TcBillingError as error:
            if not error.transient:
                return [], self._unless_trusted(Next.STOP), f"the order book cannot be read: {error}"
            if not is_patient:
                raise
            log.warning("The order book cannot be read: %s", error)
            self._sleep(PAUSE_SECONDS)
            return [], Next.WAIT, ""
        seen, step, why = self._judge(record, seen, is_patient=is_patient)
        if step is Next.WAIT:
            self._sleep(PAUSE_SECONDS)
        return seen.orders, step, why

    def _judge(self, record: Record, seen: Sighting, *, is_patient: bool) -> tuple[Sighting, Next, str]:
        owned, rivals = self._memory.others(record, self._spending.looks_like)
        rivals += ["an identical task of the same Dag"] * self._has_twins
        free = replace(seen, orders=[order for order in seen.orders if not order.order_ids & owned])
        return free, *self._decide(record, free, rivals, is_patient=is_patient)

    def _decide(self, record: Record, seen: Sighting, rivals: list[str], *, is_patient: bool) -> tuple[Next, str]:
        found = seen.orders
        if len(found) == 1 and not rivals:
            return Next.ADOPT, ""
        if found and rivals:
            may_clear_up = is_patient and not self._has_twins
            step = Next.WAIT if may_clear_up else self._unless_trusted(Next.STOP)
            return step, f"what fits may be the order of another purchase ({'; '.join(rivals)})"
        if found:
            return self._unless_trusted(Next.STOP), f"{len(found)} orders fit, and nothing tells which one it is"
        if seen.bar:
            return Next.WAIT if is_patient and seen.may_clear_up else Next.STOP, seen.bar
        if self._clock() >= record.replay_until:
            why = "no order fits, but the time in which the same client token may be sent again is over"
            return self._unless_trusted(Next.STOP), why
        return Next.SEND, ""

    def _unless_trusted(self, step: Next) -> Next:
        return Next.SEND if self._rules.trust_token else step

    def _after(self, error: TcBillingError, give_up: float) -> tuple[Next, str]:
        """Return what is done when no order fits and the try before ended with an error: a refusal proves nothing."""
        if not error.transient:
            return Next.STOP, f"no order fits, an earlier try may have been carried out, and the server says: {error}"
        if self._clock() >= give_up:
            raise OutcomeUnknown(
                f"It may have been carried out, and no order fits yet. The last try: {error}"
            ) from error
        return Next.SEND, ""

    def _send_again(self, record: Record) -> tuple[Record, TcBillingError | None]:
        """Take the purchase over and send the same bytes; return the record as it stands then, and what went wrong."""
        current = self._memory.refresh(record)
        if current != record:
            return current, None
        self._check()
        before = record.before or self._spending.observe()
        now = self._clock()
        until = now + SETTLE_SECONDS + 2 * self._rules.request_seconds
        mine = replace(record, owner=self._owner, sending_until=until, changed_at=now, before=before)
        self._memory.write(mine)
        if not self._memory.is_still_owned_by(self._owner):
            return self._memory.refresh(mine), None
        log.warning("No order fits. Sending the same client token and the same bytes again.")
        try:
            order = self._send(mine)
        except TcBillingError as error:
            return self._in_doubt(mine, error), error
        self._memory.keep(mine, order)
        return mine.ordered(order, now), None

    def _stopped(self, record: Record, found: list[Candidate], why: str) -> PurchaseOutcomeUnknown:
        began = pendulum.from_timestamp(record.first_sent_at).to_iso8601_string()
        told = f"{self.key}, intended since {began}, client token {record.client_token}; {self._memory.where}"
        return PurchaseOutcomeUnknown(why, [candidate.words for candidate in found], told, self._steps)

    # The record

    def _intent(self, generation: int = 0, before: Mapping[str, Any] | None = None) -> Record:
        now = self._clock()
        return Record(
            key=self.key,
            client_token=self._client_token or client_token_for(self.key, generation),
            generation=generation,
            fingerprint=fingerprint_of(self._spending.action.name, self._spending.payload),
            endpoint=self._spending.endpoint,
            action=self._spending.action.name,
            state=State.INTENDED,
            owner=self._owner,
            first_sent_at=now,
            sending_until=now + 2 * self._rules.request_seconds,
            replay_until=now + self._rules.replay_window,
            changed_at=now,
            payload=without_secrets(self._spending.payload),
            placed_by=self._placed_by,
            before=before or {},
        )

    def _presumed(self, since: float) -> Record:
        """Return the record of an intent that nobody has written: sent at any time since, by somebody else."""
        return replace(self._intent(), owner="", first_sent_at=since, sending_until=self._clock())
