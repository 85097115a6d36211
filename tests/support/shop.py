"""A shop: a sandbox, a ledger, and purchases that end in every way, for the tests of the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.ledger.objects import ObjectStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.sandbox.token_memory import TokenMemory
from tests.conftest import ORDER, client_to
from tests.support.crash import dying_at

LAG = 10.0
QUIET, LATE = 335.0, 700.0
"""Seconds after which nothing is under way any more, and after which a user may say that nothing was bought."""

KEY = "edge firewall"
TASK = ("--dag-id", "shop", "--run-id", "manual__1", "--task-id", "buy")
PLACED_BY = {"dag_id": "shop", "run_id": "manual__1", "task_id": "buy", "map_index": -1, "try_number": 1}
NOT_LISTED = "20261125000000000"


class Shop:
    """A sandbox, a ledger, and purchases that end in every way."""

    def __init__(self, sandbox, folder, clock):
        self.sandbox, self.folder, self.clock = sandbox, folder, clock
        folder.mkdir(exist_ok=True)

    @property
    def ledger(self):
        return ObjectStore(self.folder.as_uri())

    @property
    def settings(self):
        return TcBillingHook().get_settings()

    @property
    def orders(self):
        return [order.order_id for order in self.sandbox.account.orders()]

    def purchase(self, key=KEY, placed_by=PLACED_BY, **other):
        spending = NewInstance(client_to(self.sandbox, read_timeout=60.0), {**ORDER, **other})
        return Purchase(key, spending, self.ledger, Rules(lag=LAG, request_seconds=5.0), placed_by=placed_by)

    def ordered(self, key=KEY, **options):
        return self.purchase(key, **options).place()

    def lost(self, key=KEY, *, carried_out=True, code=None, after=QUIET, **other):
        """Send a purchase whose answer is lost, let the process die, and some time go by."""
        fault = {"fault": "error", "code": code} if code else {"fault": "drop"}
        self.sandbox.faults.add({**fault, "when": "after" if carried_out else "before", "action": "CreateInstance"})
        with dying_at("in doubt"):
            self.purchase(key, **other).place()
        self.clock.sleep(after)

    def declined(self, key=KEY):
        code = "FailedOperation.BalanceInsufficient"
        self.sandbox.faults.add({"fault": "error", "code": code, "when": "before", "times": 1})
        with pytest.raises(TcBillingError):
            self.purchase(key).place()

    def somebody_elses(self, **other):
        fields = {**ORDER, **other}
        return client_to(self.sandbox).create_instance(client_token=f"other-{len(self.orders)}", **fields)

    def closed_book(self):
        self.sandbox.faults.add({"fault": "drop", "action": "DescribeDealsByCond", "times": None})

    def record(self, key=KEY):
        return Record.from_json(self.ledger.read(key), "here")

    def edit(self, key=KEY, **changes):
        self.ledger.replace(key, {**self.ledger.read(key), **changes})

    def path(self, key=KEY):
        return Path(self.ledger.location(key).removeprefix("file://"))

    def files(self):
        return {path.name: path.read_bytes() for path in self.folder.iterdir()} if self.folder.is_dir() else {}

    def damaged(self, key=KEY):
        self.ordered(key)
        self.path(key).write_text("{half of")

    def saved(self, tmp_path, **changes):
        told = tmp_path / "record.json"
        told.write_text(json.dumps({**self.ledger.read(KEY), **changes}))
        return str(told)


def two_orders_match(shop):
    shop.lost(after=0)
    shop.somebody_elses()
    shop.clock.sleep(QUIET)


def an_open_purchase_that_looks_the_same(shop):
    shop.lost("another one", after=0, parameter={"pid": 7})
    shop.lost()


def an_order_with_status(shop, status):
    shop.sandbox.faults.add({"fault": "order-status", "status": status})
    shop.ordered()


def delivered(shop):
    purchase = shop.purchase()
    purchase.note_delivery(purchase.place())


def forgotten(shop):
    shop.ordered()
    shop.sandbox.account.__init__(shop.sandbox.options)


def said_to_be_paid(shop):
    shop.lost(carried_out=False, code="FailedOperation.PaySuccDeliverFailed", after=LATE)


def lost_and_no_book(shop):
    shop.lost()
    shop.closed_book()


def settled_by_mistake(shop):
    shop.lost()
    shop.edit(state="declined")


def nothing_arrived(shop):
    shop.lost(carried_out=False, after=LATE)


def at_another_endpoint(shop):
    shop.lost()
    shop.edit(endpoint="https://billing.tencentcloudapi.com")


def refused_after_a_lost_try(shop):
    shop.lost(carried_out=False)
    shop.sandbox.account.balance_cents = 0
    with pytest.raises(PurchaseOutcomeUnknown):
        shop.purchase().place()


def paid_twice(shop, *, is_known=True):
    """Let the first answer be lost and its order be listed late, where the server ignores tokens."""
    shop.sandbox.account._tokens = TokenMemory(Tokens("ignore"))
    shop.sandbox.faults.add({"fault": "not-visible", "looks": 1 if is_known else 9})
    shop.sandbox.faults.add({"fault": "drop", "action": "CreateInstance"})
    with pytest.MonkeyPatch.context() as patch:
        if not is_known:
            patch.setattr(Purchase, "_checked", lambda self, record: record.order)
        shop.ordered()
