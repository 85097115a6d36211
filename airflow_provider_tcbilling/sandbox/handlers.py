"""The actions: one function each, from the request's JSON object to the answer's."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.models import DealStatus
from airflow_provider_tcbilling.api.schema import MistakeKind
from airflow_provider_tcbilling.sandbox.account import Account
from airflow_provider_tcbilling.sandbox.errors import Refused
from airflow_provider_tcbilling.sandbox.instances import ISOLATED, NORMAL, Instance
from airflow_provider_tcbilling.sandbox.orders import Fate, PlacedOrder

IDS_SHOWN_UP_TO_LIMIT = 200

NOT_SET = 1
"""Code of an instance whose renewal could not be set. Invented: the numbers are not documented."""

_CODES = {
    MistakeKind.MISSING: "MissingParameter",
    MistakeKind.UNKNOWN: "UnknownParameter",
    MistakeKind.TYPE: "InvalidParameter",
    MistakeKind.VALUE: "InvalidParameterValue",
}


def answer(account: Account, action: str, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    """
    Carry a request out.

    :raises Refused: It is wrong, or it cannot be carried out.
    """
    mistakes = ACTIONS[action].check(request)
    if mistakes:
        text = "; ".join(f"{m.field}: {m.text}" for m in mistakes)
        raise Refused(_CODES[mistakes[0].kind], text)
    return HANDLERS[action](account, request, fate)


def _create_instance(account: Account, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    order = account.buy(request, fate)
    parts = account.numbered(order.big_deal_id)
    return {"OrderId": order.answer_id, "InstanceIdList": [one for part in parts for one in part.instance_ids]}


def _renew_instance(account: Account, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    return {"OrderIdList": [account.renew(request, fate).answer_id]}


def _refund_instance(account: Account, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    return {"OrderIdList": [account.refund(request, fate).answer_id]}


def _set_renewal(account: Account, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    try:
        account.set_renewal(request)
    except Refused as refused:
        failed = {"Code": NOT_SET, "Message": refused.message, "InstanceId": request["InstanceId"]}
        return {"InstanceList": [failed]}
    return {"InstanceList": []}


def _describe_renewals(account: Account, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    now, is_reverse = account.clock.now(), bool(request.get("Reverse"))
    is_included = _filter_of(account, request)
    after = _read_cursor(request.get("NextToken"), is_reverse)
    placed = [(_position(one.shown_expiry(now), is_reverse), one.instance_id, one) for one in account.instances()]
    rest = [entry for entry in placed if entry[:2] > after and is_included(entry[2], entry[2].shown_expiry(now))]
    page = sorted(rest, key=lambda entry: entry[:2])[: request["MaxResults"]]
    return {
        "InstanceList": [_renewal(account, instance, now) for _, _, instance in page],
        "NextToken": _cursor(page[-1][:2], is_reverse) if len(rest) > len(page) else None,
    }


def _filter_of(account: Account, request: Mapping[str, Any]) -> Callable[[Instance, float | None], bool]:
    flags, ids = request.get("RenewFlagList"), request.get("InstanceIdList")
    since, until = request.get("ExpireTimeStart"), request.get("ExpireTimeEnd")
    first = account.clock.read(since) if since else float("-inf")
    last = account.clock.read(until) if until else float("inf")

    def is_in_time(expiry: float | None) -> bool:
        # Times are written in whole seconds, and compared as they are written.
        return not (since or until) if expiry is None else first <= int(expiry) <= last

    return lambda instance, expiry: (
        (not flags or instance.renew_flag in flags) and (not ids or instance.instance_id in ids) and is_in_time(expiry)
    )


def _position(expiry: float | None, is_reverse: bool) -> tuple[bool, float]:
    """Return the place of an expiry in the list; an instance without one comes last, whatever the direction."""
    return expiry is None, (-expiry if is_reverse else expiry) if expiry is not None else 0.0


def _cursor(entry: tuple[tuple[bool, float], str], is_reverse: bool) -> str:
    (is_last, place), instance_id = entry
    return base64.urlsafe_b64encode(json.dumps([is_last, place, instance_id, is_reverse]).encode()).decode()


def _read_cursor(token: str | None, is_reverse: bool) -> tuple[tuple[bool, float], str]:
    if not token:
        return (False, float("-inf")), ""
    try:
        is_last, place, instance_id, was_reverse = json.loads(base64.urlsafe_b64decode(token))
        if was_reverse is is_reverse:
            return (bool(is_last), float(place)), str(instance_id)
    except (ValueError, TypeError, OverflowError, RecursionError):
        pass
    raise Refused("InvalidParameter", "NextToken does not come from a page of this list.")


def _renewal(account: Account, instance: Instance, now: float) -> dict[str, Any]:
    expiry = instance.shown_expiry(now)
    return {
        "InstanceId": instance.instance_id,
        "ProductCode": instance.product_code,
        "SubProductCode": instance.sub_product_code,
        "RegionCode": instance.region_code,
        "Status": NORMAL if expiry is None or now < expiry else ISOLATED,
        "RenewFlag": instance.renew_flag,
        "ExpireTime": None if expiry is None else account.clock.written(expiry),
        "InstanceName": instance.name or None,
        "ProductName": instance.product_code,
        "ProjectName": f"project {instance.project_id}" if instance.project_id else "Default Project",
        "RenewPeriod": instance.renew_period,
        "RenewPeriodUnit": instance.renew_period_unit,
    }


def _describe_deals(account: Account, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    since, until = account.clock.read(request["StartTime"]), account.clock.read(request["EndTime"])
    number = request.get("OrderId") or request.get("BigDealId")
    orders = [
        order
        for order in (account.numbered(number) if number else account.orders())
        if since <= order.created_at <= until
        and (request.get("OrderId") or order.order_id) == order.order_id
        and (request.get("BigDealId") or order.big_deal_id) == order.big_deal_id
        and (not request.get("ResourceId") or request["ResourceId"] in order.instance_ids)
    ]
    statuses = request.get("StatusSet") or [request.get("Status", DealStatus.DELIVERED)]
    found = [order for order in reversed(account.query(orders)) if order.status in statuses]
    limit, page = request["Limit"], request.get("Offset", 0)
    shown = found[page * limit : (page + 1) * limit]
    deals = [_deal(account, order) for order in shown]
    if limit > IDS_SHOWN_UP_TO_LIMIT:
        deals = [{**deal, "ResourceId": None} for deal in deals]
    return {"Deals": deals, "TotalCount": len(found)}


def _describe_balance(account: Account, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    money = float(account.balance_cents)
    return {
        "Balance": account.balance_cents,
        "RealBalance": money,
        "CashAccountBalance": money,
        "IncomeIntoAccountBalance": 0.0,
        "PresentAccountBalance": 0.0,
        "FreezeAmount": 0.0,
        "OweAmount": 0.0,
        "CreditAmount": 0.0,
        "CreditBalance": money,
        "RealCreditBalance": money,
        "Uin": account.uin,
    }


def _deal(account: Account, order: PlacedOrder) -> dict[str, Any]:
    bought = order.request
    return {
        "OrderId": order.order_id,
        "BigDealId": order.big_deal_id,
        "Status": int(order.status),
        "Action": order.action,
        "ResourceId": list(order.instance_ids) or None,
        "ProductCode": bought["ProductCode"],
        "SubProductCode": bought["SubProductCode"],
        "ProductName": bought["ProductCode"],
        "SubProductName": bought["SubProductCode"],
        "PayMode": "prePay",
        "Price": order.cost_cents / order.quantity,
        "TotalCost": float(order.cost_cents),
        "RealTotalCost": order.paid_cents,
        "VoucherDecline": order.voucher_cents,
        "Policy": 100.0,
        "Currency": order.currency,
        "TimeSpan": float(order.period),
        "TimeUnit": order.period_unit,
        "CreateTime": account.clock.written(order.created_at),
        "Creator": order.creator or str(account.uin),
        "Payer": str(account.uin),
        "ProjectId": order.project_id,
        "GoodsCategoryId": 100019,
        "ProductInfo": [],
        "Formula": order.formula,
        "RefReturnDeals": ",".join(order.returned_order_ids),
        "ZoneCode": order.zone_code,
    }


HANDLERS: Mapping[str, Callable[[Account, Mapping[str, Any], Fate], dict[str, Any]]] = {
    "CreateInstance": _create_instance,
    "RenewInstance": _renew_instance,
    "RefundInstance": _refund_instance,
    "SetRenewal": _set_renewal,
    "DescribeRenewInstances": _describe_renewals,
    "DescribeDealsByCond": _describe_deals,
    "DescribeAccountBalance": _describe_balance,
}
