"""Approval in a task: ask before a purchase, and read the answer that resumes the task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

import pendulum

from airflow_provider_tcbilling.api.endpoint import server_name
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.operators import _approval_dialects as dialects
from airflow_provider_tcbilling.operators._approval_dialects import Prompt
from airflow_provider_tcbilling.purchasing.approval import Question, code_of_batch, is_named, refusal_of
from airflow_provider_tcbilling.purchasing.approval_plan import entry_of, plan_of
from airflow_provider_tcbilling.purchasing.approval_text import (
    REFUSE,
    approving_option,
    batch_body,
    batch_option,
    batch_subject,
    body_of,
    subject_of,
)
from airflow_provider_tcbilling.purchasing.money_errors import (
    ApprovalNeeded,
    ApprovalRefused,
    NobodyAsked,
    QuestionOutdated,
)
from airflow_provider_tcbilling.task.store import store_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.api.models import Order
    from airflow_provider_tcbilling.ledger.store import Store
    from airflow_provider_tcbilling.operators._execution import Execution
    from airflow_provider_tcbilling.triggers._task import BillingTask

MAX_NAME = 100
"""Characters of a user's name."""


@dataclass(frozen=True)
class Answer:
    """
    The answer to a question, as Airflow hands it to the task.

    :param chosen: The options that were chosen.
    :param by: Name of the user; empty if no user is named.
    :param at: Epoch seconds; ``None`` if no time is named.
    :param code: That of the question that was put, for messages only.
    :param trouble: Why it approves nothing, whatever the options; empty if nothing speaks against it.
    """

    chosen: Sequence[str]
    by: str = ""
    at: float | None = None
    code: str = ""
    trouble: str = ""

    def refuse_unless_it_approves(self) -> None:
        """
        Raise unless a named user has chosen another option than to refuse.

        :raises ApprovalRefused: It approves nothing, whatever the purchase is now.
        """
        if self.trouble:
            raise ApprovalRefused(self.code, self.trouble)
        if not is_named(self.by):
            raise ApprovalRefused(self.code, f"no named user has answered, but {harmless(self.by or 'nobody', 100)}")
        if len(self.chosen) != 1 or REFUSE in self.chosen:
            raise ApprovalRefused(self.code, f"{harmless(self.by, 100)} has refused it")


def answer_of(event: Any, code: Any = "") -> Answer:
    """
    Return the answer that an event has.

    :param code: That of the question that was put, if Airflow has kept it.
    :raises InvalidRequest: The task was resumed without an answer.
    """
    code = code if isinstance(code, str) and code else "unknown"
    if not isinstance(event, Mapping):
        raise InvalidRequest("The approval", ["the task was resumed without an answer"])
    if error := event.get("error"):
        is_late = event.get("error_type") == "timeout"
        return Answer((), code=code, trouble="nobody has answered in time" if is_late else harmless(error))
    chosen, by = event.get("chosen_options"), event.get("responded_by_user")
    name = by.get("name") if isinstance(by, Mapping) else None
    return Answer(
        chosen if isinstance(chosen, (list, tuple)) else (),
        name if isinstance(name, str) and len(name) <= MAX_NAME else "",
        _moment_of(event.get("responded_at")),
        code,
        "nobody has answered in time" if event.get("timedout") else "",
    )


@contextmanager
def asking(run: Execution) -> Iterator[None]:
    """
    Put the question if the purchase needs an approval.

    :raises NobodyAsked: This line of Airflow cannot ask. Nothing was sent.
    :raises QuestionOutdated: Airflow would show another question. Nobody was asked, and nothing was sent.
    """
    try:
        yield
    except ApprovalNeeded as needed:
        log_plan(run.task, [needed.question])
        ask(run.task, run.context, prompt_of(needed.question))


def place_approved(run: Execution, answer: Answer) -> Order:
    """
    Place the order of an execution that an answer has resumed. The answer counts if an approval is still needed.

    **Money moves in this call.**

    :raises ApprovalRefused: The answer does not approve the purchase as it is now. Nothing was sent.
    """
    run.purchase.read()
    answer.refuse_unless_it_approves()
    try:
        return run.purchase.place()
    except ApprovalNeeded as needed:
        question = needed.question
        log_plan(run.task, [question])
        remember(store_of(run.context, run.tencent.settings), [question], answer, prompt_of(question))
    return run.purchase.place()


def prompt_of(question: Question) -> Prompt:
    """Return the question about one purchase as it is put."""
    return Prompt(
        subject_of(question),
        body_of(question),
        approving_option(question),
        REFUSE,
        question.code,
        question.rules.valid_for,
    )


def prompt_of_all(questions: Sequence[Question]) -> Prompt:
    """Return the question about several purchases as it is put."""
    return Prompt(
        batch_subject(questions),
        batch_body(questions),
        batch_option(questions),
        REFUSE,
        code_of_batch([question.code for question in questions]),
        min(question.rules.valid_for for question in questions),
    )


def log_plan(task: BillingTask, questions: Sequence[Question]) -> None:
    """Log purchases as a plan in one line of JSON, so that a user can approve them on the command line as well."""
    task.log.info("The plan to approve: %s", json.dumps(plan_of([entry_of(question) for question in questions])))


def ask(task: BillingTask, context: Context, prompt: Prompt) -> NoReturn:
    """
    Put a question, and leave the worker until there is an answer.

    :raises NobodyAsked: This line of Airflow cannot ask.
    :raises QuestionOutdated: Airflow keeps an earlier question of this task and would show that one. Nobody was asked.
    """
    if not dialects.can_ask():
        raise NobodyAsked(prompt.code)
    kept = dialects.kept_options(context["ti"], prompt)
    if kept != prompt.options:
        raise QuestionOutdated(prompt.code, ", ".join(kept) or "a question of another kind")
    task.log.info("Nothing was sent. Waiting for an answer to: %s [%s].", harmless(prompt.subject), prompt.code)
    dialects.wait(task, context["ti"], prompt)


def remember(store: Store, questions: Sequence[Question], answer: Answer, prompt: Prompt) -> None:
    """
    Store what an answer approves, all of it or nothing.

    :param questions: About the purchases as they are now, all at the same server and of one account.
    :param prompt: The question that they make now. The option that was chosen must be its approving one.
    :raises ApprovalRefused: The answer does not approve them. Nothing was stored.
    :raises StoreFailed: It could not be stored.
    """
    if list(answer.chosen) != [prompt.approve]:
        raise QuestionOutdated(prompt.code, ", ".join(map(harmless, answer.chosen)))
    now = store.now()
    if answer.at is None:
        raise ApprovalRefused(prompt.code, "the answer names no time")
    approvals = [question.approved(answer.by, min(answer.at, now)) for question in questions]
    for approval, question in zip(approvals, questions, strict=True):
        if why := refusal_of(approval, question, now):
            raise ApprovalRefused(prompt.code, why)
    first = questions[0]
    store.approve(approvals, server_name(first.endpoint), first.account)


def _moment_of(value: Any) -> float | None:
    """Return a moment in epoch seconds; ``None`` if it cannot be read."""
    if isinstance(value, datetime):
        return value.timestamp() if value.tzinfo else None
    try:
        moment = pendulum.parse(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return moment.timestamp() if isinstance(moment, datetime) else None
