"""Join: which sub-orders of the order book are of which purchase of the ledger; and the zone of the book's times."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_provider_tcbilling.api.models import Deal
from airflow_provider_tcbilling.api.server_time import CLOCK_MARGIN, SERVER_ZONES, moment_in
from airflow_provider_tcbilling.ledger.reports_entry import Entry
from airflow_provider_tcbilling.waiting.order_end import can_be_one

ASSUMED = "assumed"
"""How the zone of the book is known where nothing tells it."""


@dataclass(frozen=True)
class Scope:
    """
    The account that a report is of.

    :param server: The name of the API's server.
    :param account: The number of the account; empty if the key may not read it.
    :param key_id: Hash of the SecretId.
    """

    server: str = ""
    account: str = ""
    key_id: str = ""


@dataclass
class Join:
    """
    The purchases of the ledger beside the orders of the book.

    :param owned: Each purchase whose order is listed, with its sub-orders.
    :param missing: The purchases whose order is not listed.
    :param free: The orders that no purchase has, each with its sub-orders.
    :param contested: Keys of purchases that have an order which another one has as well.
    :param others: Purchases of other accounts and servers.
    """

    owned: list[tuple[Entry, list[Deal]]] = field(default_factory=list)
    missing: list[Entry] = field(default_factory=list)
    free: list[list[Deal]] = field(default_factory=list)
    contested: set[str] = field(default_factory=set)
    others: list[Entry] = field(default_factory=list)


def joined(entries: Iterable[Entry], deals: Mapping[str, Deal], scope: Scope) -> Join:
    """
    Join purchases and orders by the numbers of sub-orders.

    The number that a purchase knows is that of a sub-order or of a big deal. Either names all sub-orders of the big
    deal, unless they cannot be of one request, or another purchase names one of them.

    :param deals: The sub-orders by their numbers.
    """
    groups = _groups(deals.values())
    all_entries = list(entries)
    named = {number for entry in all_entries for number in [entry.order_id] if number in deals}
    ours, join = set[str](), Join()
    owners: dict[str, list[str]] = defaultdict(list)
    candidates: list[tuple[Entry, list[Deal]]] = []
    for entry in all_entries:
        found = [] if _is_elsewhere(entry, scope) else _deals_of(entry, deals, groups, named)
        candidates.append((entry, found))
        if found:
            ours.add(entry.key_id)
            for deal in found:
                owners[deal.order_id].append(entry.key)
    for entry, found in candidates:
        if found:
            join.owned.append((entry, found))
            if any(len(owners[deal.order_id]) > 1 for deal in found):
                join.contested.add(entry.key)
        elif _is_elsewhere(entry, scope) or _may_be_elsewhere(entry, scope, ours):
            join.others.append(entry)
        else:
            join.missing.append(entry)
    join.free = [*_orders([deal for number, deal in deals.items() if number not in owners])]
    return join


def _groups(deals: Iterable[Deal]) -> dict[str, list[Deal]]:
    groups: dict[str, list[Deal]] = defaultdict(list)
    for deal in deals:
        if deal.big_deal_id:
            groups[deal.big_deal_id].append(deal)
    return groups


def _deals_of(entry: Entry, deals: Mapping[str, Deal], groups: Mapping[str, list[Deal]], named: set[str]) -> list[Deal]:
    """Return the sub-orders of a purchase."""
    number = entry.order_id
    own = deals.get(number)
    group = groups.get(own.big_deal_id if own else number, [])
    unnamed = [deal for deal in group if deal.order_id not in named]
    if own is None:
        return unnamed or group
    return [own, *unnamed] if can_be_one(group) else [own]


def _orders(free: Sequence[Deal]) -> Iterator[list[Deal]]:
    """Yield the orders that some sub-orders are of: a big deal is one if its sub-orders can be of one request."""
    groups: dict[str, list[Deal]] = defaultdict(list)
    for deal in free:
        groups[deal.big_deal_id or deal.order_id].append(deal)
    for group in groups.values():
        yield from [group] if len(group) == 1 or can_be_one(group) else ([deal] for deal in group)


def _is_elsewhere(entry: Entry, scope: Scope) -> bool:
    """Whether a purchase is surely of another server or account."""
    if entry.server and scope.server and entry.server != scope.server:
        return True
    return bool(entry.account and scope.account) and entry.account != scope.account


def _may_be_elsewhere(entry: Entry, scope: Scope, ours: set[str]) -> bool:
    """
    Whether nothing shows that a purchase is of the account.

    A key is of one account. So a purchase without an account is ours if it has our key, or the key of another purchase
    whose order is listed.
    """
    if (entry.account and scope.account) or not (entry.key_id and scope.key_id):
        return False
    return entry.key_id != scope.key_id and entry.key_id not in ours


def book_zone_of(join: Join, now: float) -> tuple[str, str]:
    """
    Return the zone of the times of the order book, and how it is known.

    A purchase tells it: of the moments that the time of its order may be, one lies where its request was sent. So does
    a time that is ahead of the clock in all other zones.

    :param now: Epoch seconds at which the book was read.
    """
    votes = Counter(zone for entry, deals in join.owned for zone in _votes(entry, deals))
    if votes:
        zone, count = max(votes.items(), key=lambda vote: (vote[1], -SERVER_ZONES.index(vote[0])))
        return zone, f"{count} of {votes.total()} purchases"
    shown = [deal for deals in [*join.free, *(deals for _, deals in join.owned)] for deal in deals]
    possible = [zone for zone in SERVER_ZONES if all(moment_of(d, zone, now) <= now + CLOCK_MARGIN for d in shown)]
    if shown and len(possible) == 1:
        return possible[0], "times that cannot lie ahead"
    return SERVER_ZONES[0], ASSUMED


def _votes(entry: Entry, deals: Sequence[Deal]) -> Iterator[str]:
    if entry.at is None or entry.until is None:
        return
    for deal in deals[:1]:
        moments = {zone: moment_of(deal, zone, math.nan) for zone in SERVER_ZONES}
        margin = 2 * CLOCK_MARGIN
        fits = [zone for zone, moment in moments.items() if entry.at - margin <= moment <= entry.until + margin]
        if len(fits) == 1:
            yield fits[0]


def moment_of(deal: Deal, zone: str, unknown: float) -> float:
    """Return when a sub-order was made, in epoch seconds, if the book writes in a zone; *unknown* if it is no time."""
    try:
        return moment_in(deal.created_at, zone)
    except ValueError:
        return unknown
