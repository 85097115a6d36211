"""That nothing was bought is proven by a whole and consistent order book, and by nothing less."""

from __future__ import annotations

import itertools
import random
import time
from types import SimpleNamespace

import pytest

from airflow_provider_tcbilling.api.actions import VERSION
from airflow_provider_tcbilling.api.errors import OutcomeUnknown, TcBillingError
from airflow_provider_tcbilling.api.transport import _answer
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.evidence import _is_new, whole_book
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.refund import Refund
from airflow_provider_tcbilling.purchasing.renewal import Renewal
from airflow_provider_tcbilling.sandbox.distortions import DISTORTIONS, LISTED
from airflow_provider_tcbilling.sandbox.options import Options as SandboxRules
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.sandbox.responses import response_of
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from tests.conftest import ORDER, SECRET_ID, SECRET_KEY, client_to
from tests.support.account import DAY, PRODUCT
from tests.support.shelf import Shelf

OF_ANSWER = [name for name, distortion in DISTORTIONS.items() if distortion.of_answer]
OF_FIELD = [name for name, distortion in DISTORTIONS.items() if distortion.of_value]
WRITTEN = ("Action", "ProductCode", "SubProductCode", "ZoneCode", "TimeUnit")
LIES = {("number", "ProjectId"), ("number", "TimeSpan")}
"""What is no distortion but a lie: another number that is as good as the right one."""

FEWER_COUNTED = {"count-low", "count-zero"}
FEWER_LISTED = {
    "deals-null",
    "deals-empty",
    *("short-pages", "same-page", "one-a-page", "overlapping", "capped", "cut-pages"),
}
"""One of each together make a whole and consistent book without an order that there is: nobody can see through it."""

ACTIONS = {"purchase": "CreateInstance", "renew": "RenewInstance", "refund": "RefundInstance"}
ENDS = (OutcomeUnknown, PurchaseOutcomeUnknown)
EVERYTHING = (0.0, 4e9)

pytestmark = pytest.mark.usefixtures("passing_time")


@pytest.fixture
def sandbox():
    return new_sandbox()


def new_sandbox(**rules):
    key = {"secret_id": SECRET_ID, "secret_key": SECRET_KEY}
    return Sandbox(SandboxRules(**key, rate_limit=0, balance_cents=10**8, tokens=Tokens.parse("ignore"), **rules))


def client_of(sandbox):
    """Return a client that calls the sandbox without HTTP: what is on the wire is tested elsewhere, and takes time."""
    client = client_to(None, endpoint="http://127.0.0.1:9", attempts=1)

    def send(action, body, send_by):
        auth = client._transport.auth.headers("127.0.0.1:9", "application/json", body, action.name)
        headers = {"Host": "127.0.0.1:9", "Content-Type": "application/json", "X-TC-Action": action.name, **auth}
        sent = {name.lower(): value for name, value in {**headers, "X-TC-Version": VERSION}.items()}
        exchange = sandbox.exchange(sent, body)
        if any(fault.fault == "drop" for fault in exchange.faults):
            raise OutcomeUnknown("The answer was lost.")
        answer = response_of(exchange)
        return _answer(action, SimpleNamespace(status_code=answer.status, headers={}), answer.body)

    client._transport.send = send
    return client


def instance_of(sandbox):
    """Add an instance that was bought long ago."""
    now = time.time()
    return sandbox.account.add_instance(expires_at=now + 9 * DAY, bought_at=now - 20 * DAY).instance_id


class Spender:
    """Spends once on a sandbox, of which the order book goes wrong when the request is on its way."""

    def __init__(self, sandbox, kind):
        self.sandbox, self.kind, self.client = sandbox, kind, client_of(sandbox)
        self.store = Shelf()
        self.about = about = {**PRODUCT, "instance_id": instance_of(sandbox)}
        spendings = {"purchase": (NewInstance, ORDER), "renew": (Renewal, about), "refund": (Refund, about)}
        spending, fields = spendings[kind]
        self.spending = spending(self.client, fields)

    def place(self, *faults, when="after", lost=1, meanwhile=lambda: None):
        """Lose the answer, distort the book from then on, and return the order, or the error that stopped it."""
        for _ in range(lost):
            self.sandbox.faults.add({"fault": "drop", "when": when, "action": ACTIONS[self.kind]})
        place, self.client.place = self.client.place, lambda *args: self._place(place, faults, meanwhile, *args)
        try:
            rules = Rules(lag=10.0, request_seconds=5.0, replay_window=12.0)
            return Purchase(self.kind, self.spending, self.store, rules).place()
        except ENDS as error:
            return error

    def _place(self, place, faults, meanwhile, *args):
        if not [fault for fault in self.sandbox.faults.listed() if fault["fault"] == "book"]:
            for distortion, *field in faults:
                fault = {"fault": "book", "distortion": distortion, "times": None}
                self.sandbox.faults.add({**fault, "field": field[0]} if field else fault)
        try:
            return place(*args)
        finally:
            meanwhile()

    def place_with_another_token(self):
        self.client.place(self.spending.action, self.spending.payload, "another token")

    def placed(self):
        """Return the orders that were placed with our token."""
        token = client_token_for(self.kind)
        return [order.order_id for order in self.sandbox.account.orders() if order.client_token == token]


