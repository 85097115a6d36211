"""Span: the time that a report is of, such as a month, in a zone that is named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import pendulum

from airflow_provider_tcbilling.purchasing.limits import DEFAULT_ZONE

ZONE = DEFAULT_ZONE
"""The zone of Tencent's bills, and of a report unless the connection names another one."""

LONGEST_YEARS = 3
"""Years that a report has at most: the order book is read in pieces, and each costs requests."""

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?", re.ASCII)


@dataclass(frozen=True)
class Span:
    """
    A span of time.

    :param since: Epoch seconds of its begin.
    :param until: Epoch seconds of its end, which is not part of it.
    :param zone: The zone of its days.
    :param name: For a user: ``2026-11``, or ``2026-11-01 to 2026-11-15``.
    """

    since: float
    until: float
    zone: str
    name: str

    @classmethod
    def of_month(cls, month: str, zone: str = ZONE) -> Span:
        """
        Return a month.

        :param month: Such as ``2026-11``.
        :raises ValueError: It is none, or there is no such zone.
        """
        if not _MONTH.fullmatch(month):
            raise ValueError(f"{month!r} is not a month such as 2026-11")
        begin = _read(f"{month}-01", zone)
        return cls(begin.timestamp(), begin.add(months=1).timestamp(), zone, month)

    @classmethod
    def between(cls, first: str, last: str, zone: str = ZONE) -> Span:
        """
        Return a span of days or times.

        :param first: A day such as ``2026-11-01``, or a time such as ``2026-11-01T08:00``. Without a zone of its own
            it is in the zone of the report.
        :param last: Likewise. A day is part of the span, a time is not.
        :raises ValueError: One of them is none, the end is not after the begin, or the span is too long.
        """
        begin, end = _read(first, zone), _read(last, zone)
        end = end.add(days=1) if _DAY.fullmatch(last) else end
        if not begin < end:
            raise ValueError(f"{last} is not after {first}")
        if end > begin.add(years=LONGEST_YEARS):
            raise ValueError(f"the span has more than {LONGEST_YEARS} years")
        return cls(begin.timestamp(), end.timestamp(), zone, f"{first} to {last}")

    def has(self, moment: float) -> bool:
        """Whether a moment, in epoch seconds, is within the span."""
        return self.since <= moment < self.until

    def day_of(self, moment: float) -> str:
        """Return the day of a moment in the zone of the span, such as ``2026-11-30``."""
        return day_of(moment, self.zone)

    def days(self) -> list[str]:
        """Return all days of the span."""
        day, days = pendulum.from_timestamp(self.since, tz=self.zone).start_of("day"), []
        while day.timestamp() < self.until:
            days.append(day.to_date_string())
            day = day.add(days=1)
        return days


def day_of(moment: float, zone: str) -> str:
    """Return the day of a moment, in epoch seconds, in a zone."""
    return datetime.fromtimestamp(moment, ZoneInfo(zone)).date().isoformat()


def last_month(now: float, zone: str = ZONE) -> str:
    """Return the month before that of a moment: ``2026-10`` in November 2026."""
    return pendulum.from_timestamp(now, tz=zone).start_of("month").subtract(days=1).format("YYYY-MM")


def _read(written: str, zone: str) -> pendulum.DateTime:
    if not (_DAY.fullmatch(written) or _TIME.fullmatch(written)):
        raise ValueError(f"{written!r} is not a day such as 2026-11-01, or a time such as 2026-11-01T08:00")
    try:
        ZoneInfo(zone)
    except (ValueError, LookupError, OSError):
        raise ValueError(f"there is no zone {zone!r}") from None
    try:
        read = pendulum.parse(written, tz=zone)
    except ValueError as error:
        raise ValueError(f"{written!r} is no day: {error}") from None
    if not isinstance(read, pendulum.DateTime):
        raise ValueError(f"{written!r} is no time")
    return read
