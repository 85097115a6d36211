"""
Plan: what a purchase would do now, and what it would cost at most. It only reads.

Whatever speaks against the purchase is a finding of its plan, and none of its errors. A plan is valid for the moment in
which it was made: another purchase may take the rest of a limit a second later.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import pendulum

from airflow_provider_tcbilling.api.errors import MAX_LINE, InvalidRequest, TcBillingError
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.api.values import Value
from airflow_provider_tcbilling.purchasing.approval import Question
from airflow_provider_tcbilling.purchasing.approval_plan import entry_of, plan_of
from airflow_provider_tcbilling.purchasing.decision import Next
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, LeftAlone, PurchaseChanged, RunRefused
from airflow_provider_tcbilling.purchasing.money_errors import ApprovalNeeded, MoneyRefused
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.purchasing.reservation import Counted, Reservation, Usage

LAST_MOMENT = 253402300799
"""Epoch seconds of the last moment that a calendar writes with four digits of the year."""


class Step(Value):
    """The next step of a purchase, if it were to be made now."""

    BUY = "buy"
    """Send it, and pay."""
    SEND_AGAIN = "send again"
    """Send the same bytes with the same client token again: no order of the try before is listed."""
    ASK = "ask"
    """Ask a user for approval, and send nothing before."""
    REFUSE = "refuse"
    """Send nothing: a rule that somebody has set speaks against it, or the state of the instance."""
    LEAVE = "leave alone"
    """Send nothing: nothing is needed."""
    RETURN = "return"
    """Return the order that the record has. Nothing more is paid."""
    ADOPT = "adopt"
    """Take an order of the order book, which is that of an earlier try. Nothing more is paid."""
    WAIT = "wait"
    """Wait, since a request of an earlier try may be under way, and query the order book then."""
    STOP = "stop"
    """Stop: a user must decide."""


class By(Value):
    """The rule that speaks against a purchase."""

    RUN = "run"
    """The run may not spend: it is a backfill, or too late."""
    NEED = "need"
    """Nothing is needed as things are."""
    INSTANCE = "instance"
    """The instance cannot be renewed, or should not be without a user's decision."""
    PRICE = "price"
    """Its price is not known, too high, or blocked."""
    LIMIT = "limit"
    BALANCE = "balance"
    APPROVAL = "approval"
    """A user must approve it first."""


@dataclass(frozen=True)
class Refusal:
    """
    A reason why the purchase would not be sent now.

    :param by: The rule.
    :param why: The reason, for a user.
    """

    by: By
    why: str

    @classmethod
    def of(cls, by: By, error: TcBillingError) -> Refusal:
        """Return an error as a refusal."""
        return cls(by, why_of(error))

    def as_json(self) -> dict[str, str]:
        """Return it as a plan has it."""
        return {"by": self.by.value, "why": self.why}


