"""The account: its money, its clock, its orders and how they move on."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pendulum

from airflow_provider_tcbilling.api.models import DealStatus
from airflow_provider_tcbilling.sandbox.rules import Rules

MONTHS = {"m": 1, "y": 12}
UNDER_WAY = (DealStatus.PAID, DealStatus.DELIVERING)
CURRENCY = "USD"
SECONDS_UNTIL_DELIVERING = 1.0


class Refused(Exception):
    """The server answers with an error code, and nothing was carried out."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class Clock:
    """The account's clock. It can be moved; signatures and the rate limit keep to the real time."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Return epoch seconds."""
        return time.time() + self.offset

    def set(self, moment: float) -> None:
        """Let it be *moment*, in epoch seconds, and go on from there."""
        self.offset = moment - time.time()


@dataclass(frozen=True)
class Fate:
    """
    What an order was told to go through, instead of being listed at once and delivered.

    :param ends_as: The status in which it ends; 4 is delivered.
    :param hidden_looks: Looks at the order book in which it is not listed yet.
    :param hidden_seconds: Time in which it is not listed yet.
    :param answer_big_deal: CreateInstance answers with the number of the big deal.
    """

    ends_as: int = int(DealStatus.DELIVERED)
    hidden_looks: int = 0
    hidden_seconds: float = 0.0
    answer_big_deal: bool = False


@dataclass
class LedgerOrder:
    """One order: a big deal with one sub-order."""

    order_id: str
    big_deal_id: str
    client_token: str
    request: Mapping[str, Any]
    cost_cents: int
    created_at: float
    fate: Fate
    status: int = int(DealStatus.PAID)
    looks: int = 0
    instance_ids: list[str] = field(default_factory=list)
    history: list[tuple[float, int]] = field(default_factory=list)

    @property
    def answer_id(self) -> str:
        """The number that CreateInstance answers with."""
        return self.big_deal_id if self.fate.answer_big_deal else self.order_id

    def become(self, status: int, now: float) -> None:
        """Take a status and remember when."""
        self.status = status
        self.history.append((now, status))


class Ledger:
    """
    The memory of one account.

    :param rules: How it behaves.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.clock = Clock()
        self.balance_cents = rules.balance_cents
        self.uin = 100_000_000_001
        self._random = random.Random(rules.seed)
        self._orders: list[LedgerOrder] = []
        self._bought_with: dict[str, LedgerOrder] = {}

    def buy(self, request: Mapping[str, Any], fate: Fate) -> LedgerOrder:
        """Carry CreateInstance out: take the money and place the order, or answer with the one the token bought."""
        token = request["ClientToken"]
        earlier = self._bought_with.get(token)
        if earlier is not None and self._remembers(earlier):
            if self.rules.tokens.repeat == "reject-repeat":
                raise Refused("FailedOperation.InvalidDeal", "Only unpaid orders can be paid.")
            if self.rules.tokens.repeat == "honour":
                if earlier.request != request:
                    raise Refused("InvalidParameter.ApiParamError", "ClientToken was used with other parameters.")
                self._settle(earlier)
                return earlier
        cost = self.price_of(request)
        if cost > self.balance_cents:
            raise Refused("FailedOperation.BalanceInsufficient", "The account balance is insufficient.")
        order = self._place(request, cost, fate)
        self._bought_with[token] = order
        return order

    def price_of(self, request: Mapping[str, Any]) -> int:
        """Return what an order costs, in cents."""
        months = request.get("Period", 1) * MONTHS[request.get("PeriodUnit", "m")]
        return int(self.rules.price_cents * months * request.get("Quantity", 1))

    def orders(self) -> list[LedgerOrder]:
        """Return all orders as they stand now, the oldest first, without looking at them as a client does."""
        for order in self._orders:
            self._settle(order)
        return list(self._orders)

    def look(self, orders: Iterable[LedgerOrder]) -> list[LedgerOrder]:
        """Count a client's look at these orders, and return those that are listed already."""
        listed = []
        for order in orders:
            order.looks += 1
            self._settle(order)
            hidden_until = order.created_at + order.fate.hidden_seconds
            if order.looks > order.fate.hidden_looks and self.clock.now() >= hidden_until:
                listed.append(order)
        return listed

    def local_time(self, moment: float) -> str:
        """Write a time as the server does: without zone."""
        return pendulum.from_timestamp(moment, tz=self.rules.zone).to_datetime_string()

    def moment(self, local_time: str) -> float:
        """Read a time as the server does."""
        try:
            return pendulum.from_format(local_time, "YYYY-MM-DD HH:mm:ss", tz=self.rules.zone).timestamp()
        except ValueError:
            raise Refused("InvalidParameterValue", f"{local_time!r} is not a time.") from None

    def new_id(self) -> str:
        """Return a request id; with the same seed the same ids come in the same order."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _remembers(self, order: LedgerOrder) -> bool:
        seconds = self.rules.tokens.remembered_seconds
        return seconds is None or self.clock.now() - order.created_at < seconds

    def _place(self, request: Mapping[str, Any], cost: int, fate: Fate) -> LedgerOrder:
        now = self.clock.now()
        day = pendulum.from_timestamp(now, tz=self.rules.zone).format("YYYYMMDD")
        stem = f"{day}{710_000_000_000 + len(self._orders) + 1}"
        order = LedgerOrder(f"{stem}811", f"{stem}801", request["ClientToken"], dict(request), cost, now, fate)
        order.become(DealStatus.PAID, now)
        self.balance_cents -= cost
        self._orders.append(order)
        self._settle(order)
        return order

    def _settle(self, order: LedgerOrder) -> None:
        if order.status not in UNDER_WAY:
            return
        now, rules = self.clock.now(), self.rules
        waited = now - order.created_at
        enough_looks = order.looks > rules.delivery_looks or not rules.delivery_looks
        if enough_looks and waited >= rules.delivery_seconds:
            self._end(order, now)
        elif order.status == DealStatus.PAID and (order.looks or waited > SECONDS_UNTIL_DELIVERING):
            order.become(DealStatus.DELIVERING, now)

    def _end(self, order: LedgerOrder, now: float) -> None:
        if order.fate.ends_as == DealStatus.DELIVERED:
            order.instance_ids = [
                f"ins-{self._random.getrandbits(32):08x}" for _ in range(order.request.get("Quantity", 1))
            ]
        if order.fate.ends_as == DealStatus.REFUNDED:
            self.balance_cents += order.cost_cents
        order.become(order.fate.ends_as, now)
