"""
Purchase: the rules of buying once.

A purchase has a key, its business name, and everything follows from it. The client token is derived from the key: not
from the try, not from a clock, not at random. The record says how far the purchase has come, and is written *before*
the first byte is sent. :meth:`Purchase.place` is a loop::

    no record, or declined      store the intent, then send
    an order is known           return it
    an intent without an order  wait until no request can be under way any more and the order book has had its lag,
                                query the order book, decide (the table in ``decision``), and then
                                adopt the order, send the same bytes with the same token, query again later, or stop

Two layers, the token and the order book, stand between a purchase and its double. Orders that other records own do not
count, and identical purchases share those that are listed, one each (``cohort``). What a server called paid, or refused
after an unanswered try, is never sent again. After every repeat the order book is queried once more for a second order.
Renewals and refunds have more evidence: the instance as it was before.
"""

from __future__ import annotations

import logging
import math
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.errors import (
    ApiError,
    AuthError,
    OutcomeUnknown,
    PaidButNotDelivered,
    TcBillingError,
)
from airflow_provider_tcbilling.api.models import Order, unique
from airflow_provider_tcbilling.purchasing.authorization import Authorization
from airflow_provider_tcbilling.purchasing.decision import (
    SHARED_CLOCK_MARGIN,
    Attempt,
    Decision,
    Finding,
    Next,
    Rules,
    step_after,
    step_if_unreadable,
)
from airflow_provider_tcbilling.purchasing.errors import OrderIsAnothers, PurchaseOutcomeUnknown, StoreFailed
from airflow_provider_tcbilling.purchasing.inquiry import Inquiry
from airflow_provider_tcbilling.purchasing.intent import Intents
from airflow_provider_tcbilling.purchasing.money_action import Candidate, Evidence, MoneyAction
from airflow_provider_tcbilling.purchasing.ownership import Ownership
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.purchasing.stop import stopped

if TYPE_CHECKING:
    from airflow_provider_tcbilling.ledger.store import Store

PAUSE_SECONDS, LOG_SECONDS = 5.0, 60.0
"""Between two readings of a record that another process may change, and between two lines in the log about a wait."""

log = logging.getLogger(__name__)


