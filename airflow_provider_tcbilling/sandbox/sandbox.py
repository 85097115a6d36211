"""Sandbox: gateway, account, faults and journal put together, without HTTP."""

from __future__ import annotations

import hashlib
import random
import warnings
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.models import status_words
from airflow_provider_tcbilling.api.sts_actions import STS_ACTIONS
from airflow_provider_tcbilling.sandbox import handlers, metadata, sts
from airflow_provider_tcbilling.sandbox.account import Account
from airflow_provider_tcbilling.sandbox.distortions import Query, distorted
from airflow_provider_tcbilling.sandbox.errors import Refused
from airflow_provider_tcbilling.sandbox.faults import Fault, Faults, Part
from airflow_provider_tcbilling.sandbox.gateway import Gateway
from airflow_provider_tcbilling.sandbox.instances import Instance
from airflow_provider_tcbilling.sandbox.keys import Keys
from airflow_provider_tcbilling.sandbox.metadata import METADATA, Page
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.orders import Fate, PlacedOrder
from airflow_provider_tcbilling.sandbox.roles import OTHER_ACCOUNT, Principal

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
    :param principal: The identity that signed it, such as ``100000000001:key`` or ``100000000001:role/buyer``; empty
        if it was not signed, or not well.
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
    principal: str = ""


@dataclass
class Arrival:
    """
    A request that was received whole, and is not carried out yet.

    :param request: Its JSON object.
    :param refused: Why it is not carried out; ``None`` if it may be.
    :param faults: The faults that strike it before it is carried out.
    :param account: The account as it was then: after a reset the request belongs to no account.
    :param principal: The identity that signed it.
    """

    entry: Entry
    account: Account
    in_force: Faults
    keys: Keys
    action: str = ""
    request: dict[str, Any] = field(default_factory=dict)
    refused: Refused | None = None
    faults: list[Fault] = field(default_factory=list)
    principal: Principal | None = None


@dataclass
class Exchange:
    """
    A request on its way out of the sandbox.

    :param faults: All faults that struck it.
    :param after: Those of them that struck when it was carried out.
    :param page: The answer, if it is no JSON.
    """

    entry: Entry
    response: dict[str, Any]
    faults: list[Fault]
    after: list[Fault]
    page: Page | None = None


