"""Stop: the error of a purchase that ends in doubt, with everything that a user needs to decide it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pendulum

from airflow_provider_tcbilling.api.text import amount
from airflow_provider_tcbilling.purchasing.decision import Finding
from airflow_provider_tcbilling.purchasing.errors import Doubt, PurchaseCharged, PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.money_action import Candidate
from airflow_provider_tcbilling.purchasing.record import Record, State


def stopped(
    record: Record, where: str, found: Sequence[Candidate], *, why: str, finding: Finding, not_before: float
) -> PurchaseOutcomeUnknown:
    """
    Return the error.

    :param where: The place of the record.
    :param found: The orders that may be the purchase.
    :param why: Why nothing decides it.
    :param not_before: Epoch seconds before which *nothing was bought* cannot be proven.
    """
    began = pendulum.from_timestamp(record.intended_at).to_iso8601_string()
    about = f"{record.key}, intended since {began}, client token {record.client_token}; {where}"
    most = max(found, key=lambda one: math.inf if one.paid_cents is None else one.paid_cents, default=None)
    up_to = amount(most.paid_cents, most.currency) if most else ""
    kind = PurchaseCharged if record.state is State.CHARGED else PurchaseOutcomeUnknown
    orders = [candidate.summary for candidate in found]
    return kind(why, orders, about, Doubt(record.state.value, finding.name.lower(), up_to, not_before))