def buy_another(sandbox, count=1, **fields):
    """Let somebody else buy something, here of another zone."""
    client = client_of(sandbox)
    other = {**ORDER, "zone_code": "ap-guangzhou-7", **fields}
    for number in range(count):
        client.create_instance(client_token=f"other {number} {time.time()}", **other)


# One answer is lost, and tokens count for nothing


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("name", OF_ANSWER)
@pytest.mark.parametrize("others", [0, 3])
def test_no_distorted_answer_lets_anything_be_paid_twice(sandbox, kind, name, others):
    spender = Spender(sandbox, kind)

    spender.place((name,), meanwhile=lambda: buy_another(sandbox, others))

    assert len(spender.placed()) == 1


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("name", OF_FIELD)
def test_no_distorted_field_lets_anything_be_paid_twice(kind, name):
    for field in LISTED:
        if (name, field) in LIES:
            continue
        spender = Spender(new_sandbox(), kind)

        ending = spender.place((name, field))

        assert len(spender.placed()) == 1, field
        assert isinstance(ending, ENDS) or ending.order_id in numbers(spender), field


def numbers(spender):
    return [n for order in spender.sandbox.account.orders() for n in (order.order_id, order.big_deal_id)]


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("seed", range(60))
def test_no_combination_of_distortions_lets_anything_be_paid_twice(sandbox, kind, seed):
    chance = random.Random(f"{kind} {seed}")
    names = chance.choices([*OF_ANSWER, *OF_FIELD], k=chance.randint(1, 4))
    if FEWER_COUNTED & set(names):
        names = [name for name in names if name not in FEWER_LISTED]
    faults = [(name, chance.choice(LISTED)) if name in OF_FIELD else (name,) for name in names]
    spender = Spender(sandbox, kind)
    others = chance.choice([0, 0, 1, 3])

    ending = spender.place(
        *[fault for fault in faults if fault not in LIES], meanwhile=lambda: buy_renewals(spender, others)
    )

    assert len(spender.placed()) == 1, faults
    assert isinstance(ending, ENDS) or ending.order_id in numbers(spender), faults


def buy_renewals(spender, count):
    """Let somebody else place orders that this purchase, renewal or refund is not counted with."""
    client = client_of(spender.sandbox)
    for number in range(count):
        if spender.kind == "renew":
            buy_another(spender.sandbox)
        else:
            client.renew_instance(client_token=f"{number}", instance_id=instance_of(spender.sandbox), **PRODUCT)


@pytest.mark.parametrize("name", [*OF_FIELD, "deals-of-nothing", "deals-of-null", "deals-empty", "one-a-page"])
@pytest.mark.parametrize("kind", ["renew", "refund"])
def test_no_distortion_hides_that_somebody_else_renews_or_refunds_the_instance_already(kind, name):
    for field in ("Action", "ResourceId"):
        sandbox = new_sandbox(delivery_seconds=1e6)
        spender = Spender(sandbox, kind)
        getattr(client_of(sandbox), f"{kind}_instance")(client_token="another", **spender.about)
        sandbox.faults.add({"fault": "book", "distortion": name, "field": field, "times": None})

        with pytest.raises(TcBillingError):
            Purchase(kind, spender.spending, spender.store, Rules(lag=10.0, replay_window=12.0)).place()

        assert sandbox.requests[spender.spending.action.name] == 1, field


@pytest.mark.parametrize("name", OF_FIELD)
def test_what_is_unclear_of_orders_that_were_carried_out_long_ago_stops_no_renewal(name):
    for field in ("Action", "ResourceId", "ZoneCode"):
        spender = Spender(new_sandbox(), "renew")
        spender.sandbox.faults.add({"fault": "book", "distortion": name, "field": field, "times": None})

        order = Purchase("renew", spender.spending, spender.store).place()

        assert [order.order_id] == spender.placed(), field


# Stops that are not needed


UNDERSTOOD = [
    *itertools.product(("upper-case", "blanks"), WRITTEN),
    *itertools.product(("text",), ("ProjectId", "TimeSpan", "Status", "RealTotalCost", "VoucherDecline")),
    *itertools.product(("missing", "null", "empty"), ("RealTotalCost", "VoucherDecline", "Currency", "BigDealId")),
    *[(name,) for name in ("capped", "one-a-page", "count-as-text", "cut-pages", "same-page")],
]
ONES = [" ".join(one) for one in UNDERSTOOD]


@pytest.mark.parametrize("distortion", UNDERSTOOD, ids=ONES)
def test_what_is_understood_all_the_same_is_adopted(sandbox, distortion):
    spender = Spender(sandbox, "purchase")

    ending = spender.place(distortion)

    assert [getattr(ending, "order_id", ending)] == spender.placed()


