"""Replay window: how long after a machine was lost the next try of its task begins, as Airflow is configured."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

HEARTBEATS = (
    ("task_instance_heartbeat_timeout", "task_instance_heartbeat_timeout_detection_interval"),
    ("scheduler_zombie_task_threshold", "zombie_detection_interval"),
)
"""Options of ``[scheduler]``: how long a task may be silent, and how often that is checked. Airflow 2 has the last."""

UNKNOWN_HEARTBEAT = 600.0
"""Seconds until a lost task is noticed, where the configuration does not tell."""

QUEUEING = 300.0
"""Seconds for a retry to be scheduled and queued, and for a machine to come up that runs it."""

LONGEST_DELAY = 86_400.0
"""Seconds. A retry that begins later than that is outside of the window, unless ``replay_window`` is set."""


def retry_seconds(task: Any, try_number: int) -> float:
    """
    Return the seconds after which the next try begins if the machine of this one is lost now.

    :param task: The operator, whose retry delay counts.
    :param try_number: Of the present try.
    """
    return _noticed_after() + _delay(task, try_number) + QUEUEING


def _noticed_after() -> float:
    """Return the seconds until Airflow notices a lost task."""
    from airflow.providers.common.compat.sdk import conf

    for names in HEARTBEATS:
        texts = [conf.get("scheduler", name, fallback=None) for name in names]
        try:
            seconds = sum(float(text) for text in texts if text is not None)
        except ValueError:
            return UNKNOWN_HEARTBEAT
        if texts[0] is not None and 0 <= seconds < math.inf:
            return seconds
    return UNKNOWN_HEARTBEAT


def _delay(task: Any, try_number: int) -> float:
    """Return the longest delay of the next try, at most a day. Airflow adds up to as much again to a back-off."""
    delay, backoff = _seconds(task.retry_delay), task.retry_exponential_backoff
    factor = 2.0 if backoff is True else float(backoff or 1)  # Airflow 3 may ignore what Airflow 2 reads as 2.
    if factor != 1:
        try:
            backed_off = 2.0 * max(1, math.ceil(delay * factor ** (try_number - 1)))
        except OverflowError:
            backed_off = LONGEST_DELAY
        delay = max(delay, min(backed_off, _seconds(task.max_retry_delay or LONGEST_DELAY)))
    return min(delay, LONGEST_DELAY)


def _seconds(span: timedelta | float) -> float:
    return span.total_seconds() if isinstance(span, timedelta) else float(span)
