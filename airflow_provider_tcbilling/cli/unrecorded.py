"""Unrecorded: a purchase of which there is no record that can be used, as far as a user's decision needs one."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, REFUND_INSTANCE, RENEW_INSTANCE
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.values import DealAction
from airflow_provider_tcbilling.cli.lookup import FoundPurchase, Refused
from airflow_provider_tcbilling.hooks.connection import Settings
from airflow_provider_tcbilling.purchasing.evidence import search
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.money_action import Candidate
from airflow_provider_tcbilling.purchasing.record import Record, State

DAY = 86_400.0
"""Seconds. Orders that were made within it may be of a purchase that a user is asked about."""

ACTIONS: Mapping[str, str] = {
    DealAction.PURCHASE: CREATE_INSTANCE.name,
    DealAction.RENEW: RENEW_INSTANCE.name,
    DealAction.REFUND: REFUND_INSTANCE.name,
}
"""The action that places an order, by the action that the order book names."""


def record_of(found: FoundPurchase, settings: Settings, client: BillingClient) -> Record:
    """
    Return a record of a purchase that has none. It has no request: only a task knows what it asks for.

    :raises Refused: Nothing names the purchase, so no task would find the record.
    """
    if not found.key:
        raise Refused(
            "Nothing was written: there is no record with this client token, and a token does not tell the purchase. "
            "Name it by --key, or by its task."
        )
    task, now = found.name.task, found.store.now()
    return Record(
        key=found.key,
        client_token=client_token_for(found.key),
        generation=0,
        fingerprint="none",
        endpoint=settings.endpoint,
        action=CREATE_INSTANCE.name,
        state=State.INTENDED,
        owner="",
        intended_at=now,
        sending_until=now,
        replay_until=now,
        changed_at=now,
        placed_by=dict(vars(task)) if task else {},
        key_id=client.key_id,
    )


def action_of(client: BillingClient, order: Candidate) -> str:
    """
    Return the name of the action that placed an order.

    :raises TcBillingError: The order book could not be read.
    """
    found = [deal.action for number in sorted(order.order_ids) for deal in client.describe_deals(order_id=number)]
    return next((ACTIONS[action] for action in found if action in ACTIONS), CREATE_INSTANCE.name)


def recent_orders(client: BillingClient) -> list[Candidate]:
    """
    Return every order of the last day: one of them may be a purchase whose request nobody knows.

    :raises TcBillingError: The order book could not be read.
    """
    now = client.clock()
    return search(client, now - DAY, now, ()).matching
