"""The text of a plan for a user: the price first, then the next step, the rules, and the request. It steers nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_tcbilling.api.text import MAX_SHOWN, amount, harmless
from airflow_provider_tcbilling.purchasing.approval_plan import is_to_pay
from airflow_provider_tcbilling.purchasing.approval_text import shown_fields
from airflow_provider_tcbilling.purchasing.plan import Step

HEAD = ("Fact", "Value")

NAME_WIDTH = 24
"""Cells of a name in plain text."""

SOURCES: Mapping[str, str] = {
    "max_cents": "max_cents says so",
    "remembered": "the highest price of earlier orders of the same",
    "unknown": "nothing tells it",
}
"""The source of a price, for a user."""

STEPS: Mapping[str, str] = {
    Step.BUY: "send it, and pay",
    Step.SEND_AGAIN: "send the same client token again, and pay if nothing was paid",
    Step.ASK: "ask a user for approval, and send nothing before",
    Step.REFUSE: "send nothing, and stop",
    Step.LEAVE: "send nothing: it is not needed",
    Step.RETURN: "return its order, and pay nothing more",
    Step.ADOPT: "adopt the order of an earlier try, and pay nothing more",
    Step.WAIT: "wait, then query the order book",
    Step.STOP: "stop: a user must decide",
}
"""The next step, for a user."""


def text_of(plan: Mapping[str, Any]) -> str:
    """Return a plan in lines, the total first."""
    lines = [f"Total: at most {total_of(plan)}."]
    for purchase in plan["purchases"]:
        lines += ["", *(f"{name:<{NAME_WIDTH}}{value}" for name, value in facts_of(purchase))]
    return "\n".join(lines)


def total_of(plan: Mapping[str, Any]) -> str:
    """Return the sum of the worst cases of a plan, such as ``300.00 USD``."""
    if not any(map(is_to_pay, plan["purchases"])):
        return "nothing"
    return harmless(amount(plan["total_cents"], plan["currency"]) if plan["total_cents"] is not None else "not known")


def facts_of(purchase: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the facts of a purchase of a plan: a name and a value, each one harmless line."""
    for name, value in _facts(purchase):
        yield harmless(name, MAX_SHOWN), harmless(value, 2 * MAX_SHOWN if name != "Refused" else 2000)


def _facts(purchase: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    currency, next_step = purchase["currency"], purchase["next"]
    price = "not known" if purchase["max_cents"] is None else amount(purchase["max_cents"], currency)
    yield "At most", f"{price}: {SOURCES.get(purchase['price_from'], purchase['price_from'])}"
    yield "A try would", f"{STEPS.get(next_step['step'], next_step['step'])}{_order_of(next_step)}"
    if next_step["why"] and not purchase["refusals"]:
        yield "Because", next_step["why"]
    for refusal in purchase["refusals"]:
        yield "Refused", f"{refusal['by']}: {refusal['why']}"
    for limit in purchase["limits"]:
        yield f"Limit {limit['name']}", _limit(limit)
    if purchase["balance"]:
        yield "Balance", _balance(purchase["balance"], currency)
    yield "Approval", _approval(purchase)
    yield "Account", purchase["account"] or "not readable with this key"
    yield "Server", purchase["endpoint"]
    yield "Operation", purchase["action"]
    yield "Purchase", purchase["key"] or "one in each run"
    yield "Client token", purchase["client_token"] or "one in each run"
    yield "Generation", purchase["generation"]
    yield "Record", f"{purchase['state']}, {purchase['where'] or 'one in each run'}"
    for name, value in shown_fields(purchase["payload"]):
        yield f"  {name}", value


def _order_of(next_step: Mapping[str, Any]) -> str:
    return f": order {next_step['order_id']}" if next_step["order_id"] else ""


def _limit(limit: Mapping[str, Any]) -> str:
    names = ("max_cents", "settled_cents", "reserved_cents", "left_cents")
    most, settled, reserved, left = (amount(limit[name], limit["currency"]) for name in names)
    this = "not known" if limit["this_cents"] is None else amount(limit["this_cents"], limit["currency"])
    ends = f", until {limit['ends']}" if limit["ends"] else ""
    verdict = "REFUSED: " if limit["is_refused"] else ""
    return (
        f"{verdict}{most} for each {limit['window']}{ends}. Settled {settled}, reserved {reserved}, this purchase "
        f"{this}, left {left}"
    )


def _balance(balance: Mapping[str, Any], currency: str) -> str:
    names = ("spendable_cents", "under_way_cents", "left_cents", "least_cents")
    spendable, under_way, left, least = (amount(balance[name], currency) for name in names)
    verdict = "REFUSED: " if balance["is_refused"] else ""
    return f"{verdict}{spendable}, under way {under_way}, left {left}, min_balance_cents keeps {least}"


def _approval(purchase: Mapping[str, Any]) -> str:
    approval, code = purchase["approval"], purchase["approval_code"] or "another one in each run"
    if approval["is_approved"]:
        until = f" until {approval['valid_until']}" if approval["valid_until"] else ""
        return f"given by {approval['approved_by']}{until}, code {code}"
    if approval["is_needed"]:
        above = amount(approval["above_cents"], purchase["currency"])
        return f"needed above {above}, and not given: code {code}"
    return "not needed" if purchase["max_cents"] is None else f"not needed, code {code}"
