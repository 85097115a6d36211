"""ExpiryTrigger: wakes a task when something expires soon, or when an expiry has moved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.triggers.base import WakingTrigger, pause

if TYPE_CHECKING:
    from airflow_provider_tcbilling.waiting.expiry import Condition


class ExpiryTrigger(WakingTrigger):
    """
    Wait until something expires within a span, or until one instance expires after a moment.

    :param question: ``within`` in seconds and ``filters``, or ``instance_id`` and ``expires_after``.
    :param tcbilling_conn_id: The Airflow connection.
    :param poll_interval: Seconds between two looks; the first look comes after 10 s.
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
        """Look again and again, until it has come true or the deadline has passed."""
        from airflow_provider_tcbilling.task.next_steps import moment
        from airflow_provider_tcbilling.waiting.expiry import query

        question = asked(self.question)
        client = await TcBillingHook(self.tcbilling_conn_id).aget_conn()
        while not await asyncio.to_thread(query, client, question, time.time()):
            if (left := self.deadline - time.time()) <= 0:
                return "its deadline has passed"
            self.log.info("Not yet: %s; waiting until %s.", self.what, moment(self.deadline))
            await asyncio.sleep(min(pause(self.poll_interval), left))
        return "it has come true"


def asked(question: Mapping[str, Any]) -> Condition:
    """
    Return a question that was stored as JSON.

    :raises InvalidRequest: Something in it is not what it should be.
    """
    from airflow_provider_tcbilling.waiting.expiry import moved, soon
    from airflow_provider_tcbilling.waiting.filters import Wanted

    if "within" in question:
        return soon(question["within"], Wanted.read(question["filters"]))
    return moved(question["instance_id"], question["expires_after"])
