"""Other orders: those that another user of the account places, such as somebody in Tencent's console."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from airflow_provider_tcbilling.api.models import DealStatus
from airflow_provider_tcbilling.sandbox.account import LARGEST_QUANTITY, Account
from airflow_provider_tcbilling.sandbox.errors import Refused, WrongControl
from airflow_provider_tcbilling.sandbox.existing_instances import MOST_DAYS, read_time
from airflow_provider_tcbilling.sandbox.instances import DAY, MONTHS
from airflow_provider_tcbilling.sandbox.limits import MAX_TEXT, Range, is_finite, is_text
from airflow_provider_tcbilling.sandbox.orders import PURCHASE, RENEW, UNDER_WAY, PlacedOrder, Terms

CREATOR = "100000000777"
"""The user who places an order if none is named. It is not the account of the key."""

_PAID = (*UNDER_WAY, DealStatus.DELIVERED, DealStatus.DELIVERY_FAILED, DealStatus.REFUNDED)
"""The statuses of an order that took money."""

_PRODUCT: Mapping[str, str] = {
    "ProductCode": "p_cloudfirewall",
    "SubProductCode": "sp_cloudfirewall_svv1",
    "RegionCode": "ap-guangzhou",
    "ZoneCode": "ap-guangzhou-6",
}


class _Option(NamedTuple):
    """An option of the description: the test for a value, the same in words, and its name on the wire."""

    is_valid: Callable[[Any], bool]
    about: str
    wire_name: str = ""


_CENTS, _PERIOD = Range(0, 10**15, is_whole=True), Range(1, 36, is_whole=True)
_QUANTITY, _STATUS = Range(1, LARGEST_QUANTITY, is_whole=True), Range(1, 12, is_whole=True)
_PROJECT, _DAYS = Range(0, 2**31 - 1, is_whole=True), Range(-MOST_DAYS, MOST_DAYS)
_TEXT = (is_text, f"text of at most {MAX_TEXT} characters")
_OPTIONS: Mapping[str, _Option] = {
    "action": _Option(lambda value: value in (PURCHASE, RENEW), f"{PURCHASE} or {RENEW}"),
    "creator": _Option(*_TEXT),
    "create_time": _Option(is_text, "a time such as 2026-12-31T00:00:00Z"),
    "days_ago": _Option(_DAYS.has, str(_DAYS)),
    "cents": _Option(_CENTS.has, str(_CENTS)),
    "voucher_cents": _Option(_CENTS.has, str(_CENTS)),
    "currency": _Option(*_TEXT),
    "status": _Option(_STATUS.has, str(_STATUS)),
    "parameter": _Option(lambda value: isinstance(value, dict) and is_finite(value), "an object of JSON values"),
    "instance_id": _Option(*_TEXT, "InstanceId"),
    "product_code": _Option(*_TEXT, "ProductCode"),
    "sub_product_code": _Option(*_TEXT, "SubProductCode"),
    "region_code": _Option(*_TEXT, "RegionCode"),
    "zone_code": _Option(*_TEXT, "ZoneCode"),
    "quantity": _Option(_QUANTITY.has, str(_QUANTITY), "Quantity"),
    "period": _Option(_PERIOD.has, str(_PERIOD), "Period"),
    "period_unit": _Option(lambda value: value in tuple(MONTHS), " or ".join(MONTHS), "PeriodUnit"),
    "renew_flag": _Option(*_TEXT, "RenewFlag"),
    "project_id": _Option(_PROJECT.has, str(_PROJECT), "ProjectId"),
}


def add_orders(account: Account, wanted: Mapping[str, Any]) -> list[PlacedOrder]:
    """
    Place an order of another user: it is in the order book at once, and paid from the account.

    :param wanted: Fields of the order; every one has a default. ``docs/reference/sandbox.md`` lists them.
    :return: Its sub-orders: one, unless the option ``suborder_quantity`` divides it.
    :raises WrongControl: With every mistake, or with the reason of a refusal. Nothing is placed.
    """
    _check(wanted)
    action = wanted.get("action", PURCHASE)
    status = wanted.get("status", int(DealStatus.DELIVERED))
    terms = Terms(
        cents=wanted.get("cents"),
        voucher_cents=wanted.get("voucher_cents"),
        currency=wanted.get("currency", ""),
        creator=wanted.get("creator", CREATOR),
        is_paid=status in _PAID,
    )
    request = {
        **(_product_of(account, wanted) if action == RENEW else _PRODUCT),
        **{option.wire_name: wanted[name] for name, option in _OPTIONS.items() if option.wire_name and name in wanted},
        "Parameter": json.dumps(wanted.get("parameter", {})),
    }
    ends_as = None if status in UNDER_WAY else status
    try:
        return account.add_order(action, request, terms, at=_moment(account, wanted), ends_as=ends_as)
    except Refused as refused:
        raise WrongControl(f"{refused.code}: {refused.message}") from None


def _check(wanted: Mapping[str, Any]) -> None:
    if unknown := sorted(set(wanted) - set(_OPTIONS)):
        raise WrongControl(f"{', '.join(unknown)}: not known here; there are {', '.join(_OPTIONS)}")
    if wrong := [f"{key} must be {_OPTIONS[key].about}" for key in wanted if not _OPTIONS[key].is_valid(wanted[key])]:
        raise WrongControl("; ".join(wrong))
    if {"create_time", "days_ago"} <= set(wanted):
        raise WrongControl("say create_time or days_ago, not both")
    if wanted.get("voucher_cents", 0) > wanted.get("cents", 10**15):
        raise WrongControl("voucher_cents is more than cents")
    if ("instance_id" in wanted) != (wanted.get("action") == RENEW):
        raise WrongControl(f"instance_id is needed with action {RENEW}, and only with it")


def _product_of(account: Account, wanted: Mapping[str, Any]) -> dict[str, str]:
    """Return the product of the instance that is renewed."""
    for instance in account.instances():
        if instance.instance_id == wanted["instance_id"]:
            codes = (instance.product_code, instance.sub_product_code, instance.region_code, instance.zone_code)
            return dict(zip(_PRODUCT, codes, strict=True))
    raise WrongControl(f"instance_id: there is no instance {wanted['instance_id']!r}")


def _moment(account: Account, wanted: Mapping[str, Any]) -> float:
    now = account.clock.now()
    if "create_time" not in wanted:
        return float(now - wanted.get("days_ago", 0) * DAY)
    moment = read_time(wanted["create_time"])
    if moment is None or not _DAYS.has((moment - now) / DAY):
        raise WrongControl(f"create_time must be {_OPTIONS['create_time'].about}, at most {MOST_DAYS} days from now")
    return moment
