"""Ids: the numbers of orders, and the ids of instances and requests. Those of two accounts never meet."""

from __future__ import annotations

import random
import uuid

import pendulum

_FIRST_NUMBERS = (100_000_000_000, 900_000_000_000)
"""The range from which an account draws the first number of its orders."""


class Ids:
    """
    The source of an account's numbers and ids.

    :param source: A random source; one with a seed gives the same ids at each start.
    :param zone: Zone of the date that the number of an order begins with.
    """

    def __init__(self, source: random.Random, zone: str) -> None:
        self._source, self._zone = source, zone
        self._first_number = source.randrange(*_FIRST_NUMBERS)
        self._instance_ids: set[str] = set()

    def order_number(self, place: int, moment: float, end: str = "811") -> str:
        """
        Return the number of an order.

        :param place: How many orders were placed before it.
        :param moment: When it is placed, in epoch seconds.
        :param end: The last digits, which differ between a sub-order and its big deal.
        """
        day = pendulum.from_timestamp(moment, tz=self._zone).format("YYYYMMDD")
        return f"{day}{self._first_number + place}{end}"

    def request_id(self) -> str:
        """Return a new id of a request."""
        return str(uuid.UUID(int=self._source.getrandbits(128), version=4))

    def instance_id(self) -> str:
        """Return a new id of an instance."""
        while (instance_id := f"ins-{self._source.getrandbits(32):08x}") in self._instance_ids:
            pass
        self._instance_ids.add(instance_id)
        return instance_id
