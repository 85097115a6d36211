"""Outcome: the effect on the money, as far as an error can tell."""

from __future__ import annotations

from enum import Enum


class Payment(str, Enum):
    """The effect of an order that has ended on the money."""

    PAID = "paid"
    RETURNED = "paid, and the paid part went back"
    UNCLEAR = "perhaps paid"
    UNPAID = "not paid"
