"""Orders: those of an account, and the faults that each of them goes through."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.models import DealStatus
from airflow_provider_tcbilling.api.values import DealAction
from airflow_provider_tcbilling.sandbox.ids import Ids
from airflow_provider_tcbilling.sandbox.instances import NOTIFY, Instance, later

PURCHASE, RENEW, REFUND = DealAction.PURCHASE.value, DealAction.RENEW.value, DealAction.REFUND.value
AIMS: Mapping[str, int] = {
    PURCHASE: int(DealStatus.DELIVERED),
    RENEW: int(DealStatus.DELIVERED),
    REFUND: int(DealStatus.REFUNDED),
}
"""The status in which an order of each action ends if nothing goes wrong."""

UNDER_WAY = (DealStatus.PAID, DealStatus.DELIVERING)

as_read = CREATE_INSTANCE.with_defaults
"""A request for a purchase or a renewal with the server's defaults; those of a renewal are the same."""


@dataclass(frozen=True)
class Fate:
    """
    The faults that an order goes through, instead of being listed at once and carried out.

    :param ends_as: The status in which it ends; ``None`` is the one that its action aims for.
    :param hidden_queries: Queries of the order book that do not list it yet.
    :param hidden_seconds: Time in which it is not listed yet.
    :param answer_big_deal: The request is answered with the number of the big deal.
    :param is_nameless: A renewal or a refund does not name its instance before it is carried out.
    :param expiry_late_seconds: Time after a renewal in which the list of renewals shows the expiry of before.
    """

    ends_as: int | None = None
    hidden_queries: int = 0
    hidden_seconds: float = 0.0
    answer_big_deal: bool = False
    is_nameless: bool = False
    expiry_late_seconds: float = 0.0


@dataclass(frozen=True)
class Terms:
    """
    The facts of an order that another user of the account placed, instead of those that the account gives it.

    :param cents: The cost of all its instances, vouchers included; ``None`` is that of the price list.
    :param voucher_cents: The part of it that vouchers paid; ``None`` is as much as they may.
    :param currency: Empty is that of the price, or of the account.
    :param creator: The user's number.
    :param is_paid: It takes money from the account.
    """

    cents: int | None = None
    voucher_cents: int | None = None
    currency: str = ""
    creator: str = ""
    is_paid: bool = True


AS_LISTED = Terms()
"""Those of an order that a client places."""


@dataclass
class PlacedOrder:
    """
    One order: a sub-order of a big deal, which has one of them, or several for a larger quantity.

    :param cost_cents: Its cost, vouchers included; of a refund, the money that comes back.
    :param action: ``purchase``, ``renew`` or ``refund``.
    :param voucher_cents: The part of the cost that vouchers paid.
    :param instance: The instance that is renewed or given back; a purchase has none before it is delivered.
    :param returned_order_ids: Of a refund, the orders whose money it gives back.
    :param formula: Of a refund, in words, how much that is.
    :param queries: Queries of the order book that asked for it, listed or not.
    :param quantity: How many instances it is for.
    :param creator: The user who placed it, by number; empty for the account of the key.
    :param moves_money: It was paid from the account, or pays money back: it is neither unpaid nor of before the start.
    """

    order_id: str
    big_deal_id: str
    client_token: str
    request: Mapping[str, Any]
    cost_cents: int
    created_at: float
    fate: Fate
    action: str = PURCHASE
    voucher_cents: int = 0
    instance: Instance | None = None
    returned_order_ids: tuple[str, ...] = ()
    formula: str = ""
    status: int = int(DealStatus.PAID)
    queries: int = 0
    instance_ids: list[str] = field(default_factory=list)
    history: list[tuple[float, int]] = field(default_factory=list)
    quantity: int = 1
    currency: str = ""
    creator: str = ""
    moves_money: bool = True

    @property
    def answer_id(self) -> str:
        """The number that the request is answered with."""
        return self.big_deal_id if self.fate.answer_big_deal else self.order_id

    @property
    def paid_cents(self) -> int:
        """The money that it moves."""
        return self.cost_cents - self.voucher_cents

    @property
    def has_refunded(self) -> bool:
        """Its money has come to the account: a refund that was carried out, or an order that ended as refunded."""
        return self.status == DealStatus.REFUNDED and self.moves_money

    @property
    def ends_as(self) -> int:
        """The status in which it will end."""
        return AIMS[self.action] if self.fate.ends_as is None else self.fate.ends_as

    @property
    def period(self) -> int:
        """The time that it pays for, in ``period_unit``."""
        return 0 if self.action == REFUND else int(as_read(self.request)["Period"])

    @property
    def period_unit(self) -> str:
        """``m`` or ``y``."""
        return str(as_read(self.request)["PeriodUnit"])

    @property
    def zone_code(self) -> str:
        """The zone of its instances."""
        return self.instance.zone_code if self.instance else str(self.request["ZoneCode"])

    @property
    def project_id(self) -> int:
        """The project that it is booked on."""
        return self.instance.project_id if self.instance else int(as_read(self.request)["ProjectId"])

    def hand_over(self, ids: Ids, now: float, zone: str) -> list[Instance]:
        """Return the instances of a purchase, which are new."""
        bought = self.request
        self.instance_ids = [ids.instance_id() for _ in range(self.quantity)]
        paid, vouchers = (_equal_parts(cents, self.quantity) for cents in (self.paid_cents, self.voucher_cents))
        return [
            Instance(
                instance_id,
                bought["ProductCode"],
                bought["SubProductCode"],
                bought["RegionCode"],
                self.zone_code,
                now,
                later(now, self.period, self.period_unit, zone),
                self.project_id,
                renew_flag=bought.get("RenewFlag") or NOTIFY,
                paid_cents=paid[number],
                voucher_cents=vouchers[number],
                order_ids=[self.order_id],
                parameter=bought.get("Parameter") or "",
            )
            for number, instance_id in enumerate(self.instance_ids)
        ]

    def become(self, status: int, now: float) -> None:
        """Take a status and remember when."""
        self.status = status
        self.history.append((now, status))


def _equal_parts(cents: int, count: int) -> list[int]:
    """Divide an amount; the first parts take the remainder."""
    return [cents // count + (number < cents % count) for number in range(count)]


def parts_of(quantity: int, cost: int, most: int) -> list[tuple[int, int]]:
    """Return quantity and cost of each sub-order of at most so many instances; 0 is no limit."""
    size = most or quantity
    counts = [min(size, quantity - first) for first in range(0, quantity, size)]
    if len(counts) == 1:
        return [(quantity, cost)]
    shares = iter(_equal_parts(cost, quantity))
    return [(count, sum(islice(shares, count))) for count in counts]


class Orders:
    """All orders of an account."""

    def __init__(self) -> None:
        self.all: list[PlacedOrder] = []
        self._by_number: dict[str, list[PlacedOrder]] = defaultdict(list)
        self._under_way: list[PlacedOrder] = []

    def add(self, order: PlacedOrder) -> None:
        """Take an order in; the oldest comes first."""
        insort(self.all, order, key=lambda placed: placed.created_at)
        self._under_way.append(order)
        for number in (order.order_id, order.big_deal_id):
            self._by_number[number].append(order)

    def numbered(self, number: str) -> list[PlacedOrder]:
        """Return the orders that a number names, be it of a sub-order or of a big deal."""
        return list(self._by_number.get(number, ()))

    def under_way(self) -> list[PlacedOrder]:
        """Return the orders that have not ended."""
        self._under_way = [order for order in self._under_way if order.status in UNDER_WAY]
        return self._under_way
