"""The order book: which of its rows belong to the order that a number names."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_provider_tcbilling.api.models import Deal


def big_deal_of(number: str, deals: Iterable[Deal]) -> str:
    """
    Return the number under which all sub-orders of an order are listed.

    A number may name a sub-order or a big deal: they have one form. So where no sub-order has the number, it counts as
    that of a big deal.

    :param number: The number that a purchase was answered with.
    :param deals: Rows of the order book, its sub-order among them if there is one.
    :return: Empty if the sub-order belongs to no big deal.
    """
    return next((deal.big_deal_id for deal in deals if deal.order_id == number), number)


def is_named_by(number: str, deal: Deal) -> bool:
    """Whether a number names this row, as a sub-order or by its big deal."""
    return number in (deal.order_id, deal.big_deal_id)
