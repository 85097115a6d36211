"""DeliveryWatch: the rules of waiting for an order, without the sleep."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import DeliveryFailed, DeliveryTimeout, TcBillingError
from airflow_provider_tcbilling.api.models import Deal, Order, total_of, unique
from airflow_provider_tcbilling.api.order_book import big_deal_of
from airflow_provider_tcbilling.api.outcome import Payment
from airflow_provider_tcbilling.api.server_time import earliest
from airflow_provider_tcbilling.api.text import amount
from airflow_provider_tcbilling.waiting.order_end import ORDER_ENDS, PAYMENTS, can_be_one

LAST_QUERY_SECONDS = 30.0
"""Seconds after the deadline within which a query may be sent: the last query, too, waits for its turn."""

PRICE_SECONDS = 5.0
"""How long a query of the price of a delivered order may take, and the pause before the next one."""

LOG_SECONDS = 60.0
"""Seconds between two lines of the log while nothing changes."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Delivery:
    """
    The result of one step of a wait.

    :param order: The delivered order with its instances and its price; ``None`` while it is open.
    :param order_ids: The number that was waited for, and the sub-orders of a delivered order.
    :param state: The status in words, or why the order book could not be read.
    :param placed_at: Epoch seconds at which it was placed, or some hours before; ``None`` until it was listed.
    :param amount: The price, such as ``100.00 USD``; empty until it was listed.
    """

    order: Order | None
    order_ids: tuple[str, ...]
    state: str
    placed_at: float | None = None
    amount: str = ""


