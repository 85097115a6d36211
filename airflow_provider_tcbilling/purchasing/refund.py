"""Refund: RefundInstance as something that is sent once, and the facts that are known of a refund before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_tcbilling.api.actions import REFUND_INSTANCE
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.instance_list import instance_named, mismatches
from airflow_provider_tcbilling.api.models import Deal, RenewableInstance, total_of
from airflow_provider_tcbilling.api.server_time import earliest
from airflow_provider_tcbilling.api.values import DealAction
from airflow_provider_tcbilling.purchasing import match
from airflow_provider_tcbilling.purchasing.evidence import search, whole_book
from airflow_provider_tcbilling.purchasing.money_action import Evidence, MoneyAction
from airflow_provider_tcbilling.waiting.order_end import ORDER_ENDS

FULL_REFUND_DAYS = 5
"""Within so many days of the purchase, one instance of each product can be given back whole, once."""

RULES = (
    f"Within {FULL_REFUND_DAYS} days of the purchase one instance of a product is refunded in full, once for each "
    "legal entity; of several bought in one order only one.",
    "Later, and for all others, only a part of what was really paid comes back, by the time that is left.",
    "What vouchers paid is lost.",
    "The money goes to the account balance. Refunds that look abnormal may be refused.",
)
"""The published rules of the mainland site, in short. Whether they hold for a product of the international site is not
documented, and no action of the API quotes a refund: the amount is known when the money is back."""

BOUGHT_BY = (DealAction.PURCHASE, DealAction.RENEW)


class Refund(MoneyAction):
    """
    The refund of one instance: how it is sent, and what shows that it was.

    :param fields: The arguments of :meth:`BillingClient.refund_instance`, but for the token.
    """

    action = REFUND_INSTANCE

    def __init__(self, client: BillingClient, fields: Mapping[str, Any]) -> None:
        super().__init__(client, fields)
        self._refunds_it = (match.action(DealAction.REFUND), match.instance(self.instance_id))

    @property
    def instance_id(self) -> str:
        """The instance that is given back."""
        return str(self.payload["InstanceId"])

    def observe(self) -> Mapping[str, Any]:
        """
        Return whether the instance is listed before the refund, and with which status.

        :raises InvalidRequest: There is no such instance, it is something else, or it is refunded already.
        """
        instance, listed = instance_named(self.client, self.instance_id), self._listed()
        if mistakes := list(self._obstacles(instance, listed)):
            raise InvalidRequest(self.instance_id, mistakes)
        return {"status": _status(instance)}

    def evidence(self, since: float, until: float, before: Mapping[str, Any]) -> Evidence:
        """Return the orders that refund this instance; if none does, whether the instance is gone."""
        found = search(self.client, since, until, self._refunds_it)
        return Evidence(found.matching, "" if found.matching else self._bar(before), unclear=found.unclear)

    def looks_like(self, payload: Mapping[str, Any]) -> bool:
        """Whether *payload* gives the same instance back."""
        return payload.get("InstanceId") == self.instance_id

    def orders(self) -> list[Deal]:
        """
        Return the sub-orders of the instance that the order book has of the last 89 days. It costs nothing.

        :raises TcBillingError: The order book could not be read.
        """
        return [deal for deal in self._listed() if self._names(deal)]

    def plan(self, now: float) -> dict[str, Any]:
        """
        Return the refund as far as it is known before it is sent. Nothing is sent.

        ``obstacles`` names what would stop the refund, ``paid_cents`` and ``voucher_cents`` add the instance's orders
        of the last 89 days up (an order of several instances counts whole), ``age_days`` is the age of the first.

        :param now: Epoch seconds.
        :raises TcBillingError: It could not be read.
        """
        instance, listed = instance_named(self.client, self.instance_id), self._listed()
        deals = [deal for deal in listed if self._names(deal)]
        bought = [deal for deal in deals if deal.action in BOUGHT_BY]
        born = min((earliest(deal.created_at) for deal in bought if deal.action == DealAction.PURCHASE), default=None)
        age = None if born is None else round((now + self.client.clock_offset - born) / 86400, 2)
        return {
            "instance_id": self.instance_id,
            "expire_time": instance.expire_time if instance else "",
            "orders": [_row(deal) for deal in bought],
            "paid_cents": total_of(deal.paid_cents for deal in bought),
            "voucher_cents": vouchers_of(deals),
            "currency": bought[0].currency if bought else "",
            "age_days": age,
            "is_within_full_refund": None if age is None else age <= FULL_REFUND_DAYS,
            "obstacles": list(self._obstacles(instance, listed)),
            "rules": list(RULES),
        }

    def _listed(self) -> list[Deal]:
        return whole_book(self.client, resource_id=self.instance_id)

    def _obstacles(self, instance: RenewableInstance | None, listed: list[Deal]) -> Iterator[str]:
        if instance is None and not any(map(self._names, listed)):
            yield "there is no such instance, neither among those that can be renewed nor in the order book"
        if instance:
            yield from mismatches(instance, self.action.named(self.payload))
        for deal in listed:
            verdict, unclear = match.match(deal.shown, self._refunds_it)
            if verdict is match.Match.OF_ANOTHER or deal.status in ORDER_ENDS[self.action.name].endings:
                continue
            order, is_ = f"order {deal.order_id or 'without a number'}", f"and is {deal.status_words}"
            if unclear:
                yield f"{order} may refund it {is_}: its {' and '.join(unclear)} cannot be compared"
            else:
                yield f"{order} refunds it already {is_}"

    def _names(self, deal: Deal) -> bool:
        return self.instance_id in deal.resource_ids

    def _bar(self, before: Mapping[str, Any]) -> str:
        was, is_ = before.get("status"), _status(instance_named(self.client, self.instance_id))
        if was not in (None, is_):
            return f"{self.instance_id} was {was} and is {is_} now, and no refund is listed"
        return ""


def vouchers_of(deals: list[Deal]) -> int | None:
    """Return what vouchers paid of an instance's orders, in cents: a refund does not return it; ``None`` if unknown."""
    return total_of(deal.voucher_cents for deal in deals if deal.action in BOUGHT_BY)


def _status(instance: RenewableInstance | None) -> str:
    return (instance.status or "listed") if instance else "not listed"


def _row(deal: Deal) -> dict[str, Any]:
    return {
        "order_id": deal.order_id,
        "action": deal.action,
        "status": deal.status_words,
        "created_at": deal.created_at,
        "paid_cents": deal.paid_cents,
        "voucher_cents": deal.voucher_cents,
    }
