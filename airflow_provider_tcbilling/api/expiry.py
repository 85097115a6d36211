"""What expires, and when: the list of instances as DescribeRenewInstances tells it, page after page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import OutcomeUnknown
from airflow_provider_tcbilling.api.models import RenewableInstance
from airflow_provider_tcbilling.api.servertime import earliest, last_of

MAX_PAGES = 1000
"""100,000 instances; a list that does not end is taken for broken."""


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

    def includes(self, instance: RenewableInstance) -> bool:
        """Whether an instance is meant."""
        asked = (
            (self.product_codes, instance.product_code),
            (self.sub_product_codes, instance.sub_product_code),
            (self.region_codes, instance.region_code),
            (self.renew_flags, instance.renew_flag),
        )
        return all(not codes or code in codes for codes, code in asked) and fnmatchcase(
            instance.instance_name, self.name
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
