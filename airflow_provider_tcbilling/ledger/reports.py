"""
Reports: whether the ledger and the order book agree, order by order. Pure: it queries nothing and writes nothing.

An order is of the month in which the order book says that it was made; a purchase whose order is not known is of the
month in which its intent was stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from airflow_provider_tcbilling.api.models import ENDINGS, Deal, DealStatus, status_words, total_of, unique
from airflow_provider_tcbilling.api.outcome import Payment
from airflow_provider_tcbilling.api.values import DealAction
from airflow_provider_tcbilling.ledger.reports_book import Book
from airflow_provider_tcbilling.ledger.reports_entry import Entry
from airflow_provider_tcbilling.ledger.reports_join import ASSUMED, Join, Scope, book_zone_of, joined, moment_of
from airflow_provider_tcbilling.ledger.reports_span import Span
from airflow_provider_tcbilling.waiting.order_end import PAYMENTS

CHARGED = frozenset({DealStatus.DELIVERED, DealStatus.DELIVERY_FAILED, DealStatus.REFUNDED})
"""Statuses in which the amount of an order is what the account paid for it, whatever came back later."""


class Kind(str, Enum):
    """The finding of a line of the report."""

    AGREED = "agreed"
    SETTLED = "settled now"
    UNPRICED = "price not kept"
    UNSETTLED = "unsettled"
    AMOUNT = "amount differs"
    LEDGER_ONLY = "in the ledger only"
    NOBODY = "owned by nobody"
    TWICE = "owned twice"
    RESERVED = "reserved without order"
    UNREADABLE = "unreadable"
    RELEASED = "released now"
    REFUND = "refund"
    UNCHARGED = "not charged"

    @property
    def is_difference(self) -> bool:
        """Whether the books do not agree while there is such a line."""
        return self not in _AGREEING

    @property
    def about(self) -> str:
        """The meaning, for somebody who does not know the program."""
        return MEANINGS[self]


_AGREEING = frozenset({Kind.AGREED, Kind.SETTLED, Kind.UNPRICED, Kind.RELEASED, Kind.REFUND, Kind.UNCHARGED})

MEANINGS: Mapping[Kind, str] = {
    Kind.NOBODY: "Tencent lists the order, and no purchase of the ledger has it: somebody bought it elsewhere, such as "
    "in the console, an instance renewed itself, or a purchase was carried out twice.",
    Kind.AMOUNT: "The ledger and the order book name different amounts, or currencies.",
    Kind.LEDGER_ONLY: "The ledger has the order, and the order book does not list it.",
    Kind.TWICE: "Two purchases of the ledger have the same order.",
    Kind.UNSETTLED: "Both have the order, and the ledger does not know its price yet.",
    Kind.RESERVED: "A purchase was begun, and no order of it is known. Its amount stays reserved.",
    Kind.UNREADABLE: "A row of the order book, or a record of the ledger, cannot be read.",
    Kind.SETTLED: "The price was missing in the ledger, and this report has added it.",
    Kind.UNPRICED: "Both have the order, and this kind of ledger need not know its price.",
    Kind.RELEASED: "A purchase was begun, and this report has proven that nothing was bought.",
    Kind.REFUND: "Money that came back. It is listed apart, and gives no room back in a spending limit.",
    Kind.UNCHARGED: "The order was never paid.",
    Kind.AGREED: "The ledger and the order book name the same amount.",
}
"""The meaning of each kind, the most urgent one first."""


@dataclass(frozen=True)
class Line:
    """
    One line: an order with all its sub-orders, or a purchase without an order. Amounts are in 1/100 of *currency*.

    :param at: Epoch seconds of the order, or of the intent; ``None`` if neither is known.
    :param entry: The purchase; ``None`` if no purchase has the order.
    :param deals: The sub-orders; empty if the order book lists none.
    :param book_cents: The gross amount of the order book: paid money and vouchers; ``None`` if it is not known.
    :param ledger_cents: The amount that the ledger counts; ``None`` if its price is not known.
    :param reserved_cents: The amount that is reserved in place of a price; 0 if none is.
    :param reason: Why it is so, and what to do; empty if the kind says all.
    """

    kind: Kind
    at: float | None
    entry: Entry | None = None
    deals: tuple[Deal, ...] = ()
    book_cents: int | None = None
    ledger_cents: int | None = None
    reserved_cents: int = 0
    currency: str = ""
    reason: str = ""

    @property
    def order_id(self) -> str:
        """The number of the order, as the purchase knows it, or of its first sub-order."""
        own = self.entry.order_id if self.entry else ""
        return own or next((deal.order_id or deal.big_deal_id for deal in self.deals), "")

    @property
    def key(self) -> str:
        """The key of the purchase; empty if no purchase has the order."""
        return self.entry.key if self.entry else ""

    @property
    def product(self) -> str:
        """The code of the product."""
        own = next((deal.product_code for deal in self.deals if deal.product_code), "")
        return own or (self.entry.product if self.entry else "")

    @property
    def status(self) -> str:
        """The statuses of the sub-orders in words; empty if none is listed."""
        return ", ".join(unique(status_words(deal.status) for deal in self.deals))

    @property
    def numbers(self) -> set[str]:
        """All numbers of the order."""
        return set(filter(None, (number for deal in self.deals for number in (deal.order_id, deal.big_deal_id))))


@dataclass(frozen=True)
class Report:
    """
    Whether ledger and order book agree in a span.

    :param lines: All lines, the most urgent kind first, and within a kind the oldest.
    :param hints: Orders of the same thing that were made close together. They are no differences.
    :param others: How many purchases of the ledger were left out: of other accounts and servers.
    :param book_zone: The zone of the times of the order book, and how it is known.
    :param notes: Facts that the report could not know.
    """

    span: Span
    scope: Scope
    lines: tuple[Line, ...]
    hints: tuple[tuple[Line, ...], ...] = ()
    others: int = 0
    book_zone: tuple[str, str] = ("", "")
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not any(line.kind.is_difference for line in self.lines)

    @property
    def counts(self) -> dict[Kind, int]:
        """How many lines there are of each kind, the most urgent one first."""
        counted = Counter(line.kind for line in self.lines)
        return {kind: counted[kind] for kind in MEANINGS if counted[kind]}

    def of(self, kind: Kind) -> list[Line]:
        """Return the lines of a kind."""
        return [line for line in self.lines if line.kind is kind]


def report_of(
    entries: Iterable[Entry],
    book: Book,
    span: Span,
    scope: Scope,
    *,
    released: Collection[str] = (),
    reasons: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    keeps_prices: bool = True,
) -> Report:
    """
    Compare the purchases of a ledger with an order book.

    :param entries: Purchases whose order may be of the span, and more.
    :param book: The orders of the span, and more.
    :param released: Keys of purchases that were proven to have bought nothing.
    :param reasons: The facts about purchases without an order, by key.
    :param keeps_prices: The ledger counts money, so a price that it does not know is a difference.
    """
    from airflow_provider_tcbilling.ledger.reports_alike import close_together

    join = joined(entries, book.deals, scope)
    zone = book_zone_of(join, book.listed_at)
    found = [*_lines(join, zone[0], released, reasons or {})]
    found += [_line_without_number(deal, zone[0]) for deal in book.unnamed]
    lines = [line for line in found if line.at is None or span.has(line.at)]
    if not keeps_prices:
        lines = [replace(line, kind=Kind.UNPRICED) if is_settleable(line) else line for line in lines]
    urgency = {kind: place for place, kind in enumerate(MEANINGS)}
    lines.sort(key=lambda line: (urgency[line.kind], line.at or 0.0, line.order_id, line.key))
    others = [entry for entry in join.others if entry.at is None or span.has(entry.at)]
    noted = [*notes, *_notes(others, zone, span, book)]
    return Report(span, scope, tuple(lines), tuple(close_together(lines)), len(others), zone, tuple(noted))


def _notes(others: list[Entry], zone: tuple[str, str], span: Span, book: Book) -> Iterator[str]:
    if others:
        yield f"{len(others)} purchases of the ledger are of other accounts or servers, and were left out."
    if zone[1] == ASSUMED:
        yield f"Nothing tells in which zone the order book writes times; {zone[0]} was assumed."
    if book.listed_at < span.until:
        yield "The span is not over: orders that come later are not part of this report."


def _lines(join: Join, zone: str, released: Collection[str], reasons: Mapping[str, str]) -> Iterator[Line]:
    second = _second_orders([*(entry for entry, _ in join.owned), *join.missing])
    for entry, deals in join.owned:
        yield _owned(entry, deals, zone, is_contested=entry.key in join.contested)
    for group in join.free:
        yield _free(group, zone, second)
    for entry in join.missing:
        if line := _without_a_deal(entry, released, reasons):
            yield line


def _second_orders(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the purchase of each number in the second orders that were found. No record owns them."""
    return {
        word.strip(",;"): entry.key for entry in entries for twin in entry.twins for word in twin.split()[1:2] if word
    }


