"""Token memory: the orders that client tokens have bought, and the answer to a token that comes again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_tcbilling.sandbox.errors import Refused
from airflow_provider_tcbilling.sandbox.options import Tokens
from airflow_provider_tcbilling.sandbox.orders import PlacedOrder


class TokenMemory:
    """
    The orders by client token.

    :param rule: The rule for a token that comes again.
    """

    def __init__(self, rule: Tokens) -> None:
        self._rule = rule
        self._placed: dict[str, PlacedOrder] = {}

    def add(self, token: str, order: PlacedOrder) -> None:
        """Remember the order that a token bought."""
        self._placed[token] = order

    def earlier(self, token: str, action: str, request: Mapping[str, Any], now: float) -> PlacedOrder | None:
        """
        Return the order that answers a request; ``None`` if the request may be carried out.

        :raises Refused: The token was used before, and the rule refuses it.
        """
        order = self._placed.get(token)
        if order is None or self._is_forgotten(order, now) or self._rule.repeat == "ignore":
            return None
        if self._rule.repeat == "reject-repeat":
            raise Refused("FailedOperation.InvalidDeal", "Only unpaid orders can be paid.")
        if (order.action, order.request) != (action, request):
            raise Refused("InvalidParameter.ApiParamError", "ClientToken was used with other parameters.")
        return order

    def _is_forgotten(self, order: PlacedOrder, now: float) -> bool:
        seconds = self._rule.remembered_seconds
        return seconds is not None and now - order.created_at >= seconds
