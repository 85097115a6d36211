"""Order books that are odd in ways of which one alone looks honest, and records that are: each is bought once."""

from __future__ import annotations

import contextlib
import json
import random
import time

import pendulum
import pytest

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import OutcomeUnknown, Unreachable
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.errors import PurchaseChanged, PurchaseOutcomeUnknown
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from airflow_provider_tcbilling.purchasing.record import Record
from airflow_provider_tcbilling.sandbox.options import Tokens
from tests.conftest import ORDER, client_to
from tests.support.crash import at, dying_at
from tests.support.shelf import Shelf

pytestmark = pytest.mark.usefixtures("passing_time")

ELSEWHERE = {**ORDER, "zone_code": "ap-guangzhou-7"}


@pytest.fixture
def sandbox(start_sandbox):
    return start_sandbox(tokens=Tokens("ignore"))


@pytest.fixture
def listing(monkeypatch):
    """Let every query of the order book be answered by a function of the honest orders, the page and the limit."""
    honest = BillingClient.call

    def answered_by(change):
        def call(self, action, payload, *send_by):
            if action.name != "DescribeDealsByCond":
                return honest(self, action, payload, *send_by)
            answer = honest(self, action, {**payload, "Limit": 200, "Offset": 0}, *send_by)
            deals = sorted(answer["Deals"] or [], key=lambda deal: str(deal["OrderId"]))
            return {**answer, **change(deals, payload["Offset"], payload["Limit"])}

        monkeypatch.setattr(BillingClient, "call", call)

    return answered_by


def purchase(sandbox, store, key="firewall", order=ORDER, **options):
    endpoint = options.pop("endpoint", sandbox.url)
    client = client_to(sandbox, endpoint=endpoint, read_timeout=60.0)
    return Purchase(key, NewInstance(client, order), store, Rules(lag=10.0, request_seconds=5.0), **options)


def lose(sandbox, when="after"):
    sandbox.faults.add({"fault": "drop", "action": "CreateInstance", "when": when})


def paid(sandbox):
    return len(sandbox.account.orders())


def test_a_count_that_shrinks_from_page_to_page_hides_no_order(sandbox, listing):
    for token in "xy":
        client_to(sandbox).create_instance(client_token=token, **ELSEWHERE)
    listing(lambda deals, page, limit: {"Deals": deals[page : page + 1], "TotalCount": len(deals) - page})
    lose(sandbox)

    purchase(sandbox, Shelf()).place()

    assert paid(sandbox) == 3


def test_an_order_without_a_number_that_is_on_every_page_hides_no_order(sandbox, listing):
    client_to(sandbox).create_instance(client_token="x", **ELSEWHERE)
    listing(lambda deals, page, limit: {"Deals": [{**deals[0], "OrderId": 7}], "TotalCount": len(deals)})
    lose(sandbox)

    with pytest.raises(OutcomeUnknown, match="order book"):
        purchase(sandbox, Shelf()).place()

    assert paid(sandbox) == 2


@pytest.mark.parametrize("seed", range(12))
def test_an_order_that_seems_to_be_made_in_the_future_or_at_midnight_is_not_taken_for_an_old_one(
    sandbox, listing, seed
):
    ahead = random.Random(seed).uniform(0.2, 15)

    def written(local_time):
        if seed % 4 == 0:
            return f"{local_time[:10]} 00:00:00"
        return pendulum.parse(local_time).add(seconds=int(ahead * 3600)).to_datetime_string()

    listing(
        lambda deals, page, limit: {
            "Deals": [{**deal, "CreateTime": written(deal["CreateTime"])} for deal in deals],
            "TotalCount": len(deals),
        }
    )
    lose(sandbox)

    with contextlib.suppress(PurchaseOutcomeUnknown):
        purchase(sandbox, Shelf()).place()

    assert paid(sandbox) == 1


