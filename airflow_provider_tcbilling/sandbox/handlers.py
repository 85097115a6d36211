"""What each action does: one function an action, from the request's JSON object to the answer's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_tcbilling.api.actions import ACTIONS
from airflow_provider_tcbilling.api.models import DealStatus
from airflow_provider_tcbilling.api.schema import MistakeKind
from airflow_provider_tcbilling.sandbox.ledger import CURRENCY, Fate, Ledger, LedgerOrder, Refused

IDS_SHOWN_UP_TO_LIMIT = 200

_CODES = {
    MistakeKind.MISSING: "MissingParameter",
    MistakeKind.UNKNOWN: "UnknownParameter",
    MistakeKind.TYPE: "InvalidParameter",
    MistakeKind.VALUE: "InvalidParameterValue",
}


def answer(ledger: Ledger, action: str, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    """
    Carry a request out.

    :raises Refused: It is wrong, or the sandbox does not play the action.
    """
    mistakes = ACTIONS[action].check(request)
    if mistakes:
        text = "; ".join(f"{m.field}: {m.text}" for m in mistakes)
        raise Refused(_CODES[mistakes[0].kind], text)
    if action not in _HANDLERS:
        raise Refused("UnsupportedOperation", f"The sandbox does not play {action}.")
    return _HANDLERS[action](ledger, request, fate)


def _create_instance(ledger: Ledger, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    order = ledger.buy(request, fate)
    return {"OrderId": order.answer_id, "InstanceIdList": list(order.instance_ids)}


def _describe_deals(ledger: Ledger, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    since, until = ledger.moment(request["StartTime"]), ledger.moment(request["EndTime"])
    asked = [
        order
        for order in ledger.orders()
        if since <= order.created_at <= until
        and (request.get("OrderId") or order.order_id) == order.order_id
        and (request.get("BigDealId") or order.big_deal_id) == order.big_deal_id
        and (not request.get("ResourceId") or request["ResourceId"] in order.instance_ids)
    ]
    statuses = request.get("StatusSet") or [request.get("Status", DealStatus.DELIVERED)]
    found = [order for order in reversed(ledger.look(asked)) if order.status in statuses]
    limit, page = request["Limit"], request.get("Offset", 0)
    shown = found[page * limit : (page + 1) * limit]
    deals = [_deal(ledger, order) for order in shown]
    if limit > IDS_SHOWN_UP_TO_LIMIT:
        deals = [{**deal, "ResourceId": None} for deal in deals]
    return {"Deals": deals, "TotalCount": len(found)}


def _describe_balance(ledger: Ledger, request: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    money = float(ledger.balance_cents)
    return {
        "Balance": ledger.balance_cents,
        "RealBalance": money,
        "CashAccountBalance": money,
        "IncomeIntoAccountBalance": 0.0,
        "PresentAccountBalance": 0.0,
        "FreezeAmount": 0.0,
        "OweAmount": 0.0,
        "CreditAmount": 0.0,
        "CreditBalance": money,
        "RealCreditBalance": money,
        "Uin": ledger.uin,
    }


def _deal(ledger: Ledger, order: LedgerOrder) -> dict[str, Any]:
    bought = order.request
    return {
        "OrderId": order.order_id,
        "BigDealId": order.big_deal_id,
        "Status": int(order.status),
        "Action": "purchase",
        "ResourceId": list(order.instance_ids) or None,
        "ProductCode": bought["ProductCode"],
        "SubProductCode": bought["SubProductCode"],
        "ProductName": bought["ProductCode"],
        "SubProductName": bought["SubProductCode"],
        "PayMode": "prePay",
        "Price": float(ledger.rules.price_cents),
        "TotalCost": float(order.cost_cents),
        "RealTotalCost": order.cost_cents,
        "VoucherDecline": 0,
        "Policy": 100.0,
        "Currency": CURRENCY,
        "TimeSpan": float(bought.get("Period", 1)),
        "TimeUnit": bought.get("PeriodUnit", "m"),
        "CreateTime": ledger.local_time(order.created_at),
        "Creator": str(ledger.uin),
        "Payer": str(ledger.uin),
        "ProjectId": bought.get("ProjectId", 0),
        "GoodsCategoryId": 100019,
        "ProductInfo": [],
        "Formula": "",
        "RefReturnDeals": "",
        "ZoneCode": bought["ZoneCode"],
    }


_HANDLERS: Mapping[str, Callable[[Ledger, Mapping[str, Any], Fate], dict[str, Any]]] = {
    "CreateInstance": _create_instance,
    "DescribeDealsByCond": _describe_deals,
    "DescribeAccountBalance": _describe_balance,
}
