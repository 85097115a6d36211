"""The text of a question for approval: prices first, everything else escaped and bounded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pendulum

from airflow_provider_tcbilling.api.actions import CREATE_INSTANCE, RENEW_INSTANCE
from airflow_provider_tcbilling.api.models import unique
from airflow_provider_tcbilling.api.text import MAX_CELL, amount, in_markdown, inert
from airflow_provider_tcbilling.purchasing.approval import UNKNOWN_REQUESTER, Question, code_of_batch

REFUSE = "Do not buy"
"""The option that approves nothing. It is the default."""

MAX_ROWS = 40
"""Fields of a payload that are shown."""

MAX_DEPTH = 3
"""Objects within objects whose fields are shown one by one."""

MAX_PURCHASES = 200
"""Purchases of a batch that are shown."""

MAX_NAME = 60
"""Characters of a name in a subject or an option."""

_VERBS: Mapping[str, str] = {CREATE_INSTANCE.name: "Buy", RENEW_INSTANCE.name: "Renew"}

_NO_ACCOUNT = "not readable with this key"
_BINDS = "The code binds the answer to exactly this. If a request or a price changes, the answer approves nothing."

_SOURCES: Mapping[str, str] = {
    "max_cents": "the limit that this purchase sets itself, max_cents",
    "remembered": "the highest price of earlier orders of the same",
}
"""The source of a price, for the approver."""


def approving_option(question: Question) -> str:
    """Return the option that approves, such as ``Buy for at most 100.00 USD [7F3K-9QXM-02TZ-6VBC-H1ND]``."""
    return f"{_verb(question)} for at most {inert(question.price, MAX_NAME)} [{question.code}]"


def options_of(question: Question) -> list[str]:
    """Return the options: to approve, and to refuse."""
    return [approving_option(question), REFUSE]


def subject_of(question: Question) -> str:
    """Return one line: the price, then the purchase."""
    subject = subject_of_request(question)
    return f"At most {inert(question.price, MAX_NAME)}: {_verb(question).lower()} {subject}"


def body_of(question: Question) -> str:
    """Return the question in Markdown: the price, the total, the purchase, its payload, the conditions."""
    facts = {
        "Account": question.account or _NO_ACCOUNT,
        "Server": question.endpoint,
        "Purchase": question.key,
        "Operation": question.action,
        "Refusals before": str(question.generation),
        **_conditions(question),
        "Code": question.code,
    }
    return "\n".join(
        [
            f"**At most {_cell(question.price)}**",
            "",
            f"The price is {_SOURCES.get(question.price_from, _cell(question.price_from))}.",
            "",
            f"Total: {_cell(total_of([question]))} for 1 purchase.",
            "",
            *_table("Request", "Value", shown_fields(question.payload_shown)),
            "",
            *_table("Purchase", "Value", facts.items()),
            "",
            _BINDS,
        ]
    )


def batch_option(questions: Sequence[Question]) -> str:
    """Return the option that approves purchases together, such as ``Buy all 3 for at most 300.00 USD [...]``."""
    verbs = unique(map(_verb, questions))
    verb = verbs[0] if len(verbs) == 1 else "Pay"
    code = code_of_batch([question.code for question in questions])
    return f"{verb} all {len(questions)} for at most {inert(total_of(questions), MAX_NAME)} [{code}]"


def batch_subject(questions: Sequence[Question]) -> str:
    """Return one line: the total, then the number of purchases."""
    return f"At most {inert(total_of(questions), MAX_NAME)} in all: {len(questions)} purchases"


def batch_body(questions: Sequence[Question]) -> str:
    """Return the question about several purchases in Markdown: the total, then each price with what it is for."""
    first = questions[0]
    facts = {"Account": first.account or _NO_ACCOUNT, "Server": first.endpoint, **_conditions(first)}
    return "\n".join(
        [
            f"**At most {_cell(total_of(questions))} in all, for {len(questions)} purchases**",
            "",
            "| At most | Operation | Subject | Purchase | Price from | Code |",
            "| --- | --- | --- | --- | --- | --- |",
            *(_row(question) for question in questions),
            "",
            *_table("All", "Value", facts.items()),
            "",
            _BINDS,
        ]
    )


def _row(question: Question) -> str:
    parts = (
        question.price,
        question.action,
        subject_of_request(question),
        question.key,
        question.price_from,
        question.code,
    )
    return f"| {' | '.join(map(_cell, parts))} |"


def total_of(questions: Sequence[Question]) -> str:
    """
    Return the sum of the highest prices, computed from their cents; one sum for each currency.

    :return: Such as ``300.00 USD``, or ``300.00 USD and 20.00 CNY``.
    """
    currencies = unique(question.currency for question in questions)
    sums = (
        (sum(question.max_cents for question in questions if question.currency == currency), currency)
        for currency in currencies
    )
    return " and ".join(amount(cents, currency) for cents, currency in sums)


def shown_fields(payload: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the fields of a payload, those of an object in it too, and at the end the number of those left out."""
    fields = list(_flat(payload, "", 0))
    yield from fields[:MAX_ROWS]
    if len(fields) > MAX_ROWS:
        yield "...", f"{len(fields) - MAX_ROWS} more fields, which the code binds as well"


def _flat(value: Any, name: str, depth: int) -> Iterator[tuple[str, str]]:
    read = _read(value)
    if isinstance(read, Mapping) and read and depth < MAX_DEPTH:
        for part, inner in read.items():
            yield from _flat(inner, f"{name}.{part}" if name else str(part), depth + 1)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _read(value: Any) -> Any:
    """Return the object of JSON text, and any other value as it is."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _table(left: str, right: str, rows: Any) -> Iterator[str]:
    yield f"| {left} | {right} |"
    yield "| --- | --- |"
    for name, value in rows:
        yield f"| {_cell(name)} | {_cell(value, 4 * MAX_CELL)} |"


def _cell(text: Any, limit: int = MAX_CELL) -> str:
    return in_markdown(text, limit)


def _verb(question: Question) -> str:
    return _VERBS.get(question.action, "Pay")


def subject_of_request(question: Question) -> str:
    """Return the name of what is bought: the instance, the product, or else the purchase."""
    payload = question.payload_shown
    named = payload.get("InstanceId") or payload.get("SubProductCode") or payload.get("ProductCode") or question.key
    return inert(named, MAX_NAME)


def _conditions(question: Question) -> dict[str, str]:
    return {
        "Requested by": _requester(question.requester),
        "Approvers": ", ".join(question.rules.approvers) or "any named user",
        "Counts for": _in_words(question.rules.valid_for),
    }


def _requester(requester: str) -> str:
    return {"": "no user: by its schedule", UNKNOWN_REQUESTER: "a user whose name is not known"}.get(
        requester, requester
    )


def _in_words(seconds: float) -> str:
    """Return a span in the words of a reader, such as ``1 day``."""
    return str(pendulum.duration(seconds=seconds).in_words(locale="en"))
