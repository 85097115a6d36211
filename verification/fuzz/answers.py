"""Random answers of a server: only designed errors, only orders that it named, and a true statement about the money."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_tcbilling.api import models
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.error_codes import is_refusal
from airflow_provider_tcbilling.api.errors import ApiError, TcBillingError, Unreachable
from airflow_provider_tcbilling.api.instance_list import renewable
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.api.text import NUMBER, matching
from airflow_provider_tcbilling.api.transport import FARTHEST_CLOCK
from airflow_provider_tcbilling.purchasing.evidence import order_numbered, search, whole_book
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.refund import Refund
from airflow_provider_tcbilling.purchasing.renewal import Renewal
from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch
from airflow_provider_tcbilling.waiting.expiry import expiring, moved
from airflow_provider_tcbilling.waiting.watchlist import Watchlist, step
from verification.fuzz.judging import NUMBERED, Clock, Shelf, Verdict, client_of, designed, kind_of, purchase_of
from verification.fuzz.server import MONEY, NOW, ORDER, PRODUCT, Server, deal
from verification.fuzz.values import Draw

REFUSED_EARLY = {"AuthFailure.SignatureExpire", "RequestLimitExceeded"}
"""What never reached the billing system, and may be sent again at once."""


def _watch(client: BillingClient) -> Order | None:
    return DeliveryWatch(client, NUMBERED, deadline=0.0, clock=client.clock).step().order


def _watchlist(client: BillingClient) -> None:
    for _ in range(2):
        queries, deals = Watchlist().round({(NUMBERED, "CreateInstance"): NOW, ("2", "RefundInstance"): None}), None
        while query := step(queries, deals):
            deals = client.describe_deals(**query)


def _purchase(client: BillingClient, **options: Any) -> Order:
    clock = client.clock
    assert isinstance(clock, Clock)
    return purchase_of(client, clock, Shelf(), **options).place()


CALLS: Mapping[str, Callable[[BillingClient], Any]] = {
    "create": lambda client: client.create_instance(client_token="t", **ORDER),
    "renew": lambda client: client.renew_instance(client_token="t", instance_id="ins-1", **PRODUCT),
    "refund": lambda client: client.refund_instance(client_token="t", instance_id="ins-1", **PRODUCT),
    "set renewal": lambda client: client.set_renewal(
        product_code="p_a", region_code="r", instance_id="ins-1", renew_flag="NOTIFY_AND_AUTO_RENEW"
    ),
    "deals": lambda client: client.describe_deals(),
    "book": whole_book,
    "search": lambda client: search(client, NOW - 60, NOW, NewInstance(client, ORDER)._compared),
    "order": lambda client: order_numbered(client, NUMBERED),
    "renewable": lambda client: list(renewable(client)),
    "expiring": lambda client: expiring(client, NOW, 86_400.0 * 30),
    "moved": lambda client: moved("ins-1", "2026-12-01 00:00:00")(client, NOW),
    "balance": lambda client: client.describe_account_balance(),
    "account": lambda client: client.account,
    "delivery": _watch,
    "watchlist": _watchlist,
    "plan": lambda client: Refund(client, {**PRODUCT, "instance_id": "ins-1"}).plan(NOW),
    "observe": lambda client: Renewal(client, {**PRODUCT, "instance_id": "ins-1"}, clock=client.clock).observe(),
    "evidence": lambda client: Renewal(client, {**PRODUCT, "instance_id": "ins-1"}, clock=client.clock).evidence(
        NOW, NOW, {"expire_time": "2026-12-04 00:00:00", "orders": []}
    ),
    "purchase": _purchase,
    "tried before": lambda client: _purchase(client, presumed_since=NOW - 60),
}


def an_answer(seed: int) -> Verdict:
    """Make one call to a server that answers anything."""
    draw, clock = Draw(seed), Clock()
    if draw.happens(0.1):
        return _a_page(draw, clock)
    server, client, name = Server(draw), client_of(clock), draw.choice(list(CALLS))
    with server.listening(is_whole=draw.happens(0.2)):
        result, wrong = designed(lambda: CALLS[name](client))
    wrong += _mistakes_of_money(name, result, server)
    if isinstance(result, Order) and name != "delivery" and result.order_id not in server.strings():
        wrong.append(f"order {result.order_id!r} stands in no answer")
    if isinstance(result, Order) and not matching(result.order_id, NUMBER):
        wrong.append(f"{result.order_id!r} is no number of an order")
    if max(abs(client.clock_offset), abs(client.server_ahead)) > FARTHEST_CLOCK:
        wrong.append(f"a clock is off by {client.clock_offset} and {client.server_ahead} s")
    return f"{name}: {kind_of(result)}", wrong


def _mistakes_of_money(name: str, result: Any, server: Server) -> list[str]:
    """Return what is wrong with the word on the money, if one request that moves it was all that was to be sent."""
    sent = [action for action, _ in server.sent if action in MONEY]
    codes = server.codes()
    if name not in ("create", "renew", "refund"):
        return ["money was moved"] if sent and name not in ("purchase", "tried before") else []
    wrong = [] if set(codes[: len(sent) - 1]) <= REFUSED_EARLY else [f"it was sent {len(sent)} times"]
    if not isinstance(result, TcBillingError) or result.ambiguous or not sent:
        return wrong
    is_refused = isinstance(result, ApiError) and is_refusal(result.code) and result.code == codes[-1]
    is_unsent = isinstance(result, Unreachable) and set(codes) <= REFUSED_EARLY
    return wrong if is_refused or is_unsent else [*wrong, f"it was sent, and {result!r} says that nothing was bought"]


def _a_page(draw: Draw, clock: Clock) -> Verdict:
    """List a page of which one row is broken: the others must be listed."""
    rows = [deal(number) for number in range(draw.randint(2, 6))]
    broken = draw.randrange(len(rows))
    shown = [draw.changed(row, 2) if number == broken else row for number, row in enumerate(rows)]
    server, client = Server(draw, is_odd=False), client_of(clock)
    server.book = shown
    with server.listening():
        result, wrong = designed(client.describe_deals)
    listed = {row.order_id for row in result} if isinstance(result, models.Deals) else set()
    if hidden := {row["OrderId"] for number, row in enumerate(rows) if number != broken} - listed:
        wrong.append(f"{shown[broken]!r} hides {hidden}")
    return f"page: {kind_of(result)}", wrong
