"""
The server's times: local, without zone, of a zone that is not documented.

UTC+8 is likely and UTC is possible, so reading and searching allow for both. Where one moment is needed, it is the
earlier one: a subscription is then taken to end up to eight hours too soon, and never too late.
"""

from __future__ import annotations

import math
import re
from datetime import datetime
from zoneinfo import ZoneInfo

import pendulum

SERVER_ZONES = ("Asia/Shanghai", "UTC")
"""The zones that the server's times may be of."""

FORMAT = "YYYY-MM-DD HH:mm:ss"
_AS_THE_SERVER_WRITES = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)

MONTHS = {"m": 1, "y": 12}
"""How many months a period's unit has."""


def in_zone(moment: float, zone: str) -> str:
    """Write a moment as the server does: the local time of a zone, without naming it."""
    return pendulum.from_timestamp(moment, tz=zone).to_datetime_string()


def with_zone(local_time: str) -> str:
    """Return a time of the server for a message: the zone stands behind it, as far as it is known."""
    return f"{local_time} (server time, UTC or UTC+8)" if local_time else "at a time that is not shown"


def first_of(moment: float) -> str:
    """Write a moment as the start of a search: the earliest local time that it may be."""
    return min(in_zone(moment, zone) for zone in SERVER_ZONES)


def last_of(moment: float) -> str:
    """Write a moment as the end of a search: the latest local time that it may be."""
    return max(in_zone(moment, zone) for zone in SERVER_ZONES)


def readings(local_time: str) -> list[float]:
    """
    Return the moments that a local time may be, in epoch seconds.

    :raises ValueError: It is not written as the server writes times.
    """
    if not _AS_THE_SERVER_WRITES.fullmatch(local_time):
        raise ValueError(f"{local_time!r} is not a time of the server")
    return moments_of(local_time)


def moment_in(local_time: str, zone: str) -> float:
    """
    Return the moment that a local time is if it is of a zone, in epoch seconds.

    :raises ValueError: It is not written as the server writes times.
    """
    if not _AS_THE_SERVER_WRITES.fullmatch(local_time):
        raise ValueError(f"{local_time!r} is not a time of the server")
    return datetime.fromisoformat(local_time).replace(tzinfo=ZoneInfo(zone)).timestamp()


def earliest(local_time: str) -> float:
    """Return the earliest moment that a local time may be; infinity if there is none, as for null."""
    try:
        return min(readings(local_time))
    except ValueError:
        return math.inf


def months_of(length: float, unit: str) -> float:
    """Return a period in months; 0 if it is missing, or in a unit that is not documented."""
    return length * MONTHS.get(unit.lower(), 0)


def later(local_time: str, months: int) -> str:
    """
    Return the local time so many calendar months later: the 31st becomes the last day of a shorter month.

    :raises ValueError: It is not written as the server writes times.
    """
    return pendulum.from_format(local_time, FORMAT).add(months=months).to_datetime_string()


def moments_of(time: str) -> list[float]:
    """
    Return the moments that a time may be, one for each zone of the server; with a zone of its own they are the same.

    :param time: ISO 8601, or as the server writes times.
    :raises ValueError: It is no time.
    """
    moments = [pendulum.parse(time, tz=zone) for zone in SERVER_ZONES]
    if not all(isinstance(moment, pendulum.DateTime) for moment in moments):
        raise ValueError(f"{time!r} is not a time")
    return [moment.timestamp() for moment in moments if isinstance(moment, pendulum.DateTime)]


def is_after(local_time: str, other: str) -> bool:
    """Whether a local time surely lies after another time, whichever zone the server's times are of."""
    return all(one > two for one, two in zip(readings(local_time), moments_of(other), strict=True))


CLOCK_MARGIN = 300.0
"""Seconds by which the clock of the order book may differ from ours; a signature allows for as much."""
