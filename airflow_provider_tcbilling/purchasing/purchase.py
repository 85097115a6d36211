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
        none, in the window |    |  +-- exactly one matches: adopt +
        the same token, the +----+
        same bytes               +----- several, or one of which nobody can tell, or none after the window:
                                        stop, a person must look

*Look* waits until no request can be under way any more and the order book has had its lag. Orders that other records
own do not count; while another open record wants the same thing, nothing is adopted. So two layers, the token and the
order book, stand between a purchase and its double, and either alone is enough. What a server called paid, or refused
after an unanswered try, is never sent again. After every repeat the order book is searched once more for a second one.

Renewals and refunds take the same way and have more evidence: what was seen of the instance before. Where that has
changed and no order tells why, nothing is sent again: see
:class:`~airflow_provider_tcbilling.purchasing.money_action.MoneyAction`.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from airflow_provider_tcbilling.api.errors import (
    ApiError,
    AuthError,
    OutcomeUnknown,
    PaidButNotDelivered,
    TcBillingError,
)
from airflow_provider_tcbilling.api.models import Order, unique
from airflow_provider_tcbilling.api.schema import Replay
from airflow_provider_tcbilling.purchasing.decision import Finding, Next, Rules, Situation, decide, finding_of
from airflow_provider_tcbilling.purchasing.errors import PurchaseChanged, PurchaseOutcomeUnknown, StoreFailed
from airflow_provider_tcbilling.purchasing.key import client_token_for, task_run_key
from airflow_provider_tcbilling.purchasing.memory import SETTLE_SECONDS, Memory
from airflow_provider_tcbilling.purchasing.money_action import Candidate, Evidence, MoneyAction
from airflow_provider_tcbilling.purchasing.record import Record, State, Store
from airflow_provider_tcbilling.purchasing.stop import stopped

__all__ = ["Next", "Purchase", "Rules", "client_token_for", "task_run_key"]

PAUSE_SECONDS, LOG_SECONDS = 5.0, 60.0
"""Between two looks at a record that another process may change, and between two lines in the log about a wait."""

