"""
Plan: purchases in JSON, each with its code, to be approved together.

A reader trusts no field of it. It computes every code again, and compares the request that is shown with the
fingerprint that the code binds. So an edit of a plan approves nothing else than the plan says.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.json_text import canonical_json
from airflow_provider_tcbilling.api.models import unique
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.purchasing.approval import MAX_CENTS, Question

if TYPE_CHECKING:
    from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules

FORMAT, VERSION = "airflow-provider-tcbilling plan", 1

MAX_PURCHASES = 10_000
"""Purchases of one plan."""

PAY_NOTHING = ("return", "adopt", "leave alone")
"""Next steps of a purchase that cost nothing more: see :class:`airflow_provider_tcbilling.purchasing.plan.Step`."""

_TEXTS = ("key", "account", "endpoint", "action", "fingerprint", "currency", "price_from", "approval_code")
"""Fields of a purchase that are text."""


def entry_of(question: Question) -> dict[str, Any]:
    """Return a purchase as a plan has it."""
    return {
        "key": question.key,
        "account": question.account,
        "endpoint": question.endpoint,
        "action": question.action,
        "payload": dict(question.payload_shown),
        "generation": question.generation,
        "fingerprint": question.fingerprint,
        "max_cents": question.max_cents,
        "currency": question.currency,
        "price_from": question.price_from,
        "approval_code": question.code,
    }


def plan_of(purchases: Sequence[Mapping[str, Any]], **more: Any) -> dict[str, Any]:
    """
    Return a plan as it is written.

    :param purchases: From :func:`entry_of`, perhaps with more fields. One whose price is not known has ``None`` as its
        ``max_cents`` and its ``approval_code``, and cannot be approved.
    :param more: More fields of the plan.
    """
    to_pay = [purchase for purchase in purchases if is_to_pay(purchase)]
    currencies = unique(str(purchase["currency"]) for purchase in to_pay)
    cents = [purchase["max_cents"] for purchase in to_pay]
    is_known = None not in cents and len(currencies) <= 1
    plan = {
        **more,
        "format": FORMAT,
        "version": VERSION,
        "purchases": list(purchases),
        "total_cents": sum(cents) if is_known else None,
        "currency": currencies[0] if len(currencies) == 1 else None,
    }
    return {**plan, "digest": _digest(plan)}


def is_to_pay(purchase: Mapping[str, Any]) -> bool:
    """Whether a purchase of a plan would still be paid, as far as the plan says: else nothing is to be approved."""
    step = purchase.get("next")
    return not isinstance(step, Mapping) or step.get("step") not in PAY_NOTHING


def questions_in(plan: Any, rules: ApprovalRules, requester: str = "") -> list[Question]:
    """
    Return the purchases of a plan as questions for approval, without those that cost nothing more.

    :param rules: The users who may approve, and the time for which it counts.
    :param requester: The user who requested them; empty if no user did.
    :raises InvalidRequest: With every mistake: it is no plan, or was edited. Nothing was approved.
    """
    if not isinstance(plan, Mapping) or plan.get("format") != FORMAT:
        raise _refused(["it was not written by this package, or it is damaged"])
    if plan.get("version") != VERSION or isinstance(plan["version"], bool):
        raise _refused([f"it has version {harmless(plan.get('version'), 20)}, and this package reads {VERSION}"])
    purchases = plan.get("purchases")
    if not isinstance(purchases, list) or not 0 < len(purchases) <= MAX_PURCHASES:
        raise _refused([f"it must hold from 1 to {MAX_PURCHASES} purchases"])
    if not _is_whole(plan):
        raise _refused(["it was edited after it was written"])
    read = [
        _question_in(number, entry, rules, requester)
        for number, entry in enumerate(purchases, 1)
        if not isinstance(entry, Mapping) or is_to_pay(entry)
    ]
    questions = [question for question in read if isinstance(question, Question)]
    mistakes = [mistake for mistake in read if isinstance(mistake, str)]
    if mistakes := mistakes or [*_mistakes_together(questions), *_mistakes_in_total(questions, plan)]:
        raise _refused(mistakes)
    return questions


def joined(plans: Sequence[Sequence[Question]], most: int = MAX_PURCHASES) -> list[Question]:
    """
    Return the purchases of several plans that are approved together.

    :param most: So many at most.
    :raises InvalidRequest: They do not belong together, or are too many. Nothing was approved.
    """
    questions = [question for plan in plans for question in plan]
    if len(questions) > most:
        raise _refused([f"{len(questions)} purchases are more than are approved together, {most}"])
    if mistakes := list(_mistakes_together(questions)):
        raise _refused(mistakes)
    return questions


def refuse_another_place(questions: Sequence[Question], endpoint: str, accounts: Sequence[str]) -> None:
    """
    Raise if purchases are of another server or account than these.

    :param accounts: Names of the account: its number, and the hash of its SecretId.
    :raises InvalidRequest: They are. Nothing was approved.
    """
    first, mistakes = questions[0], []
    if server_name(first.endpoint) != server_name(endpoint):
        mistakes.append(f"it is for {server_name(first.endpoint)}, and the connection is for {server_name(endpoint)}")
    if first.account not in accounts:
        own = next(filter(None, accounts), "another one")
        mistakes.append(f"it is for account {harmless(first.account, 100)!r}, and the connection is for {own}")
    if mistakes:
        raise _refused(mistakes)


def _question_in(number: int, entry: Any, rules: ApprovalRules, requester: str) -> Question | str:
    """Return a purchase as a question, or what is wrong with it."""
    fields = entry if isinstance(entry, Mapping) else {}
    if fields and fields.get("max_cents") is None:
        return f"purchase {number}: its price is not known, so it cannot be approved"
    if "approval_code" in fields and not fields["approval_code"]:
        return (
            f"purchase {number}: it has no code, since it is another purchase in each run. Plan it with --run-id, or "
            "give it a purchase_key"
        )
    if not _is_entry(fields):
        return f"purchase {number}: a field is missing, or is not what it should be"
    question = Question(
        code=fields["approval_code"],
        key=fields["key"],
        account=fields["account"],
        endpoint=fields["endpoint"],
        action=fields["action"],
        payload_shown=fields["payload"],
        max_cents=fields["max_cents"],
        currency=fields["currency"],
        price_from=fields["price_from"],
        generation=fields["generation"],
        fingerprint=fields["fingerprint"],
        rules=rules,
        requester=requester,
    )
    try:
        is_as_shown = question.is_as_shown
    except (InvalidRequest, ValueError):
        is_as_shown = False
    return question if is_as_shown else f"purchase {number}: its code is not that of what the plan shows"


def _is_entry(fields: Mapping[str, Any]) -> bool:
    return (
        all(isinstance(fields.get(name), str) for name in _TEXTS)
        and isinstance(fields.get("payload"), Mapping)
        and all(type(fields.get(name)) is int and fields[name] >= 0 for name in ("generation", "max_cents"))
    )


def _mistakes_together(questions: Sequence[Question]) -> Iterator[str]:
    for key, count in Counter(question.key for question in questions).items():
        if count > 1:
            yield f"purchase {harmless(key, 100)} stands in it {count} times"
    if len({(question.account, server_name(question.endpoint)) for question in questions}) > 1:
        yield "its purchases are of more than one account or server"
    if len(currencies := {question.currency for question in questions}) > 1:
        yield f"it mixes the currencies {', '.join(sorted(harmless(currency, 20) for currency in currencies))}"
    if sum(question.max_cents for question in questions) > MAX_CENTS:
        yield f"its total is above {MAX_CENTS} cents"


def _mistakes_in_total(questions: Sequence[Question], plan: Mapping[str, Any]) -> Iterator[str]:
    total, currencies = sum(question.max_cents for question in questions), {one.currency for one in questions}
    if len(currencies) == 1 and (plan.get("total_cents"), plan.get("currency")) != (total, *currencies):
        yield "its total is not the sum of its purchases"


def _is_whole(plan: Mapping[str, Any]) -> bool:
    try:
        return bool(plan.get("digest") == _digest(plan))
    except (TypeError, ValueError, RecursionError):
        return False


def _digest(plan: Mapping[str, Any]) -> str:
    fields = {name: value for name, value in plan.items() if name != "digest"}
    return hashlib.sha256(canonical_json(fields).encode()).hexdigest()


def _refused(mistakes: Sequence[str]) -> InvalidRequest:
    return InvalidRequest("The plan", mistakes)
