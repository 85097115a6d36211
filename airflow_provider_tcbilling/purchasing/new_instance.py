"""NewInstance: CreateInstance as something to spend money on, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE
from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.server_time import months_of
from airflow_provider_tcbilling.api.text import folded
from airflow_provider_tcbilling.api.values import DealAction
from airflow_provider_tcbilling.purchasing import match
from airflow_provider_tcbilling.purchasing.evidence import searches
from airflow_provider_tcbilling.purchasing.money_action import Evidence, MoneyAction


class NewInstance(MoneyAction):
    """
    A new instance: how it is bought, and which order shows that it was.

    :param fields: The arguments of :meth:`BillingClient.create_instance`, but for the token.
    """

    action = CREATE_INSTANCE

    def __init__(self, client: BillingClient, fields: Mapping[str, Any]) -> None:
        super().__init__(client, {"pay_mode": "PrePay", **fields})
        product, sub_product, zone, project, months = _visible(self.payload)
        self._compared = (
            match.product(product),
            match.sub_product(sub_product),
            match.zone(zone),
            match.project(project),
            match.months(months),
            match.action(DealAction.PURCHASE),
        )

    def evidence(self, since: float, until: float, before: Mapping[str, Any]) -> Evidence:
        """Return the orders that may be this purchase."""
        return self.evidence_within([(since, until)])[0]

    def evidence_within(self, spans: Sequence[tuple[float, float]]) -> Sequence[Evidence]:
        """Return the orders that may be purchases of the same: of two new instances, each is as good as the other."""
        found = searches(self.client, spans, self._compared)
        return [Evidence(one.matching, unclear=one.unclear) for one in found]

    def looks_like(self, payload: Mapping[str, Any]) -> bool:
        """Whether an order of *payload* could not be told from an order of this."""
        return _visible(payload) == _visible(self.payload)


def _visible(payload: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what an order of *payload* shows of it in the order book."""
    codes = [folded(payload.get(name)) for name in ("ProductCode", "SubProductCode", "ZoneCode")]
    request = CREATE_INSTANCE.with_defaults(payload)
    return *codes, request["ProjectId"], months_of(request["Period"], request["PeriodUnit"])