def _made(deals: Sequence[Deal], zone: str, unknown: float | None) -> float | None:
    moments = [moment for deal in deals if (moment := moment_of(deal, zone, -1.0)) >= 0]
    return min(moments, default=unknown)


def gross_of(deals: Sequence[Deal]) -> int | None:
    """Return what sub-orders cost, vouchers included; ``None`` if an amount cannot be read."""
    return total_of(total_of((deal.paid_cents, deal.voucher_cents)) for deal in deals)


def _is_negative(deals: Sequence[Deal]) -> bool:
    """Whether an amount of a purchase is below zero, so that it cannot be one."""
    return any((cents or 0) < 0 for deal in deals for cents in (deal.paid_cents, deal.voucher_cents))


def paid_of(deals: Sequence[Deal]) -> int | None:
    """Return what was paid for sub-orders with money; ``None`` if an amount cannot be read."""
    return total_of(deal.paid_cents for deal in deals)


def _owned(entry: Entry, deals: Sequence[Deal], zone: str, *, is_contested: bool) -> Line:
    """Return the line of a purchase whose order is listed."""
    book_cents, currencies = gross_of(deals), unique(deal.currency for deal in deals)
    price = entry.price
    if price.gross_cents is None and price.paid_cents is not None:
        book_cents = paid_of(deals)  # A record that an earlier release wrote knows no vouchers.
    is_unpaid = _is_unpaid(deals)
    book_cents = 0 if is_unpaid and not price.counted_cents else book_cents
    kind, reason = _judged(entry, deals, book_cents, currencies)
    if is_contested:
        kind, reason = Kind.TWICE, "another purchase of the ledger has this order, too"
    waiting = kind in (Kind.UNSETTLED, Kind.UNREADABLE) and price.counted_cents is None
    return Line(
        kind,
        _made(deals, zone, entry.at),
        entry,
        tuple(deals),
        book_cents,
        price.counted_cents,
        (entry.reserved_cents or 0) if waiting else 0,
        currencies[0] or price.currency,
        reason,
    )