class DeliveryWatch:
    """
    Reads whether an order has been delivered. It never buys, pays or refunds.

    A wait is ``while (delivery := watch.step()).order is None: sleep``; waiting code differs only in its sleep.

    :param client: Reads the order book.
    :param order_id: The order, or the big deal, that was placed.
    :param action: Name of the action that placed it: the success of a refund is the failure of a purchase.
    :param deadline: Epoch seconds after which an open order is given up; the default is never.
    :param grace: Seconds after the deadline within which the last query may still be sent.
    """

    def __init__(
        self,
        client: BillingClient,
        order_id: str,
        *,
        action: str = CREATE_INSTANCE.name,
        deadline: float = math.inf,
        grace: float = LAST_QUERY_SECONDS,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.order_id = order_id
        self.deadline = deadline
        self._order_end = ORDER_ENDS[action]
        self._grace = grace
        self._client = client
        self._clock = clock or time.time
        self._latest, self._logged_at = Delivery(None, (order_id,), ""), -math.inf

    def step(self) -> Delivery:
        """
        Query the order book once.

        :return: The state of the order. An order that is not listed yet is open, and so is an order with a status that
            is not documented.
        :raises DeliveryFailed: It has ended and will not be delivered.
        :raises DeliveryTimeout: It is still open at the deadline.
        :raises TcBillingError: The order book refuses to be read. A passing failure to read it is no error.
        """
        try:
            deals = self._deals()
        except TcBillingError as error:
            self._note(replace(self._latest, state=f"the order book could not be read: {error}"))
            if not error.transient:
                raise
        else:
            placed_at = min((earliest(deal.created_at) for deal in deals), default=math.inf)
            latest = Delivery(
                None,
                (self.order_id,),
                "; ".join(self._state(deal) for deal in deals) or "not listed in any known status",
                placed_at if placed_at < math.inf else self._latest.placed_at,
                _amount_of(deals) or self._latest.amount,
            )
            self._note(latest)
            if order := self._judge(deals):
                order_ids = unique([self.order_id, *(deal.order_id for deal in deals)])
                return replace(latest, order=order, order_ids=order_ids)
        if self._clock() >= self.deadline:
            raise DeliveryTimeout(self.order_id, self._latest.state, self._latest.amount)
        return self._latest

    def _deals(self) -> list[Deal]:
        """Return the sub-orders of the order."""
        send_by = max(self.deadline, self._clock()) + self._grace
        deals = self._client.describe_deals(order_id=self.order_id, send_by=send_by)
        mine = [deal for deal in deals if deal.order_id == self.order_id]
        if mine and not (self._order_end.is_done(mine[0]) and mine[0].big_deal_id):
            return mine
        big_deal_id = big_deal_of(self.order_id, mine)
        listed = self._client.describe_deals(big_deal_id=big_deal_id, send_by=send_by)
        siblings = [deal for deal in listed if deal.big_deal_id == big_deal_id]
        return siblings if siblings and can_be_one(siblings) else mine

    def _judge(self, deals: Sequence[Deal]) -> Order | None:
        endings = self._order_end.endings
        if others := unique(deal.action for deal in deals if self._order_end.is_of_another_action(deal)):
            wanted = self._order_end.action
            why = f"the order book calls it {', '.join(others)}, and {wanted} was requested: call Tencent's support"
            raise DeliveryFailed(self.order_id, why, Payment.PAID, self._latest.amount)
        failed = [deal for deal in deals if deal.status in endings]
        ids = unique(instance for deal in deals for instance in deal.resource_ids)
        if failed:
            reasons = "; ".join(f"{self._state(deal)}: {endings[deal.status]}" for deal in failed)
            payments = unique(PAYMENTS.get(deal.status, Payment.UNCLEAR) for deal in deals)
            payment = Payment(payments[0]) if len(payments) == 1 else Payment.UNCLEAR
            why = f"{reasons}. Delivered: {', '.join(ids) or 'nothing'}."
            raise DeliveryFailed(self.order_id, why, payment, self._latest.amount)
        if not deals or not all(self._order_end.is_done(deal) for deal in deals):
            return None
        paid, vouchers = (_total(deals, name) for name in ("paid_cents", "voucher_cents"))
        return Order(self.order_id, ids, paid_cents=paid, currency=_currency_of(deals), voucher_cents=vouchers)

    def _note(self, latest: Delivery) -> None:
        """Keep the result of a query; log a new state at once, and the same state once a minute."""
        now = time.monotonic()
        if latest.state != self._latest.state or now - self._logged_at >= LOG_SECONDS:
            log.info("Order %s: %s", self.order_id, latest.state)
            self._logged_at = now
        self._latest = latest

    def _state(self, deal: Deal) -> str:
        is_nameless = deal.status == self._order_end.done and not self._order_end.is_done(deal)
        state = f"{deal.status_words}, its instances not named yet" if is_nameless else deal.status_words
        return state if deal.order_id == self.order_id else f"{deal.order_id} {state}"


def _amount_of(deals: Sequence[Deal]) -> str:
    """Return the cost of all sub-orders together; empty if none is listed, or if nothing was paid with money."""
    return amount(_total(deals, "paid_cents"), deals[0].currency) if deals else ""


def _total(deals: Sequence[Deal], name: str) -> int | None:
    """Return a sum over sub-orders, each once although it is listed twice; ``None`` if a part of it is not known."""
    parts: dict[str, set[int | None]] = {}
    for place, deal in enumerate(deals):
        parts.setdefault(deal.order_id or f"without a number {place}", set()).add(getattr(deal, name))
    return total_of(cents.pop() if len(cents) == 1 else None for cents in parts.values())


def with_price(client: BillingClient, order: Order, action: str, patience: float = 0.0) -> Order:
    """
    Return an order whose instances are known with its price, if the order book shows it within moments.

    :param action: Name of the action that placed it.
    :param patience: Seconds for which the order book is queried again.
    """
    deadline = time.time() + patience
    watch = DeliveryWatch(client, order.order_id, action=action, deadline=deadline, grace=PRICE_SECONDS)
    try:
        while (listed := watch.step().order) is None or (_is_a_part(order, listed) and time.time() < deadline):
            time.sleep(min(PRICE_SECONDS, max(0.0, deadline - time.time())))
    except TcBillingError as error:
        log.info("The price of order %s is not known yet. %s", order.order_id, error)
        return order
    return priced_as(order, listed)


def priced_as(order: Order, listed: Order) -> Order:
    """Return an order with the price that the order book lists; without one if it lists only a part of the order."""
    if _is_a_part(order, listed):
        return order
    prices = {name: getattr(listed, name) for name in ("paid_cents", "currency", "voucher_cents")}
    return replace(order, **prices)


def _is_a_part(order: Order, listed: Order) -> bool:
    """Whether some sub-orders are not listed yet: the order has more instances than those that are."""
    return 0 < len(listed.instance_ids) < len(order.instance_ids)


def _currency_of(deals: Sequence[Deal]) -> str:
    """Return the currency of all sub-orders; of several, each of them, so that none is taken for the other."""
    return ", ".join(unique(deal.currency for deal in deals))