class Sandbox:
    """
    Two accounts on a local billing API, with STS and a metadata service; most users need the first account only.

    :param options: How it behaves.
    """

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._random = random.Random(self.options.seed)
        # The first account's numbers are those of a sandbox that has no other account and no roles.
        self._random_of_others = random.Random(None if self.options.seed is None else f"others {self.options.seed}")
        self.reset()

    def reset(self) -> None:
        """Begin anew, with the options of the start: no orders, no faults, no journal, the clock set right."""
        # The numbers go on: no later order may have a number that an earlier record names.
        self.account = Account(self.options, self._random)
        other = Account(self.options, self._random_of_others, OTHER_ACCOUNT)
        other.clock = self.account.clock
        self.accounts = {account.uin: account for account in (self.account, other)}
        self.faults = Faults()
        self.keys = Keys(self.options, self._clock_of_keys(), self._random_of_others)
        self.gateway = Gateway(self.options)
        self.journal: deque[Entry] = deque(maxlen=JOURNAL_ENTRIES)
        self.requests: Counter[str] = Counter()
        self._entries = 0

    def _clock_of_keys(self) -> Callable[[], float]:
        clock, faults = self.account.clock, self.faults
        return lambda: clock.now() + faults.clock_skew()

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
        arrival = Arrival(entry, self.account, self.faults, self.keys)
        self._expire(arrival, headers.get("x-tc-action", ""))
        try:
            principal = self.gateway.authenticate(headers, body, self.faults.clock_skew(), self.keys)
            self._signed_by(arrival, principal)
            arrival.action, arrival.request = self.gateway.admit(headers, body, principal)
        except Refused as refused:
            arrival.refused = refused
            return arrival
        token = arrival.request.get("ClientToken", "")
        entry.client_token = token[:MAX_SHOWN] if isinstance(token, str) else ""
        return self._struck(arrival)

    def arrive_at_metadata(self, role_name: str) -> Arrival:
        """Receive a request to the metadata service: for the name of the machine's role if none is given."""
        arrival = Arrival(self._entry(METADATA, b""), self.account, self.faults, self.keys, METADATA)
        arrival.request = {"role_name": role_name}
        self._expire(arrival, METADATA)
        return self._struck(arrival)

    def _struck(self, arrival: Arrival) -> Arrival:
        arrival.faults += self.faults.strike(arrival.action, {Part.CONNECTION, Part.ANSWER}, when="before")
        arrival.entry.faults = [fault.fault for fault in arrival.faults]
        return arrival

    def _expire(self, arrival: Arrival, action: str) -> None:
        arrival.faults = self.faults.strike(action, {Part.KEY})
        if arrival.faults:
            self.keys.expire()

    def _signed_by(self, arrival: Arrival, principal: Principal | None) -> None:
        if principal:
            arrival.principal, arrival.account = principal, self.accounts[principal.account]
            arrival.entry.principal = str(principal)

    def carry_out(self, arrival: Arrival) -> Exchange:
        """Carry a request out that has arrived, as far as the faults in force let it."""
        try:
            if arrival.refused:
                raise arrival.refused
            if any(fault.part is not Part.KEY and fault.fault not in LATE for fault in arrival.faults):
                return self._finished(arrival, {}, "not carried out")
            return self._carried_out(arrival) if arrival.action in ACTIONS else self._about_keys(arrival)
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

    def _about_keys(self, arrival: Arrival) -> Exchange:
        action, keys = arrival.action, arrival.keys
        page = None
        if action == METADATA:
            answer, page = metadata.security_credentials(keys, **arrival.request)
        else:
            answer = sts.answer(keys, arrival.principal, action, arrival.request)
        after = arrival.in_force.strike(action, {Part.CONNECTION, Part.ANSWER}, when="after")
        exchange = self._finished(arrival, answer, str(page.status) if page and page.status != 200 else "ok", after)
        exchange.page = page
        return exchange

    @staticmethod
    def _distorted(answer: dict[str, Any], arrival: Arrival, book: Fault) -> dict[str, Any]:
        request = arrival.request

        def honest(limit: int, page: int) -> dict[str, Any]:
            query = {**request, "Limit": limit, "Offset": page}
            return handlers.answer(arrival.account, "DescribeDealsByCond", query, Fate())

        return distorted(answer, Query(request["Limit"], request.get("Offset", 0), honest), **book.options)

    def _entry(self, action: str, body: bytes) -> Entry:
        self._entries += 1
        is_action = action in ACTIONS or action in STS_ACTIONS or action == METADATA
        self.requests[action if is_action else UNKNOWN_ACTION] += 1
        digest = hashlib.sha256(body).hexdigest()
        now = self.written(self.account.clock.now())
        entry = Entry(self._entries, now, action[:MAX_SHOWN], body_sha256=digest)
        self.journal.append(entry)
        return entry

    @staticmethod
    def _finished(arrival: Arrival, answer: dict[str, Any], outcome: str, after: Sequence[Fault] = ()) -> Exchange:
        entry, faults = arrival.entry, [*arrival.faults, *after]
        entry.outcome, entry.faults = outcome, [fault.fault for fault in faults]
        if arrival.action != METADATA:
            entry.request_id = arrival.account.ids.request_id()
            answer = {**answer, "RequestId": entry.request_id}
        return Exchange(entry, answer, faults, list(after))

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
        hidden = dict.fromkeys(("secret_key", "session_token", "other_secret_key"), "***")
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
            "keys_issued": len(self.keys.issued),
            "rules": {
                **asdict(self.options),
                **hidden,
                "tokens": str(self.options.tokens),
                "prices": prices,
                "roles": list(self.keys.roles),
            },
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
