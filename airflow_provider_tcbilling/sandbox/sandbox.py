"""Sandbox: gateway, account, faults and journal put together, without HTTP."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.models import status_words
from airflow_provider_tcbilling.sandbox import handlers
from airflow_provider_tcbilling.sandbox.account import Account
from airflow_provider_tcbilling.sandbox.distortions import Query, distorted
from airflow_provider_tcbilling.sandbox.errors import Refused
from airflow_provider_tcbilling.sandbox.faults import Fault, Faults, Part
from airflow_provider_tcbilling.sandbox.gateway import Gateway
from airflow_provider_tcbilling.sandbox.instances import Instance
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.orders import Fate, PlacedOrder

JOURNAL_ENTRIES = 10_000

MAX_SHOWN = 64
"""Characters of a client token, which has no more, and of an unknown action in the journal."""

MAX_MESSAGE = 2_000
"""Characters of an error message."""

UNKNOWN_ACTION = "(unknown)"

LATE = ("delay", "interim", "drip")
"""Faults that let the request be carried out, whenever they strike."""


@dataclass
class Entry:
    """
    One line of the journal.

    :param outcome: ``ok``, an error code, or ``not carried out``.
    :param body_sha256: Hash of the body: a replay of the same purchase has the same.
    :param faults: The faults that struck it.
    """

    number: int
    time: str
    action: str
    client_token: str = ""
    outcome: str = ""
    order_id: str = ""
    request_id: str = ""
    body_sha256: str = ""
    faults: list[str] = field(default_factory=list)


@dataclass
class Arrival:
    """
    A request that was received whole, and is not carried out yet.

    :param request: Its JSON object.
    :param refused: Why it is not carried out; ``None`` if it may be.
    :param faults: The faults that strike it before it is carried out.
    :param account: The account as it was then: after a reset the request belongs to no account.
    """

    entry: Entry
    account: Account
    in_force: Faults
    action: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    refused: Refused | None = None
    faults: list[Fault] = field(default_factory=list)


@dataclass
class Exchange:
    """
    A request on its way out of the sandbox.

    :param faults: All faults that struck it.
    :param after: Those of them that struck when it was carried out.
    """

    entry: Entry
    response: dict[str, Any]
    faults: list[Fault]
    after: list[Fault]


class Sandbox:
    """
    One account on a local billing API.

    :param options: How it behaves.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._random = random.Random(self.options.seed)
        self.reset()

    def reset(self) -> None:
        """Begin anew, with the options of the start: no orders, no faults, no journal, the clock set right."""
        # The numbers go on: no later order may have a number that an earlier record names.
        self.account = Account(self.options, self._random)
        self.faults = Faults()
        self.gateway = Gateway(self.options)
        self.journal: deque[Entry] = deque(maxlen=JOURNAL_ENTRIES)
        self.requests: Counter[str] = Counter()
        self._entries = 0

    @property
    def ledger(self) -> Account:
        """The account, by its former name."""
        warnings.warn("Sandbox.ledger is called Sandbox.account now", DeprecationWarning, stacklevel=2)
        return self.account

    def exchange(self, headers: Mapping[str, str], body: bytes) -> Exchange:
        """Carry one signed request out at once, as far as the faults in force let it."""
        return self.carry_out(self.arrive(headers, body))

    def arrive(self, headers: Mapping[str, str], body: bytes) -> Arrival:
        """Receive a request: check it, and find the faults that strike it before it is carried out."""
        entry = self._entry(headers.get("x-tc-action", ""), body)
        arrival = Arrival(entry, self.account, self.faults)
        try:
            arrival.action, arrival.request = self.gateway.admit(headers, body, self.faults.clock_skew())
        except Refused as refused:
            arrival.refused = refused
            return arrival
        token = arrival.request.get("ClientToken", "")
        entry.client_token = token[:MAX_SHOWN] if isinstance(token, str) else ""
        arrival.faults = self.faults.strike(arrival.action, {Part.CONNECTION, Part.ANSWER}, when="before")
        entry.faults = [fault.fault for fault in arrival.faults]
        return arrival

    def carry_out(self, arrival: Arrival) -> Exchange:
        """Carry a request out that has arrived, as far as the faults in force let it."""
        try:
            if arrival.refused:
                raise arrival.refused
            if any(fault.fault not in LATE for fault in arrival.faults):
                return self._finished(arrival, {}, "not carried out")
            return self._carried_out(arrival)
        except Refused as refused:
            error = {"Error": {"Code": refused.code, "Message": refused.message[:MAX_MESSAGE]}}
            return self._finished(arrival, error, refused.code)

    def _carried_out(self, arrival: Arrival) -> Exchange:
        action, request, faults = arrival.action, arrival.request, arrival.in_force
        answer = handlers.answer(arrival.account, action, request, faults.fate(action))
        books = faults.strike(action, {Part.BOOK}) if action == "DescribeDealsByCond" else []
        for book in books:
            answer = self._distorted(answer, arrival, book)
        arrival.entry.order_id = str(answer.get("OrderId") or "".join(answer.get("OrderIdList", ())))
        after = faults.strike(action, {Part.CONNECTION, Part.ANSWER}, when="after")
        return self._finished(arrival, answer, "ok", books + after)

    @staticmethod
    def _distorted(answer: dict[str, Any], arrival: Arrival, book: Fault) -> dict[str, Any]:
        request = arrival.request

        def honest(limit: int, page: int) -> dict[str, Any]:
            query = {**request, "Limit": limit, "Offset": page}
            return handlers.answer(arrival.account, "DescribeDealsByCond", query, Fate())

        return distorted(answer, Query(request["Limit"], request.get("Offset", 0), honest), **book.options)

    def _entry(self, action: str, body: bytes) -> Entry:
        self._entries += 1
        self.requests[action if action in ACTIONS else UNKNOWN_ACTION] += 1
        digest = hashlib.sha256(body).hexdigest()
        now = self.written(self.account.clock.now())
        entry = Entry(self._entries, now, action[:MAX_SHOWN], body_sha256=digest)
        self.journal.append(entry)
        return entry

    @staticmethod
    def _finished(arrival: Arrival, answer: dict[str, Any], outcome: str, after: Sequence[Fault] = ()) -> Exchange:
        entry, faults = arrival.entry, [*arrival.faults, *after]
        entry.request_id, entry.outcome = arrival.account.ids.request_id(), outcome
        entry.faults = [fault.fault for fault in faults]
        return Exchange(entry, {**answer, "RequestId": entry.request_id}, faults, list(after))

    @staticmethod
    def written(moment: float) -> str:
        """Write a time for the control interface: ISO 8601, UTC."""
        written = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
        return written.replace("+00:00", "Z")

    def health(self) -> dict[str, Any]:
        """Return whether it runs, and counts of its orders and requests."""
        return {
            "status": "ok",
            "time": self.written(self.account.clock.now()),
            "balance_cents": self.account.balance_cents,
            "voucher_cents": self.account.voucher_cents,
            "currency": self.account.wallet.currency,
            "orders": len(self.account.orders()),
            "requests": dict(self.requests),
        }

    def state(self) -> dict[str, Any]:
        """Return the content of the page, as JSON."""
        hidden = {"secret_key": "***", "session_token": "***"}
        prices = [price.as_json() for price in self.options.prices]
        orders = self.account.orders()
        return {
            **self.health(),
            "start_balance_cents": self.options.balance_cents + self.account.wallet.added_cents,
            "start_voucher_cents": self.options.voucher_cents + self.account.wallet.added_voucher_cents,
            "refunded_cents": sum(order.paid_cents for order in orders if order.has_refunded),
            "month_price_cents": self.options.price_cents,
            "prices": self.account.prices.listed(),
            "uin": self.account.uin,
            "rules": {**asdict(self.options), **hidden, "tokens": str(self.options.tokens), "prices": prices},
            "all_orders": [self.described(order) for order in reversed(orders)],
            "subscriptions": [self.summarised(instance) for instance in self.account.instances()],
            "journal": [asdict(entry) for entry in list(self.journal)[-50:]][::-1],
            "faults": self.faults.listed(),
        }

    def described(self, order: PlacedOrder) -> dict[str, Any]:
        """Return an order as JSON, with its status over time."""
        return {
            "order_id": order.order_id,
            "big_deal_id": order.big_deal_id,
            "action": order.action,
            "client_token": order.client_token,
            "status": int(order.status),
            "status_words": status_words(order.status),
            "product_code": order.request["ProductCode"],
            "sub_product_code": order.request["SubProductCode"],
            "region_code": order.request["RegionCode"],
            "quantity": order.quantity,
            "period": order.period,
            "period_unit": order.period_unit,
            "cost_cents": order.cost_cents,
            "voucher_cents": order.voucher_cents,
            "currency": order.currency,
            "creator": order.creator,
            "moves_money": order.moves_money,
            "returned_order_ids": list(order.returned_order_ids),
            "instance_ids": list(order.instance_ids),
            "looks": order.queries,
            "created_at": self.written(order.created_at),
            "history": [
                {"time": self.written(at), "status": int(status), "status_words": status_words(status)}
                for at, status in order.history
            ],
        }

    def summarised(self, instance: Instance) -> dict[str, Any]:
        """Return the facts of an instance that the page shows, as JSON."""
        now, expiry = self.account.clock.now(), instance.expires_at
        return {
            "instance_id": instance.instance_id,
            "name": instance.name,
            "product": instance.product_code,
            "region": instance.region_code,
            "renew_flag": instance.renew_flag,
            "status": instance.status(now),
            "expires_at": None if expiry is None else self.written(expiry),
            "renews_by_itself": instance.renews_by_itself(now),
        }

    def detailed(self, instance: Instance) -> dict[str, Any]:
        """Return all facts of an instance, as JSON."""
        return {
            **self.summarised(instance),
            "sub_product": instance.sub_product_code,
            "zone": instance.zone_code,
            "project_id": instance.project_id,
            "renew_period": instance.renew_period,
            "renew_period_unit": instance.renew_period_unit,
            "bought_at": self.written(instance.bought_at),
            "paid_cents": instance.paid_cents,
            "voucher_cents": instance.voucher_cents,
            "renewed_cents": instance.renewed_cents,
            "locked": instance.is_locked,
            "order_ids": instance.order_ids,
        }
