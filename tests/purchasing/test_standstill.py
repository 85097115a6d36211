"""A process stands still, at any moment and for any time, while another one goes on: the purchase happens once."""

from __future__ import annotations

import json
import pkgutil
import random
import time

import pytest

from airflow_provider_tcbilling.api import exchange
from airflow_provider_tcbilling.api.errors import AuthError, InsufficientBalance, TcBillingError, Unreachable
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support.crash import at
from tests.support.shelf import Shelf

PACKAGE = "airflow_provider_tcbilling"
LAST_CHECK = f"{PACKAGE}.api.exchange.Exchange.begin"
PLACES = [
    *Purchase.CHECKPOINTS,
    f"{PACKAGE}.purchasing.ownership.Ownership.read",
    f"{PACKAGE}.purchasing.ownership.Ownership.claim",
    f"{PACKAGE}.purchasing.ownership.Ownership.write",
    f"{PACKAGE}.purchasing.ownership.Ownership.keep",
    f"{PACKAGE}.purchasing.ownership.Ownership.decline",
    f"{PACKAGE}.purchasing.ownership.Ownership.is_still_owned_by",
    f"{PACKAGE}.ledger.store.Store.text",
    f"{PACKAGE}.ledger.store.Store.create",
    f"{PACKAGE}.ledger.store.Store.replace",
    f"{PACKAGE}.purchasing.new_instance.NewInstance.evidence",
    f"{PACKAGE}.api.client.BillingClient.place",
    f"{PACKAGE}.api.signing.Tc3Auth.__call__",
    f"{PACKAGE}.api.exchange._Watched._new_conn",
    LAST_CHECK,
    f"{PACKAGE}.api.transport._content",
]
"""Where a process may stand still, before or after. The moment after the last check is the documented exception."""

REQUEST_SECONDS = 5.0
SEEDS = range(100)

pytestmark = pytest.mark.usefixtures("passing_time")


def purchase(sandbox, store, ahead=0.0, key="firewall"):
    def clock():
        return time.time() + ahead

    client = client_to(sandbox, read_timeout=2.0, clock=clock)
    rules = Rules(lag=10.0, request_seconds=REQUEST_SECONDS)
    return Purchase(key, NewInstance(client, ORDER), store, rules, clock=clock)


def standing_still(patch, place, turn, act, is_after=False):
    """Let whoever comes to a place for the *turn*-th time do something else first, or when it is done there."""
    if place in Purchase.CHECKPOINTS:
        patch.setattr(Purchase, "checkpoint", staticmethod(at(place, act, turn)))
        return
    owner, _, name = place.rpartition(".")
    target = pkgutil.resolve_name(owner)
    real, calls = getattr(target, name), []

    def stands_still(*args, **kwargs):
        calls.append(place)
        is_now = len(calls) == turn
        if is_now and not is_after:
            act()
        try:
            return real(*args, **kwargs)
        finally:
            if is_now and is_after:
                act()

    patch.setattr(target, name, stands_still)


def tried(place):
    """Try until a person is needed or the purchase is known, as Airflow does."""
    for _ in range(4):
        try:
            return place()
        except TcBillingError as error:
            if not error.transient:
                return error
    return None


def story(start_sandbox, passing_time, seed):
    """
    Return the sandbox after two workers have tried to make one purchase, of which the first one stands still.

    Now and then the second worker makes an identical purchase of another name as well. Also returned: how each try
    ended, by the purchase.
    """
    chance = random.Random(seed)
    sandbox = start_sandbox(tokens=Tokens("ignore"))
    store = Shelf(is_shared=chance.random() < 0.7, replaces_conditionally=chance.random() < 0.3)
    store.is_exclusive = store.is_shared and chance.random() < 0.7
    if chance.random() < 0.3:
        code = "FailedOperation.BalanceInsufficient"
        sandbox.faults.add({"fault": "error", "code": code, "when": "before", "action": "CreateInstance"})
    for _ in range(chance.choice((0, 0, 1, 2))):
        fault = {"fault": "drop", "when": chance.choice(("before", "after")), "action": "CreateInstance"}
        sandbox.faults.add(fault)
    ahead = chance.uniform(-145, 145), chance.uniform(-145, 145)
    others = ["firewall", *["twin"] * (store.is_shared and chance.random() < 0.3)]
    ends = {"firewall": [], "twin": []}

    def another_one_goes_on():
        passing_time.sleep(chance.choice((0, 3, 8, 30, 400, 4000)))
        for key in others:
            ends[key].append(tried(purchase(sandbox, store, ahead[1], key).place))
        passing_time.sleep(chance.choice((0, 3, 8, 30, 400)))

    with pytest.MonkeyPatch.context() as patch:
        place, turn = chance.choice(PLACES), chance.choice((1, 1, 1, 2, 3))
        is_after = place != LAST_CHECK and chance.random() < 0.4
        standing_still(patch, place, turn, another_one_goes_on, is_after)
        first = tried(purchase(sandbox, store, ahead[0]).place)
    passing_time.sleep(1000)
    ends["firewall"] += [first, tried(purchase(sandbox, store).place)]
    return sandbox, ends


