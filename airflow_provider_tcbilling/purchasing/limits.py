"""
Limits: how much may be spent in a window of time, as an administrator sets it, and when each window begins and ends.

Nothing here counts money. Each rule is checked when a limit is read, and a limit that cannot be read stops a purchase:
a slip must not switch a limit off.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.json_text import type_of
from airflow_provider_tcbilling.api.reading import json_of
from airflow_provider_tcbilling.api.text import folded, shown, visible
from airflow_provider_tcbilling.api.values import Value

DEFAULT_ZONE = "Asia/Shanghai"
"""The zone of Tencent's bills."""

MOST_CENTS = 10**15
"""Amounts from here on are mistakes. Sums of smaller ones fit into every database."""

MAX_NAME = 64
"""Characters of a limit's name."""

MAX_FILTER = 250
"""Characters of the product or the origin that a limit counts."""

OF_THE_MACHINE = frozenset({"localtime", "posixrules"})
"""Names of zones that mean something else on each machine."""


class Window(Value):
    """The time that a limit counts together."""

    ORDER = "order"
    """Each purchase by itself."""
    RUN = "run"
    """All purchases of one run, however long it lasts."""
    DAY = "day"
    """All purchases of a calendar day."""
    MONTH = "month"
    """All purchases of a calendar month."""


@dataclass(frozen=True)
class Limit:
    """
    The most that may be spent in each window.

    :param name: Its name, for messages and reports. No two limits of a connection have the same.
    :param max_cents: The most, in cents of the currency, above 0.
    :param currency: Three upper-case letters, such as ``USD``.
    :param product: The product code that it counts; empty counts all products.
    :param origin: The origin that it counts; empty counts all origins.
    """

    name: str
    window: Window
    max_cents: int
    currency: str
    product: str = ""
    origin: str = ""

    def span(self, now: float, zone: str) -> tuple[float, float]:
        """
        Return the window around a moment, in epoch seconds. It begins with the first moment, and ends before the last.

        :param zone: The zone of the calendar, such as ``Asia/Shanghai``. A day in it may have 23 or 25 hours.
        :return: From minus to plus infinity for an order and a run, which no calendar ends.
        """
        if self.window in (Window.ORDER, Window.RUN):
            return -math.inf, math.inf
        tz = _zone_named(zone)
        first = datetime.fromtimestamp(now, tz).date()
        after = first + timedelta(days=1)
        if self.window is Window.MONTH:
            first = first.replace(day=1)
            after = (first + timedelta(days=31)).replace(day=1)
        # Not pendulum's start of a day: where clocks change at midnight, it is an hour off.
        begin, end = (datetime(on.year, on.month, on.day, tzinfo=tz) for on in (first, after))
        return begin.timestamp(), end.timestamp()

    def counts(self, product: str, origin: str) -> bool:
        """Whether it counts a purchase of a product by an origin."""
        return folded(self.product) in ("", folded(product)) and self.origin in ("", origin)


@lru_cache(16)
def _zone_named(name: str) -> tzinfo:
    import pendulum  # not above: the fields of a connection are read in every process

    return pendulum.timezone(name)


def limits_of(value: Any, origin_field: str = "origin") -> tuple[Limit, ...]:
    """
    Read the limits of a connection.

    :param value: A list of objects with ``name``, ``window``, ``max_cents``, ``currency`` and, if the limit counts
        only a part of the purchases, ``product`` and the origin; or the JSON text of such a list.
    :param origin_field: The name that the origin has in these objects.
    :raises InvalidRequest: With every mistake at once, each with the name of its limit. Nothing was sent.
    """
    entries, checks = _entries_of(value), {**_CHECKS, origin_field: A_FILTER}
    mistakes = [
        f"{_label(entry, place)}: {mistake}"
        for place, entry in enumerate(entries, 1)
        for mistake in _mistakes_in(entry, checks)
    ]
    if mistakes := [*mistakes, *_mistakes_of_all(entries)]:
        raise InvalidRequest("The limits", mistakes)
    return tuple(
        Limit(
            name=entry["name"],
            window=Window(entry["window"]),
            max_cents=entry["max_cents"],
            currency=entry["currency"],
            product=entry.get("product", ""),
            origin=entry.get(origin_field, ""),
        )
        for entry in entries
    )


def _entries_of(value: Any) -> list[Any]:
    """Return the list of limits, whatever its entries are."""
    try:
        read = json_of(value) if isinstance(value, (str, bytes)) else value
    except (ValueError, RecursionError):
        raise InvalidRequest("The limits", ["they must be a list, or the JSON text of one"]) from None
    if not isinstance(read, (list, tuple)):
        raise InvalidRequest("The limits", [f"they must be a list, and {type_of(read)} is none"])
    if not read:
        raise InvalidRequest("The limits", ["the list is empty: name a limit, or leave the list out"])
    return list(read)


