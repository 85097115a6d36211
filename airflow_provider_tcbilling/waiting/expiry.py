"""Expiry: the instances that expire within a span, and the conditions that a wait for an expiry can have."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import InvalidRequest, TcBillingError
from airflow_provider_tcbilling.api.instance_list import existing_instance, renewable
from airflow_provider_tcbilling.api.models import RenewableInstance
from airflow_provider_tcbilling.api.server_time import earliest, is_after, last_of, moments_of
from airflow_provider_tcbilling.waiting.filters import Wanted

log = logging.getLogger(__name__)

Condition = Callable[[BillingClient, float], list[RenewableInstance]]
"""A condition of a wait: returns the instances that meet it, at a time in epoch seconds."""


def expiring(
    client: BillingClient, now: float, within: float, wanted: Wanted | None = None, logged: set[str] | None = None
) -> list[RenewableInstance]:
    """
    Return the instances that expire within a span, soonest first; those that have expired and are still listed too.

    The zone of an expiry is not documented: the earlier moment counts, so some come up to eight hours early.
    An instance without expiry time never expires.

    :param now: Epoch seconds.
    :param within: Seconds from then on.
    :param logged: Lines about the filters that the log has already; they are not repeated.
    :raises TcBillingError: The list could not be read.
    """
    logged = set() if logged is None else logged
    until = now + client.clock_offset + within
    listed = renewable(client, expire_time_end=last_of(until))
    due = [instance for instance in listed if earliest(instance.expire_time) <= until]
    found = (wanted or Wanted()).narrow(due)
    line = f"{len(due)} instances expire in that span; {found.steps}."
    if found.steps and line not in logged:
        # A filter that selects nothing resembles a day without work, and lets subscriptions lapse.
        log.log(logging.WARNING if found.is_odd else logging.INFO, "%s", line)
        logged.add(line)
    return sorted(found.instances, key=lambda instance: (instance.expire_time, instance.instance_id))


def soon(within: float, wanted: Wanted) -> Condition:
    """Return the condition that an instance expires within so many seconds."""
    logged: set[str] = set()
    return lambda client, now: expiring(client, now, within, wanted, logged)


def moved(instance_id: str, expires_after: str) -> Condition:
    """
    Return the condition that an instance expires after a moment.

    :param expires_after: As the server writes times, which then count as of its own zone, or ISO 8601 with a zone.
    :raises InvalidRequest: *expires_after* is no time.
    """
    try:
        moments_of(expires_after)
    except ValueError:
        raise InvalidRequest(instance_id, [f"expires_after: {expires_after!r} is not a time"]) from None

    def instances(client: BillingClient, now: float) -> list[RenewableInstance]:
        instance = existing_instance(client, instance_id)
        if earliest(instance.expire_time) == math.inf:
            raise InvalidRequest(instance_id, [f"its expiry is {instance.expire_time or 'not told'!r}"])
        return [instance] if is_after(instance.expire_time, expires_after) else []

    return instances


def query(client: BillingClient, condition: Condition, now: float) -> list[RenewableInstance]:
    """
    Return the instances that meet a condition, none if the list could not be read this time.

    :param now: Epoch seconds.
    :raises TcBillingError: The list cannot be read, and another try will not help.
    """
    try:
        return condition(client, now)
    except TcBillingError as error:
        if not error.transient:
            raise
        log.warning("The list of instances could not be read: %s", error)
        return []