class Purchase:
    """
    One thing to buy, once.

    :param key: Its name. The same key always means the same purchase.
    :param action: The thing to buy.
    :param store: Keeps the record.
    :param client_token: Used as it is, instead of one derived from the key.
    :param placed_by: The origin of the purchase, for the record.
    :param presumed_since: Epoch seconds from when on an earlier try may have sent something, without a record.
    :param twins: Others that may buy the same at the same time, in a few words; empty if there are none.
    :param authorization: The limits, the price and the approval that it needs; the default needs none.
    :param check: Called before anything is sent; raises if it must not be.
    :param checkpoint: Called with each of :data:`CHECKPOINTS` that is reached, for crash tests.
    """

    CHECKPOINTS = (
        "begin", "intent stored", "taken over", "sending", "order known", "order stored", "in doubt", "queried"
    )  # fmt: skip
    """The points at which a crash test lets a process die or stand still."""

    @staticmethod
    def checkpoint(name: str) -> None:
        """Do nothing; a crash test replaces it, for one purchase or for all."""

    def __init__(
        self,
        key: str,
        action: MoneyAction,
        store: Store,
        rules: Rules | None = None,
        *,
        client_token: str | None = None,
        placed_by: Mapping[str, Any] | None = None,
        presumed_since: float | None = None,
        twins: str = "",
        check: Callable[[], None] = lambda: None,
        checkpoint: Callable[[str], None] | None = None,
        authorization: Authorization | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.key = key
        self._action = action
        rules = rules or Rules()
        self._rules = replace(rules, clock_margin=SHARED_CLOCK_MARGIN) if store.has_clock else rules
        self._presumed_since = presumed_since
        self._twins = "" if store.is_shared else twins
        self._check, self._checkpoint = check, checkpoint or self.checkpoint
        self._clock, self._sleep, self._store = clock or store.now, sleep or time.sleep, store
        self._intents = Intents(
            key, action, self._rules, uuid.uuid4().hex, store.pause_seconds, client_token, dict(placed_by or {})
        )
        self._authorization = authorization or Authorization(store, action)
        self._last_sent = 0.0
        self._give_up: float | None = None
        self._error: TcBillingError | None = None
        self._observed: Mapping[str, Any] = {}
        self._account = self.order_id = ""
        self.is_in_doubt: bool | None = None
        """Whether a request may have been carried out; ``None`` if that is unread."""
        self._ownership = Ownership(store, self._intents.first(self._clock()), self._clock, self._sleep, action)
        self._inquiry = Inquiry(action, self._ownership, self._rules, self._twins, clock=self._clock, ahead=self._ahead)

    def place(self) -> Order:
        """
        Buy it, or find out what an earlier try bought.

        **Money moves in this call.**

        :raises PurchaseOutcomeUnknown: Stopped: a user must decide. As :class:`PurchaseCharged`, it is paid.
        :raises InvalidRecord: The record cannot be used. Nothing was sent.
        :raises PurchaseChanged: The record is of something else. Nothing was sent.
        :raises StoreFailed: The record could not be read or written. Another try is safe.
        :raises OrderNotRecorded: It was bought, and its record could not be written; the log has it.
        :raises OutcomeUnknown: It may have been bought; the order book could not be read. Another try queries again.
        :raises ApiError: Refused, and nothing was bought.
        """
        record = self.read()
        while True:
            if record is None or record.state is State.DECLINED:
                record, attempt = self._begin(record)
            elif record.order:
                self.is_in_doubt, self.order_id = True, str(record.order_id)
                return self._checked(record)
            else:
                record, attempt = self._go_on(record)
            if attempt:
                record = self._send(record, attempt)

    def foresee(self, record: Record) -> tuple[Evidence, Decision]:
        """Return the evidence and what a try would do about it. Nothing is sent; raises if it cannot be read."""
        evidence = self._inquiry.evidence(record, self._last_sent)
        return self._inquiry.decision(record, evidence, patient_until=-math.inf)

    def observed(self) -> Mapping[str, Any]:
        """Return the state of the instance before the first request; empty if it is not recorded."""
        record = self._ownership.read()
        return record.before if record else self._observed

    def note_delivery(self, order: Order) -> None:
        """Add the delivery to the record. Nothing depends on it, so a store that fails is only logged."""
        self._ownership.note_delivery(order)

    def read(self) -> Record | None:
        """Return the record, or that of an earlier try of which there is none, and nothing is sent."""
        self._give_up, self._error, self._has_renewed = None, None, False
        record, self.is_in_doubt = self._ownership.read(), False
        if record:
            self.is_in_doubt, self.order_id = record.state is not State.DECLINED, record.order_id or ""
            self._ownership.refuse_another_account(record, self._action)
        elif self._presumed_since is not None and self._ownership.may_miss(self._presumed_since):
            log.warning("An earlier try may have sent this purchase, and there is no record of it. Querying first.")
            account = self._action.bound_account()
            return self._intents.presumed(self._clock(), self._presumed_since, account)
        return record

    def _begin(self, declined: Record | None) -> tuple[Record, Attempt | None]:
        """Store the intent; return the record as it stands then, and the attempt that this process must make."""
        self._give_up, self._error, self.is_in_doubt = None, None, False
        self._check()
        self._account = self._action.bound_account(is_wanted=self._authorization.is_in_force)
        self._observed = self._action.observe()
        pause = 0.0 if self._store.creates_exclusively else self._store.pause_seconds
        generation = declined.generation if declined else 0
        first = partial(self._intents.first, generation=generation, account=self._account, pause=pause)
        authorized = self._authorization.of(first(self._clock()), self._clock())
        intent = replace(first(self._clock(), before=self._observed), **authorized.fields)
        self._checkpoint("begin")
        if not self._ownership.begin(declined, intent, authorized.reservation):
            self._sleep(PAUSE_SECONDS)
            return self._ownership.refresh(intent), None
        self._checkpoint("intent stored")
        return intent, Attempt.FIRST

    def _send(self, record: Record, attempt: Attempt) -> Record:
        """Send the request of a stored record that is ours, and return the record as it is afterwards."""
        self.is_in_doubt, self._error = True, None
        action, send_by = self._action, record.sending_until - self._rules.request_seconds - self._ahead()
        self._checkpoint("sending")
        try:
            try:
                order = action.client.place(action.action, action.payload, record.client_token, send_by)
            finally:
                self._last_sent = self._clock()
        except TcBillingError as error:
            self._error = error
            return self._failed(record, error, attempt)
        log.info("Placed: order %s, client token %s, request %s.", order.order_id, order.client_token, order.request_id)
        if record.is_resent and self._is_anothers(record, order):
            return self._with_new_token(record, order)
        return self._keep(record, order)

    def _with_new_token(self, record: Record, order: Order) -> Record:
        """Store another token, since the order of this one has become an identical purchase's; return the record."""
        self.order_id, stored = "", self._ownership.refresh(record)
        if stored.owner != record.owner or stored.order_id not in (None, order.order_id):
            return stored
        if self._intents.client_token or self._has_renewed:
            why = f"the server answers with order {order.order_id}, which another purchase has: is its token the same?"
            raise self._stopped(record, [], why, Finding.UNCLEAR)
        log.warning("Order %s is an identical purchase's by now, so a new client token is sent.", order.order_id)
        renewed, self._has_renewed = self._intents.with_next_token(record, self._clock()), True
        return renewed if self._ownership.claim(stored, renewed) else self._ownership.refresh(stored)

    def _keep(self, record: Record, order: Order) -> Record:
        """Store an order before anything else is done with it, and return the record that knows it."""
        self.order_id = order.order_id
        self._checkpoint("order known")
        try:
            kept = self._ownership.keep(record, order)
        except OrderIsAnothers:
            return self._with_new_token(record, order)
        if self._clock() > record.sending_until and self._is_anothers(record, order):
            return self._with_new_token(record, order)
        self._checkpoint("order stored")
        return kept

    def _is_anothers(self, record: Record, order: Order) -> bool:
        return self._ownership.is_anothers(record, order, self._inquiry.is_anothers)

    def _failed(self, record: Record, error: TcBillingError, attempt: Attempt) -> Record:
        """Return the record of a request whose outcome is unknown; raise if it surely bought nothing."""
        was_refused = isinstance(error, ApiError) and not error.transient
        if attempt is Attempt.FIRST and not error.ambiguous:
            other = self._ownership.decline(record, str(error), was_refused=error.uses_token_up)
            self.is_in_doubt, self.order_id = bool(other), (other and other.order_id) or ""
            raise error
        log.warning("It may have been carried out, so the order book is queried before another request. %s", error)
        if isinstance(error, PaidButNotDelivered):
            return self._conclude(record, State.CHARGED, error)
        # A refused key says nothing of the try before.
        if attempt is Attempt.REPEAT and was_refused and not isinstance(error, AuthError):
            return self._conclude(record, State.REFUSED, error)
        return record

    def _conclude(self, record: Record, state: State, error: TcBillingError) -> Record:
        """Record that it is never sent again. One that ended for good must not look like an intent to another try."""
        try:
            return self._ownership.conclude(record, state, str(error))
        except StoreFailed as failed:
            finding = Finding.SAID_PAID if state is State.CHARGED else Finding.REFUSED
            raise self._stopped(replace(record, state=state), [], f"{error} {failed}", finding) from error

    def _go_on(self, record: Record) -> tuple[Record, Attempt | None]:
        """Query and decide once; return the record as it stands then, and the attempt that this process must make."""
        self.is_in_doubt = True
        self._checkpoint("in doubt")
        self._give_up = self._give_up or self._clock() + self._rules.patience
        record = self._when_quiet(record)
        if record.order or record.state is State.DECLINED:
            return record, None
        found, step, why, finding = self._decided(record, self._give_up)
        self._checkpoint("queried")
        if step is Next.ADOPT:
            return self._adopt(record, found[0]), None
        if step is Next.STOP:
            return self._stop_or_go_on(record, found, why, finding), None
        return self._take_over(record) if step is Next.SEND else (record, None)

    def _adopt(self, record: Record, found: Candidate) -> Record:
        """Take an order of the order book, and return the record as it stands then."""
        self._checkpoint("order known")
        adopted = self._ownership.adopt(record, found.order_id)
        if adopted is None:
            self._sleep(PAUSE_SECONDS)
            return self._ownership.refresh(record)
        log.warning("An earlier try did it: adopting %s. Nothing more was sent.", found.summary)
        self._checkpoint("order stored")
        return adopted

    def _when_quiet(self, record: Record) -> Record:
        """Wait until nothing can be under way and the order book has had its lag, or until the record changes."""
        logged_at = -math.inf
        while record.state.may_have_an_order and (now := self._clock()) < (quiet := self.quiet_from(record)):
            if now - logged_at >= LOG_SECONDS:
                log.info("Waiting %.0f s until nothing can be under way and the order book is complete.", quiet - now)
                logged_at = now
            self._sleep(min(PAUSE_SECONDS, quiet - now))
            record = self._ownership.refresh(record)
        return record

    def quiet_from(self, record: Record) -> float:
        """Return the epoch seconds from when on nothing is under way, and the order book has had its lag."""
        if record.owner == self._intents.owner:
            return self._last_sent + self._rules.lag
        return self._rules.quiet_from(record)

    def decidable_from(self, record: Record) -> float:
        """Return the epoch seconds before which *nothing was bought* cannot be proven."""
        return max(record.intended_at + self._rules.not_bought_seconds, self.quiet_from(record))

    def _decided(self, record: Record, give_up: float) -> tuple[list[Candidate], Next, str, Finding]:
        """Query the order book and the records of others once; return the orders that may be it, and the decision."""
        is_patient = self._clock() < give_up
        try:
            evidence = self._inquiry.evidence(record, self._last_sent)
        except TcBillingError as error:
            found, finding, may_change = list[Candidate](), Finding.UNREADABLE, not self._action.has_lasting_key
            step = step_if_unreadable(self._rules, record, error, is_patient=is_patient, may_change=may_change)
            why = f"the order book cannot be read: {error}"
        else:
            evidence, decision = self._inquiry.decision(record, evidence, patient_until=give_up)
            found, step, why = [*evidence.orders, *evidence.unclear], decision.step, decision.why
            finding = decision.finding
        if step is Next.SEND and self._error:
            may_change = not self._action.has_lasting_key
            step, why, finding = step_after(self._error, is_over=self._clock() >= give_up, may_change=may_change)
        if step is Next.WAIT:
            self._sleep(PAUSE_SECONDS)
        return found, step, why, finding

    def _take_over(self, record: Record) -> tuple[Record, Attempt | None]:
        """Become the owner of a record without an order; return it as it stands then, and the attempt to make."""
        stored = self._ownership.read()
        if stored and stored != record:
            self._error = None
            return stored, None
        if not self._inquiry.hand_over():
            return record, None
        self._check()
        before = record.before or self._action.observe()
        authorized = self._authorization.of(record, self._clock())
        mine = replace(self._intents.taken_over(record, self._clock(), before), **authorized.fields)
        if not self._ownership.claim(stored, mine, authorized.reservation):
            self._error = None
            self._sleep(PAUSE_SECONDS)
            return self._ownership.refresh(mine), None
        self._checkpoint("taken over")
        log.warning("No order matches. Sending the same client token and the same bytes again.")
        return mine, Attempt.AFTER_A_GUESS if record.is_presumed else Attempt.REPEAT

    def _stop_or_go_on(self, record: Record, found: list[Candidate], why: str, finding: Finding) -> Record:
        """Stop, unless another process has gone on while this one stood still; return the record as it stands then."""
        current = self._ownership.refresh(record)
        if (current.owner, current.state) == (record.owner, record.state):
            if finding is Finding.NONE and self._error and self._error.ambiguous:
                self._ownership.close_window(current)
            raise self._stopped(record, found, why, finding)
        return current

    def _stopped(self, record: Record, found: list[Candidate], why: str, finding: Finding) -> PurchaseOutcomeUnknown:
        not_before = self.decidable_from(record)
        return stopped(record, self._ownership.location, found, why=why, finding=finding, not_before=not_before)

    def second_orders(self, record: Record) -> Sequence[Candidate]:
        """Return orders beside the known one."""
        return self._inquiry.second_orders(record, self._last_sent)

    def checked_from(self, record: Record) -> float:
        """Return the epoch seconds from when on a second order of a repeat is surely listed."""
        return max(record.changed_at, self._last_sent) + self._rules.lag

    def _checked(self, record: Record) -> Order:
        """Return the order; after a repeat, query first whether both requests have placed one."""
        if record.is_resent and not record.is_checked:
            self._sleep(max(0.0, self.checked_from(record) - self._clock()))
            try:
                perhaps = f", unless it is that of {self._twins}" if self._twins else ""
                twins = [f"{order.summary}{perhaps}" for order in self.second_orders(record)]
                stored = self._ownership.refresh(record)
                record = replace(stored, is_checked=True, twins=unique([*stored.twins, *twins]))
                self._ownership.write(record)
            except TcBillingError as error:
                log.warning("Whether the repeat has placed a second order is not known yet: %s", error)
        for twin in record.twins:
            log.error("The server placed a SECOND order for this purchase, which no record owns: %s", twin)
        if record.order is None:
            raise OutcomeUnknown(f"The record of {self.key} knows no order any more.")
        return record.order

    def _ahead(self) -> float:
        """Return the seconds by which the clock of the records is ahead of that of the client."""
        return self._clock() - self._action.client.clock() if self._store.has_clock else 0.0
