"""The clock that a server tells is tried within bounds, stays if a request succeeds with it, and hides no order."""

from __future__ import annotations

import json
import random
import time
from email.utils import formatdate

import pytest
import requests

from airflow_provider_tcbilling.api.errors import AuthError, OutcomeUnknown, TcBillingError
from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN
from airflow_provider_tcbilling.api.transport import FARTHEST_CLOCK
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.evidence import _span
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, PRICE, client_to
from tests.support.answers import Answer, posting
from tests.support.crash import dying_before_the_answer_is_read
from tests.support.purchases import orders, purchase
from tests.support.shelf import Shelf

NOW = 1_796_000_000.0
EXPIRED, INTERNAL, POOR = "AuthFailure.SignatureExpire", "InternalError", "FailedOperation.BalanceInsufficient"
LOST, OK = "lost", ""


def refusal(code):
    return json.dumps({"Response": {"RequestId": "r", "Error": {"Code": code, "Message": "m"}}}).encode()


ANSWER = b'{"Response": {"RequestId": "r", "Balance": 1, "Uin": 7, "OrderId": "2026"}}'


@pytest.fixture
def asked(monkeypatch):
    """Make calls to a server that says these things, each with the date of a clock so far ahead of ours."""

    def ask(*says, client=None):
        left = list(says)
        client = client or client_to(None, endpoint="http://127.0.0.1:9", attempts=1, clock=lambda: NOW)
        client.signed = []

        def post(session, action, body):
            ahead, code = left.pop(0)
            client.signed.append(client.clock_offset)
            if code == LOST:
                raise OutcomeUnknown("the answer was lost")
            date = formatdate(NOW + ahead, usegmt=True) if isinstance(ahead, (int, float)) else ahead
            headers = {} if date is None else {"Date": date}
            return Answer(refusal(code) if code else ANSWER, headers)

        posting(monkeypatch, post)
        while left:
            try:
                client.create_instance(client_token="t", **ORDER)
            except TcBillingError as error:
                client.error = error
        return client

    return ask


def test_a_correction_stays_once_a_request_succeeds_with_it(asked):
    client = asked((4000, EXPIRED), (4000, OK), (4000, OK))

    assert client.signed == [0, 4000, 4000]
    assert (client.clock_offset, client.server_ahead) == (4000, 4000)


@pytest.mark.parametrize("end", [EXPIRED, INTERNAL, POOR, LOST, "AuthFailure.SignatureFailure", "RequestLimitExceeded"])
def test_a_correction_is_taken_back_unless_a_request_succeeds_with_it(asked, end):
    client = asked((4000, EXPIRED), (4000, end), (0, OK))

    assert client.signed == [0, 4000, 0]
    assert (client.clock_offset, client.server_ahead) == (0, 0)


def test_a_correction_that_was_confirmed_survives_one_that_is_not(asked):
    client = asked((4000, EXPIRED), (4000, OK), (-9000, EXPIRED), (-9000, EXPIRED), (4000, OK))

    assert client.signed == [0, 4000, 4000, -9000, 4000]
    assert client.clock_offset == 4000


def test_a_local_clock_that_was_set_right_meanwhile_is_followed(asked):
    client = asked((4000, EXPIRED), (4000, OK), (0, EXPIRED), (0, OK))

    assert client.clock_offset == 0


def test_what_was_sent_with_a_clock_that_is_only_tried_and_lost_is_ambiguous(asked):
    assert asked((4000, EXPIRED), (4000, LOST)).error.ambiguous


