"""Intent: the records that a process stores before it sends, each with the time for which it may send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.money_action import MoneyAction
from airflow_provider_tcbilling.purchasing.record import Record, State


@dataclass(frozen=True)
class Intents:
    """
    Makes the records of one purchase and one process.

    :param owner: The process.
    :param pause: Seconds that a take-over waits, as the store says.
    :param client_token: Used as it is, instead of one derived from the key.
    :param placed_by: The origin of the purchase.
    """

    key: str
    action: MoneyAction
    rules: Rules
    owner: str
    pause: float
    client_token: str | None = None
    placed_by: Mapping[str, Any] = field(default_factory=dict)

    def first(
        self,
        now: float,
        generation: int = 0,
        before: Mapping[str, Any] | None = None,
        account: str = "",
        pause: float = 0.0,
    ) -> Record:
        """
        Return the record of a request that no request came before.

        :param pause: Seconds that the process waits before it sends.
        """
        sending_until = now + pause + 2 * self.rules.request_seconds
        return Record(
            key=self.key,
            client_token=self.client_token or client_token_for(self.key, generation),
            generation=generation,
            fingerprint=self.action.fingerprint,
            endpoint=self.action.endpoint,
            action=self.action.action.name,
            state=State.INTENDED,
            owner=self.owner,
            intended_at=now,
            sending_until=sending_until,
            replay_until=self.rules.replay_until(now, sending_until),
            changed_at=now,
            payload=self.action.payload_shown,
            placed_by=self.placed_by,
            before=before or {},
            key_id=self.action.key_id,
            account=account,
        )

    def presumed(self, now: float, since: float, account: str) -> Record:
        """Return the record of an intent that was never written: another process may have sent it at any time since."""
        return replace(self.first(now, account=account), owner="", intended_at=since, sending_until=now)

    def taken_over(self, record: Record, now: float, before: Mapping[str, Any]) -> Record:
        """Return the record of a repeat by this process."""
        return replace(
            record,
            owner=self.owner,
            sending_until=now + self.pause + 2 * self.rules.request_seconds,
            changed_at=now,
            before=before,
            is_checked=False,
            is_resent=True,
        )

    def with_next_token(self, record: Record, now: float) -> Record:
        """Return the record of a repeat with another token: the order of this one has become another purchase's."""
        generation = record.generation + 1
        token = client_token_for(self.key, generation)
        return replace(record, generation=generation, client_token=token, changed_at=now, is_resent=True)
