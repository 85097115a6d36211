"""The classes of errors, the ends of a task that meets them, the next steps, and the error codes."""

from __future__ import annotations

import inspect
from types import ModuleType

from airflow_provider_tcbilling.api import errors
from airflow_provider_tcbilling.api.error_codes import ERROR_CODES, CarriedOut, ErrorCode
from airflow_provider_tcbilling.purchasing import errors as purchase_errors
from airflow_provider_tcbilling.purchasing import money_errors
from airflow_provider_tcbilling.task import failure_message, next_steps
from airflow_provider_tcbilling.task.failure_message import TaskEnd, Words
from reference.markdown import first_sentence, link_to, table

Kind = type[errors.TcBillingError]

DASH = "\N{EN DASH}"
ENDS = {
    (False, False): "fails for good",
    (False, True): "fails for good, and says to look at the orders first",
    (True, False): "is retried",
    (True, True): "is retried, with the same client token",
}
"""The end of a task, by whether an error is transient and ambiguous."""

ENDS_OTHERWISE: dict[Kind, str] = {
    purchase_errors.LeftAlone: "is skipped, with the reason",
    purchase_errors.RunRefused: 'fails for good, or is skipped with `on_refused_run="skip"`',
    money_errors.ApprovalNeeded: "asks a user, and waits",
    money_errors.ApprovalRefused: 'fails for good, or is skipped with `on_refused_run="skip"`',
    errors.AnotherAccount: "fails for good, or is retried where nothing tells either account",
    errors.DeliveryTimeout: "fails for good, so that no retry begins with the purchase; a sensor can wait on",
}

OF_OTHER_TASKS: dict[Kind, Words] = {
    errors.RenewalNotSet: failure_message.SETS,
    errors.WaitEnded: failure_message.READS,
}
"""Errors of tasks that place no order, with the words for their action."""

NEVER_IN_DOUBT: tuple[Kind, ...] = (purchase_errors.LeftAlone, *next_steps.OF_AN_ORDER, *OF_OTHER_TASKS)
"""Errors after which no request can be in doubt: nothing was to be sent, or the order is known."""

STAND_INS = {
    "acts": "it BUYS",
    "conn_id": "`CONN_ID`",
    "console": "the console",
    "settle": "settle ...",
    "accept": "settle --price-key KEY --accept-price",
    "approve": "approve --plan FILE ...",
    "reconcile": "reconcile --month MONTH ...",
    "restore": "settle --restore FILE",
    "decidable": "ten minutes after the first request",
    "replay": "the time that it names",
    "order_id": "NUMBER",
}
"""Text for the values that only a task knows."""


def parts() -> dict[str, str]:
    """Return every part by its name."""
    kinds = [
        kind
        for module in (errors, purchase_errors, money_errors)
        for kind in vars(module).values()
        if _is_error(kind, module)
    ]
    ends = [(f"`{kind.__name__}`", _end(kind), first_sentence(kind)) for kind in kinds]
    return {
        "error_classes": table(("Error", "The task", "Meaning"), ends),
        "error_steps": table(("Error", "Next", "Next, if it is perhaps paid"), map(_steps_after, kinds)),
        "steps": table(("The record", "The order book", "Next"), _steps()),
        "error_codes": table(("Code and error", "Carried out?", "Meaning"), map(_code, ERROR_CODES.values())),
    }


def _is_error(thing: object, module: ModuleType) -> bool:
    is_class = inspect.isclass(thing) and issubclass(thing, errors.TcBillingError)
    return is_class and thing is not errors.TcBillingError and thing.__module__ == module.__name__


def _end(kind: Kind) -> str:
    return ENDS_OTHERWISE.get(kind) or ENDS[kind.transient, kind.ambiguous]


def _steps_after(kind: Kind) -> tuple[str, str, str]:
    name = f"`{kind.__name__}`"
    if issubclass(kind, purchase_errors.PurchaseOutcomeUnknown):
        by_finding = link_to("steps", "By the record and the order book")
        return name, by_finding, by_finding
    words, error = OF_OTHER_TASKS.get(kind, failure_message.WORDS["CreateInstance"]), kind.__new__(kind)
    stand_ins = {**STAND_INS, "acts": words.acts}
    certain, in_doubt = (
        _in_cell(TaskEnd("", words=words, in_doubt=is_in_doubt).template(error), stand_ins)
        for is_in_doubt in (False, True)
    )
    return name, certain, DASH if issubclass(kind, NEVER_IN_DOUBT) else in_doubt


def _steps() -> list[tuple[str, str, str]]:
    """Return a row for each step, with the records and the orders that lead to it."""
    found: dict[tuple[str, str], list[str]] = {}
    for (state, finding), step in next_steps.STEPS.items():
        found.setdefault((state, _in_cell(step)), []).append(finding.value)
    states: dict[tuple[str, str], list[str]] = {}
    for (state, step), findings in found.items():
        states.setdefault(("<br>".join(findings), step), []).append(state)
    return [("<br>".join(names), findings, step) for (findings, step), names in states.items()]


def _in_cell(step: str, stand_ins: dict[str, str] = STAND_INS) -> str:
    lines = step.replace("the console, {console}", "{console}").format_map(stand_ins).split("\n")
    return "<br>".join(f"`{line.strip()}`" if line.startswith("  ") else line for line in lines)


def _code(row: ErrorCode) -> tuple[str, ...]:
    done = row.carried_out.value
    shown = done if row.carried_out is CarriedOut.NO else f"**{done}**"
    return f"`{row.code}`<br><small>`{row.error}`</small>", shown, f"{row.meaning} {row.remedy}".strip()
