"""What the tests of renewals share."""

from __future__ import annotations

import time

from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.renewal import Renewal
from tests.conftest import client_to
from tests.support.account import DAY, PRODUCT

LAG = 10.0


def subscribed(sandbox, days=3.0, **more):
    """Add an instance that expires in so many days, and return its id."""
    return sandbox.account.add_instance(expires_at=time.time() + days * DAY, **more).instance_id


def renewal(sandbox, instance_id, store, *, key="renew it", terms=None, fields=None, **options):
    rules = Rules(lag=LAG, request_seconds=5.0, trust_token=options.pop("trust_token", False))
    client = client_to(sandbox, read_timeout=60.0)
    told = {**PRODUCT, "instance_id": instance_id, **(fields or {})}
    return Purchase(key, Renewal(client, told, terms), store, rules, **options)


def renewals(sandbox):
    return [order.order_id for order in sandbox.account.orders() if order.action == "renew"]


def spent(sandbox):
    return sandbox.options.balance_cents - sandbox.account.balance_cents
