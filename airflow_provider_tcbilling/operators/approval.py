"""ApproveSpendingOperator: one question for all purchases of a plan, whose answer the ledger remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowSkipException

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.api.reading import json_of
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.task.arguments import A_CONNECTION, A_FLAG, one_of, optional
from airflow_provider_tcbilling.task.deployment import is_dry_run
from airflow_provider_tcbilling.task.money_checks import A_VALIDITY, APPROVERS
from airflow_provider_tcbilling.task.policies import OnRefusedRun
from airflow_provider_tcbilling.triggers._task import BillingTask

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.hooks.session import Session
    from airflow_provider_tcbilling.ledger.store import Store
    from airflow_provider_tcbilling.operators._approval import Answer
    from airflow_provider_tcbilling.purchasing.approval import Question
    from airflow_provider_tcbilling.task.failure_message import TaskEnd

__all__ = ["ApproveSpendingOperator"]


def _plans_of(value: Any) -> list[Any]:
    """Return the plans in an argument, without what a skipped task left; ``ValueError`` if it is neither."""
    read = json_of(value) if isinstance(value, str) else value
    if isinstance(read, Mapping):
        return [read]
    plans = [plan for plan in read if plan is not None] if hasattr(read, "__iter__") else [read]
    if not all(isinstance(plan, Mapping) for plan in plans):
        raise ValueError("no plans")
    return plans


class ApproveSpendingOperator(BillingTask):
    """
    Ask a user once for all purchases of a plan, and have the ledger remember the answer. It buys nothing.

    The plan is the output of tasks with ``dry_run=True``. The tasks that buy have the same arguments, so each of them
    finds its own code among those that were approved. A purchase that differs from the plan, or whose price is another
    one by then, is not approved. While the question is open, no worker is held. A cleared task asks for nothing that is
    still approved.

    Needs Airflow 3.1 or newer, and a connection with a ``ledger_conn_id``. On older lines it stops, and the log has the
    plan for the command ``approve``.

    Returns a dict: ``codes``, ``total_cents`` and ``currency``.

    .. seealso:: :ref:`howto/operator:ApproveSpendingOperator`

    :param plans: The plan, or a list of plans, as tasks with ``dry_run=True`` return them, or JSON text of either. With
        none, or with nothing in them that costs anything, the task is skipped. (templated)
    :param approvers: Names of the users who may approve, of those that the connection allows: a list, or a text with
        commas. ``None`` is all of them. (templated)
    :param approval_valid_for: Time to answer, and time from the answer on within which the purchases may be sent:
        seconds, a timedelta, or an ISO 8601 duration such as ``P1D``. ``None`` is that of the connection. (templated)
    :param approver_is_not_requester: The user who started the run may not approve. (templated)
    :param on_refused_run: ``fail`` or ``skip`` the task when the user refuses, or does not answer in time.
    :param tcbilling_conn_id: The Airflow connection. (templated)
    """

    template_fields: Sequence[str] = (
        "plans",
        "approvers",
        "approval_valid_for",
        "approver_is_not_requester",
        "tcbilling_conn_id",
    )
    checks: ClassVar[Mapping[str, Check]] = {
        "plans": Check(_plans_of, "a plan, or a list of plans, as tasks with dry_run=True return them"),
        "approvers": optional(APPROVERS),
        "approval_valid_for": optional(A_VALIDITY),
        "approver_is_not_requester": A_FLAG,
        "on_refused_run": one_of(OnRefusedRun),
        "tcbilling_conn_id": A_CONNECTION,
    }
    ui_color = "#fdf3d6"

    def __init__(
        self,
        *,
        plans: Mapping[str, Any] | Sequence[Any] | str,
        approvers: Sequence[str] | str | None = None,
        approval_valid_for: timedelta | float | str | None = None,
        approver_is_not_requester: bool | str = False,
        on_refused_run: OnRefusedRun | str = OnRefusedRun.FAIL,
        tcbilling_conn_id: str = DEFAULT_CONN_ID,
        **kwargs: Any,
    ) -> None:
        super().__init__(tcbilling_conn_id=tcbilling_conn_id, **kwargs)
        self.plans = plans
        self.approvers = approvers
        self.approval_valid_for = approval_valid_for
        self.approver_is_not_requester = approver_is_not_requester
        self.on_refused_run = on_refused_run

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Ask for what is not approved yet.

        :raises AirflowSkipException: Nothing is to be approved, or the user refused and the task is to be skipped.
        :raises AirflowFailException: A mistake in the task or the plan, or the user refused. Nothing was approved.
        :raises TcBillingError: Another try may help.
        """
        with self._reporting(context), self.hook.session() as tencent:
            return self._approved(context, tencent, None)

    def execute_approved(self, context: Context, event: Any = None, code: str = "") -> dict[str, Any]:
        """
        Go on with the answer of a user.

        :param code: That of the question that was put; it decides nothing.
        :raises AirflowFailException: As in :meth:`execute`.
        """
        from airflow_provider_tcbilling.operators._approval import answer_of

        with self._reporting(context), self.hook.session() as tencent:
            return self._approved(context, tencent, answer_of(event, code))

    def end(self, context: Context, *, was_waiting: bool = False) -> TaskEnd:
        """Return the facts for the message of a task that fails: it buys nothing."""
        from airflow_provider_tcbilling.task.failure_facts import end_of
        from airflow_provider_tcbilling.task.failure_message import APPROVES

        return end_of(context, self.hook, words=APPROVES)

    def _approved(self, context: Context, tencent: Session, answer: Answer | None) -> dict[str, Any]:
        from airflow_provider_tcbilling.operators import _approval as approval
        from airflow_provider_tcbilling.purchasing.money_errors import ApprovalRefused
        from airflow_provider_tcbilling.task.store import store_of

        self._refuse_mistakes()
        questions = self._questions(context, tencent)
        store, prompt = store_of(context, tencent.settings), approval.prompt_of_all(questions)
        if not store.counts_money:
            raise InvalidRequest(self.task_id, [f"only a ledger in a database remembers approvals, not {store.about}"])
        approval.log_plan(self, questions)
        try:
            if is_dry_run():
                self.log.info("Nobody was asked, and nothing was approved: this deployment only plans.")
            elif answer:
                answer.refuse_unless_it_approves()
                approval.remember(store, questions, answer, prompt)
            elif not _are_approved(questions, store):
                approval.ask(self, context, prompt)
        except ApprovalRefused as error:
            if self.value_of("on_refused_run") is OnRefusedRun.SKIP:
                raise AirflowSkipException(str(error)) from None
            raise
        return {
            "codes": [question.code for question in questions],
            "total_cents": sum(question.max_cents for question in questions),
            "currency": questions[0].currency,
        }

    def _questions(self, context: Context, tencent: Session) -> list[Question]:
        """
        Return the purchases of all plans together, checked.

        :raises AirflowSkipException: There is none.
        :raises InvalidRequest: A plan is none, was edited, or is of another account. Nothing was approved.
        """
        from airflow_provider_tcbilling.purchasing.approval_plan import joined, questions_in, refuse_another_place
        from airflow_provider_tcbilling.purchasing.money_rules import ApprovalRules
        from airflow_provider_tcbilling.task.dag_run import requester_of

        rules = tencent.settings.money_rules(
            approve_above_cents=0,
            approvers=self.value_of("approvers") or (),
            approval_valid_for=self.value_of("approval_valid_for"),
            approver_is_not_requester=self.value_of("approver_is_not_requester"),
        ).approval or ApprovalRules(0)
        plans = [questions_in(plan, rules, requester_of(context)) for plan in self.value_of("plans")]
        if not (questions := joined(plans, MOST_AT_ONCE)):
            raise AirflowSkipException("Nothing is to be approved: no purchase of the plans costs anything more.")
        client = tencent.buying
        refuse_another_place(questions, client.endpoint, (client.account, client.key_id))
        return questions


MOST_AT_ONCE = 200
"""Purchases of one question: a user reads them all."""


def _are_approved(questions: Sequence[Question], store: Store) -> bool:
    from airflow_provider_tcbilling.purchasing.approval import refusal_of

    now = store.now()
    approvals = [(question, store.approval(question.code)) for question in questions]
    return all(approval is not None and not refusal_of(approval, question, now) for question, approval in approvals)
