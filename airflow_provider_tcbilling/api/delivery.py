"""DeliveryWatch: the rules of waiting for an order, without the waiting."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import DeliveryFailed, DeliveryTimeout, TcBillingError
from airflow_provider_tcbilling.api.models import Deal, Order, total_of, unique
from airflow_provider_tcbilling.api.orderbook import can_be_one
from airflow_provider_tcbilling.api.servertime import earliest
from airflow_provider_tcbilling.api.settlement import SETTLEMENTS

LAST_LOOK_SECONDS = 30.0
"""How much later than the deadline a look may be sent: where many wait their turn, the last look has to, too."""

log = logging.getLogger(__name__)


class DeliveryWatch:
    """
    Looks whether an order has been delivered. It only reads: looking never buys, pays or refunds.

    Waiting is ``while (order := watch.step()) is None: sleep``; who waits differs only in how they sleep.

    :param client: Reads the order book.
    :param order_id: The order, or the big deal, that was placed.
    :param action: Name of the action that placed it: what is success for a refund is failure for a purchase.
    :param deadline: Epoch seconds after which an open order is given up; the default is never.
    """

    def __init__(
        self,
        client: BillingClient,
        order_id: str,
        *,
        action: str = CREATE_INSTANCE.name,
        deadline: float = math.inf,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.order_id = order_id
        self.deadline = deadline
        self.order_ids: tuple[str, ...] = (order_id,)
        self._settlement = SETTLEMENTS[action]
        self._client = client
        self._clock = clock or time.time
        self._last_seen = ""
        self.placed_at: float | None = None
        """Epoch seconds at which the order was placed, or some hours before; ``None`` until it was listed."""

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
            self._see("; ".join(self._words(deal) for deal in deals) or "not listed in any known status")
            if (order := self._judge(deals)) is not None:
                return order
        if self._clock() >= self.deadline:
            raise DeliveryTimeout(self.order_id, self._last_seen)
        return None

    def _deals(self) -> list[Deal]:
        """Return the order's deals. Its number may name a sub-order or a big deal: they look alike."""
        send_by = max(self.deadline, self._clock()) + LAST_LOOK_SECONDS
        deals = self._client.describe_deals(order_id=self.order_id, send_by=send_by)
        mine = [deal for deal in deals if deal.order_id == self.order_id]
        if mine and not (self._settlement.is_done(mine[0]) and mine[0].big_deal_id):
            return mine
        big_deal_id = mine[0].big_deal_id if mine else self.order_id
        listed = self._client.describe_deals(big_deal_id=big_deal_id, send_by=send_by)
        siblings = [deal for deal in listed if deal.big_deal_id == big_deal_id]
        return siblings if siblings and can_be_one(siblings) else mine

    def _judge(self, deals: Sequence[Deal]) -> Order | None:
        endings = self._settlement.endings
        if others := unique(deal.action for deal in deals if self._settlement.is_of_another_action(deal)):
            wanted = self._settlement.action
            raise DeliveryFailed(
                self.order_id,
                f"the order book calls it {', '.join(others)}, and {wanted} was asked for: call Tencent's support",
            )
        dead = [deal for deal in deals if deal.status in endings]
        ids = unique(instance for deal in deals for instance in deal.resource_ids)
        if dead:
            reasons = "; ".join(f"{self._words(deal)}: {endings[deal.status]}" for deal in dead)
            raise DeliveryFailed(self.order_id, f"{reasons}. Delivered: {', '.join(ids) or 'nothing'}.")
        if not deals or not all(self._settlement.is_done(deal) for deal in deals):
            return None
        self.order_ids = unique([self.order_id, *(deal.order_id for deal in deals)])
        paid = total_of(deal.paid_cents for deal in deals)
        return Order(self.order_id, ids, paid_cents=paid, currency=deals[0].currency)

    def _see(self, what: str) -> None:
        if what != self._last_seen:
            log.info("Order %s: %s", self.order_id, what)
        self._last_seen = what

    def _words(self, deal: Deal) -> str:
        nameless = deal.status == self._settlement.done and not self._settlement.is_done(deal)
        words = f"{deal.status_words}, its instances not named yet" if nameless else deal.status_words
        return words if deal.order_id == self.order_id else f"{deal.order_id} {words}"