@pytest.mark.parametrize("distortion", [*UNDERSTOOD[:-1], ()], ids=[*ONES[:-1], "none"])
def test_orders_of_others_do_not_stop_what_was_never_carried_out(sandbox, distortion):
    spender = Spender(sandbox, "purchase")
    ending = spender.place(*[distortion] * bool(distortion), when="before", meanwhile=lambda: buy_another(sandbox))

    assert [getattr(ending, "order_id", ending)] == spender.placed()


@pytest.mark.parametrize(
    "other",
    [
        {"zone_code": "na-siliconvalley-1"},
        {"product_code": "p_cvm", "sub_product_code": "sp_cvm_s5", "parameter": {}},
        {"sub_product_code": "sp_cloudfirewall_svv2"},
        {"project_id": 1019},
        {"period": 3, "parameter": {}},
        {"period": 1, "period_unit": "y", "parameter": {}},
    ],
    ids=str,
)
@pytest.mark.parametrize("when", ["before", "after"])
def test_an_understood_order_of_something_else_is_another_s(sandbox, other, when):
    spender = Spender(sandbox, "purchase")

    ending = spender.place(
        when=when, meanwhile=lambda: buy_another(sandbox, **{"zone_code": "ap-guangzhou-6", **other})
    )

    assert [ending.order_id] == spender.placed()


@pytest.mark.parametrize("kind", ["renew", "refund"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_orders_of_another_instance_are_another_s(sandbox, kind, when):
    spender = Spender(sandbox, kind)
    other = Spender(sandbox, kind)

    ending = spender.place(when=when, meanwhile=other.place_with_another_token)

    assert [ending.order_id] == spender.placed()


# Pages


@pytest.mark.parametrize("name", ["capped", "cut-pages", "one-a-page"])
def test_a_server_that_lists_fewer_orders_a_page_is_read_to_the_end(sandbox, name):
    spender = Spender(sandbox, "purchase")
    count = 5 if name == "one-a-page" else 230

    ending = spender.place((name,), meanwhile=lambda: buy_another(sandbox, count))

    assert [getattr(ending, "order_id", ending)] == spender.placed()


def test_an_order_that_comes_between_two_pages_is_no_reason_to_trust_them(sandbox, monkeypatch):
    client = client_of(sandbox)
    buy_another(sandbox, 3)
    sandbox.faults.add({"fault": "book", "distortion": "one-a-page", "times": None})
    look = client.describe_deals
    grown = []

    def describe_deals(**query):
        if query["page"] == 1 and not grown:
            grown.append(buy_another(sandbox))
        return look(**query)

    monkeypatch.setattr(client, "describe_deals", describe_deals)

    with pytest.raises(OutcomeUnknown, match="contradicts itself"):
        whole_book(client, EVERYTHING)


@pytest.mark.parametrize("seed", range(60))
def test_a_book_is_returned_whole_or_not_at_all(sandbox, seed):
    chance = random.Random(seed)
    client = client_of(sandbox)
    buy_another(sandbox, chance.randint(0, 5))
    names = chance.choices(OF_ANSWER, k=chance.randint(1, 2))
    if FEWER_COUNTED & set(names):
        names = [name for name in names if name not in FEWER_LISTED]
    for name in names:
        sandbox.faults.add({"fault": "book", "distortion": name, "times": None})
    there = {order.order_id for order in sandbox.account.orders()}

    try:
        listed = {deal.order_id for deal in whole_book(client, EVERYTHING)}
    except OutcomeUnknown:
        return

    assert listed in (there, {""})


def test_everything_is_paid_as_it_should_be_where_nothing_is_distorted(sandbox):
    for kind in ACTIONS:
        spender = Spender(sandbox, kind)
        ending = spender.place()
        assert [ending.order_id] == spender.placed()


@pytest.mark.parametrize("name", ["deals-null", "deals-empty", "deals-object", "deals-text", "no-deals", "no-count"])
def test_a_page_without_the_orders_that_it_counts_is_no_answer(sandbox, name):
    client = client_of(sandbox)
    buy_another(sandbox)
    sandbox.faults.add({"fault": "book", "distortion": name})

    with pytest.raises(OutcomeUnknown):
        client.describe_deals()


@pytest.mark.parametrize("told", ["2001-01-01 12:00:00", "2026-11-20 12:00:00", "2026-11-28 00:00:00", "soon", ""])
def test_a_time_far_outside_of_what_was_asked_for_is_not_believed(told):
    asked = 1_795_860_000.0  # 2026-11-28 10:00:00 in UTC

    assert _is_new(told, (asked, asked + 60), asked + 60) is None


@pytest.mark.parametrize(("told", "is_new"), [("2026-11-28 10:00:30", True), ("2026-11-27 20:00:00", False)])
def test_a_time_beside_what_was_asked_for_tells(told, is_new):
    asked = 1_795_860_000.0

    assert _is_new(told, (asked, asked + 60), asked + 60) is is_new
