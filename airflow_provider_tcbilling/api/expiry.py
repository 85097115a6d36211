"""What expires, and when: the list of instances as DescribeRenewInstances tells it, page after page."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import InvalidRequest, OutcomeUnknown, TcBillingError
from airflow_provider_tcbilling.api.models import RenewableInstance
from airflow_provider_tcbilling.api.servertime import earliest, is_after, last_of, moments_of
from airflow_provider_tcbilling.api.text import visible

MAX_PAGES = 1000
"""100,000 instances; a list that does not end is taken for broken."""

log = logging.getLogger(__name__)

Question = Callable[[BillingClient, float], list[RenewableInstance]]
"""What is waited for: gives the instances that it has come true of, at a time in epoch seconds."""


@dataclass(frozen=True)
class Wanted:
    """
    Which instances are meant; what is left empty is not asked for.

    :param name: Pattern for the instance's name, with ``*`` and ``?``, upper and lower case told apart.
    """

    product_codes: Sequence[str] = ()
    sub_product_codes: Sequence[str] = ()
    region_codes: Sequence[str] = ()
    renew_flags: Sequence[str] = ()
    name: str = "*"

    @classmethod
    def read(cls, filters: Mapping[str, Any]) -> Wanted:
        """
        Read filters as a person writes them: of each one text, a list of texts, or nothing.

        :raises InvalidRequest: One is something else.
        """
        names = [field.name for field in fields(cls)]
        mistakes = [f"{name}: there is no such filter; there are {', '.join(names)}" for name in {*filters} - {*names}]
        told = {name: value for name, value in filters.items() if value is not None and name in names}
        lists = {name: [value] if isinstance(value, str) else value for name, value in told.items()}
        for name, texts in lists.items():
            if not isinstance(texts, Sequence) or not all(isinstance(t, str) and t.strip() for t in texts):
                mistakes.append(f"{name}: {told[name]!r} is neither a text nor a list of texts")
        if not isinstance(told.get("name", ""), str):
            mistakes.append(f"name: {told['name']!r} is not one pattern")
        if mistakes:
            raise InvalidRequest("the filters", mistakes)
        return cls(**{**lists, "name": told.get("name", "*")})

    def includes(self, instance: RenewableInstance) -> bool:
        """Whether an instance is meant."""
        asked = (
            (self.product_codes, instance.product_code),
            (self.sub_product_codes, instance.sub_product_code),
            (self.region_codes, instance.region_code),
            (self.renew_flags, instance.renew_flag),
        )
        return all(not codes or code in codes for codes, code in asked) and fnmatchcase(
            instance.instance_name, visible(self.name)
        )


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


def expiring(client: BillingClient, now: float, within: float, wanted: Wanted | None = None) -> list[RenewableInstance]:
    """
    Return the instances that expire within a span, soonest first; those that have expired and are still listed too.

    An expiry whose zone is not known counts as the earlier of what it may be, so some come up to eight hours early.
    An instance without expiry time never expires.

    :param now: Epoch seconds.
    :param within: Seconds from then on.
    :raises TcBillingError: The list could not be read.
    """
    until = now + client.clock_offset + within
    wanted = wanted or Wanted()
    flags = list(wanted.renew_flags) or None
    found: Iterable[RenewableInstance] = renewable(client, expire_time_end=last_of(until), renew_flag_list=flags)
    due = [i for i in found if earliest(i.expire_time) <= until and wanted.includes(i)]
    return sorted(due, key=lambda instance: (instance.expire_time, instance.instance_id))


def soon(within: float, wanted: Wanted) -> Question:
    """Ask for what expires within so many seconds."""
    return lambda client, now: expiring(client, now, within, wanted)


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
