"""ExpiryTrigger: wakes a task when something expires soon, or when an expiry has moved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.triggers.base import WakingTrigger, in_thread, pause

if TYPE_CHECKING:
    from airflow_provider_tcbilling.waiting.expiry import Condition

__all__ = ["ExpiryTrigger"]


class ExpiryTrigger(WakingTrigger):
    """
    Wait until something expires within a span, or until one instance expires after a moment.

    :param question: ``within`` in seconds and ``filters``, or ``instance_id`` and ``expires_after``.
    :param tcbilling_conn_id: The Airflow connection.
    :param poll_interval: Time between two queries, in seconds; the first query comes after 10 s.
    :param deadline: Epoch seconds, which unlike a span survive a restart of the triggerer.
    """

    def __init__(
        self, question: Mapping[str, Any], tcbilling_conn_id: str, poll_interval: float, deadline: float
    ) -> None:
        super().__init__(tcbilling_conn_id, poll_interval, deadline, question=dict(question))
        self.question = question

    @property
    def what(self) -> str:
        """The question, for the log."""
        return f"an expiry ({self.question})"

    async def wait(self) -> str:
        """Query until something matches, or until the deadline has passed."""
        from airflow_provider_tcbilling.task.next_steps import moment
        from airflow_provider_tcbilling.waiting.expiry import query

        question = question_of(self.question)
        with closing(await TcBillingHook(self.tcbilling_conn_id).aget_conn()) as client:
            while not await in_thread(client, query, client, question, time.time()):
                if (left := self.deadline - time.time()) <= 0:
                    return "its deadline has passed"
                self.log.info("Not yet: %s; waiting until %s.", self.what, moment(self.deadline))
                await asyncio.sleep(min(pause(self.poll_interval), left))
        return "it has come true"


def question_of(stored: Mapping[str, Any]) -> Condition:
    """
    Return the question that was stored as JSON.

    :raises InvalidRequest: A part of it breaks its rule.
    """
    from airflow_provider_tcbilling.waiting.expiry import moved, soon
    from airflow_provider_tcbilling.waiting.filters import Wanted

    if "within" in stored:
        return soon(stored["within"], Wanted.read(stored["filters"]))
    return moved(stored["instance_id"], stored["expires_after"])