class PlannedPurchase(Purchase):
    """A purchase that is only planned. Its arguments are those of :class:`.Purchase`, which would make it."""

    def place(self) -> NoReturn:
        """
        Refuse: a plan buys nothing.

        :raises NotImplementedError: Always.
        """
        raise NotImplementedError("A plan buys nothing.")

    def plan(self) -> dict[str, Any]:
        """
        Return the plan of this purchase, as plain JSON. It sends nothing that spends, and writes nothing.

        Beside the fields of :func:`~airflow_provider_tcbilling.purchasing.approval_plan.entry_of`, the purchase has
        ``next`` (the step of a try that begins now), ``refusals``, ``limits``, ``balance``, ``approval``, ``state``,
        ``where``, ``client_token`` and ``price_key``.

        :raises InvalidRequest: A mistake in the rules themselves, such as a limit without a ledger that counts money.
        :raises StoreFailed: The record could not be read.
        :raises TcBillingError: The account could not be read.
        """
        step = None
        try:
            record = self.read()
        except (InvalidRecord, PurchaseChanged) as error:
            record, step = None, _next_step(Step.STOP, why_of(error))
        intent = self._intended(record)
        entry, refusals = self._priced(intent)
        refusals = [] if record and record.order else [*self._obstacles(), *refusals]
        entry |= {
            "client_token": intent.client_token,
            "price_key": intent.price_key,
            "state": record.state.value if record else "no record",
            "where": self._ownership.location,
            "refusals": [refusal.as_json() for refusal in refusals],
            "next": step or self._next(record, refusals),
        }
        plain: dict[str, Any] = json.loads(json.dumps(entry))
        return plan_of([plain], planned_at=_moment(self._clock()))

    def _intended(self, record: Record | None) -> Record:
        """Return the record as it would be stored before a request is sent."""
        account, generation = self._action.account(), record.generation if record else 0
        is_new = record is None or record.state is State.DECLINED
        if record is None or is_new:
            intent = self._intents.first(self._clock(), generation=generation, account=account)
        else:
            intent = replace(record, payload=self._action.payload_shown, account=record.account or account)
        return replace(intent, price_key=self._action.price_key)

    def _obstacles(self) -> Iterator[Refusal]:
        """Yield what speaks against it whatever it costs."""
        try:
            self._check()
        except RunRefused as error:
            yield Refusal.of(By.RUN, error)
        try:
            self._action.observe()
        except LeftAlone as error:
            yield Refusal.of(By.NEED, error)
        except InvalidRequest as error:
            yield Refusal.of(By.INSTANCE, error)

    def _priced(self, intent: Record) -> tuple[dict[str, Any], list[Refusal]]:
        """Return the part of the plan that is about money, and what speaks against it."""
        authorization, refusals = self._authorization, []
        try:
            reservation, source = authorization.reservation(intent)
        except MoneyRefused as error:
            refusals.append(Refusal.of(By.PRICE, error))
            reservation, source = authorization.without_price(intent), "unknown"
        usage = self._store.usage(reservation) if self._store.counts_money else Usage()
        limits = [self._limit(reservation, counted) for counted in usage.counted]
        refusals += [Refusal(By.LIMIT, limit["why"]) for limit in limits if limit["is_refused"]]
        balance, why = self._balance(reservation, usage)
        refusals += [Refusal(By.BALANCE, why)] if why else []
        question = self._question(intent, reservation, source)
        approval, why = self._approval(intent, reservation, source, question)
        refusals += [Refusal(By.APPROVAL, why)] if why else []
        entry = entry_of(question) if question else self._without_code(intent, reservation, source)
        return {**entry, "limits": limits, "balance": balance, "approval": approval}, refusals

    def _limit(self, reservation: Reservation, counted: Counted) -> dict[str, Any]:
        """Return a limit as it would be after the purchase, and whether it refuses it."""
        limit, cents = counted.limit, reservation.cents or 0
        _, ends = limit.span(self._clock(), reservation.zone)
        why = ""
        try:
            alone = replace(reservation, limits=(limit,), least_balance=None)
            usage = Usage([counted])
            alone.check(usage, self._clock(), lambda limit: self._store.open_in(alone, limit))
        except MoneyRefused as error:
            why = why_of(error)
        return {
            "name": limit.name,
            "window": limit.window.value,
            "currency": limit.currency,
            "max_cents": limit.max_cents,
            "settled_cents": counted.settled,
            "reserved_cents": counted.reserved,
            "this_cents": reservation.cents,
            "left_cents": limit.max_cents - counted.settled - counted.reserved - cents,
            "ends": _moment(ends, reservation.zone),
            "is_refused": bool(why),
            "why": why,
        }

    def _balance(self, reservation: Reservation, usage: Usage) -> tuple[dict[str, Any] | None, str]:
        """Return the balance as it would be after the purchase, and why it refuses it; empty if it does not."""
        least, why = reservation.least_balance, ""
        if least is None:
            return None, ""
        try:
            replace(reservation, limits=()).check(replace(usage, counted=(), blocked_cents=None), 0.0, lambda limit: ())
        except MoneyRefused as error:
            why = why_of(error)
        return {
            "spendable_cents": reservation.balance,
            "under_way_cents": usage.under_way,
            "this_cents": reservation.cents,
            "left_cents": reservation.balance - usage.under_way - (reservation.cents or 0),
            "least_cents": least,
            "is_refused": bool(why),
            "why": why,
        }, why

    def _question(self, intent: Record, reservation: Reservation, source: str) -> Question | None:
        """Return what a user would approve; ``None`` if nobody can approve it, since its price is not known."""
        if reservation.cents is None or not reservation.currency:
            return None
        rules = self._authorization.approval_rules or ApprovalRules(above_cents=0)
        return self._authorization.question(intent, reservation, source, rules)

    def _approval(
        self, intent: Record, reservation: Reservation, source: str, question: Question | None
    ) -> tuple[dict[str, Any], str]:
        """Return the approval that is needed, and why there is none; empty if nobody must approve, or a user has."""
        rules = self._authorization.approval_rules
        is_needed = self._authorization.approval_rules_for(reservation) is not None
        by, why = "", ""
        try:
            by = self._authorization.approved_by(intent, reservation, source, self._clock()) if question else ""
        except ApprovalNeeded as error:
            why = why_of(error)
        given = self._store.approval(question.code) if question and by else None
        return {
            "is_needed": is_needed,
            "above_cents": rules.above_cents if rules else None,
            "approvers": list(rules.approvers) if rules else [],
            "is_approved": bool(by),
            "approved_by": by,
            "valid_until": _moment(given.valid_until) if given else None,
            "why": why,
        }, why

    def _without_code(self, intent: Record, reservation: Reservation, source: str) -> dict[str, Any]:
        """Return a purchase that cannot be approved, since its price, or its currency, is not known."""
        return {
            "key": intent.key,
            "account": reservation.account or self._action.key_id,
            "endpoint": self._action.endpoint,
            "action": self._action.action.name,
            "payload": dict(self._action.payload_shown),
            "generation": intent.generation,
            "fingerprint": None,
            "max_cents": reservation.cents,
            "currency": reservation.currency,
            "price_from": source,
            "approval_code": None,
        }

    def _next(self, record: Record | None, refusals: list[Refusal]) -> dict[str, str]:
        """Return the step that a try would take now: the decision of a try, which nobody waits for."""
        if record is None or record.state is State.DECLINED:
            return self._start(Step.BUY, refusals)
        if record.order:
            return _next_step(Step.RETURN, order_id=record.order.order_id)
        if not record.is_presumed and self._clock() < (quiet := self.quiet_from(record)):
            return _next_step(Step.WAIT, f"until {_moment(quiet)}, since a request may be under way until then")
        evidence, decision = self.foresee(record)
        if decision.step is Next.ADOPT:
            return _next_step(Step.ADOPT, evidence.orders[0].summary, evidence.orders[0].order_id)
        if decision.step is Next.SEND:
            return self._start(Step.BUY if record.is_presumed else Step.SEND_AGAIN, refusals)
        return _next_step(Step.STOP, decision.why)

    def _start(self, step: Step, refusals: list[Refusal]) -> dict[str, str]:
        if not refusals:
            return _next_step(step)
        first = refusals[0]
        if first.by is By.APPROVAL:
            return _next_step(Step.ASK, first.why)
        return _next_step(Step.LEAVE if first.by is By.NEED else Step.REFUSE, first.why)


def why_of(error: TcBillingError) -> str:
    """Return an error as one bounded line."""
    return harmless(" ".join(line.strip() for line in error.lines()), MAX_LINE)


def _next_step(step: Step, why: str = "", order_id: str = "") -> dict[str, str]:
    return {"step": step.value, "why": harmless(why, MAX_LINE), "order_id": order_id}


def _moment(seconds: float, zone: str = "UTC") -> str | None:
    """Write a moment in ISO 8601; ``None`` for one that never comes."""
    if seconds > LAST_MOMENT:
        return None
    return str(pendulum.from_timestamp(int(seconds), tz=zone).to_iso8601_string())
