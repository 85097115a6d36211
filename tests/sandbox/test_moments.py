"""What each fault lets happen, and when: before the request is carried out, after it, and while its client waits."""

from __future__ import annotations

import threading
import time

import pytest
import requests

from airflow_provider_tcbilling.api.signing import Tc3Auth
from airflow_provider_tcbilling.sandbox.faults import KINDS, Part
from airflow_provider_tcbilling.sandbox.sandbox import LATE
from tests.conftest import PRICE, SECRET_ID, SECRET_KEY
from tests.sandbox.test_server import WIRE_ORDER, post

SECONDS = 0.6
OPTIONS = {
    "delay": {"seconds": SECONDS},
    "interim": {"seconds": SECONDS},
    "drip": {"seconds": SECONDS},
    "garbage": {"bytes": 1000},
}
STRIKING = [name for name, kind in KINDS.items() if kind.part in (Part.CONNECTION, Part.ANSWER)]

IS_THERE_WHILE_THE_CLIENT_WAITS = {
    ("delay", "before"): False,
    ("delay", "after"): True,
    ("interim", "before"): False,
    ("interim", "after"): True,
    # It is the answer that comes slowly, so there is one.
    ("drip", "before"): True,
    ("drip", "after"): True,
}


class Asking(threading.Thread):
    """A client that buys, and ends with its answer or with what was raised."""

    def __init__(self, sandbox, timeout=60.0):
        super().__init__(daemon=True)
        self._sandbox, self._timeout = sandbox, timeout
        self.outcome = None
        self.start()

    def run(self):
        headers = {"Content-Type": "application/json", "X-TC-Action": "CreateInstance", "X-TC-Version": "2018-07-09"}
        headers["Host"] = self._sandbox.url.partition("//")[2]
        auth = Tc3Auth(SECRET_ID, SECRET_KEY, "billing")
        try:
            self.outcome = requests.post(
                self._sandbox.url, json=WIRE_ORDER, headers=headers, auth=auth, timeout=self._timeout
            )
        except requests.RequestException as error:
            self.outcome = error


def until(is_so):
    deadline = time.monotonic() + 60.0
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert is_so(), "a minute has passed"


def test_every_fault_of_the_connection_and_the_answer_is_tried():
    assert set(OPTIONS) - {"garbage"} == set(LATE) == {name for name, _ in IS_THERE_WHILE_THE_CLIENT_WAITS}


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", STRIKING)
def test_a_fault_strikes_before_the_request_is_carried_out_or_after_it(sandbox, name, when):
    is_late = name in LATE
    sandbox.faults.add({"fault": name, "when": when, **OPTIONS.get(name, {})})

    asking = Asking(sandbox)
    until(lambda: sandbox.journal and name in sandbox.journal[-1].faults)
    while_it_waits = bool(sandbox.account.orders())
    asking.join(60.0)
    # A client that takes the interim answer for the real one has gone by now.
    until(lambda: sandbox.journal[-1].outcome)
    afterwards = bool(sandbox.account.orders())

    if is_late:
        assert while_it_waits is IS_THERE_WHILE_THE_CLIENT_WAITS[name, when]
    assert afterwards is (is_late or when == "after")
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - PRICE * afterwards
    assert sandbox.journal[-1].outcome == ("ok" if afterwards else "not carried out")
    assert sandbox.faults.listed() == []


@pytest.mark.parametrize("name", ["delay", "interim"])
def test_another_order_can_be_placed_while_one_is_delayed_before_it(sandbox, name):
    """Two requests with one token: the one that was sent first comes second, and gets the other's order."""
    sandbox.faults.add({"fault": name, "when": "before", "seconds": SECONDS})
    asking = Asking(sandbox)
    until(lambda: sandbox.journal)

    order_id = post(sandbox, WIRE_ORDER)["OrderId"]
    first, second = sandbox.journal
    assert (first.outcome, second.outcome) == ("", "ok")
    until(lambda: first.outcome)
    asking.join(60.0)

    assert (first.outcome, first.order_id) == ("ok", order_id)
    assert len(sandbox.account.orders()) == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_was_received_whole_is_carried_out_though_its_client_has_gone(sandbox, when):
    sandbox.faults.add({"fault": "delay", "when": when, "seconds": SECONDS})

    asking = Asking(sandbox, timeout=0.2)
    asking.join(60.0)

    assert isinstance(asking.outcome, requests.ReadTimeout)
    assert len(sandbox.account.orders()) == (when == "after")
    until(lambda: len(sandbox.account.orders()) == 1)
    assert sandbox.account.balance_cents == sandbox.options.balance_cents - PRICE


def test_what_is_delayed_over_a_reset_buys_nothing_from_the_new_account(sandbox):
    sandbox.faults.add({"fault": "delay", "when": "before", "seconds": SECONDS})
    asking = Asking(sandbox)
    until(lambda: sandbox.journal)

    sandbox.reset()
    asking.join(60.0)

    assert sandbox.account.orders() == []
    assert sandbox.account.balance_cents == sandbox.options.balance_cents


def test_delays_add_up(sandbox):
    for when in ("before", "before", "after"):
        sandbox.faults.add({"fault": "delay", "when": when, "seconds": 0.2})

    began = time.monotonic()
    assert "OrderId" in post(sandbox, WIRE_ORDER)

    assert time.monotonic() - began >= 0.6
    assert sandbox.journal[-1].faults == ["delay"] * 3


def test_a_delayed_request_that_is_then_dropped_was_never_carried_out(sandbox):
    sandbox.faults.add({"fault": "delay", "when": "before", "seconds": 0.2})
    sandbox.faults.add({"fault": "drop", "when": "before"})

    asking = Asking(sandbox)
    asking.join(60.0)

    assert isinstance(asking.outcome, requests.ConnectionError)
    assert sandbox.account.orders() == []


def test_a_delayed_request_that_is_refused_is_refused_late(start_sandbox):
    sandbox = start_sandbox(balance_cents=0)
    sandbox.faults.add({"fault": "delay", "when": "before", "seconds": 0.2})

    began = time.monotonic()
    code = post(sandbox, WIRE_ORDER)["Error"]["Code"]

    assert (code, sandbox.journal[-1].faults) == ("FailedOperation.BalanceInsufficient", ["delay"])
    assert time.monotonic() - began >= 0.2
