"""MoneyAction: what a purchase needs to know of the action that moves the money."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import ApiError, OutcomeUnknown
from airflow_provider_tcbilling.api.fingerprint import fingerprint_of
from airflow_provider_tcbilling.api.masking import payload_without_secrets, secrets_in
from airflow_provider_tcbilling.api.order_book import is_named_by
from airflow_provider_tcbilling.api.schema import Action
from airflow_provider_tcbilling.purchasing.prices import price_key_of

_NUMBER = re.compile(r"\s*[+-]?[\d.,]+\s*")


@dataclass(frozen=True)
class Candidate:
    """
    One order that may be the purchase: a big deal, with all of its sub-orders.

    :param order_ids: All numbers that may name it.
    :param summary: One line about the order for a user, from the order book.
    :param paid_cents: The amount that was paid for it, in 1/100 of *currency*; ``None`` if that is not known.
    """

    order_id: str
    order_ids: frozenset[str]
    summary: str
    paid_cents: int | None = 0
    currency: str = ""


@dataclass(frozen=True)
class Evidence:
    """
    The result of a query: what it shows of an action that may have been carried out.

    :param orders: The orders that match.
    :param unclear: Orders that may be it, of which the order book shows too little, or something not understood.
    :param bar: Why it may have been carried out although no order matches. Then nothing is sent again, ever.
    :param may_resolve: An order may still come to be listed, so that it is worth waiting before stopping.
    """

    orders: list[Candidate] = field(default_factory=list)
    bar: str = ""
    may_resolve: bool = True
    unclear: list[Candidate] = field(default_factory=list)

    @property
    def numbers(self) -> Set[str]:
        """All numbers of the orders that match or may."""
        return {number for order in (*self.orders, *self.unclear) for number in order.order_ids}

    def without(self, owned: Set[str]) -> Evidence:
        """Return the same without the orders that other records own. An order without a number cannot be adopted."""
        orders = [order for order in self.orders if not order.order_ids & owned]
        unclear = [order for order in self.unclear if not order.order_ids & owned]
        return replace(
            self,
            orders=[order for order in orders if order.order_id],
            unclear=[*(order for order in orders if not order.order_id), *unclear],
        )

    def beside(self, order_id: str, owned: Set[str], rivals: Sequence[str]) -> list[Candidate]:
        """
        Return the orders beside a known one, without those that other records own.

        :raises OutcomeUnknown: They may be those of rivals, other purchases that know none yet.
        """
        free = self.without(owned | {order_id})
        found = [*free.orders, *free.unclear]
        if found and rivals:
            orders = "; ".join(order.summary for order in found)
            raise OutcomeUnknown(f"{orders}: it may be that of another purchase ({'; '.join(rivals)})")
        return found


class MoneyAction(ABC):
    """
    One action that moves money: what is sent, and the evidence that it was carried out.

    :param client: Sends and queries.
    :param fields: The action's arguments by Python name, but for the token.
    """

    action: ClassVar[Action]

    def __init__(self, client: BillingClient, fields: Mapping[str, Any]) -> None:
        self.client = client
        self.payload = self.action.payload_without_token(fields)
        """The request's JSON object but for the token: computed once, fingerprinted and sent as it is."""

    @cached_property
    def payload_shown(self) -> Mapping[str, Any]:
        """The payload without its secrets, for the record."""
        masked: Mapping[str, Any] = payload_without_secrets(self.payload)
        return masked

    @cached_property
    def plain_fingerprint(self) -> str:
        """The hash of the payload with its secrets. It is stored nowhere: passwords could be tried against it."""
        return fingerprint_of(self.action.name, self.payload)

    @cached_property
    def fingerprint(self) -> str:
        """The fingerprint for the record, sealed with the SecretKey."""
        return self.client.seal(self.plain_fingerprint)

    @property
    def secrets(self) -> list[str]:
        """The texts in the payload that its record hides."""
        return secrets_in(self.payload)

    @cached_property
    def price_key(self) -> str:
        """
        What it has the same price as.

        A masked number, such as one of licences or tokens, may decide the price. It is sealed with the SecretKey, so
        with another key nothing is known of the price.
        """
        numbers = [text for text in self.secrets if _NUMBER.fullmatch(text)]
        sealed = self.client.seal(fingerprint_of(self.action.name, {"numbers": numbers})) if numbers else ""
        return price_key_of(self.action.name, self.payload_shown, sealed)

    @property
    def endpoint(self) -> str:
        """The address of the API."""
        return self.client.endpoint

    @property
    def key_id(self) -> str:
        """What names the key that signs, without showing it."""
        return self.client.key_id

    @property
    def has_lasting_key(self) -> bool:
        """Whether it is one permanent key, so that its name stands for the account."""
        return self.client.credentials.is_lasting

    @property
    def has_lasting_seal(self) -> bool:
        """Whether another process seals with the same secret, so that sealed values can be compared."""
        return bool(self.client.lasting_secret)

    def bind(self, account: str) -> None:
        """
        Send nothing more with a key of another account.

        :param account: Its number; empty is the account of the present key. A permanent key is always of the same one.
        """
        if not self.has_lasting_key:
            # The key first: if it is replaced meanwhile, and nothing tells the account, the new one sends nothing.
            key_id = self.key_id
            self.client.bind(account or self.account(), key_id)

    def bound_account(self, *, is_wanted: bool = False) -> str:
        """
        Return the number of the account, and send nothing more with a key of another one.

        :param is_wanted: Read it also for a permanent key, whose name stands for the account.
        :return: Empty for a permanent key, unless it is wanted.
        """
        if self.has_lasting_key and not is_wanted:
            return ""
        # The key last: the query may have replaced one that has expired, and nothing was sent with that.
        self.client.bind(account := self.account(), self.key_id)
        return account

    @property
    def clock_error(self) -> float:
        """Seconds by which this machine's clock is known to differ from the server's."""
        return max(abs(self.client.clock_offset), abs(self.client.server_ahead))

    def account(self) -> str:
        """Return the number of the account; empty if the key may not read it."""
        return self.client.account

    def spendable_cents(self) -> int:
        """
        Return the cents that the account can spend, in its currency, which the server does not name.

        :raises OutcomeUnknown: The server does not say.
        """
        spendable = self.client.describe_account_balance().spendable_cents
        if spendable is None:
            raise OutcomeUnknown("The answer to DescribeAccountBalance does not say what the account can spend.")
        return spendable

    def lists(self, order_id: str) -> bool:
        """Return whether the account's order book lists an order; True also where the key may not read it."""
        try:
            by_number = self.client.describe_deals(order_id=order_id)
            deals = [*by_number, *self.client.describe_deals(big_deal_id=order_id)]
            return any(is_named_by(order_id, deal) for deal in deals)
        except ApiError as error:
            if error.transient:
                raise
            return True

    def observe(self) -> Mapping[str, Any]:
        """Return the state before anything is sent, for the record; raise if it must not be sent as things are."""
        return {}

    @abstractmethod
    def evidence(self, since: float, until: float, before: Mapping[str, Any]) -> Evidence:
        """
        Return the evidence that it was carried out between two moments. A query never costs anything.

        :param since: Epoch seconds.
        :param before: What was observed before the first request; empty if it is unknown.
        :raises TcBillingError: It could not be read, so nothing is known.
        """

    def evidence_within(self, spans: Sequence[tuple[float, float]]) -> Sequence[Evidence]:
        """
        Return the evidence within each of several spans, for purchases of the same that cannot be told apart.

        :param spans: Pairs of epoch seconds.
        :return: Nothing where one such purchase may not take the order of another.
        :raises TcBillingError: It could not be read, so nothing is known.
        """
        return ()

    @abstractmethod
    def looks_like(self, payload: Mapping[str, Any]) -> bool:
        """Whether an order of *payload* could not be told from an order of this."""
