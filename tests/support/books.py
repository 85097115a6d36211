"""Random books: ledgers and order books that were made together, so that what a report must say of each is known."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pendulum

from airflow_provider_tcbilling.api.models import Deal
from airflow_provider_tcbilling.ledger.reports import Kind, Report, report_of
from airflow_provider_tcbilling.ledger.reports_book import Book
from airflow_provider_tcbilling.ledger.reports_entry import Entry, Price
from airflow_provider_tcbilling.ledger.reports_join import Scope
from airflow_provider_tcbilling.ledger.reports_span import Span

OURS = Scope("server", "100", "our key")
HOUR, DAY = 3600.0, 86_400.0
LATER = 1.8e9
"""Long after each book: it lies in no month of these tests."""

MONTHS = ("2026-11", "2026-02", "2024-02", "2026-12", "2027-01")
BOOK_ZONES = ("Asia/Shanghai", "UTC")
ZONES = ("Asia/Shanghai", "UTC", "America/New_York")

NOTATIONS: tuple[Callable[[int], object], ...] = (int, float, str, lambda cents: f" {cents}.00 ")
"""Ways in which the server has written whole cents."""

PURCHASE, RENEW, REFUND = "purchase", "renew", "refund"


@dataclass
class World:
    """
    A ledger and an order book.

    :param expected: The kind of each line, by the key of the purchase or, without one, by the number of its order.
    :param alike: Groups of orders that must be named as close together.
    """

    chance: random.Random
    span: Span
    book_zone: str
    entries: list[Entry] = field(default_factory=list)
    rows: list[dict[str, object]] = field(default_factory=list)
    expected: list[tuple[Kind, str]] = field(default_factory=list)
    alike: list[set[str]] = field(default_factory=list)
    others: int = 0
    count: int = 0

    def number(self) -> str:
        self.count += 1
        return f"2026{self.count:016}"

    def moment(self) -> float:
        """Return a moment, often near the edge of the month in one of the zones that may be meant."""
        edge = self.chance.choice((self.span.since, self.span.until))
        beside = self.chance.choice((-8, 0, 8, 5, -5)) * HOUR + self.chance.choice((-1, 0, 1, -61, 61))
        within = self.chance.uniform(self.span.since - 3 * HOUR, self.span.until + 3 * HOUR)
        return float(int(self.chance.choice((edge + beside, edge, within, within))))

    def expect(self, kind: Kind, name: str, at: float) -> None:
        if self.span.has(at):
            self.expected.append((kind, name))

    def order(self, at: float, cents: int, vouchers: int = 0, parts: int = 1, **other: object) -> list[str]:
        """Add an order to the book, and return the numbers of its sub-orders; the big deal's is the last one."""
        big, numbers = self.number(), [self.number() for _ in range(parts)]
        write = self.chance.choice(NOTATIONS)
        for place, number in enumerate(numbers):
            last = place == parts - 1
            part, voucher = cents // parts, vouchers // parts
            row = {
                "OrderId": number,
                "BigDealId": big,
                "Status": self.chance.choice((4, 4, "4", 4.0)),
                "Action": PURCHASE,
                "ResourceId": None,
                "RealTotalCost": write(cents - part * (parts - 1) if last else part),
                "VoucherDecline": write(vouchers - voucher * (parts - 1) if last else voucher),
                "Currency": "USD",
                "ProductCode": f"p_{self.count}",
                "ProjectId": 0,
                "CreateTime": pendulum.from_timestamp(at, tz=self.book_zone).to_datetime_string(),
            }
            self.rows.append({**row, **other})
        return [*numbers, big]

    def entry(self, order_id: str, at: float, price: Price, **other: object) -> Entry:
        """Add a purchase to the ledger whose intent was stored a little before its order."""
        intended = at - self.chance.uniform(0.0, 90.0)
        key = f"purchase {len(self.entries)}"
        common = {"at": intended, "until": intended + 100.0, "server": "server", "key_id": "our key"}
        entry = Entry(key, order_id, price=price, **{**common, **other})  # type: ignore[arg-type]
        self.entries.append(entry)
        return entry

    def report(self) -> Report:
        chance = random.Random(self.count)
        deals = [Deal.from_wire(row) for row in self.rows]
        chance.shuffle(deals)
        chance.shuffle(self.entries)
        book = Book({deal.order_id: deal for deal in deals if deal.order_id}, listed_at=LATER)
        book.unnamed = [deal for deal in deals if not deal.order_id]
        return report_of(self.entries, book, self.span, OURS)


Scenario = Callable[[World], None]


def _money(world: World) -> tuple[int, int]:
    return world.chance.choice((0, 1, 99, 10_000, 10**12)), world.chance.choice((0, 0, 50, 123_456))


def agreed(world: World) -> None:
    """One order, one or several sub-orders, by either number, with vouchers or without."""
    at, (cents, vouchers), parts = world.moment(), _money(world), world.chance.choice((1, 1, 2, 7))
    numbers = world.order(at, cents, vouchers, parts)
    entry = world.entry(world.chance.choice(numbers), at, Price(cents + vouchers, cents, "USD"))
    world.expect(Kind.AGREED, entry.key, at)