ABSURD = ["Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "x", "", None]


@pytest.mark.parametrize("date", [*ABSURD, FARTHEST_CLOCK + 2, -FARTHEST_CLOCK - 2, 30 * 86_400, 140, -140])
def test_a_clock_that_is_absurd_or_explains_nothing_is_not_tried(asked, date):
    client = asked((date, EXPIRED))

    assert (client.signed, client.clock_offset, client.error.code) == ([0], 0, EXPIRED)


@pytest.mark.parametrize("form", ["%a, %d %b %Y %H:%M:%S -0000", "%a, %d %b %Y %H:%M:%S", "%a %b %d %H:%M:%S %Y"])
def test_a_date_without_a_zone_is_of_utc_wherever_this_machine_stands(asked, monkeypatch, form):
    date = time.strftime(form, time.gmtime(NOW + 3600))
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        client = asked((date, EXPIRED), (date, OK))
    finally:
        monkeypatch.undo()
        time.tzset()

    assert client.clock_offset == 3600.0


@pytest.mark.parametrize("seed", range(300))
def test_no_sequence_of_dates_and_answers_moves_the_clock_out_of_its_bounds(asked, seed):
    drawn = random.Random(seed)
    says = [
        (
            drawn.choice([*ABSURD, drawn.uniform(-1e5, 1e5), drawn.uniform(-1e9, 1e11), drawn.gauss(0, 500)]),
            drawn.choice([EXPIRED, EXPIRED, OK, OK, INTERNAL, LOST, POOR]),
        )
        for _ in range(drawn.randint(1, 12))
    ]
    says = [(date if not isinstance(date, float) or abs(date) < 2e11 else 0, code) for date, code in says]

    client = asked(*says, (0, LOST), (0, LOST))
    since, until = _span(client, NOW - 10, NOW)

    assert abs(client.clock_offset) <= FARTHEST_CLOCK
    assert abs(client.server_ahead - client.clock_offset) <= FARTHEST_CLOCK + 600
    assert NOW - 10 - CLOCK_MARGIN - FARTHEST_CLOCK - 600 <= since <= NOW - 10 - CLOCK_MARGIN
    assert NOW + CLOCK_MARGIN <= until <= NOW + CLOCK_MARGIN + FARTHEST_CLOCK + 600


@pytest.mark.parametrize("says", [(80_000, OK), (-80_000, OK), (200, INTERNAL), (200, POOR), (None, OK), (200, LOST)])
def test_only_a_date_with_which_the_signature_was_valid_counts_for_the_search(asked, says):
    client = asked((100, OK), says)

    assert (client.clock_offset, client.server_ahead) == (0, 100)


def forging(monkeypatch, ahead, times=1):
    """Let something on the way answer requests by itself: the signature has expired, and the date is another one."""
    honest, left = requests.Session.post, [ahead] * times

    def post(session, url, **request):
        if left and request["headers"]["X-TC-Action"] == "CreateInstance":
            return Answer(refusal(EXPIRED), {"Date": formatdate(time.time() + left.pop(), usegmt=True)})
        return honest(session, url, **request)

    monkeypatch.setattr(requests.Session, "post", post)


@pytest.mark.parametrize("ahead", [80_000, -80_000, 1000, -1000, 1e8])
def test_a_forged_refusal_costs_a_purchase_nothing_but_its_try(start_sandbox, passing_time, monkeypatch, ahead):
    sandbox, store = start_sandbox(tokens=Tokens("ignore")), Shelf()
    client = client_to(sandbox, read_timeout=60.0)
    forging(monkeypatch, ahead)
    purchase = Purchase("firewall", NewInstance(client, ORDER), store, Rules(lag=1.0, request_seconds=5.0))

    with pytest.raises(AuthError):
        purchase.place()
    assert (client.clock_offset, sandbox.account.orders()) == (0, [])
    order = purchase.place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]
    assert sandbox.options.balance_cents - sandbox.account.balance_cents == PRICE


@pytest.mark.parametrize("skew", [-80_000, -4000, 4000, 80_000])
def test_an_order_whose_answer_was_lost_is_found_with_a_clock_that_nobody_has_confirmed_yet(
    start_sandbox, passing_time, skew
):
    sandbox, store = start_sandbox(tokens=Tokens("ignore")), Shelf()

    def clock():
        return time.time() + skew

    sandbox.faults.add({"fault": "drop", "action": "CreateInstance", "when": "after"})
    client = client_to(sandbox, read_timeout=60.0, clock=clock)
    rules = Rules(lag=1.0, request_seconds=5.0)
    order = Purchase("firewall", NewInstance(client, ORDER), store, rules, clock=clock).place()

    assert [placed.order_id for placed in sandbox.account.orders()] == [order.order_id]
    assert client.clock_offset == pytest.approx(-skew, abs=5)


class ClockedShelf(Shelf):
    """A store with a clock of its own, as a database has one."""

    has_clock = True
    ahead = 0.0

    def now(self):
        return time.time() + self.ahead


@pytest.mark.parametrize("is_lost", [True, False])
@pytest.mark.parametrize("ahead", [-7200.0, 7200.0])
def test_a_clock_of_the_store_that_is_hours_ahead_changes_nothing(start_sandbox, passing_time, ahead, is_lost):
    sandbox = start_sandbox(tokens=Tokens.parse("ignore"))
    store = ClockedShelf(replaces_conditionally=True)
    store.ahead = ahead
    if is_lost:
        with dying_before_the_answer_is_read():
            purchase(sandbox, store).place()
    slept = passing_time.slept

    assert [purchase(sandbox, store).place().order_id] == orders(sandbox)
    assert passing_time.slept - slept < 60, "the margin for clocks that differ is not waited for"
