"""Instances: those of an account, their expiry, and how they move on with the account's clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pendulum

from airflow_provider_tcbilling.api.values import InstanceState, RenewFlag
from airflow_provider_tcbilling.sandbox.errors import Refused

MONTHS = {"m": 1, "y": 12}
DAY = 86_400.0

NOTIFY, RENEWS_BY_ITSELF = RenewFlag.MANUAL.value, RenewFlag.AUTO.value
NORMAL, ISOLATED = InstanceState.NORMAL.value, InstanceState.ISOLATED.value

ISOLATED_DAYS = 7
"""How long an expired instance can still be renewed. Invented: it is not documented, and differs between products."""

RENEWAL_PERIODS = {"m": 11, "y": 5}
"""The longest automatic renewal, by unit."""

FULL_REFUND_DAYS = 5
"""How long after the purchase a first refund gives everything back."""


def later(moment: float, period: int, unit: str, zone: str) -> float:
    """Return the same day of a later month, or that month's last day, by the calendar of a zone."""
    return pendulum.from_timestamp(moment, tz=zone).add(months=period * MONTHS[unit]).timestamp()


@dataclass
class Instance:
    """
    One prepaid instance.

    :param renew_period: Length of each automatic renewal, in ``renew_period_unit``.
    :param bought_at: When it was delivered, in epoch seconds.
    :param expires_at: When its paid time ends, in epoch seconds; ``None`` if the server shows no expiry.
    :param paid_cents: Money of its purchase, without vouchers.
    :param voucher_cents: Vouchers of its purchase.
    :param is_locked: It can be neither renewed nor given back, for example because a refund is under way.
    :param renewed_cents: Money of its renewals, without vouchers.
    :param order_ids: Its purchase and its renewals.
    :param renewals_under_way: The requests of renewals that are paid and not carried out yet.
    :param parameter: The text of the ``Parameter`` of its purchase.
    """

    instance_id: str
    product_code: str
    sub_product_code: str
    region_code: str
    zone_code: str
    bought_at: float
    expires_at: float | None
    project_id: int = 0
    name: str = ""
    renew_flag: str = NOTIFY
    renew_period: int = 1
    renew_period_unit: str = "m"
    paid_cents: int = 0
    voucher_cents: int = 0
    is_locked: bool = False
    renewed_cents: int = 0
    order_ids: list[str] = field(default_factory=list)
    renewals_under_way: list[Mapping[str, Any]] = field(default_factory=list)
    parameter: str = ""
    _shown_expiry: float | None = None
    _shown_until: float = 0.0

    def status(self, now: float) -> str:
        """Whether it runs, or only waits for a renewal."""
        return NORMAL if self.expires_at is None or now < self.expires_at else ISOLATED

    def is_gone(self, now: float) -> bool:
        """Its time of grace is over. One whose renewal is paid and under way is kept."""
        if self.expires_at is None or self.renewals_under_way:
            return False
        return now >= self.expires_at + ISOLATED_DAYS * DAY

    def renews_by_itself(self, now: float) -> bool:
        """Whether it will be renewed when it expires, if there is money then."""
        return self.renew_flag == RENEWS_BY_ITSELF and not self.is_locked and self.status(now) == NORMAL

    def shown_expiry(self, now: float) -> float | None:
        """Return the expiry as the list of renewals shows it, which can be that of before a renewal."""
        return self._shown_expiry if now < self._shown_until else self.expires_at

    def show_late(self, until: float, now: float) -> None:
        """Let the list of renewals show the expiry of now for some time to come."""
        self._shown_expiry, self._shown_until = self.shown_expiry(now), max(until, self._shown_until)

    def mistakes_in(self, request: Mapping[str, Any]) -> list[str]:
        """Return in words where a request contradicts it."""
        facts = {
            "ProductCode": self.product_code,
            "SubProductCode": self.sub_product_code,
            "RegionCode": self.region_code,
        }
        return [
            f"{name} of {self.instance_id} is not {request[name]}"
            for name, fact in facts.items()
            if request.get(name, fact) != fact
        ]

    def set_renewal(self, request: Mapping[str, Any]) -> None:
        """
        Set what happens when it expires.

        :raises Refused: Its product cannot renew itself for so long.
        """
        unit = request.get("RenewPeriodUnit") or self.renew_period_unit
        period = int(request.get("RenewPeriod") or self.renew_period)
        if period > RENEWAL_PERIODS[unit]:
            raise Refused("InvalidParameter.ApiParamError", f"A renewal has at most {RENEWAL_PERIODS[unit]} {unit}.")
        self.renew_flag, self.renew_period, self.renew_period_unit = request["RenewFlag"], period, unit

    def refund(self, now: float, *, is_first: bool) -> tuple[int, str]:
        """
        Return how many cents a refund of it is, and in words how that was found.

        :param is_first: No other instance of the product was given back before.
        """
        paid = self.paid_cents + self.renewed_cents
        if is_first and now - self.bought_at <= FULL_REFUND_DAYS * DAY:
            return paid, f"all of {paid} cents: the product's first refund, within {FULL_REFUND_DAYS} days"
        if self.expires_at is None:
            return 0, "nothing: there is no expiry, so no time is left"
        left, whole = int(self.expires_at - now), int(self.expires_at - self.bought_at)
        if left <= 0 or whole <= 0:
            return 0, "nothing: no time is left"
        left = min(left, whole)
        return paid * left // whole, f"{paid} cents * {left} s left / {whole} s paid, rounded down"


class Instances:
    """All instances of an account. An expiry is changed with :meth:`extend` only, since it is watched here."""

    def __init__(self) -> None:
        self._by_id: dict[str, Instance] = {}
        self._expiries: list[tuple[float, str]] = []

    def add(self, instance: Instance, now: float) -> None:
        """Take an instance in. If it has expired already, it is too late for it to renew itself."""
        self._by_id[instance.instance_id] = instance
        self._watch(instance, now)

    def remove(self, instance: Instance) -> None:
        """Forget an instance that was given back."""
        self._by_id.pop(instance.instance_id, None)

    def extend(self, instance: Instance, expires_at: float, now: float) -> None:
        """Move an expiry."""
        instance.expires_at = expires_at
        self._watch(instance, now)

    def find(self, instance_id: str, now: float) -> Instance | None:
        """Return the instance of that name, unless it is gone."""
        found = self._by_id.get(instance_id)
        return None if found is None or found.is_gone(now) else found

    def all(self, now: float) -> list[Instance]:
        """Return those that are not gone, in the order in which they came."""
        return [instance for instance in self._by_id.values() if not instance.is_gone(now)]

    def move_on(self, now: float, renew: Callable[[Instance, float], None]) -> None:
        """
        Let everything happen that falls due by now, in the order of time.

        An expiry is handled once: an instance that is not renewed then has lapsed, even if money comes later.

        :param renew: Renews an instance at a moment, its expiry, and extends it if there is money.
        """
        while self._expiries and self._expiries[0][0] <= now:
            moment, instance_id = heapq.heappop(self._expiries)
            due = self._by_id.get(instance_id)
            if due and due.expires_at == moment and due.renew_flag == RENEWS_BY_ITSELF and not due.is_locked:
                renew(due, moment)

    def _watch(self, instance: Instance, since: float) -> None:
        if instance.expires_at is not None and instance.expires_at > since:
            heapq.heappush(self._expiries, (instance.expires_at, instance.instance_id))