@pytest.mark.parametrize("seed", SEEDS)
def test_wherever_a_process_stands_still_one_order_is_paid(start_sandbox, passing_time, seed):
    sandbox, ends = story(start_sandbox, passing_time, seed)

    taken = {}
    for key, of_key in ends.items():
        tokens = {client_token_for(key, generation) for generation in range(9)}
        paid = [order.order_id for order in sandbox.account.orders() if order.client_token in tokens]
        taken[key] = {end.order_id for end in of_key if isinstance(end, Order)}
        assert len(paid) <= 1, ends
        assert taken[key] <= {order.order_id for order in sandbox.account.orders()}
        assert len(taken[key]) <= 1, ends
    assert not taken["firewall"] & taken["twin"], ends


@pytest.mark.parametrize("rules", [Rules(), Rules(lag=10.0, request_seconds=3.0)], ids=["default", "short"])
@pytest.mark.parametrize(("before", "after"), [(450.0, 20.0), (310.0, 20.0), (0.0, 400.0)])
def test_a_process_that_stood_still_before_its_first_write_gives_the_purchase_up(
    start_sandbox, passing_time, monkeypatch, rules, before, after
):
    sandbox, store = start_sandbox(tokens=Tokens("ignore")), Shelf(is_shared=False)
    others = []

    def place():
        return Purchase("firewall", NewInstance(client_to(sandbox), ORDER), store, rules).place()

    def another_one_goes_on():
        passing_time.sleep(before)
        others.append(tried(place))
        passing_time.sleep(after)

    standing_still(monkeypatch, f"{PACKAGE}.ledger.store.Store.create", 1, another_one_goes_on)
    others.append(tried(place))

    assert [order.order_id for order in others] == [order.order_id for order in sandbox.account.orders()] * 2


@pytest.mark.parametrize("tokens", ["honour", "ignore"])
@pytest.mark.parametrize("rules", [Rules(), Rules(lag=10.0, request_seconds=3.0)], ids=["default", "short"])
@pytest.mark.parametrize(
    ("place", "is_after"),
    [
        ("purchasing.ownership.Ownership.replace_own", False),
        ("ledger.store.Store.replace", True),
        ("ledger.store.Store.replace", False),
    ],
)
def test_a_refusal_that_is_noted_late_is_not_put_over_the_order_of_the_next_try(
    start_sandbox, passing_time, monkeypatch, tokens, rules, place, is_after
):
    sandbox, store = start_sandbox(tokens=Tokens(tokens)), Shelf()
    sandbox.faults.add({"fault": "error", "code": "FailedOperation.BalanceInsufficient", "when": "before"})
    others = []

    def buy():
        return Purchase("firewall", NewInstance(client_to(sandbox), ORDER), store, rules).place()

    def another_one_goes_on():
        passing_time.sleep(450.0)
        others.append(tried(buy))
        passing_time.sleep(5.0)

    standing_still(monkeypatch, f"{PACKAGE}.{place}", 1, another_one_goes_on, is_after)
    with pytest.raises(InsufficientBalance):
        buy()
    if place.endswith("replace_own") or is_after:
        assert json.loads(store.texts["firewall"])["order_id"] == getattr(others[0], "order_id", None)
    others.append(tried(buy))

    assert len(sandbox.account.orders()) <= 1
    assert len({order.order_id for order in others if isinstance(order, Order)}) == len(sandbox.account.orders())


