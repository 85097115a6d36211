"""
Renewal: RenewInstance as something to spend money on, once.

Two things show whether it was carried out: an order in the order book, and the instance's expiry. The expiry is written
into the record before the first request is sent. While it stands where it stood and no order is listed, it is safe to
send again. Once it has moved, nothing is sent any more, whatever moved it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_tcbilling.api.actions import RENEW_INSTANCE
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.instance_list import existing_instance, instance_named, mismatches
from airflow_provider_tcbilling.api.models import Deal, DealStatus, RenewableInstance
from airflow_provider_tcbilling.api.server_time import earliest, later, months_of, with_zone
from airflow_provider_tcbilling.api.values import DealAction, InstanceState
from airflow_provider_tcbilling.purchasing import match
from airflow_provider_tcbilling.purchasing.errors import LeftAlone
from airflow_provider_tcbilling.purchasing.evidence import search, whole_book
from airflow_provider_tcbilling.purchasing.money_action import Evidence, MoneyAction
from airflow_provider_tcbilling.waiting.order_end import ORDER_ENDS


@dataclass(frozen=True)
class Terms:
    """
    Under which circumstances an instance is renewed.

    :param within: Seconds; one that does not expire as soon is left alone. ``None`` renews at any time.
    :param expire_time: The expiry that the decision to renew was made on; an instance that has another one
        by now has been renewed meanwhile, and is left alone.
    :param on_auto_renew: What to do with one that the vendor will renew by itself: ``skip``, ``fail`` or ``renew``.
    :param isolated: Renew one that has expired and is isolated, too.
    """

    within: float | None = None
    expire_time: str = ""
    on_auto_renew: str = "skip"
    isolated: bool = False


class Renewal(MoneyAction):
    """
    The renewal of one instance: how it is bought, and what shows that it was.

    :param fields: The arguments of :meth:`BillingClient.renew_instance`, but for the token.
    """

    action = RENEW_INSTANCE

    def __init__(
        self,
        client: BillingClient,
        fields: Mapping[str, Any],
        terms: Terms | None = None,
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        super().__init__(client, fields)
        self._id: str = self.payload["InstanceId"]
        request = self.action.with_defaults(self.payload)
        self._months = months_of(request["Period"], request["PeriodUnit"])
        self._renews_it = (match.action(DealAction.RENEW), match.instance(self._id))
        self._compared = (
            match.product(self.payload["ProductCode"]),
            match.sub_product(self.payload["SubProductCode"]),
            match.months(self._months),
            *self._renews_it,
        )
        self._terms = terms or Terms()
        self._clock = clock or time.time

    def observe(self) -> Mapping[str, Any]:
        """
        Return the expiry and the renewal orders as they are before this renewal.

        :raises InvalidRequest: It cannot be renewed, or should not be without a user's decision. Nothing was sent.
        :raises LeftAlone: It need not be renewed. Nothing was sent.
        """
        instance = existing_instance(self.client, self._id)
        verdicts = [
            (deal, match.match(deal.shown, self._renews_it)) for deal in whole_book(self.client, resource_id=self._id)
        ]
        earlier = [deal for deal, (verdict, _) in verdicts if verdict is match.Match.MATCHES]
        mistakes = [
            f"order {deal.order_id or 'without a number'} may renew it and is {deal.status_words}: its "
            f"{' and '.join(unclear)} cannot be compared"
            for deal, (_, unclear) in verdicts
            if unclear and ORDER_ENDS[self.action.name].is_open(deal)
        ]
        mistakes += [*mismatches(instance, self.action.named(self.payload)), *self._obstacles(instance, earlier)]
        if mistakes:
            raise InvalidRequest(self._id, mistakes)
        for reason in self._reasons_to_leave(instance, earlier):
            raise LeftAlone(self._id, reason)
        return {"expire_time": instance.expire_time, "orders": [deal.order_id for deal in earlier]}

    def evidence(self, since: float, until: float, before: Mapping[str, Any]) -> Evidence:
        """
        Return the orders that renew this instance; if none does, what else speaks against sending again.

        That is an order that renews it for another time, or an expiry that has moved.
        """
        found = search(self.client, since, until, self._compared, before.get("orders", ()))
        if found.matching:
            return Evidence(found.matching, unclear=found.unclear)
        # A purchase that was edited, and has no record that says so, meets the order of what it was before.
        others = search(self.client, since, until, self._renews_it, before.get("orders", ()))
        if others.matching:
            orders = "; ".join(one.summary for one in others.matching)
            return Evidence(bar=f"it was renewed, but with other terms than now: {orders}", may_resolve=False)
        return Evidence(bar=self._bar(before), unclear=found.unclear)

    def looks_like(self, payload: Mapping[str, Any]) -> bool:
        """Whether *payload* renews the same instance."""
        return payload.get("InstanceId") == self._id

    def _obstacles(self, instance: RenewableInstance, earlier: list[Deal]) -> Iterator[str]:
        terms = self._terms
        if earliest(instance.expire_time) == float("inf"):
            yield f"its expiry is {instance.expire_time or 'not told'!r}, so nothing could show that it was renewed"
        if instance.status == InstanceState.ISOLATED and not terms.isolated:
            yield f"it expired at {with_zone(instance.expire_time)} and is isolated; renew_isolated=True would renew it"
        if instance.status not in ("", *InstanceState):
            yield f"its status {instance.status!r} is not known"
        if instance.renews_by_itself is None and terms.on_auto_renew != "renew":
            yield f"its renew flag is {instance.renew_flag!r}, so whether the vendor renews it too is not known"
        if _will_renew_itself(instance) and terms.on_auto_renew == "fail":
            yield "the vendor will renew it by itself (NOTIFY_AND_AUTO_RENEW), so it would be paid twice"
        done = max((deal.created_at for deal in earlier if ORDER_ENDS[self.action.name].is_done(deal)), default="")
        for deal in earlier:
            # A renewal after it shows that a user has dealt with it.
            if deal.status == DealStatus.DELIVERY_FAILED and deal.created_at >= done:
                yield f"order {deal.order_id} was paid to renew it and its delivery failed: a user must decide"

    def _reasons_to_leave(self, instance: RenewableInstance, earlier: list[Deal]) -> Iterator[str]:
        terms, expiry = self._terms, instance.expire_time
        if terms.expire_time and terms.expire_time != expiry:
            is_ = f"it expires at {with_zone(expiry)} and not at {terms.expire_time} any more"
            yield f"{is_}: it has been renewed already"
        if terms.within is not None and earliest(expiry) > self._now() + terms.within:
            yield f"it expires at {with_zone(expiry)}, which is not within {terms.within / 86400:g} days"
        if _will_renew_itself(instance) and terms.on_auto_renew == "skip":
            yield f"the vendor will renew it by itself at {with_zone(expiry)} (NOTIFY_AND_AUTO_RENEW)"
        for deal in earlier:
            if ORDER_ENDS[self.action.name].is_open(deal):
                yield f"order {deal.order_id} renews it already and is {deal.status_words}"

    def _now(self) -> float:
        return self._clock() + self.client.clock_offset

    def _bar(self, before: Mapping[str, Any]) -> str:
        was = before.get("expire_time") or self._terms.expire_time
        instance = instance_named(self.client, self._id)
        if instance is None:
            return f"{self._id} is not listed any more, so nothing shows whether it was renewed"
        if was and instance.expire_time != was:
            as_asked = _is_later(instance.expire_time, was, int(self._months))
            how = "just as by this renewal" if as_asked else "though not just as by this renewal"
            return (
                f"the expiry of {self._id} moved from {was} to {instance.expire_time}, {how}, and no order is listed "
                "(server times, UTC or UTC+8)"
            )
        return ""


def _is_later(local_time: str, before: str, months: int) -> bool:
    """Whether a time is so many months after another one; False if either is none."""
    try:
        return local_time == later(before, months)
    except (ValueError, OverflowError):
        return False


def _will_renew_itself(instance: RenewableInstance) -> bool:
    """Whether the vendor renews it at its expiry. What is isolated has lapsed: that moment has gone by."""
    return bool(instance.renews_by_itself) and instance.status != InstanceState.ISOLATED
