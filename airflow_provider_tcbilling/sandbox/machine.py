"""Sandbox: gate, ledger, faults and journal put together, without HTTP."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any

from airflow_provider_tcbilling.api.models import status_words
from airflow_provider_tcbilling.sandbox import handlers
from airflow_provider_tcbilling.sandbox.book import Asked, distorted
from airflow_provider_tcbilling.sandbox.faults import Fault, Faults, Part
from airflow_provider_tcbilling.sandbox.gate import Gate
from airflow_provider_tcbilling.sandbox.ledger import Ledger
from airflow_provider_tcbilling.sandbox.orders import Fate, LedgerOrder, Refused
from airflow_provider_tcbilling.sandbox.rules import Rules
from airflow_provider_tcbilling.sandbox.subscriptions import Subscription

JOURNAL_ENTRIES = 10_000

LATE = ("delay", "interim", "drip")
"""Faults that let the request be carried out, whenever they strike."""


@dataclass
class Entry:
    """
    One line of the journal.

    :param outcome: ``ok``, an error code, or what else became of the answer.
    :param body_sha256: Hash of the body: a replay of the same purchase has the same.
    :param faults: The misfortunes that struck it.
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
class Exchange:
    """A request on its way through the sandbox: its line in the journal, its answer, what is to strike it."""

    entry: Entry
    response: dict[str, Any]
    faults: list[Fault]
    committed: bool


class Sandbox:
    """
    One account on a local billing API.

    :param rules: How it behaves.
    """

    def __init__(self, rules: Rules | None = None) -> None:
        self.rules = rules or Rules()
        self.reset()

    def reset(self) -> None:
        """Begin anew, with the rules of the start: no orders, no faults, no journal, the clock set right."""
        self.ledger = Ledger(self.rules)
        self.faults = Faults()
        self.gate = Gate(self.rules)
        self.journal: deque[Entry] = deque(maxlen=JOURNAL_ENTRIES)
        self.requests: Counter[str] = Counter()
        self._entries = 0

    def exchange(self, headers: Mapping[str, str], body: bytes) -> Exchange:
        """Carry one signed request out, as far as the faults in force let it."""
        entry = self._entry(headers.get("x-tc-action", ""), body)
        try:
            action, request = self.gate.admit(headers, body, self.faults.clock_skew())
            entry.client_token = str(request.get("ClientToken", ""))
            before = self.faults.strike(action, {Part.CONNECTION, Part.ANSWER}, when="before")
            if any(fault.fault not in LATE for fault in before):
                return self._finished(entry, {}, before, committed=False)
            answer = handlers.answer(self.ledger, action, request, self.faults.fate(action))
            books = self.faults.strike(action, {Part.BOOK}) if action == "DescribeDealsByCond" else []
            for book in books:
                answer = self._distorted(answer, request, book)
            entry.order_id = str(answer.get("OrderId") or "".join(answer.get("OrderIdList", ())))
            after = self.faults.strike(action, {Part.CONNECTION, Part.ANSWER}, when="after")
            return self._finished(entry, answer, before + books + after, committed=True)
        except Refused as refused:
            entry.outcome = refused.code
            error = {"Error": {"Code": refused.code, "Message": refused.message}}
            return self._finished(entry, error, [], committed=False)

    def _distorted(self, answer: dict[str, Any], request: dict[str, Any], book: Fault) -> dict[str, Any]:
        def ask(limit: int, page: int) -> dict[str, Any]:
            asked = {**request, "Limit": limit, "Offset": page}
            return handlers.answer(self.ledger, "DescribeDealsByCond", asked, Fate())

        return distorted(answer, Asked(request["Limit"], request.get("Offset", 0), ask), **book.options)

    def _entry(self, action: str, body: bytes) -> Entry:
        self._entries += 1
        self.requests[action] += 1
        digest = hashlib.sha256(body).hexdigest()
        entry = Entry(self._entries, self.written(self.ledger.clock.now()), action, body_sha256=digest)
        self.journal.append(entry)
        return entry

    def _finished(self, entry: Entry, answer: dict[str, Any], faults: list[Fault], *, committed: bool) -> Exchange:
        entry.request_id = self.ledger.new_id()
        entry.faults = [fault.fault for fault in faults]
        entry.outcome = entry.outcome or ("ok" if committed else "not carried out")
        return Exchange(entry, {**answer, "RequestId": entry.request_id}, faults, committed)

    @staticmethod
    def written(moment: float) -> str:
        """Write a time for the control interface: ISO 8601, UTC."""
        written = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
        return written.replace("+00:00", "Z")

    def health(self) -> dict[str, Any]:
        """Return whether it runs, and what it has done so far."""
        return {
            "status": "ok",
            "time": self.written(self.ledger.clock.now()),
            "balance_cents": self.ledger.balance_cents,
            "voucher_cents": self.ledger.voucher_cents,
            "orders": len(self.ledger.orders()),
            "requests": dict(self.requests),
        }

    def state(self) -> dict[str, Any]:
        """Return all that the page shows."""
        hidden = {"secret_key": "***", "session_token": "***"}
        return {
            **self.health(),
            "start_balance_cents": self.rules.balance_cents,
            "uin": self.ledger.uin,
            "rules": {**asdict(self.rules), **hidden, "tokens": str(self.rules.tokens)},
            "all_orders": [self.described(order) for order in reversed(self.ledger.orders())],
            "subscriptions": [self.summarised(instance) for instance in self.ledger.instances()],
            "journal": [asdict(entry) for entry in list(self.journal)[-50:]][::-1],
            "faults": self.faults.listed(),
        }

    def described(self, order: LedgerOrder) -> dict[str, Any]:
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
            "quantity": order.request.get("Quantity", 1),
            "period": order.period,
            "period_unit": order.period_unit,
            "cost_cents": order.cost_cents,
            "voucher_cents": order.voucher_cents,
            "instance_ids": list(order.instance_ids),
            "looks": order.looks,
            "created_at": self.written(order.created_at),
            "history": [
                {"time": self.written(at), "status": int(status), "status_words": status_words(status)}
                for at, status in order.history
            ],
        }

    def summarised(self, subscription: Subscription) -> dict[str, Any]:
        """Return of an instance what the page shows of it, as JSON."""
        now, expiry = self.ledger.clock.now(), subscription.expires_at
        return {
            "instance_id": subscription.instance_id,
            "name": subscription.name,
            "product": subscription.product_code,
            "region": subscription.region_code,
            "renew_flag": subscription.renew_flag,
            "status": subscription.status(now),
            "expires_at": None if expiry is None else self.written(expiry),
            "renews_by_itself": subscription.renews_by_itself(now),
        }

    def detailed(self, subscription: Subscription) -> dict[str, Any]:
        """Return all that is known of an instance, as JSON."""
        return {
            **self.summarised(subscription),
            "sub_product": subscription.sub_product_code,
            "zone": subscription.zone_code,
            "project_id": subscription.project_id,
            "renew_period": subscription.renew_period,
            "renew_period_unit": subscription.renew_period_unit,
            "bought_at": self.written(subscription.bought_at),
            "paid_cents": subscription.paid_cents,
            "voucher_cents": subscription.voucher_cents,
            "renewed_cents": subscription.renewed_cents,
            "locked": subscription.is_locked,
            "order_ids": subscription.order_ids,
        }
