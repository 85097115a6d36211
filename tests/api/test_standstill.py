"""A process stands still, at any moment and for any time, while another one goes on: the purchase happens once."""

from __future__ import annotations

import json
import random
import time

import pytest

from airflow_provider_tcbilling.api import exchange
from airflow_provider_tcbilling.api.errors import AuthError, TcBillingError, Unreachable
from airflow_provider_tcbilling.api.instance import NewInstance
from airflow_provider_tcbilling.api.purchase import Purchase, Rules
from airflow_provider_tcbilling.sandbox.rules import Tokens
from tests.conftest import ORDER, Shelf, client_to

PACKAGE = "airflow_provider_tcbilling.api"
PLACES = [
    f"{PACKAGE}.memory.Memory.read",
    f"{PACKAGE}.memory.Memory.begin",
    f"{PACKAGE}.memory.Memory.claim",
    f"{PACKAGE}.memory.Memory.write",
    f"{PACKAGE}.memory.Memory.keep",
    f"{PACKAGE}.memory.Memory.decline",
    f"{PACKAGE}.memory.Memory.is_still_owned_by",
    f"{PACKAGE}.memory.Memory._create",
    f"{PACKAGE}.instance.NewInstance.look",
    f"{PACKAGE}.instance.NewInstance.send",
    f"{PACKAGE}.signing.Tc3Auth.__call__",
    f"{PACKAGE}.exchange._Watched._new_conn",
    f"{PACKAGE}.exchange.Exchange.begin",
    f"{PACKAGE}.wire._content",
]
"""Where a process may stand still. The moment between the last check and the first byte is the documented exception."""

REQUEST_SECONDS = 5.0
SEEDS = range(100)

pytestmark = pytest.mark.usefixtures("passing_time")


def purchase(sandbox, store, ahead=0.0):
    def clock():
        return time.time() + ahead

    client = client_to(sandbox, read_timeout=2.0, clock=clock)
    rules = Rules(lag=10.0, request_seconds=REQUEST_SECONDS)
    return Purchase("firewall", NewInstance(client, ORDER), store, rules, clock=clock)


def standing_still(patch, place, turn, act):
    """Let whoever comes to a place for the *turn*-th time do something else first."""
    module, _, name = place.rpartition(".")
    target = pytest.importorskip(module) if module.count(".") == 2 else None
    if target is None:
        module, _, owner = module.rpartition(".")
        target = getattr(pytest.importorskip(module), owner)
    real, calls = getattr(target, name), []

    def stands_still(*args, **kwargs):
        calls.append(place)
        if len(calls) == turn:
            act()
        return real(*args, **kwargs)

    patch.setattr(target, name, stands_still)
    return calls


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
    """Return the sandbox after two workers have tried to make one purchase, of which the first one stands still."""
    chance = random.Random(seed)
    sandbox = start_sandbox(tokens=Tokens("ignore"))
    store = Shelf()
    store.is_exclusive = chance.random() < 0.7
    for _ in range(chance.choice((0, 0, 1, 2))):
        fault = {"fault": "drop", "when": chance.choice(("before", "after")), "action": "CreateInstance"}
        sandbox.faults.add(fault)
    ahead = chance.uniform(-145, 145), chance.uniform(-145, 145)
    others = []

    def another_one_goes_on():
        passing_time.sleep(chance.choice((0, 3, 8, 30, 400, 4000)))
        others.append(tried(purchase(sandbox, store, ahead[1]).place))
        passing_time.sleep(chance.choice((0, 3, 8, 30, 400)))

    with pytest.MonkeyPatch.context() as patch:
        standing_still(patch, chance.choice(PLACES), chance.choice((1, 1, 1, 2, 3)), another_one_goes_on)
        first = tried(purchase(sandbox, store, ahead[0]).place)
    passing_time.sleep(1000)
    last = tried(purchase(sandbox, store).place)
    return sandbox, [first, *others, last]


@pytest.mark.parametrize("seed", SEEDS)
def test_wherever_a_process_stands_still_one_order_is_paid(start_sandbox, passing_time, seed):
    sandbox, ends = story(start_sandbox, passing_time, seed)

    paid = [order.order_id for order in sandbox.ledger.orders()]
    assert len(paid) <= 1, ends
    known = {end.order_id for end in ends if hasattr(end, "instance_ids")}
    assert known <= set(paid)
    assert not isinstance(ends[-1], Exception) or not paid, ends


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

    known, second = [placed.order_id for placed in sandbox.ledger.orders()]
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

    assert [placed.order_id for placed in sandbox.ledger.orders()] == [others[0].order_id]
    assert purchase(sandbox, store).place().order_id == others[0].order_id


def test_a_request_that_was_held_up_on_its_way_to_the_wire_is_not_sent(start_sandbox, passing_time, monkeypatch):
    sandbox, store = start_sandbox(), Shelf()
    late = REQUEST_SECONDS + 1
    standing_still(monkeypatch, f"{PACKAGE}.exchange._Watched._new_conn", 1, lambda: passing_time.sleep(late))

    with pytest.raises(Unreachable, match=r"nothing was sent .*its time had passed"):
        purchase(sandbox, store).place()

    assert sandbox.requests == {}


def test_a_second_request_with_the_servers_clock_leaves_within_the_lease(start_sandbox, passing_time, monkeypatch):
    sandbox, store = start_sandbox(), Shelf()
    sandbox.faults.add({"fault": "clock-skew", "seconds": 900.0, "times": None})
    late = REQUEST_SECONDS + 1
    standing_still(monkeypatch, f"{PACKAGE}.wire.Wire._correct_clock", 1, lambda: passing_time.sleep(late))

    with pytest.raises(Unreachable, match="nothing was sent"):
        purchase(sandbox, store).place()

    assert sandbox.ledger.orders() == []
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
