"""Clock: the time of an account, and how the server reads and writes it."""

from __future__ import annotations

import time

import pendulum

from airflow_provider_tcbilling.sandbox.errors import Refused


class Clock:
    """
    The account's clock. It can be moved; signatures and the rate limit keep to the real time.

    :param zone: Zone in which the server writes times.
    """

    def __init__(self, zone: str) -> None:
        self.zone = zone
        self.offset = 0.0

    def now(self) -> float:
        """Return epoch seconds."""
        return time.time() + self.offset

    def set(self, moment: float) -> None:
        """Let it be *moment*, in epoch seconds, and go on from there."""
        self.offset = moment - time.time()

    def written(self, moment: float) -> str:
        """Write a time as the server does: without zone."""
        return pendulum.from_timestamp(moment, tz=self.zone).to_datetime_string()

    def read(self, local_time: str) -> float:
        """
        Read a time as the server does, into epoch seconds.

        :raises Refused: It is no time.
        """
        try:
            return pendulum.from_format(local_time, "YYYY-MM-DD HH:mm:ss", tz=self.zone).timestamp()
        except ValueError:
            raise Refused("InvalidParameterValue", f"{local_time!r} is not a time.") from None
