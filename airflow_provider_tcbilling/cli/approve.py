"""``approve``: a user approves the purchases of a plan, on a terminal or in a script. It buys nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.reading import json_of
from airflow_provider_tcbilling.api.text import amount, harmless
from airflow_provider_tcbilling.cli.command import note
from airflow_provider_tcbilling.cli.lookup import Refused
from airflow_provider_tcbilling.purchasing.approval import Approval, Question, refusal_of
from airflow_provider_tcbilling.purchasing.approval_plan import questions_in, refuse_another_place
from airflow_provider_tcbilling.purchasing.approval_text import subject_of_request, total_of
from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
from airflow_provider_tcbilling.task.next_steps import moment
from airflow_provider_tcbilling.task.store import open_ledger

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.hooks.session import Session
    from airflow_provider_tcbilling.ledger.store import Store


def read_line() -> str:
    """Return a line that the user types; empty at the end of the input."""
    sys.stderr.write("Type the total to approve it, anything else to leave it: ")
    sys.stderr.flush()
    return sys.stdin.readline()


def approve(
    text: str,
    tencent: Session,
    *,
    by: str,
    seconds: float | None,
    yes_total: int | None,
    read: Callable[[], str] = read_line,
) -> str:
    """
    Approve the purchases of a plan, all of them or none, and return what was approved.

    :param text: The plan, JSON.
    :param by: Name of the user who approves.
    :param seconds: Time for which it counts; ``None`` is as long as the connection allows. It is never longer.
    :param yes_total: The total in cents, for scripts; ``None`` asks the user.
    :param read: Returns what the user types.
    :raises Refused: Nothing was approved, and the text says why.
    :raises StoreFailed: The ledger cannot be read or written. Nothing was approved.
    """
    settings = tencent.settings
    # The operators of the purchases may have stricter rules, which count as well.
    rules = ApprovalRules(0, tuple(settings.approvers), settings.approval_valid_for)
    questions = _questions_in(text, rules, tencent.buying)
    store = open_ledger(settings) if settings.ledger else None
    if store is None or not store.counts_money:
        raise Refused("Nothing was approved: only a ledger in a database (ledger_conn_id) remembers approvals.")
    now = store.now()
    missing, lines = _missing(questions, store, now)
    valid_until = now + min(rules.valid_for, rules.valid_for if seconds is None else seconds)
    approvals = [replace(question.approved(by, now), valid_until=valid_until) for question in missing]
    for approval, question in zip(approvals, missing, strict=True):
        if why := refusal_of(approval, question, now):
            raise Refused(f"Nothing was approved: {why}.")
    note("\n".join([*lines, *_facts(missing, by, approvals[0])]))
    _confirm(missing, yes_total, read)
    store.approve(approvals, server_name(missing[0].endpoint), missing[0].account)
    return (
        f"Approved by {harmless(by)} until {moment(approvals[0].valid_until)}: {_count(missing)}, at most "
        f"{total_of(missing)} in all. Nothing was bought: each purchase finds its approval when it runs."
    )


def _questions_in(text: str, rules: ApprovalRules, client: BillingClient) -> list[Question]:
    try:
        questions = questions_in(json_of(text), rules)
        if not questions:
            raise Refused("Nothing was approved: no purchase of the plan costs anything more.")
        refuse_another_place(questions, client.endpoint, (client.account, client.key_id))
    except InvalidRequest as error:
        mistakes = [f"  - {mistake}" for mistake in error.mistakes]
        raise Refused("\n".join(["Nothing was approved: the plan is refused.", *mistakes])) from None
    except (ValueError, RecursionError) as error:
        raise Refused(f"Nothing was approved: the plan is not JSON ({harmless(error)}).") from None
    return questions


def _missing(questions: Sequence[Question], store: Store, now: float) -> tuple[list[Question], list[str]]:
    """Return the purchases that are not approved yet, and a line for each purchase, its price first."""
    missing, lines = [], []
    for question in questions:
        approval = store.approval(question.code)
        line = (
            f"{question.price:>16}  {question.action} {subject_of_request(question)}  {harmless(question.key)}  "
            f"[{question.code}]"
        )
        if approval and not refusal_of(approval, question, now):
            line += f", approved already by {harmless(approval.approved_by)} until {moment(approval.valid_until)}"
        else:
            missing.append(question)
        lines.append(line)
    if not missing:
        raise Refused("\n".join(["Nothing was approved: each purchase of the plan is approved already.", *lines]))
    return missing, lines


def _facts(questions: Sequence[Question], by: str, approval: Approval) -> list[str]:
    first = questions[0]
    return [
        f"Total: {total_of(questions)} for {_count(questions)}.",
        f"Account {harmless(first.account)} at {server_name(first.endpoint)}.",
        f"It counts until {moment(approval.valid_until)}, in the name of {harmless(by)}.",
    ]


def _confirm(questions: Sequence[Question], yes_total: int | None, read: Callable[[], str]) -> None:
    """Raise unless the user has typed, or the script has named, exactly the total."""
    total, currency = sum(question.max_cents for question in questions), questions[0].currency
    if yes_total is not None:
        if yes_total != total:
            raise Refused(f"Nothing was approved: the total is {total} cents, and --yes-total says {yes_total}.")
        return
    written = amount(total, currency)
    typed = " ".join(read().split()).casefold()
    if typed not in (written.casefold(), written.split(" ")[0]):
        raise Refused(f"Nothing was approved: the total, {written}, was not typed.")


def _count(questions: Sequence[Question]) -> str:
    return f"{len(questions)} purchase{'' if len(questions) == 1 else 's'}"
