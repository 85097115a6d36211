"""Outcome: the effect on the money, as far as an error can tell."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Payment(str, Enum):
    """The effect of an order that has ended on the money."""

    PAID = "paid"
    RETURNED = "paid, and the paid part went back"
    UNCLEAR = "perhaps paid"
    UNPAID = "not paid"


@dataclass(frozen=True)
class Doubt:
    """
    The facts about a purchase that may have been carried out.

    :param state: That of its record.
    :param finding: The result of the query of the order book: the name of a
        :class:`~airflow_provider_tcbilling.purchasing.decision.Finding`, in lower case.
    :param up_to: The most that may have been paid, such as ``100.00 USD``; empty if no listed order tells.
    :param not_before: Epoch seconds before which nobody can say that nothing was bought.
    """

    state: str = "intended"
    finding: str = "none"
    up_to: str = ""
    not_before: float = 0.0