@pytest.mark.parametrize("seed", range(6))
def test_a_purchase_that_writes_a_code_in_another_case_is_a_rival_all_the_same(sandbox, seed):
    draw, shelf = random.Random(seed), Shelf()
    field = draw.choice(["zone_code", "product_code", "sub_product_code"])
    odd = "".join(draw.choice([c.upper(), c]) for c in ORDER[field])[:-1] + ORDER[field][-1:].upper()
    odd = odd if odd != ORDER[field] else ORDER[field].upper()
    with dying_at("order known"):
        purchase(sandbox, shelf, "a", {**ORDER, field: odd}).place()
    lose(sandbox, "before")

    with pytest.raises(PurchaseOutcomeUnknown, match="another purchase"):
        purchase(sandbox, shelf, "b").place()

    assert paid(sandbox) == 1


def test_a_host_that_cannot_exist_leaves_a_record_that_the_corrected_task_goes_on_from(sandbox):
    shelf = Shelf()
    with pytest.raises(Unreachable):
        purchase(sandbox, shelf, endpoint=f"https://{'x' * 70}.tencentcloudapi.com").place()

    order = purchase(sandbox, shelf).place()

    assert [one.order_id for one in sandbox.account.orders()] == [order.order_id]


def test_a_book_that_ignores_what_it_was_asked_for_does_not_vouch_for_the_account(sandbox, listing):
    shelf = Shelf()
    order = purchase(sandbox, shelf).place()
    told = json.loads(shelf.texts["firewall"])
    shelf.texts["firewall"] = json.dumps({**told, "key_id": "another", "order_id": "999"})
    listing(lambda deals, page, limit: {"Deals": deals or [{"OrderId": order.order_id}], "TotalCount": 1})

    with pytest.raises(PurchaseChanged, match="account"):
        purchase(sandbox, shelf).place()


def test_an_account_without_a_number_is_not_known(sandbox):
    sandbox.faults.add({"fault": "answer", "response": {"Balance": 1, "Uin": 0}, "action": "DescribeAccountBalance"})

    assert client_to(sandbox).account == ""


def test_a_look_for_a_second_order_forgets_none_that_the_record_has(sandbox):
    shelf = Shelf()
    purchase(sandbox, shelf).place()
    told = json.loads(shelf.texts["firewall"])
    shelf.texts["firewall"] = json.dumps({**told, "is_resent": True, "twins": ["order 77, placed after a standstill"]})

    purchase(sandbox, shelf, presumed_since=time.time()).place()

    assert Record.from_json(json.loads(shelf.texts["firewall"]), "here").twins[0].startswith("order 77")


@pytest.mark.parametrize("number", ["0", "000", "20261128", "1"])
@pytest.mark.parametrize("first", [ORDER, ELSEWHERE], ids=["the same", "another zone"])
def test_a_big_deal_that_all_orders_share_gives_no_order_to_the_owner_of_another(sandbox, listing, number, first):
    shelf = Shelf()
    listing(lambda deals, page, limit: {"Deals": [{**d, "BigDealId": number} for d in deals], "TotalCount": len(deals)})
    purchase(sandbox, shelf, "a", first).place()
    time.sleep(20)
    lose(sandbox)

    with contextlib.suppress(PurchaseOutcomeUnknown):
        order = purchase(sandbox, shelf, "b").place()
        assert order.order_id == sandbox.account.orders()[1].order_id

    assert paid(sandbox) == 2


def test_the_order_of_a_purchase_that_does_not_know_it_yet_is_not_told_as_the_second_one_of_another(sandbox):
    shelf = Shelf()

    def another_one_buys():
        with dying_at("order known"):
            purchase(sandbox, shelf, "b").place()

    lose(sandbox, "before")
    order = purchase(sandbox, shelf, "a", checkpoint=at("order known", another_one_buys)).place()
    other = purchase(sandbox, shelf, "b").place()

    again = purchase(sandbox, shelf, "a").place()

    record = Record.from_json(json.loads(shelf.texts["a"]), "here")
    assert again.order_id == order.order_id != other.order_id
    assert (record.is_checked, record.twins) == (True, ())
