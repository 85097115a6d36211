"""MemoryStore: records in the memory of one process, for tests and notebooks."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Collection, Iterable, Mapping, Sequence

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.ledger.store import Store, Text
from airflow_provider_tcbilling.purchasing.approval import Approval
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, OrderIsAnothers
from airflow_provider_tcbilling.purchasing.prices import Acceptance, Price
from airflow_provider_tcbilling.purchasing.record import Record
from airflow_provider_tcbilling.purchasing.reservation import Reservation, Usage, price_of, usage_of

_ORDER = "\0order of "
"""Begins the key of an assignment in the dictionary of the records. No purchase key begins with it."""


class MemoryStore(Store):
    """
    Records in a dictionary. They end with the process, so it must not remember a purchase that is paid.

    :param texts: The records as JSON text, by key. Stores that are given the same dictionary are one store.
    :param is_shared: It is like a ledger; else like the task state of one task, which sees no other purchase.
    :param replaces_conditionally: It compares and stores in one step, as a database does.
    :param complete_since: Epoch seconds from when on no intent is missing. Infinity, the default, promises nothing.
    """

    about = "the memory of this process"
    _lock = threading.Lock()

    def __init__(
        self,
        texts: dict[str, str] | None = None,
        *,
        is_shared: bool = True,
        replaces_conditionally: bool = False,
        complete_since: float = math.inf,
    ) -> None:
        self.texts: dict[str, str] = {} if texts is None else texts
        self.is_shared = is_shared
        self.replaces_conditionally = replaces_conditionally
        self.is_exclusive = is_shared
        self.accepted: dict[tuple[str, str], int] = {}
        self.approvals: dict[str, Approval] = {}
        self.began_at = complete_since

    @property
    def creates_exclusively(self) -> bool:
        """Whether of two creations one is refused."""
        return self.is_exclusive

    @property
    def assigns_orders(self) -> bool:
        """Whether an order is given to one purchase only: wherever of two creations one is refused."""
        return self.is_shared and self.is_exclusive

    @property
    def complete_since(self) -> float:
        """Epoch seconds from when on no intent is missing."""
        return self.began_at

    def owners(self, server: str, order_ids: Collection[str]) -> Mapping[str, str]:
        """Return the key of the purchase that each order was assigned to."""
        stored = {order_id: self.texts.get(f"{_ORDER}{server} {order_id}") for order_id in order_ids}
        return {order_id: json.loads(text) for order_id, text in stored.items() if text is not None}

    def assign(self, server: str, order_id: str, key: str) -> str:
        """Assign an order to a purchase, unless it is another's; return the key of the purchase that has it."""
        if not self.assigns_orders:
            return super().assign(server, order_id, key)
        with self._lock:
            owner: str = json.loads(self.texts.setdefault(f"{_ORDER}{server} {order_id}", json.dumps(key)))
            return owner

    @property
    def counts_money(self) -> bool:
        """Whether it checks a reservation and stores a record in one step."""
        return self.is_shared and self.replaces_conditionally

    def price(self, server: str, account: str, price_key: str) -> Price:
        """Return what is remembered of a price."""
        return price_of(self._records(), server, account, price_key, self.accepted.get((server, price_key), 0))

    def accept_price(self, server: str, account: str, price_key: str, price: Acceptance) -> None:
        """Accept a price."""
        self.accepted[server, price_key] = price.cents

    def usage(self, reservation: Reservation) -> Usage:
        """Return what counts beside a reservation."""
        return self._usage(reservation, self.now())

    def _usage(self, reservation: Reservation, at: float) -> Usage:
        price = self.price(reservation.server, reservation.account, reservation.price_key)
        return usage_of(reservation, self._records(), at, price.blocked_cents)

    def approval(self, code: str) -> Approval | None:
        """Return the approval of a code."""
        return self.approvals.get(code)

    def approve(self, approvals: Sequence[Approval], server: str, account: str) -> None:
        """Remember approvals."""
        self.approvals.update({approval.code: approval for approval in approvals})

    def _reserve(self, key: str, text: str, expected: Text | None, reservation: Reservation) -> bool:
        with self._lock:
            if not self.counts_money:
                return super()._reserve(key, text, expected, reservation)
            if (self.texts.get(key) != expected) if expected is not None else key in self.texts:
                return False
            # Not now: the window that it counts in may have ended since.
            at = Record.from_json(json.loads(text), self.location(key)).counts_from
            reservation.check(self._usage(reservation, at), at, lambda limit: ())
            self._own(key, text)
            self.texts[key] = text
            return True

    def _records(self) -> list[Record]:
        found = []
        for location, text in self._list():
            with contextlib.suppress(InvalidRecord):
                found.append(Record.from_json(json.loads(text), location))
        return found

    def location(self, key: str) -> str:
        """Return a name of the record."""
        return f"memory/{key}"

    def options(self, key: str) -> str:
        """Return the option that names the purchase."""
        return f"--key {key}"

    def _get(self, key: str) -> str | None:
        return self.texts.get(key)

    def _create(self, key: str, text: str) -> bool:
        with self._lock:
            if self.creates_exclusively and key in self.texts:
                return False
            self._own(key, text)
            self.texts[key] = text
            return True

    def _replace(self, key: str, text: str, expected: Text | None) -> bool:
        with self._lock:
            if self.replaces_conditionally and expected is not None and self.texts.get(key) != expected:
                return False
            self._own(key, text)
            self.texts[key] = text
            return True

    def _own(self, key: str, text: str) -> None:
        """Assign the order of a record to its purchase in the same step, as a database does."""
        record = json.loads(text)
        if not self.replaces_conditionally or not isinstance(record, dict) or not record.get("order_id"):
            return
        order = f"{_ORDER}{server_name(record['endpoint'])} {record['order_id']}"
        owner = json.loads(self.texts.setdefault(order, json.dumps(key)))
        if owner != key:
            raise OrderIsAnothers(record["order_id"], self.location(owner))

    def _list(self) -> Iterable[tuple[str, str]]:
        records = [(self.location(key), text) for key, text in self.texts.items() if not key.startswith(_ORDER)]
        return records if self.is_shared else []
