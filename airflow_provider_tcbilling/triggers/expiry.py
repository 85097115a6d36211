"""ExpiryTrigger: wakes a task when something expires soon, or when an expiry has moved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow_provider_tcbilling.api.errors import AuthError, CredentialsRefused
from airflow_provider_tcbilling.triggers.base import WakingTrigger, in_thread, pause
from airflow_provider_tcbilling.triggers.waiting_client import WaitingClient

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

        condition = question_of(self.question)
        with closing(WaitingClient(self.tcbilling_conn_id)) as connected:
            while not await self._is_met(condition, connected):
                if (left := self.deadline - time.time()) <= 0:
                    return "its deadline has passed"
                self.log.info("Not yet: %s; waiting until %s.", self.what, moment(self.deadline))
                await asyncio.sleep(min(pause(self.poll_interval), left))
        return "it has come true"

    async def _is_met(self, condition: Condition, connected: WaitingClient) -> bool:
        """Query once. A few refusals of a key in a row are none yet: the key may be about to be replaced."""
        from airflow_provider_tcbilling.waiting.expiry import query

        client = await connected.get()
        try:
            found = await in_thread(client, query, client, condition, time.time())
        except (AuthError, CredentialsRefused) as error:
            if connected.is_given_up_after(error):
                raise
            self.log.warning("The list of instances could not be read: %s", error)
            return False
        connected.note_success()
        return bool(found)


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
