"""BillingTask: the common part of all tasks of this provider, operators and sensors."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_tcbilling.api.check import Check
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.connection import DEFAULT_CONN_ID
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.task.arguments import Rendered, mistakes_in
from airflow_provider_tcbilling.task.errors import no_retry_unless_transient, told_if_airflow_ended_the_wait

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_tcbilling.task.failure_message import TaskEnd
    from airflow_provider_tcbilling.triggers.base import WakingTrigger


class BillingTask(Rendered, BaseOperator):
    """
    A task with a connection, arguments that are checked, a message for its end, and perhaps a wait in the triggerer.

    :param tcbilling_conn_id: The Airflow connection. (templated)
    """

    checks: ClassVar[Mapping[str, Check]] = MappingProxyType({})
    """The rule for each argument of the provider's own; an action describes the others."""

    held_as: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """The attributes that hold arguments under another name."""

    def __init__(self, *, tcbilling_conn_id: str = DEFAULT_CONN_ID, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tcbilling_conn_id = tcbilling_conn_id

    @property
    def hook(self) -> TcBillingHook:
        """The hook of the task's connection."""
        return TcBillingHook(self.tcbilling_conn_id)

    def needed(self) -> Mapping[str, Check]:
        """Return the checks that count for what the task is to do."""
        return self.checks

    def mistakes(self) -> list[str]:
        """Return the mistakes in the arguments that Tencent does not see."""
        return mistakes_in(self, self.needed(), self.held_as)

    def value_of(self, name: str) -> Any:
        """
        Return what an argument means.

        :raises InvalidRequest: The value breaks the argument's rule. Nothing was sent.
        """
        return self.checks[name].of(self.task_id, name, getattr(self, self.held_as.get(name, name)))

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a wait in the triggerer."""
        with told_if_airflow_ended_the_wait(next_method, lambda: self.end(context, was_waiting=True)):
            return super().resume_execution(next_method, next_kwargs, context)

    def _refuse_mistakes(self) -> None:
        if mistakes := self.mistakes():
            raise InvalidRequest(self.task_id, mistakes)

    def _reporting(self, context: Context) -> AbstractContextManager[None]:
        """Give an error that ends the task its message, and retry only where another try may help."""
        return no_retry_unless_transient(lambda: self.end(context))

    def end(self, context: Context, *, was_waiting: bool = False) -> TaskEnd:
        """
        Return the facts for the message of a task that fails.

        :param was_waiting: Airflow ended the task's wait in the triggerer.
        """
        from airflow_provider_tcbilling.task.failure_facts import end_of

        return end_of(context, self.hook)

    def _defer(self, trigger: WakingTrigger) -> NoReturn:
        """Leave the worker until the trigger fires, or until Airflow's own time-out, which is the later one."""
        from airflow_provider_tcbilling.triggers.base import deferral

        self.defer(**deferral(trigger))