def test_what_remains_is_told(start_sandbox, passing_time, monkeypatch, logged):
    """A process that is stopped between the last check and the last byte, and whose signature has not expired yet."""
    sandbox, store = start_sandbox(tokens=Tokens("ignore")), Shelf()
    begin, calls, others = exchange.Exchange.begin, [], []

    def begins_and_stands_still(self):
        begin(self)
        calls.append(self)
        if len(calls) == 2:
            others.append(purchase(sandbox, store, ahead=100.0).place())

    monkeypatch.setattr(exchange.Exchange, "begin", begins_and_stands_still)
    order = purchase(sandbox, store).place()

    known, second = [placed.order_id for placed in sandbox.account.orders()]
    assert [order.order_id, others[0].order_id] == [known, known]
    assert "SECOND order for this purchase" in logged()
    assert [second in twin for twin in json.loads(store.texts["firewall"])["twins"]] == [True]


def test_what_is_stopped_at_the_last_moment_is_expired_when_another_one_may_send(start_sandbox, monkeypatch):
    sandbox, store = start_sandbox(tokens=Tokens("ignore")), Shelf()
    begin, calls, others = exchange.Exchange.begin, [], []

    def begins_and_stands_still(self):
        begin(self)
        calls.append(self)
        if len(calls) == 2:
            others.append(purchase(sandbox, store).place())

    monkeypatch.setattr(exchange.Exchange, "begin", begins_and_stands_still)
    with pytest.raises(AuthError, match="expired"):
        purchase(sandbox, store).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [others[0].order_id]
    assert purchase(sandbox, store).place().order_id == others[0].order_id


def test_a_request_that_was_held_up_on_its_way_to_the_wire_is_not_sent(start_sandbox, passing_time, monkeypatch):
    sandbox, store = start_sandbox(), Shelf()
    late = REQUEST_SECONDS + 1
    standing_still(monkeypatch, f"{PACKAGE}.api.exchange._Watched._new_conn", 1, lambda: passing_time.sleep(late))

    with pytest.raises(Unreachable, match=r"nothing was sent .*its time had passed"):
        purchase(sandbox, store).place()

    assert sandbox.requests == {}


def test_a_second_request_with_the_servers_clock_leaves_within_the_lease(start_sandbox, passing_time, monkeypatch):
    sandbox, store = start_sandbox(), Shelf()
    sandbox.faults.add({"fault": "clock-skew", "seconds": 900.0, "times": None})
    late = REQUEST_SECONDS + 1
    standing_still(
        monkeypatch, f"{PACKAGE}.api.transport.Transport._correct_clock", 1, lambda: passing_time.sleep(late)
    )

    with pytest.raises(Unreachable, match="nothing was sent"):
        purchase(sandbox, store).place()

    assert sandbox.account.orders() == []
    assert [entry.outcome for entry in sandbox.journal] == ["AuthFailure.SignatureExpire"]


def test_a_clock_that_is_set_back_does_not_make_the_lease_longer():
    now = [1000.0]
    held_up = exchange.Exchange(5.0, 5.0, ends_at=1e9, send_by=1000.05, clock=lambda: now[0])
    now[0] = 500.0
    began = time.monotonic()
    while time.monotonic() < began + 0.1:
        pass

    with pytest.raises(exchange.TooLate):
        held_up.begin()
    assert not held_up.has_begun


def test_a_process_that_stood_still_over_its_look_does_not_stop_where_another_one_has_bought(
    start_sandbox, passing_time, monkeypatch
):
    sandbox, store = start_sandbox(tokens=Tokens("ignore")), Shelf()
    sandbox.faults.add({"fault": "drop", "when": "before", "action": "CreateInstance"})
    others = []

    def another_one_goes_on():
        others.append(purchase(sandbox, store).place())
        passing_time.sleep(1000)

    standing_still(monkeypatch, f"{PACKAGE}.purchasing.new_instance.NewInstance.evidence", 1, another_one_goes_on)
    order = purchase(sandbox, store).place()

    assert (
        [order.order_id] == [other.order_id for other in others] == [one.order_id for one in sandbox.account.orders()]
    )
