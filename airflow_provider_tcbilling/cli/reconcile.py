"""
Reconcile: compare the ledger of a connection with its order book, and put right what can be proven.

It never spends. A price that the ledger misses is added, and a purchase is released that surely bought nothing, by the
rules of ``settle`` without ``--force``. Both are compare-and-set: a record that a task changes meanwhile stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.api.client import DAY, BillingClient
from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.cli.explain import query
from airflow_provider_tcbilling.cli.lookup import FoundPurchase, PurchaseName, Refused, read, task_of
from airflow_provider_tcbilling.cli.settle import Settlement
from airflow_provider_tcbilling.ledger.reports import (
    Kind,
    Line,
    Report,
    gross_of,
    is_settleable,
    paid_of,
    report_of,
)
from airflow_provider_tcbilling.ledger.reports_book import Book, read_book
from airflow_provider_tcbilling.ledger.reports_entry import Entry, Price, entry_of, with_price
from airflow_provider_tcbilling.ledger.reports_join import Scope
from airflow_provider_tcbilling.ledger.reports_reading import entries_near, entry_of_key
from airflow_provider_tcbilling.ledger.reports_span import ZONE
from airflow_provider_tcbilling.ledger.store import Store
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.task.store import open_ledger

if TYPE_CHECKING:
    from airflow_provider_tcbilling.hooks.connection import Settings
    from airflow_provider_tcbilling.hooks.session import Session
    from airflow_provider_tcbilling.ledger.reports_span import Span

MOST_QUERIED = 15
"""Orders that are queried by their numbers before the report says that the order book does not list them."""

LISTED_FOR = 60 * DAY
"""Seconds after its intent within which the order of a purchase was made."""

ONLY_READ = (
    "This ledger is not in a database, so it was only read: a price that it does not know stays unknown, nothing is "
    "released, and it has no reservations."
)

_REFUSED = "Nothing was written: "


def report_zone(settings: Settings) -> str:
    """Return the zone of the months of a connection."""
    return settings.limits_zone or ZONE


def reconcile(tencent: Session, span: Span, *, settles: bool = True) -> Report:
    """
    Compare the ledger of a connection with its order book.

    :param tencent: The connection, as :meth:`.TcBillingHook.session` returns it.
    :param settles: Add missing prices, and release what surely bought nothing; only a ledger in a database is changed.
    :raises Refused: The connection names no ledger.
    :raises StoreFailed: The ledger cannot be read.
    :raises TcBillingError: The order book cannot be read, so nothing is known.
    """
    return Reconciliation.of(tencent, span).carried_out(settles=settles)


@dataclass
class Reconciliation:
    """
    The ledger and the order book of a span, as they were read.

    :param entries: The purchases by their keys.
    """

    settings: Settings
    client: BillingClient
    store: Store
    span: Span
    scope: Scope
    book: Book
    entries: dict[str, Entry] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)
    reasons: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tencent: Session, span: Span) -> Reconciliation:
        """
        Read both. The order book is read first: an order that it lists has its intent in the ledger by then.

        :raises Refused: The connection names no ledger.
        """
        settings, client = tencent.settings, tencent.buying
        if not settings.ledger:
            raise Refused("The connection names no ledger: give it ledger_conn_id or ledger_uri.")
        store = open_ledger(settings)
        scope = Scope(server_name(settings.endpoint), client.account, client.key_id)
        found = cls(settings, client, store, span, scope, read_book(client, span.since, span.until))
        found.entries = {entry.key: entry for entry in entries_near(store, span.since, span.until)}
        found.take_owners()
        found.query_missing()
        return found

    def report(self, notes: Iterable[str] = ()) -> Report:
        """Return the report, as far as both were read."""
        return report_of(
            self.entries.values(),
            self.book,
            self.span,
            self.scope,
            released=self.released,
            reasons=self.reasons,
            notes=[*notes, *self._orders_by_hand(), *([] if self._counts_money else [ONLY_READ])],
            keeps_prices=self._counts_money,
        )

    def _orders_by_hand(self) -> list[str]:
        """Name the orders that a user has given to a purchase: that they agree says nothing of who bought them."""
        given = sorted(entry.order_id for entry in self.entries.values() if entry.is_by_hand)
        if not (listed := [number for number in given if number in self.book.deals]):
            return []
        return [f"No task has bought these orders: a user said (settle) whose they are: {', '.join(listed)}."]

    @property
    def _counts_money(self) -> bool:
        return self.store.counts_money and self.store.replaces_conditionally

    def carried_out(self, *, settles: bool) -> Report:
        """Add missing prices, release what surely bought nothing, and return the report of what is left."""
        first, settles = self.report(), settles and self._counts_money
        for line in first.lines:
            if settles and (is_settleable(line) or _is_never_paid(line)):
                self._settle(line)
            elif line.kind is Kind.RESERVED and line.entry:
                self._explain(line.entry, releases=settles)
        return self.report()

    def take_owners(self) -> None:
        """Add the purchases to which the ledger has assigned orders that no purchase near the span knows."""
        numbers = {number for line in self.report().lines if not line.entry for number in line.numbers}
        for number, key in self.store.owners(self.scope.server, numbers).items():
            known = self.entries.get(key) or entry_of_key(self.store, key) or Entry(key, server=self.scope.server)
            if known.order_id:
                self.entries[key] = known
                continue
            self.entries[key] = replace(known, order_id=number)
            self.reasons[key] = "the ledger has assigned it the order, and its record does not know that yet"

    def query_missing(self) -> None:
        """Query the orders by their numbers that seem to be missing: they may have been made outside of the span."""
        for line in self.report().of(Kind.LEDGER_ONLY)[:MOST_QUERIED]:
            if line.entry and line.at is not None:
                span = line.at - DAY, min(line.at + LISTED_FOR, self.client.clock() + DAY)
                self._take_listed(line.entry.order_id, span)

    def _take_listed(self, number: str, span: tuple[float, float]) -> None:
        listed = self.client.describe_deals(order_id=number, span=span)
        listed = listed or self.client.describe_deals(big_deal_id=number, span=span)
        self.book.deals.update((deal.order_id, deal) for deal in listed if deal.order_id)

    def _settle(self, line: Line) -> None:
        """Add the price of an order to its record, unless that has changed meanwhile."""
        entry = line.entry
        if entry is None:
            return
        price = Price(0, 0, line.currency)
        if not _is_never_paid(line):
            price = replace(price, gross_cents=gross_of(line.deals), paid_cents=paid_of(line.deals))
        try:
            text = self.store.text(entry.key)
            record = None if text is None else _record(self.store, entry.key, text)
        except InvalidRecord:
            return
        if record is None or record.order_id != entry.order_id or record.settled_cents is not None:
            return
        settled = with_price(record, price, self.store.now())
        if self.store.replace(entry.key, settled.as_json(), text):
            self.entries[entry.key] = replace(entry_of(settled), is_settled_now=True)
        else:
            self.reasons[entry.key] = "its record changed while it was read: run the command again"

    def _explain(self, entry: Entry, *, releases: bool) -> None:
        """Say what became of a purchase without an order; release it if it surely bought nothing."""
        found = read(PurchaseName(key=entry.key), self.store, entry.key)
        if found.record is None:
            return
        found = replace(found, name=PurchaseName(key=entry.key, task=task_of(found.record)))
        try:
            self.reasons[entry.key] = self._outcome(found, releases=releases)
        except TcBillingError as error:
            self.reasons[entry.key] = harmless(f"the order book cannot be read: {error}")

    def _outcome(self, found: FoundPurchase, *, releases: bool) -> str:
        record = found.record
        if releases and record and record.state is State.INTENDED and record.payload:
            try:
                Settlement(found, self.settings, self.client, by="A comparison with the order book").not_bought()
            except Refused as error:
                return harmless(str(error).removeprefix(_REFUSED).replace("\n", " "))
            self.released.add(record.key)
            return "the order book shows that nothing was bought, and its reservation is released"
        result = query(found, self.settings, self.client)
        return harmless("; ".join(filter(None, [result.finding.value, *result.details])))


def _is_never_paid(line: Line) -> bool:
    """Whether a purchase still counts what it reserved, although its order has ended and was never paid."""
    return line.kind is Kind.UNCHARGED and line.entry is not None and line.ledger_cents is None


def _record(store: Store, key: str, text: str | bytes) -> Record:
    return Record.from_json(store.value_of(key, text), store.location(key))
