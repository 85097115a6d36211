"""Spending: what a purchase needs to know of the action that moves the money."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.api.schema import Action


@dataclass(frozen=True)
class Candidate:
    """
    One order that may be the purchase: a big deal, with all of its sub-orders.

    :param order_ids: All numbers by which it may be known.
    :param words: What the order book says of it, for people.
    """

    order_id: str
    order_ids: frozenset[str]
    words: str


@dataclass(frozen=True)
class Sighting:
    """
    What a look has shown.

    :param orders: The orders that may be it.
    :param bar: Why it may have been carried out although no order fits. Then nothing is sent again, ever.
    :param may_clear_up: An order may still come to be listed, so that it is worth waiting before stopping.
    """

    orders: list[Candidate] = field(default_factory=list)
    bar: str = ""
    may_clear_up: bool = True


class Spending(ABC):
    """
    What is done with the money: how it is sent, and what shows afterwards whether it was carried out.

    :param client: Sends and looks.
    :param fields: The action's arguments by Python name, but for the token.
    """

    action: ClassVar[Action]

    def __init__(self, client: BillingClient, fields: Mapping[str, Any]) -> None:
        self._client = client
        self._fields = dict(fields)
        payload = self.action.payload({**self._fields, "client_token": "-"})
        self.payload = {name: value for name, value in payload.items() if name != "ClientToken"}

    @property
    def endpoint(self) -> str:
        """The API that is asked."""
        return self._client.endpoint

    def observe(self) -> Mapping[str, Any]:
        """Return what is seen before anything is sent, for the record; raise if it must not be sent as things are."""
        return {}

    @abstractmethod
    def send(self, client_token: str, send_by: float) -> Order:
        """Send it, once; begin nothing after *send_by*, in epoch seconds. **Money moves in this call.**"""

    @abstractmethod
    def look(self, since: float, until: float, before: Mapping[str, Any]) -> Sighting:
        """
        Return what shows it, if it was carried out between two moments. Looking never costs anything.

        :param since: Epoch seconds.
        :param before: What was observed before the first request; empty if nobody knows.
        :raises TcBillingError: It could not be read, so nothing is known.
        """

    @abstractmethod
    def looks_like(self, payload: Mapping[str, Any]) -> bool:
        """Whether an order of *payload* could not be told from an order of this."""