def agreed_before_vouchers_were_known(world: World) -> None:
    """A record of an earlier release knows what was paid, and no vouchers."""
    at, (cents, vouchers) = world.moment(), _money(world)
    numbers = world.order(at, cents, vouchers)
    entry = world.entry(numbers[0], at, Price(None, cents, "USD"))
    world.expect(Kind.AGREED, entry.key, at)


def pruned(world: World) -> None:
    at = world.moment()
    numbers = world.order(at, 7)
    entry = world.entry(numbers[0], at, Price(7, 7, "USD"), state="pruned", until=None)
    world.expect(Kind.AGREED, entry.key, at)


def unsettled(world: World) -> None:
    at, (cents, vouchers) = world.moment(), _money(world)
    numbers = world.order(at, cents, vouchers, world.chance.choice((1, 3)), Status=world.chance.choice((4, 5, 6)))
    entry = world.entry(world.chance.choice(numbers), at, Price(), reserved_cents=5)
    world.expect(Kind.UNSETTLED, entry.key, at)


def under_way(world: World) -> None:
    """An order in a status that has not ended, one that nobody has described, or one without a status."""
    at = world.moment()
    numbers = world.order(at, 100, Status=world.chance.choice((2, 3, 12, 13, 30, 77, None, "x", True)))
    entry = world.entry(numbers[0], at, Price())
    world.expect(Kind.UNSETTLED, entry.key, at)


def another_amount(world: World) -> None:
    at, parts = world.moment(), world.chance.choice((1, 4))
    numbers = world.order(at, 1_000, 100, parts)
    wrong = world.chance.choice((Price(1_101, 1_000, "USD"), Price(1_099, 999, "USD"), Price(1_100, 1_000, "CNY")))
    entry = world.entry(world.chance.choice(numbers), at, wrong)
    world.expect(Kind.AMOUNT, entry.key, at)


def another_action(world: World) -> None:
    at = world.moment()
    entry = world.entry(world.order(at, 100, Action=REFUND, Status=6)[0], at, Price(100, 100, "USD"))
    world.expect(Kind.AMOUNT, entry.key, at)


def ledger_only(world: World) -> None:
    at = world.moment()
    entry = world.entry(world.number(), at, world.chance.choice((Price(), Price(1, 1, "USD"))))
    world.expect(Kind.LEDGER_ONLY, entry.key, entry.at or 0.0)


def nobody(world: World) -> None:
    at, (cents, vouchers) = world.moment(), _money(world)
    action = world.chance.choice((PURCHASE, RENEW, "upgrade", "downgrade", "", "unheardof"))
    status = world.chance.choice((2, 3, 4, 5, 6, 12, 77, None))
    numbers = world.order(at, cents, vouchers, world.chance.choice((1, 5)), Action=action, Status=status)
    world.expect(Kind.NOBODY, numbers[-1], at)


def nobody_and_cancelled_with_an_amount(world: World) -> None:
    at = world.moment()
    numbers = world.order(at, 100, Status=world.chance.choice((7, 9, 10)))
    world.expect(Kind.NOBODY, numbers[-1], at)


def never_charged(world: World) -> None:
    at = world.moment()
    status, cents = world.chance.choice(((1, 100), (8, 100), (11, 100), (7, 0), (9, 0), (10, 0)))
    numbers = world.order(at, cents, Status=status)
    if status in (8, 11) and world.chance.random() < 0.5:
        entry = world.entry(numbers[0], at, Price(), reserved_cents=100)
        world.expect(Kind.UNCHARGED, entry.key, at)
    else:
        world.expect(Kind.UNCHARGED, numbers[-1], at)


def bought_twice(world: World) -> None:
    """The server carried a repeat out: the record has one order, and names the second one."""
    at = world.moment()
    first, second = world.order(at, 100), world.order(at + 30, 100)
    told = f"order {world.chance.choice(second)}, delivered (4), ins-1, 1.00 USD, made then"
    entry = world.entry(first[0], at, Price(100, 100, "USD"), twins=(told,))
    world.expect(Kind.AGREED, entry.key, at)
    world.expect(Kind.NOBODY, second[-1], at + 30)


def owned_twice(world: World) -> None:
    at = world.moment()
    numbers = world.order(at, 100)
    for number in (numbers[0], world.chance.choice(numbers)):
        entry = world.entry(number, at, Price(100, 100, "USD"))
        world.expect(Kind.TWICE, entry.key, at)


def one_big_deal_of_two_purchases(world: World) -> None:
    """Two sub-orders of one big deal, and each purchase names its own."""
    at = world.moment()
    numbers = world.order(at, 200, parts=2)
    for number in numbers[:2]:
        entry = world.entry(number, at, Price(100, 100, "USD"))
        world.expect(Kind.AGREED, entry.key, at)


def reserved(world: World) -> None:
    at = world.moment()
    state = world.chance.choice(("intended", "charged", "refused"))
    entry = world.entry("", at, Price(), state=state, reserved_cents=world.chance.choice((None, 700)))
    world.expect(Kind.RESERVED, entry.key, entry.at or 0.0)


