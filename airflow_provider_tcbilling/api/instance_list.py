"""The list of instances as DescribeRenewInstances sends it, page after page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import InvalidRequest, OutcomeUnknown
from airflow_provider_tcbilling.api.models import RenewableInstance

MAX_PAGES = 1000
"""100,000 instances; a longer list counts as broken."""


def renewable(client: BillingClient, **filters: Any) -> Iterator[RenewableInstance]:
    """
    Yield all instances that the server lists, each once, soonest expiry first; 100 a request.

    :param filters: As in :meth:`BillingClient.describe_renew_instances`.
    :raises TcBillingError: The list could not be read, or does not end.
    """
    listed: set[str] = set()
    cursors: set[str] = set()
    while len(cursors) < MAX_PAGES:
        instances, cursor = client.describe_renew_instances(**filters)
        for instance in instances:
            # An instance that is renewed while the list is read stands in it twice.
            if instance.instance_id not in listed:
                listed.add(instance.instance_id)
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


def existing_instance(client: BillingClient, instance_id: str) -> RenewableInstance:
    """
    Return one instance that must be listed.

    :raises InvalidRequest: It is not listed.
    :raises TcBillingError: The list could not be read, so nothing is known.
    """
    if (instance := instance_named(client, instance_id)) is None:
        raise InvalidRequest(instance_id, ["there is no such instance among those that can be renewed"])
    return instance


def mismatches(instance: RenewableInstance, given: Mapping[str, Any]) -> list[str]:
    """Return each argument that differs from the instance; a value that the server leaves out counts as equal."""
    return [
        f"{name}: {instance.instance_id} is of {listed!r}, not of {given[name]!r}"
        for name in ("product_code", "sub_product_code", "region_code")
        if (listed := getattr(instance, name)) not in ("", given.get(name, listed))
    ]