def _label(entry: Any, place: int) -> str:
    """Return the name of a limit for a message, and its place if its name is not usable."""
    name = entry.get("name") if isinstance(entry, Mapping) else None
    return f"limit {name!r}" if A_LIMIT_NAME.accepts(name) else f"limit number {place}"


def _mistakes_in(entry: Any, checks: Mapping[str, Check]) -> Iterator[str]:
    """Yield the mistakes in one limit."""
    if not isinstance(entry, Mapping):
        yield f"{type_of(entry)} is no object with {', '.join(_NEEDED)}"
        return
    for name in entry:
        if name not in checks:
            yield f"{shown(name)} is not a field of a limit, which has {', '.join(checks)}"
    for name, check in checks.items():
        if name in entry and (mistake := check.mistake(name, entry[name])):
            yield mistake
        elif name in _NEEDED and name not in entry:
            yield f"{name} is missing: it is {check.wanted}"


def _mistakes_of_all(entries: list[Any]) -> Iterator[str]:
    """Yield what is wrong with the limits beside each other."""
    objects = [entry for entry in entries if isinstance(entry, Mapping)]
    names = [entry["name"] for entry in objects if A_LIMIT_NAME.accepts(entry.get("name"))]
    for name, count in Counter(map(str.casefold, names)).items():
        if count > 1:
            # A database may not tell upper from lower case.
            alike = ", ".join(repr(other) for other in names if other.casefold() == name)
            yield f"{count} limits have one name, {alike}, and each needs a name of its own"
    currencies = {entry["currency"] for entry in objects if A_CURRENCY.accepts(entry.get("currency"))}
    if len(currencies) > 1:
        yield f"they are in {' and '.join(sorted(currencies))}, and an account has one currency"


def name_of(value: Any) -> str:
    """Return the name of a limit; ``ValueError`` if it is none."""
    is_text = isinstance(value, str) and value == value.strip() == visible(value)
    if not is_text or not 0 < len(value) <= MAX_NAME:
        raise ValueError("not a name")
    return str(value)


def window_of(value: Any) -> Window:
    """Return a window; ``ValueError`` if it is none."""
    if not isinstance(value, str):
        raise ValueError("not a text")
    return Window(value)


def cents_of(value: Any) -> int:
    """Return an amount above 0; ``ValueError`` for anything but such a whole number."""
    if type(value) is not int or not 0 < value < MOST_CENTS:
        raise ValueError("not an amount")
    return value


def currency_of(value: Any) -> str:
    """Return a currency; ``ValueError`` if it is none."""
    if not isinstance(value, str) or not re.fullmatch("[A-Z]{3}", value):
        raise ValueError("not a currency")
    return value


def filter_of(value: Any) -> str:
    """Return the product or the origin that a limit counts; ``ValueError`` if it can be neither."""
    if not isinstance(value, str) or not re.fullmatch(rf"[\w.-]{{1,{MAX_FILTER}}}", value):
        raise ValueError("not a name of something")
    return value


def zone_of(value: Any) -> str:
    """Return the name of a zone; ``ValueError`` if there is none, or if it is another one on each machine."""
    import pendulum

    if not isinstance(value, str) or value in OF_THE_MACHINE or value not in pendulum.timezones():
        raise ValueError("not a zone")
    return value


A_LIMIT_NAME = Check(
    name_of, f"a text of 1 to {MAX_NAME} characters, without blanks around it and without control characters"
)
A_WINDOW = Check(window_of, f"one of {', '.join(Window)}")
A_LIMIT_AMOUNT = Check(
    cents_of, f"a whole number of cents from 1 to {MOST_CENTS - 1}, not a text. A limit of 0 or less allows no purchase"
)
A_CURRENCY = Check(currency_of, "a currency of three upper-case letters, such as USD")
A_FILTER = Check(
    filter_of, "a text of letters, digits, and _ . -, without a wildcard. A limit that counts everything leaves it out"
)
A_ZONE = Check(zone_of, f"a time zone of the tz database, such as {DEFAULT_ZONE} or UTC")

_NEEDED = ("name", "window", "max_cents", "currency")
_CHECKS: Mapping[str, Check] = {
    "name": A_LIMIT_NAME,
    "window": A_WINDOW,
    "max_cents": A_LIMIT_AMOUNT,
    "currency": A_CURRENCY,
    "product": A_FILTER,
}
