"""What expires, and when: the list of instances as DescribeRenewInstances tells it, page after page."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import InvalidRequest, OutcomeUnknown, TcBillingError
from airflow_provider_tcbilling.api.filters import Wanted
from airflow_provider_tcbilling.api.models import RenewableInstance
from airflow_provider_tcbilling.api.servertime import earliest, is_after, last_of, moments_of

MAX_PAGES = 1000
"""100,000 instances; a list that does not end is taken for broken."""

log = logging.getLogger(__name__)

Question = Callable[[BillingClient, float], list[RenewableInstance]]
"""What is waited for: gives the instances that it has come true of, at a time in epoch seconds."""


def renewable(client: BillingClient, **filters: Any) -> Iterator[RenewableInstance]:
    """
    Yield all instances that the server lists, each once, soonest expiry first; 100 a request.

    :param filters: As in :meth:`BillingClient.describe_renew_instances`.
    :raises TcBillingError: The list could not be read, or does not end.
    """
    seen: set[str] = set()
    cursors: set[str] = set()
    while len(cursors) < MAX_PAGES:
        instances, cursor = client.describe_renew_instances(**filters)
        for instance in instances:
            # One that is renewed while the list is read stands in it twice.
            if instance.instance_id not in seen:
                seen.add(instance.instance_id)
                yield instance
        if cursor is None:
            return
        if cursor in cursors:
            break
        cursors.add(cursor)
        filters = {**filters, "next_token": cursor}
    raise OutcomeUnknown("DescribeRenewInstances: the list of instances does not end.")


def instance_named(client: BillingClient, instance_id: str) -> RenewableInstance | None:
    """
    Return one instance, ``None`` if it is not listed: the list holds only products of the renewal page.

    :raises TcBillingError: The list could not be read, so nothing is known.
    """
    listed, _ = client.describe_renew_instances(instance_id_list=[instance_id])
    return next((instance for instance in listed if instance.instance_id == instance_id), None)


def mismatches(instance: RenewableInstance, told: Mapping[str, Any]) -> list[str]:
    """Return in words where an instance is something else than was told; what the server leaves out is believed."""
    return [
        f"{name}: {instance.instance_id} is of {is_!r}, not of {told[name]!r}"
        for name in ("product_code", "sub_product_code", "region_code")
        if (is_ := getattr(instance, name)) not in ("", told.get(name, is_))
    ]


def expiring(
    client: BillingClient, now: float, within: float, wanted: Wanted | None = None, said: set[str] | None = None
) -> list[RenewableInstance]:
    """
    Return the instances that expire within a span, soonest first; those that have expired and are still listed too.

    An expiry whose zone is not known counts as the earlier of what it may be, so some come up to eight hours early.
    An instance without expiry time never expires.

    :param now: Epoch seconds.
    :param within: Seconds from then on.
    :param said: Lines about the filters that the log has already; they are not repeated.
    :raises TcBillingError: The list could not be read.
    """
    said = set() if said is None else said
    until = now + client.clock_offset + within
    listed = renewable(client, expire_time_end=last_of(until))
    due = [instance for instance in listed if earliest(instance.expire_time) <= until]
    found = (wanted or Wanted()).narrow(due)
    words = f"{len(due)} instances expire in that span; {found.steps}."
    if found.steps and words not in said:
        # What selects nothing looks like a day on which nothing is to be done, and lets things lapse.
        log.log(logging.WARNING if found.is_odd else logging.INFO, "%s", words)
        said.add(words)
    return sorted(found.instances, key=lambda instance: (instance.expire_time, instance.instance_id))


def soon(within: float, wanted: Wanted) -> Question:
    """Ask for what expires within so many seconds."""
    said: set[str] = set()
    return lambda client, now: expiring(client, now, within, wanted, said)


def moved(instance_id: str, expires_after: str) -> Question:
    """
    Ask for an instance once it expires after a moment.

    :param expires_after: As the server writes times, which then count as of its own zone, or ISO 8601 with a zone.
    :raises InvalidRequest: It is no time.
    """
    try:
        moments_of(expires_after)
    except ValueError:
        raise InvalidRequest(instance_id, [f"expires_after: {expires_after!r} is not a time"]) from None

    def answer(client: BillingClient, now: float) -> list[RenewableInstance]:
        instance = instance_named(client, instance_id)
        if instance is None:
            raise InvalidRequest(instance_id, ["there is no such instance among those that can be renewed"])
        if earliest(instance.expire_time) == math.inf:
            raise InvalidRequest(instance_id, [f"its expiry is {instance.expire_time or 'not told'!r}"])
        return [instance] if is_after(instance.expire_time, expires_after) else []

    return answer


def look(client: BillingClient, question: Question, now: float) -> list[RenewableInstance]:
    """
    Return the answer to a question, nothing if it could not be read this time.

    :param now: Epoch seconds.
    :raises TcBillingError: It cannot be read, and another try will not help.
    """
    try:
        return question(client, now)
    except TcBillingError as error:
        if not error.transient:
            raise
        log.warning("The list of instances could not be read: %s", error)
        return []
