"""DeliveryWatch: the rules of waiting for an order, without the waiting."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import DeliveryFailed, DeliveryTimeout, TcBillingError
from airflow_provider_tcbilling.api.models import Deal, Order, total_of, unique
from airflow_provider_tcbilling.api.outcome import Payment
from airflow_provider_tcbilling.api.server_time import earliest
from airflow_provider_tcbilling.api.text import amount
from airflow_provider_tcbilling.waiting.order_end import ORDER_ENDS, PAYMENTS, can_be_one

LAST_LOOK_SECONDS = 30.0
"""How much later than the deadline a look may be sent: where many wait their turn, the last look has to, too."""

PRICE_SECONDS = 5.0
"""How long the price of an order that is delivered already may keep its task from ending."""

LOG_SECONDS = 60.0
"""Between two lines in the log about a wait in which nothing changes."""

log = logging.getLogger(__name__)


class DeliveryWatch:
    """
    Looks whether an order has been delivered. It only reads: looking never buys, pays or refunds.

    Waiting is ``while (order := watch.step()) is None: sleep``; who waits differs only in how they sleep.

    :param client: Reads the order book.
    :param order_id: The order, or the big deal, that was placed.
    :param action: Name of the action that placed it: what is success for a refund is failure for a purchase.
    :param deadline: Epoch seconds after which an open order is given up; the default is never.
    :param last_look: Seconds after the deadline within which the last query may still be sent.
    """

    def __init__(
        self,
        client: BillingClient,
        order_id: str,
        *,
        action: str = CREATE_INSTANCE.name,
        deadline: float = math.inf,
        last_look: float = LAST_LOOK_SECONDS,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.order_id = order_id
        self.deadline = deadline
        self.order_ids: tuple[str, ...] = (order_id,)
        self._order_end = ORDER_ENDS[action]
        self._last_look = last_look
        self._client = client
        self._clock = clock or time.time
        self._last_seen, self._logged_at = "", -math.inf
        self.placed_at: float | None = None
        """Epoch seconds at which the order was placed, or some hours before; ``None`` until it was listed."""
        self.amount = ""
        """The price, such as ``100.00 USD``; empty until the order was listed."""

    def step(self) -> Order | None:
        """
        Look once.

        :return: The delivered order with its instances and what was paid, or ``None`` while it is open. An order
            that is not listed yet is open, and so is one whose status nobody has described.
        :raises DeliveryFailed: It has ended and will not be delivered.
        :raises DeliveryTimeout: It is still open at the deadline.
        :raises TcBillingError: The order book refuses to be read. A passing failure to read it is no error.
        """
        try:
            deals = self._deals()
        except TcBillingError as error:
            self._see(f"the order book could not be read: {error}")
            if not error.transient:
                raise
        else:
            placed_at = min((earliest(deal.created_at) for deal in deals), default=math.inf)
            self.placed_at = placed_at if placed_at < math.inf else self.placed_at
            self.amount = _amount_of(deals) or self.amount
            self._see("; ".join(self._words(deal) for deal in deals) or "not listed in any known status")
            if (order := self._judge(deals)) is not None:
                return order
        if self._clock() >= self.deadline:
            raise DeliveryTimeout(self.order_id, self._last_seen, self.amount)
        return None

    def _deals(self) -> list[Deal]:
        """Return the order's deals. Its number may name a sub-order or a big deal: they look alike."""
        send_by = max(self.deadline, self._clock()) + self._last_look
        deals = self._client.describe_deals(order_id=self.order_id, send_by=send_by)
        mine = [deal for deal in deals if deal.order_id == self.order_id]
        if mine and not (self._order_end.is_done(mine[0]) and mine[0].big_deal_id):
            return mine
        big_deal_id = mine[0].big_deal_id if mine else self.order_id
        listed = self._client.describe_deals(big_deal_id=big_deal_id, send_by=send_by)
        siblings = [deal for deal in listed if deal.big_deal_id == big_deal_id]
        return siblings if siblings and can_be_one(siblings) else mine

    def _judge(self, deals: Sequence[Deal]) -> Order | None:
        endings = self._order_end.endings
        if others := unique(deal.action for deal in deals if self._order_end.is_of_another_action(deal)):
            wanted = self._order_end.action
            why = f"the order book calls it {', '.join(others)}, and {wanted} was asked for: call Tencent's support"
            raise DeliveryFailed(self.order_id, why, Payment.PAID, self.amount)
        dead = [deal for deal in deals if deal.status in endings]
        ids = unique(instance for deal in deals for instance in deal.resource_ids)
        if dead:
            reasons = "; ".join(f"{self._words(deal)}: {endings[deal.status]}" for deal in dead)
            payments = unique(PAYMENTS.get(deal.status, Payment.UNCLEAR) for deal in deals)
            payment = Payment(payments[0]) if len(payments) == 1 else Payment.UNCLEAR
            why = f"{reasons}. Delivered: {', '.join(ids) or 'nothing'}."
            raise DeliveryFailed(self.order_id, why, payment, self.amount)
        if not deals or not all(self._order_end.is_done(deal) for deal in deals):
            return None
        self.order_ids = unique([self.order_id, *(deal.order_id for deal in deals)])
        paid = total_of(deal.paid_cents for deal in deals)
        return Order(self.order_id, ids, paid_cents=paid, currency=deals[0].currency)

    def _see(self, what: str) -> None:
        """Log what is new, and once a minute what is not."""
        now = time.monotonic()
        if what != self._last_seen or now - self._logged_at >= LOG_SECONDS:
            log.info("Order %s: %s", self.order_id, what)
            self._logged_at = now
        self._last_seen = what

    def _words(self, deal: Deal) -> str:
        nameless = deal.status == self._order_end.done and not self._order_end.is_done(deal)
        words = f"{deal.status_words}, its instances not named yet" if nameless else deal.status_words
        return words if deal.order_id == self.order_id else f"{deal.order_id} {words}"


def _amount_of(deals: Sequence[Deal]) -> str:
    """Return what all sub-orders cost together; empty if none is listed, or if nothing was paid with money."""
    return amount(total_of(deal.paid_cents for deal in deals), deals[0].currency) if deals else ""


def with_price(client: BillingClient, order: Order, action: str) -> Order:
    """
    Return an order whose instances are known with what was paid, if the order book tells it within moments.

    :param action: Name of the action that placed it.
    """
    watch = DeliveryWatch(client, order.order_id, action=action, deadline=time.time(), last_look=PRICE_SECONDS)
    try:
        listed = watch.step()
    except TcBillingError as error:
        log.info("The price of order %s is not known yet. %s", order.order_id, error)
        return order
    return replace(order, paid_cents=listed.paid_cents, currency=listed.currency) if listed else order