def _judged(entry: Entry, deals: Sequence[Deal], book_cents: int | None, currencies: Sequence[str]) -> tuple[Kind, str]:
    """Return the kind of a purchase whose order is listed, and why."""
    price, counted = entry.price, entry.price.counted_cents
    if odd := _odd(entry, deals, book_cents, currencies):
        return odd
    if entry.is_refund:
        is_same = counted is None or abs(counted) == abs(book_cents or 0)
        return (Kind.REFUND if is_same else Kind.AMOUNT), ""
    if counted is None:
        return (Kind.UNCHARGED, "") if _is_unpaid(deals) else (Kind.UNSETTLED, _why_unsettled(deals))
    if counted != book_cents or (price.currency or currencies[0]) != currencies[0]:
        return Kind.AMOUNT, ""
    if counted and _is_unpaid(deals):
        return Kind.AMOUNT, "the order was never paid, and the ledger counts it"
    return (Kind.SETTLED, _overrun(entry)) if entry.is_settled_now else (Kind.AGREED, "")


def _overrun(entry: Entry) -> str:
    """Return what an order means that cost more than was reserved for it; empty if it did not."""
    reserved, price = entry.reserved_cents, entry.price
    if reserved is None or ((price.counted_cents or 0) <= reserved and price.currency == entry.reserved_currency):
        return ""
    return f"{reserved} cents were reserved: until a user accepts its price, nothing more of it is bought within limits"


def _odd(
    entry: Entry, deals: Sequence[Deal], book_cents: int | None, currencies: Sequence[str]
) -> tuple[Kind, str] | None:
    """Return the kind of a purchase that cannot be compared, and why; ``None`` if it can."""
    if entry.is_unusable:
        return Kind.UNREADABLE, f"its record cannot be used: {entry.reason}"
    if entry.is_refund != all(deal.action == DealAction.REFUND for deal in deals):
        return Kind.AMOUNT, f"the ledger says {entry.action}, the order book {', '.join(d.action for d in deals)}"
    if len(currencies) > 1:
        return Kind.AMOUNT, f"its sub-orders have several currencies: {', '.join(currencies)}"
    if book_cents is None or (_is_negative(deals) and not entry.is_refund):
        return Kind.UNREADABLE, "the order book shows an amount that cannot be read"
    return None


