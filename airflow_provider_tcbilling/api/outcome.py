"""Outcome: the effect of an order on the money."""

from __future__ import annotations

from enum import Enum


class Payment(str, Enum):
    """The effect of an order that has ended on the money."""

    PAID = "paid"
    RETURNED = "paid, and the paid part went back"
    UNCLEAR = "perhaps paid"
    UNPAID = "not paid"
