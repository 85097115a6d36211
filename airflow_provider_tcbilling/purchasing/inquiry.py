"""Inquiry: what the order book and the records of others show of a purchase, and the decision that follows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import pendulum

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.api.schema import Replay
from airflow_provider_tcbilling.purchasing.cohort import cohort_of, is_identical, shares_of
from airflow_provider_tcbilling.purchasing.decision import IDENTICAL_SECONDS, Decision, Rules, Situation, decide
from airflow_provider_tcbilling.purchasing.evidence import order_numbered
from airflow_provider_tcbilling.purchasing.money_action import Candidate, Evidence, MoneyAction
from airflow_provider_tcbilling.purchasing.others import Others
from airflow_provider_tcbilling.purchasing.ownership import Ownership
from airflow_provider_tcbilling.purchasing.record import Record


class Inquiry:
    """
    Queries that tell what became of a purchase. They send nothing that spends.

    :param twins: Others that may buy the same at the same time, in a few words; empty if there are none.
    :param clock: By which the records are written.
    :param ahead: Returns the seconds by which that clock is ahead of this machine's.
    """

    def __init__(
        self,
        action: MoneyAction,
        ownership: Ownership,
        rules: Rules,
        twins: str,
        *,
        clock: Callable[[], float],
        ahead: Callable[[], float],
    ) -> None:
        self._action, self._ownership, self._rules = action, ownership, rules
        self._twins, self._clock, self._ahead = twins, clock, ahead
        self._left: list[tuple[Record, Candidate]] = []

    def evidence(self, record: Record, last_sent: float) -> Evidence:
        """
        Query the order book once.

        :param last_sent: Epoch seconds of the last request of this process; 0 if there was none.
        :raises TcBillingError: It could not be read, so nothing is known.
        """
        since, until = self._span(replace(record, sending_until=max(record.sending_until, last_sent)))
        return self._action.evidence(since, until, record.before)

    def decision(self, record: Record, evidence: Evidence, *, patient_until: float) -> tuple[Evidence, Decision]:
        """
        Return the evidence without the orders that are other purchases', and the decision.

        :param patient_until: Epoch seconds until which there is time to query again.
        :raises TcBillingError: The records of others could not be read, or the order book.
        """
        self._left, others = [], self._others(record, evidence.numbers)
        rivals, are_identical = [*others.rivals, *([self._twins] if self._twins else ())], False
        free = evidence.without(others.owned)
        if own := [order for order in free.orders if order.order_ids & others.own]:
            free, rivals = replace(free, orders=own[:1], unclear=[]), []
        elif free.orders and others.rivals and self._ownership.assigns_orders and not free.unclear:
            free, rivals, are_identical = self._shared(record, free, others)
        now = self._clock()
        situation = Situation(
            record,
            free,
            rivals,
            is_patient=now < patient_until + (IDENTICAL_SECONDS if are_identical else 0.0),
            rivals_may_resolve=not self._twins,
            trusts_token=self._rules.trust_token,
            replay_is_safe=self._action.action.replay is Replay.WITH_TOKEN,
            now=now,
            are_identical=are_identical,
        )
        return free, decide(situation)

    def _shared(self, record: Record, free: Evidence, others: Others) -> tuple[Evidence, list[str], bool]:
        """
        Return what is left of the evidence once identical purchases have taken their orders.

        :return: With it, the rivals that remain, and whether they are identical purchases that are under way.
        """
        cohort = self._cohort(record, others)
        if others.has_damaged or not all(is_identical(record, member) for member in cohort):
            return free, others.rivals, False
        under_way = [one for one in cohort if one.key != record.key and self._rules.quiet_from(one) > self._clock()]
        if under_way:
            until = pendulum.from_timestamp(max(map(self._rules.quiet_from, under_way)))
            return free, [f"{len(under_way)} until {until.to_iso8601_string()}, such as {under_way[0].key}"], True
        found = self._action.evidence_within([self._span(member) for member in cohort])
        # Read in this order: an order in the book has its intent in the store by then.
        others = self._others(record, {number for evidence in found for number in evidence.numbers})
        if self._cohort(record, others) != cohort:
            return free, ["one that changes at this moment"], True
        left = [evidence.without(others.owned | others.own) for evidence in found]
        shares = shares_of({member.key: evidence.orders for member, evidence in zip(cohort, left, strict=False)})
        orders = {order.order_id for evidence in left for order in evidence.orders}
        if not found or len(orders) > len(shares) or any(evidence.unclear for evidence in left):
            return free, others.rivals, False
        mine = [shares[record.key]] if record.key in shares else []
        self._left = [] if mine else [(member, shares[member.key]) for member in cohort if member.key in shares]
        if self._left and not self._ownership.hands_over:
            return free, [f"{self._left[0][0].key}, which has not taken its order yet"], True
        return replace(free, orders=mine), [], False

    def hand_over(self) -> bool:
        """
        Give the orders that the last decision has left to identical purchases to them, before anything is sent.

        Such a purchase may be about to send: it is refused the take-over then, and finds its order.

        :return: False if one of them has gone on by itself, so that the decision is outdated.
        """
        return all(self._ownership.hand_over(member, order.order_id) for member, order in self._left)

    def second_orders(self, record: Record, last_sent: float) -> Sequence[Candidate]:
        """
        Return the orders beside the one that the record knows which may be of this purchase, and which nobody owns.

        :raises OutcomeUnknown: What is listed beside it may be that of another purchase, which knows none yet.
        :raises TcBillingError: The order book could not be read, or the records of others.
        """
        evidence = self.evidence(record, last_sent)
        others = self._ownership.others(record, self._action.looks_like, order_ids=evidence.numbers)
        return evidence.beside(str(record.order_id), others.owned, others.rivals)

    def is_anothers(self, record: Record, order: Order) -> bool:
        """
        Whether an order that the server answered with is another purchase's; else make it this one's.

        A server that remembers tokens answers a repeat with the order of the token, which an identical purchase may
        have taken.

        :raises TcBillingError: The store failed, or the order book could not be read, so nobody knows.
        """
        numbers, order_id = {order.order_id}, order.order_id
        others = self._others(record, numbers)
        is_alone = not others.owned and not others.open_alike
        # An order has two numbers, and a purchase that has it may know the other one.
        if listed := self._listed(order_id, must_be_read=not is_alone):
            numbers, order_id = numbers | listed.order_ids, listed.order_id
            others = self._others(record, numbers)
        return bool(numbers & others.owned) or self._ownership.assign(order_id) != record.key

    def _listed(self, number: str, *, must_be_read: bool) -> Candidate | None:
        try:
            return order_numbered(self._action.client, number)
        except TcBillingError as error:
            if error.transient or must_be_read:
                raise
            return None

    def _cohort(self, record: Record, others: Others) -> list[Record]:
        return cohort_of(record, others.open_alike, self._beside)

    def _others(self, record: Record, numbers: Collection[str]) -> Others:
        return self._ownership.others(record, self._action.looks_like, self._beside, numbers)

    @property
    def _beside(self) -> float:
        return self._action.clock_error + 2 * self._rules.beside

    def _span(self, record: Record) -> tuple[float, float]:
        """Return when a request of a record may have been sent, by the clock of this machine."""
        beside = self._rules.beside
        return record.intended_at - beside - self._ahead(), record.sending_until + beside - self._ahead()
