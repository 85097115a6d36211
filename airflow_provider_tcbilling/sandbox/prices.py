"""Prices: the cost of an instance, by product, sub-product, parameter and period. All of them are invented."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from airflow_provider_tcbilling.sandbox.errors import WrongControl
from airflow_provider_tcbilling.sandbox.instances import MONTHS, Instance
from airflow_provider_tcbilling.sandbox.limits import MAX_TEXT, Range, is_finite, is_text

ACTIONS = ("purchase", "renew")
MOST_PRICES = 1_000
"""How many can be set."""

_CENTS = Range(0, 10**15, is_whole=True)
_PERIOD = Range(1, 36, is_whole=True)


@dataclass(frozen=True)
class Price:
    """
    A price, and the orders that have it. A field that is empty counts for every order.

    :param cents: For one instance: for the whole *period* if there is one, otherwise for each month.
    :param action: ``purchase`` or ``renew``.
    :param parameter: Keys of the order's ``Parameter`` with their values; a renewal has that of its purchase.
    :param period: The length of an order, in *period_unit*: ``m`` (also if it is empty) or ``y``.
    :param currency: The currency of these orders; empty for that of the account.
    """

    cents: int
    action: str = ""
    product_code: str = ""
    sub_product_code: str = ""
    region_code: str = ""
    zone_code: str = ""
    parameter: Mapping[str, Any] = field(default_factory=dict)
    period: int | None = None
    period_unit: str = ""
    currency: str = ""

    @classmethod
    def of(cls, wanted: Mapping[str, Any]) -> Price:
        """
        Read a price from JSON.

        :raises WrongControl: With every mistake.
        """
        if unknown := sorted(set(wanted) - set(_FIELDS)):
            raise WrongControl(f"{', '.join(unknown)}: not known here; there are {', '.join(_FIELDS)}")
        if wrong := [f"{name} must be {_FIELDS[name][1]}" for name in wanted if not _FIELDS[name][0](wanted[name])]:
            raise WrongControl("; ".join(wrong))
        if "cents" not in wanted:
            raise WrongControl(f"cents is missing: {_FIELDS['cents'][1]}")
        price = cls(**wanted)
        return replace(price, period_unit=price.period_unit or "m") if price.period else price

    @classmethod
    def parse(cls, text: str) -> Price:
        """
        Read a price from the text of a JSON object.

        :raises WrongControl: With every mistake.
        """
        try:
            wanted = json.loads(text)
        except (ValueError, RecursionError):
            wanted = None
        if not isinstance(wanted, dict):
            raise WrongControl(f"{text[:MAX_TEXT]!r} is not a JSON object with cents")
        return cls.of(wanted)

    def as_json(self) -> dict[str, Any]:
        """Return it without the fields that are empty."""
        return {name: value for name, value in asdict(self).items() if name == "cents" or value not in ("", None, {})}

    def counts_for(self, order: Mapping[str, Any], parameter: Mapping[str, Any]) -> bool:
        """Whether an order has this price."""
        facts = (getattr(self, name) in ("", None, order[name]) for name in _COMPARED)
        return all(facts) and all(key in parameter and parameter[key] == value for key, value in self.parameter.items())

    def cents_for(self, period: int, unit: str) -> int:
        """Return the cost of one instance."""
        return self.cents if self.period else self.cents * period * MONTHS[unit]


_COMPARED = ("action", "product_code", "sub_product_code", "region_code", "zone_code", "period", "period_unit")

_TEXT = (is_text, f"a text of at most {MAX_TEXT} characters")
_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "cents": (_CENTS.has, str(_CENTS)),
    "action": (lambda value: value in ("", *ACTIONS), " or ".join(ACTIONS)),
    "product_code": _TEXT,
    "sub_product_code": _TEXT,
    "region_code": _TEXT,
    "zone_code": _TEXT,
    "parameter": (lambda value: isinstance(value, dict) and is_finite(value), "an object of JSON values"),
    "period": (lambda value: value is None or _PERIOD.has(value), f"{_PERIOD}, or null"),
    "period_unit": (lambda value: value in ("", *MONTHS), " or ".join(MONTHS)),
    "currency": _TEXT,
}
"""By name: the test for a value, and the same in words."""


class Prices:
    """
    The prices of an account. Of several that count for an order, the one that was set last wins.

    :param start: Those of the start, the first one set first.
    :param monthly_cents: The price of an instance a month for every other order.
    """

    def __init__(self, start: tuple[Price, ...], monthly_cents: int) -> None:
        self._start, self._monthly_cents = start, monthly_cents
        self._set = list(start)

    def add(self, wanted: Mapping[str, Any]) -> Price:
        """
        Set a price from now on. It replaces the one that counts for exactly the same orders.

        :param wanted: The fields of :class:`Price`.
        :raises WrongControl: The description has a mistake, or there are too many.
        """
        price = Price.of(wanted)
        others = [other for other in self._set if replace(other, cents=price.cents, currency=price.currency) != price]
        if len(others) >= MOST_PRICES:
            raise WrongControl(f"there are {MOST_PRICES} prices, and that is the most")
        self._set = [*others, price]
        return price

    def clear(self) -> None:
        """Go back to the prices of the start."""
        self._set = list(self._start)

    def listed(self) -> list[dict[str, Any]]:
        """Return the prices that were set, as JSON; the one that wins comes first."""
        return [price.as_json() for price in reversed(self._set)]

    def of(self, action: str, request: Mapping[str, Any], instance: Instance | None) -> Price:
        """
        Return the price of a request with the server's defaults.

        :param instance: The instance that is renewed: it has the zone and the parameter.
        """
        order = {
            "action": action,
            "product_code": request["ProductCode"],
            "sub_product_code": request["SubProductCode"],
            "region_code": request["RegionCode"],
            "zone_code": instance.zone_code if instance else request["ZoneCode"],
            "period": request["Period"],
            "period_unit": request["PeriodUnit"],
        }
        parameter = _object(instance.parameter if instance else request.get("Parameter", ""))
        counting = (price for price in reversed(self._set) if price.counts_for(order, parameter))
        return next(counting, Price(self._monthly_cents))


def _object(text: str) -> dict[str, Any]:
    try:
        read = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}
