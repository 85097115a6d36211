"""OrderEnd: the status in which an order has succeeded, and the meaning of its other endings for the money."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, REFUND_INSTANCE, RENEW_INSTANCE
from airflow_provider_tcbilling.api.models import ENDINGS, Deal, DealStatus
from airflow_provider_tcbilling.api.outcome import Payment
from airflow_provider_tcbilling.api.reading import number_of
from airflow_provider_tcbilling.api.server_time import earliest
from airflow_provider_tcbilling.api.text import folded
from airflow_provider_tcbilling.api.values import DealAction


@dataclass(frozen=True)
class OrderEnd:
    """
    How the orders of an action end.

    :param done: The status of success.
    :param names_instances: Success needs the names of the instances, too.
    :param endings: Every other ending, and its meaning for the money.
    :param action: Its name in the order book; empty if the action is not checked.
    """

    done: DealStatus = DealStatus.DELIVERED
    names_instances: bool = False
    endings: Mapping[int, str] = field(default_factory=lambda: ENDINGS)
    action: str = ""

    def is_done(self, deal: Deal) -> bool:
        """Whether a sub-order has succeeded."""
        return deal.status == self.done and bool(deal.resource_ids or not self.names_instances)

    def is_of_another_action(self, deal: Deal) -> bool:
        """Whether a sub-order surely does something else."""
        return bool(self.action) and deal.action in set(DealAction) and deal.action != self.action

    def is_open(self, deal: Deal) -> bool:
        """Whether a sub-order may still come to an end, in a documented status or not."""
        return deal.status not in self.endings and not self.is_done(deal)


_REFUND_ENDINGS = {
    status: "nothing was returned; check in the console whether the instance is still there"
    for status in ENDINGS
    if status not in (DealStatus.REFUNDED, DealStatus.DELIVERY_FAILED)
}

PAYMENTS: Mapping[int, Payment] = {
    DealStatus.DELIVERY_FAILED: Payment.PAID,
    DealStatus.REFUNDED: Payment.RETURNED,
    DealStatus.EXPIRED: Payment.UNPAID,
    DealStatus.PAYMENT_REFUSED: Payment.UNPAID,
}
"""The meaning of an ending for the money of a purchase; that of any other ending is not documented."""

ORDER_ENDS: Mapping[str, OrderEnd] = {
    CREATE_INSTANCE.name: OrderEnd(names_instances=True),
    RENEW_INSTANCE.name: OrderEnd(action=DealAction.RENEW),
    REFUND_INSTANCE.name: OrderEnd(DealStatus.REFUNDED, endings=_REFUND_ENDINGS, action=DealAction.REFUND),
}
"""By the action that placed the order."""


MOMENT = 5.0
"""Seconds within which all sub-orders of one request are made."""


def can_be_one(deals: list[Deal]) -> bool:
    """Whether one request can have placed them all; a field that cannot be read is ignored."""
    made = [moment for deal in deals if math.isfinite(moment := earliest(deal.created_at))]
    kinds = {(folded(deal.zone_code), _project(deal), deal.action) for deal in deals}
    return len(kinds) == 1 and max(made, default=0.0) - min(made, default=0.0) <= MOMENT


def _project(deal: Deal) -> float | str:
    """Return the project as the server shows it: 0 is a project, and no project is shown by ``None``."""
    listed = deal.shown.get("ProjectId")
    number = number_of(listed)
    return repr(listed) if number is None else number