def _why_unsettled(deals: Sequence[Deal]) -> str:
    """Return why a price cannot be added; empty if it can."""
    statuses = [status_words(deal.status) for deal in deals if deal.status not in CHARGED]
    if not statuses:
        return ""
    is_over = all(deal.status in ENDINGS for deal in deals if deal.status not in CHARGED)
    advice = "look in the console whether it was charged" if is_over else "its delivery is not over"
    return f"{', '.join(unique(statuses))}: {advice}"


def is_settleable(line: Line) -> bool:
    """Whether the price of a line can be added to its record: the order is over, and its amount is known."""
    return line.kind is Kind.UNSETTLED and not line.reason and line.entry is not None and line.book_cents is not None


def _is_unpaid(deals: Sequence[Deal]) -> bool:
    """Whether all sub-orders have ended without being paid, as documented."""
    return all(PAYMENTS.get(deal.status) is Payment.UNPAID for deal in deals)


def _was_never_charged(deals: Sequence[Deal]) -> bool:
    """
    Whether an order of nobody surely costs nothing.

    It is not paid yet, or ended unpaid; or it was cancelled, or became invalid, and shows no amount.
    """
    unclear = {DealStatus.CLOSED, DealStatus.INVALIDATED, DealStatus.PRODUCT_INVALIDATED}
    is_empty = gross_of(deals) == 0
    return all(
        deal.status == DealStatus.UNPAID
        or PAYMENTS.get(deal.status) is Payment.UNPAID
        or (is_empty and deal.status in unclear)
        for deal in deals
    )


def _free(deals: Sequence[Deal], zone: str, second: Mapping[str, str]) -> Line:
    """Return the line of an order that no purchase has."""
    numbers = [number for deal in deals for number in (deal.order_id, deal.big_deal_id)]
    reason = next((f"a second order of {second[number]}" for number in numbers if number in second), "")
    kind = Kind.NOBODY
    if all(deal.action == DealAction.REFUND for deal in deals):
        kind = Kind.REFUND
    elif _was_never_charged(deals):
        kind = Kind.UNCHARGED
    elif gross_of(deals) is None:
        reason = ", ".join(filter(None, [reason, "its amount cannot be read"]))
    made, currency = _made(deals, zone, None), deals[0].currency
    if made is None:
        reason = ", ".join(filter(None, [reason, "the order book does not show when it was made"]))
    return Line(kind, made, None, tuple(deals), gross_of(deals), currency=currency, reason=reason)


def _line_without_number(deal: Deal, zone: str) -> Line:
    return Line(
        Kind.UNREADABLE,
        _made([deal], zone, None),
        None,
        (deal,),
        gross_of([deal]),
        currency=deal.currency,
        reason="the order book lists it without a number",
    )


def _without_a_deal(entry: Entry, released: Collection[str], reasons: Mapping[str, str]) -> Line | None:
    """Return the line of a purchase whose order is not listed; ``None`` if it bought nothing."""
    reserved = entry.reserved_cents or 0
    currency = entry.price.currency or entry.reserved_currency
    common = {"at": entry.at, "entry": entry, "currency": currency, "reason": reasons.get(entry.key, "")}
    counted = entry.price.counted_cents
    if entry.is_unusable:
        why = f"its record cannot be used: {entry.reason}"
        return Line(Kind.UNREADABLE, **{**common, "reason": why}, ledger_cents=counted)  # type: ignore[arg-type]
    if entry.order_id:
        waiting = reserved if counted is None else 0
        return Line(Kind.LEDGER_ONLY, **common, ledger_cents=counted, reserved_cents=waiting)  # type: ignore[arg-type]
    if entry.key in released:
        return Line(Kind.RELEASED, **common, reserved_cents=0)  # type: ignore[arg-type]
    if entry.is_open:
        return Line(Kind.RESERVED, **common, reserved_cents=reserved)  # type: ignore[arg-type]
    return None