log = logging.getLogger(__name__)


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
    """

    def __init__(
        self,
        key: str,
        spending: MoneyAction,
        store: Store,
        rules: Rules | None = None,
        *,
        client_token: str | None = None,
        placed_by: Mapping[str, Any] | None = None,
        presumed_since: float | None = None,
        has_twins: bool = False,
        check: Callable[[], None] = lambda: None,
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
        self._clock, self._sleep = clock or time.time, sleep or time.sleep
        self._owner = uuid.uuid4().hex
        self._last_sent = 0.0
        self._observed: Mapping[str, Any] = {}
        self._account = self.order_id = ""
        self.is_in_doubt: bool | None = None
        """Whether a request may have been carried out; ``None`` while the record was not read."""
        self._memory = Memory(store, self._intent(), self._clock, self._sleep, spending)

    def place(self) -> Order:
        """
        Buy it, or find out what an earlier try bought.

        **Money moves in this call.**

        :raises PurchaseOutcomeUnknown: Stopped: a person must look. As :class:`PurchaseCharged`, it is paid.
        :raises InvalidRecord: The record cannot be used. Nothing was sent.
        :raises PurchaseChanged: The record is of something else. Nothing was sent.
        :raises StoreFailed: The record could not be read or written. Another try is safe.
        :raises OrderNotRecorded: It was bought, and its record could not be written; the log has it.
        :raises OutcomeUnknown: It may have been bought, and the order book could not be read. Another try looks again.
        :raises ApiError: Refused, and nothing was bought.
        """
        record, self.is_in_doubt = self._memory.read(), False
        if record:
            self.is_in_doubt, self.order_id = record.state is not State.DECLINED, record.order_id or ""
            self._refuse_another_account(record)
        if record is None and self._presumed_since is not None:
            log.warning("An earlier try may have sent this purchase, and no record tells. Looking first.")
            return self._find_out(self._presumed(self._presumed_since))
        if record is None or record.state is State.DECLINED:
            self._check()
            self._observed = self._spending.observe()
            if self._spending.has_temporary_key:
                self._account = self._spending.account()
            intent = self._intent(record.generation if record else 0, self._observed)
            if self._memory.begin(record, intent):
                return self._send_first(intent)
            record = self._memory.refresh(intent)
        return self._find_out(record)

    def foresee(self, record: Record) -> tuple[Evidence, Next, str]:
        """Return what is seen, what a try would do about it, and why. Nothing is sent; raises if it cannot be read."""
        return self._judge(record, self._seen(record), is_patient=False)

    def observed(self) -> Mapping[str, Any]:
        """Return what was seen before the first request; empty if nothing remembers it."""
        record = self._memory.read()
        return record.before if record else self._observed

    def note_delivery(self, order: Order) -> None:
        """Add to the record what the delivery showed. Nothing depends on it, so a store that fails is only logged."""
        self._memory.note_delivery(order)

    def _refuse_another_account(self, record: Record) -> None:
        """Raise if the record is of another account, or may be and nothing tells: one key is of one account."""
        is_ours = record.key_id in ("", self._spending.key_id) or record.state is State.DECLINED
        if is_ours or (record.account and record.account == self._spending.account()):
            return
        if record.order_id and not record.account and self._spending.lists(record.order_id):
            return
        was = f"account {record.account}" if record.account else "a key of which no account is known"
        is_ = f"account {self._spending.account() or 'unknown'}"
        raise PurchaseChanged(self._memory.where, [f"account: it was begun with {was}, and the key is of {is_} now"])

    # Sending

    def _send_first(self, intent: Record) -> Order:
        try:
            order = self._send(intent)
        except TcBillingError as error:
            if error.ambiguous:
                return self._find_out(self._in_doubt(intent, error), error)
            self.is_in_doubt = False
            self._memory.decline(intent, str(error), was_refused=isinstance(error, ApiError) and not error.transient)
            raise
        return self._memory.keep(intent, order)

    def _send(self, record: Record) -> Order:
        """Send the request of a record that is stored."""
        self.is_in_doubt = True
        try:
            order = self._spending.send(record.client_token, record.sending_until - self._rules.request_seconds)
        finally:
            self._last_sent = self._clock()
        log.info("Placed: order %s, client token %s, request %s.", order.order_id, order.client_token, order.request_id)
        return order

    def _in_doubt(self, record: Record, error: TcBillingError, *, is_repeat: bool = False) -> Record:
        """Return the record of a request whose outcome nobody knows; one that ended for good is never sent again."""
        log.warning("It may have been carried out, so the order book is asked before anything is sent again. %s", error)
        if isinstance(error, PaidButNotDelivered):
            return self._conclude(record, State.CHARGED, error)
        # A key that was refused says nothing of the try before.
        was_refused = isinstance(error, ApiError) and not isinstance(error, AuthError) and not error.transient
        return self._conclude(record, State.REFUSED, error) if was_refused and is_repeat else record

    def _conclude(self, record: Record, state: State, error: TcBillingError) -> Record:
        try:
            return self._memory.conclude(record, state, str(error))
        except StoreFailed as failed:
            # Another try would find an intent, and might pay again.
            said = Finding.SAID_PAID if state is State.CHARGED else Finding.REFUSED
            raise self._stopped(replace(record, state=state), [], f"{error} {failed}", said) from error

    # Finding out

    def _find_out(self, record: Record, error: TcBillingError | None = None) -> Order:
        """Look, and send again only when the order book shows nothing and the token still counts."""
        give_up, self.is_in_doubt = self._clock() + self._rules.patience, True
        while True:
            record = self._when_quiet(record)
            if record.order:
                return self._checked(record)
            if record.state is State.DECLINED:
                return self.place()
            found, step, why, finding = self._look(record, give_up)
            if step is Next.SEND and error:
                step, why, finding = self._after(error, max(give_up, record.replay_until))
            if step is Next.ADOPT:
                log.warning("An earlier try did it: adopting %s. Nothing more was sent.", found[0].words)
                return self._memory.keep(record, Order(found[0].order_id, client_token=record.client_token))
            if step is Next.STOP:
                record = self._stop_or_go_on(record, found, why, finding)
            if step is Next.SEND:
                record, error = self._send_again(record)

    def _when_quiet(self, record: Record) -> Record:
        """Wait until nothing can be under way and the order book has had its lag, or until the record changes."""
        told_at = -math.inf
        while record.state.may_have_an_order and (now := self._clock()) < (quiet := self.quiet_from(record)):
            if now - told_at >= LOG_SECONDS:
                log.info("Waiting %.0f s until nothing can be under way and the order book is complete.", quiet - now)
                told_at = now
            self._sleep(min(PAUSE_SECONDS, quiet - now))
            record = self._memory.refresh(record)
        return record

    def quiet_from(self, record: Record) -> float:
        """Return the epoch seconds from when on nothing is under way, and the order book has had its lag."""
        if record.owner == self._owner:
            return self._last_sent + self._rules.lag
        # The clock that wrote it may be behind ours; nobody wrote one that is only presumed.
        return record.sending_until + (self._rules.clock_margin if record.owner else 0.0) + self._rules.lag

    def decidable_from(self, record: Record) -> float:
        """Return the epoch seconds before which nobody can say that nothing was bought."""
        return max(record.intended_at + self._rules.not_bought_seconds, self.quiet_from(record))

    def _look(self, record: Record, give_up: float) -> tuple[list[Candidate], Next, str, Finding]:
        """Look once, at the order book and at the records of others; return what fits, and what that means."""
        is_patient = self._clock() < give_up
        try:
            seen = self._seen(record)
        except TcBillingError as error:
            if not error.transient:
                trusts = self._rules.trust_token and not record.state.is_final
                step = Next.SEND if trusts else Next.STOP
                return [], step, f"the order book cannot be read: {error}", Finding.UNREADABLE
            if not is_patient:
                raise
            log.warning("The order book cannot be read: %s", error)
            self._sleep(PAUSE_SECONDS)
            return [], Next.WAIT, "", Finding.UNREADABLE
        seen, step, why = self._judge(record, seen, is_patient=is_patient)
        if step is Next.WAIT:
            self._sleep(PAUSE_SECONDS)
        return [*seen.orders, *seen.unclear], step, why, finding_of(record, seen, step)

    def _seen(self, record: Record) -> Evidence:
        beside, until = self._rules.beside, max(record.sending_until, self._last_sent)
        return self._spending.look(record.intended_at - beside, until + beside, record.before)

    def _judge(self, record: Record, seen: Evidence, *, is_patient: bool) -> tuple[Evidence, Next, str]:
        beside = self._spending.clock_error + 2 * self._rules.beside
        owned, rivals = self._memory.others(record, self._spending.looks_like, beside)
        rivals += ["an identical task of the same Dag"] * self._has_twins
        free = seen.without(owned)
        situation = Situation(
            record,
            free,
            rivals,
            is_patient=is_patient,
            rivals_may_clear_up=not self._has_twins,
            trusts_token=self._rules.trust_token,
            replay_is_safe=self._spending.action.replay is Replay.WITH_TOKEN,
            now=self._clock(),
        )
        return free, *decide(situation)

    def _after(self, error: TcBillingError, give_up: float) -> tuple[Next, str, Finding]:
        """Return what is done when no order fits and the try before ended with an error: a refusal proves nothing."""
        if not error.transient:
            why = f"no order fits, an earlier try may have been carried out, and the server says: {error}"
            return Next.STOP, why, Finding.NONE
        if self._clock() >= give_up:
            why = f"It may have been carried out, and no order fits yet. The last try: {error}"
            raise OutcomeUnknown(why) from error
        return Next.SEND, "", Finding.SEND

    def _send_again(self, record: Record) -> tuple[Record, TcBillingError | None]:
        """Take the purchase over and send the same bytes; return the record as it stands then, and what went wrong."""
        stored = self._memory.read()
        if stored and stored != record:
            return stored, None
        self._check()
        before = record.before or self._spending.observe()
        now = self._clock()
        until = now + SETTLE_SECONDS + 2 * self._rules.request_seconds
        mine = replace(record, owner=self._owner, sending_until=until, changed_at=now, before=before, is_checked=False)
        mine = replace(mine, is_resent=True)
        if not self._memory.claim(stored, mine):
            return self._memory.refresh(mine), None
        log.warning("No order fits. Sending the same client token and the same bytes again.")
        try:
            order = self._send(mine)
        except TcBillingError as error:
            # That an earlier request was sent is only presumed where nobody has written it.
            return self._in_doubt(mine, error, is_repeat=bool(record.owner)), error
        self._memory.keep(mine, order)
        return mine.ordered(order, now), None

    def _stop_or_go_on(self, record: Record, found: list[Candidate], why: str, finding: Finding) -> Record:
        """Stop, unless another process has gone on while this one stood still; return the record as it stands then."""
        current = self._memory.refresh(record)
        if (current.owner, current.state) == (record.owner, record.state):
            raise self._stopped(record, found, why, finding)
        return current

    def _stopped(self, record: Record, found: list[Candidate], why: str, finding: Finding) -> PurchaseOutcomeUnknown:
        decidable = self.decidable_from(record)
        return stopped(record, self._memory.where, found, why=why, finding=finding, not_before=decidable)

    # After a repeat

    def twins_of(self, record: Record) -> Sequence[Candidate]:
        """
        Return the orders beside the one that the record knows which may be of this purchase, and which nobody owns.

        :raises OutcomeUnknown: What is listed beside it may be that of another purchase, which knows none yet.
        :raises TcBillingError: The order book could not be read, or the records of others.
        """
        seen = self._seen(record)
        owned_and_rivals = self._memory.others(record, self._spending.looks_like)
        return seen.beside(str(record.order_id), *owned_and_rivals)

    def checked_from(self, record: Record) -> float:
        """Return the epoch seconds from when on a second order of a repeat is surely listed."""
        return max(record.changed_at, self._last_sent) + self._rules.lag

    def _checked(self, record: Record) -> Order:
        """Return the order; after a repeat, look first whether both requests have placed one, and tell."""
        if record.is_resent and not record.is_checked:
            self._sleep(max(0.0, self.checked_from(record) - self._clock()))
            try:
                perhaps = ", unless it is that of an identical task of the same Dag" * self._has_twins
                twins = [f"{order.words}{perhaps}" for order in self.twins_of(record)]
                stored = self._memory.refresh(record)
                record = replace(stored, is_checked=True, twins=unique([*stored.twins, *twins]))
                self._memory.write(record)
            except TcBillingError as error:
                log.warning("Whether the repeat has placed a second order is not known yet: %s", error)
        for twin in record.twins:
            log.error("The server placed a SECOND order for this purchase, which no record owns: %s", twin)
        if record.order is None:
            raise OutcomeUnknown(f"The record of {self.key} knows no order any more.")
        return record.order

    # The record

    def _intent(self, generation: int = 0, before: Mapping[str, Any] | None = None) -> Record:
        now = self._clock()
        return Record(
            key=self.key,
            client_token=self._client_token or client_token_for(self.key, generation),
            generation=generation,
            fingerprint=self._spending.fingerprint,
            endpoint=self._spending.endpoint,
            action=self._spending.action.name,
            state=State.INTENDED,
            owner=self._owner,
            intended_at=now,
            sending_until=now + 2 * self._rules.request_seconds,
            replay_until=self._rules.replay_until(now, now + 2 * self._rules.request_seconds),
            changed_at=now,
            payload=self._spending.payload_shown,
            placed_by=self._placed_by,
            before=before or {},
            key_id=self._spending.key_id,
            account=self._account,
        )

    def _presumed(self, since: float) -> Record:
        """Return the record of an intent that nobody has written: sent at any time since, by somebody else."""
        return replace(self._intent(), owner="", intended_at=since, sending_until=self._clock())
