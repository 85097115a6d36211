"""
Match: whether an order that the order book lists is the one that was sent.

There are three verdicts. An order *matches* if every compared field is understood and agrees. It *is another's* if
every compared field is understood and one differs. Else nobody can tell: a field is missing, malformed, or in a
notation that is not known here. Text is compared without regard to case and to blanks around it.

One understood field decides alone where it says what the order is about, the product, the instance or the action: an
order of another product is another's, whatever else it leaves out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from airflow_provider_tcbilling.api.reading import number_of
from airflow_provider_tcbilling.api.server_time import MONTHS
from airflow_provider_tcbilling.api.text import folded
from airflow_provider_tcbilling.api.values import DealAction

Shown = Mapping[str, Any]
"""An order as the server sent it."""


class Match(Enum):
    """The verdict over one order."""

    MATCHES = "matches"
    OF_ANOTHER = "is another's"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True)
class Compared:
    """
    One field that is compared, or several that are one fact.

    :param names: On the wire.
    :param agrees: Whether what the server shows agrees; ``None`` if it is not understood.
    :param decides_alone: It says what the order is about, so that a difference needs no other field.
    """

    names: tuple[str, ...]
    agrees: Callable[..., bool | None]
    decides_alone: bool = False

    def verdict(self, shown: Shown) -> bool | None:
        """Return whether an order agrees in it; ``None`` if that cannot be told."""
        return self.agrees(*(shown.get(name) for name in self.names))


def match(shown: Shown, compared: Iterable[Compared]) -> tuple[Match, tuple[str, ...]]:
    """Return the verdict over an order, and the fields that are not understood."""
    verdicts = [(field, field.verdict(shown)) for field in compared]
    unclear = tuple("/".join(field.names) for field, verdict in verdicts if verdict is None)
    if any(verdict is False and field.decides_alone for field, verdict in verdicts):
        return Match.OF_ANOTHER, ()
    if unclear:
        return Match.CANNOT_TELL, unclear
    return (Match.MATCHES if all(verdict for _, verdict in verdicts) else Match.OF_ANOTHER), ()


def product(sent: str) -> Compared:
    """Compare the layer-1 product code."""
    return Compared(("ProductCode",), _code(sent, r"p_[a-z0-9_]+"), decides_alone=True)


def sub_product(sent: str) -> Compared:
    """Compare the layer-2 product code."""
    return Compared(("SubProductCode",), _code(sent, r"sp_[a-z0-9_]+"))


def zone(sent: str) -> Compared:
    """Compare the zone."""
    return Compared(("ZoneCode",), _code(sent, r"[a-z]{2,}(-[a-z]+)+-[0-9]+"))


def project(sent: int) -> Compared:
    """Compare the project that the cost is booked on."""

    def agrees(shown: Any) -> bool | None:
        number = number_of(shown)
        return None if number is None or number < 0 or number != int(number) else number == sent

    return Compared(("ProjectId",), agrees)


def months(sent: float) -> Compared:
    """Compare the length of the subscription, in months."""

    def agrees(length: Any, unit: Any) -> bool | None:
        number, factor = number_of(length), MONTHS.get(folded(unit))
        if number is None or number <= 0 or factor is None:
            return None
        # A part of a month is no length that can be ordered, so it speaks neither for an order nor against it.
        return number * factor == sent if (number * factor).is_integer() else None

    return Compared(("TimeSpan", "TimeUnit"), agrees)


def action(sent: str) -> Compared:
    """Compare what the order does."""

    def agrees(shown: Any) -> bool | None:
        return folded(shown) == sent if folded(shown) in set(DealAction) else None

    return Compared(("Action",), agrees, decides_alone=True)


def instance(sent: str) -> Compared:
    """Compare the instance that the order is about."""

    def agrees(shown: Any) -> bool | None:
        if not isinstance(shown, list) or not shown or not all(isinstance(one, str) and one.strip() for one in shown):
            return None
        return sent in [one.strip() for one in shown]

    return Compared(("ResourceId",), agrees, decides_alone=True)


def _code(sent: str, notation: str) -> Callable[[Any], bool | None]:
    def agrees(shown: Any) -> bool | None:
        if folded(shown) == folded(sent):
            return True
        return False if re.fullmatch(notation, folded(shown)) else None

    return agrees