def declined(world: World) -> None:
    world.entry("", world.moment(), Price(), state="declined", reserved_cents=700)


def refunded(world: World) -> None:
    """A refund, of the ledger or of somebody else; the sign of its amount is not documented."""
    at, sign = world.moment(), world.chance.choice((1, -1))
    numbers = world.order(at, 50 * sign, Action=REFUND, Status=world.chance.choice((6, 4, 3)))
    if world.chance.random() < 0.5:
        world.expect(Kind.REFUND, numbers[-1], at)
        return
    price = world.chance.choice((Price(), Price(50, 50, "USD")))
    entry = world.entry(world.chance.choice(numbers), at, price, action="RefundInstance")
    world.expect(Kind.REFUND, entry.key, at)


def an_amount_that_cannot_be_read(world: World) -> None:
    at = world.moment()
    odd = {world.chance.choice(("RealTotalCost", "VoucherDecline")): world.chance.choice(("much", [], {}, True, 1e300))}
    numbers = world.order(at, 100, **odd)
    if world.chance.random() < 0.5:
        world.expect(Kind.NOBODY, numbers[-1], at)
        return
    entry = world.entry(numbers[0], at, world.chance.choice((Price(), Price(100, 100, "USD"))))
    world.expect(Kind.UNREADABLE, entry.key, at)


def a_row_without_a_number(world: World) -> None:
    at = world.moment()
    world.order(at, 100, OrderId=world.chance.choice((None, "", "0", 7, "no number!", [])), BigDealId=None)
    world.expect(Kind.UNREADABLE, "", at)


def a_record_that_cannot_be_used(world: World) -> None:
    at = world.moment()
    numbers = world.order(at, 100) if world.chance.random() < 0.5 else []
    entry = world.entry(numbers[0] if numbers else "", at, Price(), state="unusable", until=None, reason="half")
    world.expect(Kind.UNREADABLE, entry.key, at if numbers else entry.at or 0.0)


def of_another_account(world: World) -> None:
    at = world.moment()
    other = world.chance.choice(({"server": "another"}, {"account": "200"}, {"key_id": "a key of somebody"}))
    entry = world.entry(world.number(), at, Price(1, 1, "USD"), **other)
    world.others += world.span.has(entry.at or 0.0)


def of_an_older_key(world: World) -> None:
    """A key that was rotated since: one of its orders is listed, so its other purchases are ours, too."""
    at, key_id = world.moment(), f"older key {world.count}"
    entry = world.entry(world.order(at, 100)[0], at, Price(100, 100, "USD"), key_id=key_id)
    world.expect(Kind.AGREED, entry.key, at)
    lost = world.entry(world.number(), at, Price(1, 1, "USD"), key_id=key_id)
    world.expect(Kind.LEDGER_ONLY, lost.key, lost.at or 0.0)


def close_together(world: World) -> None:
    """The same thing twice within minutes, the second time by nobody, and once more later."""
    at, product = world.moment(), {"ProductCode": "p_same", "SubProductCode": f"sp_{world.count}"}
    entry = world.entry(world.order(at, 100, **product)[0], at, Price(100, 100, "USD"), thing="one")
    second = world.order(at + world.chance.uniform(1, 590), 100, **product)
    far = world.order(at + 5_000, 100, **product)
    made = [pendulum.parse(str(row["CreateTime"]), tz=world.book_zone).timestamp() for row in world.rows[-2:]]
    world.expect(Kind.AGREED, entry.key, at)
    world.expect(Kind.NOBODY, second[-1], made[0])
    world.expect(Kind.NOBODY, far[-1], made[1])
    if world.span.has(at) and world.span.has(made[0]):
        world.alike.append({entry.order_id, second[0]})


SCENARIOS: tuple[Scenario, ...] = (
    agreed,
    agreed_before_vouchers_were_known,
    pruned,
    unsettled,
    under_way,
    another_amount,
    another_action,
    ledger_only,
    nobody,
    nobody_and_cancelled_with_an_amount,
    never_charged,
    bought_twice,
    owned_twice,
    one_big_deal_of_two_purchases,
    reserved,
    declined,
    refunded,
    an_amount_that_cannot_be_read,
    a_row_without_a_number,
    a_record_that_cannot_be_used,
    of_another_account,
    of_an_older_key,
    close_together,
)


def world_of(seed: int) -> World:
    """Return a random world. It has a few purchases that tell in which zone the book writes."""
    chance = random.Random(seed)
    span = Span.of_month(chance.choice(MONTHS), chance.choice(ZONES))
    world = World(chance, span, chance.choice(BOOK_ZONES))
    for _ in range(3):
        agreed(world)
    for scenario in chance.choices(SCENARIOS, k=chance.randrange(25)):
        scenario(world)
    return world


def said_by(report: Report) -> Iterator[tuple[Kind, str]]:
    """Yield the kind of each line with the name that the oracle gives it."""
    for line in report.lines:
        yield line.kind, line.key or next((deal.big_deal_id for deal in line.deals), "")


def without_lines(world: World) -> World:
    """Return a world with the same ledger and an empty book."""
    return replace(world, rows=[])
