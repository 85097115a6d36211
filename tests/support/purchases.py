"""What the tests of a purchase share."""

from __future__ import annotations

import json

from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record
from tests.conftest import ORDER, client_to

LAG = 10.0
SERVERS = ["honour", "forget-after:1", "ignore", "reject-repeat"]
TWO_MONTHS = {**ORDER, "period": 2, "parameter": {"pid": 1002147}}


def purchase(sandbox, store, key="firewall", order=ORDER, endpoint=None, lag=LAG, **options):
    rules = Rules(lag=lag, trust_token=options.pop("trust_token", False), request_seconds=5.0)
    client = client_to(sandbox, endpoint=endpoint or sandbox.url, read_timeout=60.0)
    return Purchase(key, NewInstance(client, order), store, rules, **options)


def spent(sandbox):
    return sandbox.options.balance_cents - sandbox.account.balance_cents


def record_of(store, key="firewall"):
    return Record.from_json(json.loads(store.texts[key]), "here")


def orders(sandbox):
    return [order.order_id for order in sandbox.account.orders()]


def lose(sandbox, when="after"):
    sandbox.faults.add({"fault": "drop", "when": when, "action": "CreateInstance"})
