"""Inquiry: what the order book and the records of others show of a purchase, and the decision that follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_provider_tcbilling.api.schema import Replay
from airflow_provider_tcbilling.purchasing.decision import Decision, Rules, Situation, decide
from airflow_provider_tcbilling.purchasing.money_action import Candidate, Evidence, MoneyAction
from airflow_provider_tcbilling.purchasing.ownership import Ownership
from airflow_provider_tcbilling.purchasing.record import Record


class Inquiry:
    """
    Queries that tell what became of a purchase. They send nothing that spends.

    :param twins: Others that may buy the same at the same time, in a few words; empty if there are none.
    """

    def __init__(
        self, action: MoneyAction, ownership: Ownership, rules: Rules, twins: str, clock: Callable[[], float]
    ) -> None:
        self._action, self._ownership, self._rules = action, ownership, rules
        self._twins, self._clock = twins, clock

    def evidence(self, record: Record, last_sent: float) -> Evidence:
        """
        Query the order book once.

        :param last_sent: Epoch seconds of the last request of this process; 0 if there was none.
        :raises TcBillingError: It could not be read, so nothing is known.
        """
        beside, until = self._rules.beside, max(record.sending_until, last_sent)
        return self._action.evidence(record.intended_at - beside, until + beside, record.before)

    def decision(self, record: Record, evidence: Evidence, *, is_patient: bool) -> tuple[Evidence, Decision]:
        """
        Return the evidence without the orders that other records own, and the decision.

        :param is_patient: There is time left to query again.
        :raises StoreFailed: The records of others could not be read.
        """
        beside = self._action.clock_error + 2 * self._rules.beside
        owned, rivals = self._ownership.others(record, self._action.looks_like, beside)
        if self._twins:
            rivals.append(self._twins)
        free = evidence.without(owned)
        situation = Situation(
            record,
            free,
            rivals,
            is_patient=is_patient,
            rivals_may_resolve=not self._twins,
            trusts_token=self._rules.trust_token,
            replay_is_safe=self._action.action.replay is Replay.WITH_TOKEN,
            now=self._clock(),
        )
        return free, decide(situation)

    def second_orders(self, record: Record, last_sent: float) -> Sequence[Candidate]:
        """
        Return the orders beside the one that the record knows which may be of this purchase, and which nobody owns.

        :raises OutcomeUnknown: What is listed beside it may be that of another purchase, which knows none yet.
        :raises TcBillingError: The order book could not be read, or the records of others.
        """
        owned, rivals = self._ownership.others(record, self._action.looks_like)
        return self.evidence(record, last_sent).beside(str(record.order_id), owned, rivals)
