"""WaitingClient: the client of a wait that can outlive the key in its connection."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import AirflowNotFoundException

from airflow_provider_tcbilling.api.errors import InvalidRequest, TcBillingError
from airflow_provider_tcbilling.hooks.session import Session
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook

if TYPE_CHECKING:
    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.hooks.connection import Settings

__all__ = ["WaitingClient"]

CONNECTION_SECONDS = 300.0
"""How long a connection is used until it is read again."""

PATIENCE = 5
"""
Queries in a row that may fail for good, as with a key that is being changed, before the tasks are woken. Where the
connection was never read the tasks are woken at once: ``dag.test()`` runs triggers in a process that has only the
environment's connections, and the woken task reads the others.
"""

log = logging.getLogger(__name__)


class WaitingClient:
    """
    The client of a wait in the triggerer. It only reads.

    Its connection is read again every five minutes, and after each refusal, because a secrets backend may have put the
    next key there. The keys of every other source are refreshed by the client itself.

    :param tcbilling_conn_id: The Airflow connection.
    """

    def __init__(self, tcbilling_conn_id: str) -> None:
        self._hook = TcBillingHook(tcbilling_conn_id)
        self._session: Session | None = None
        self._read_at = -math.inf
        self._refusals = 0

    async def get(self) -> BillingClient:
        """Return the client, anew if the connection has changed; errors as in :meth:`.TcBillingHook.get_settings`."""
        if self._session is None or time.monotonic() - self._read_at > CONNECTION_SECONDS:
            settings = await self._settings()
            if self._session is None or settings != self._session.settings:
                self.close()
                self._session = Session(lambda: settings)
            self._read_at = time.monotonic()
        return self._session.waiting

    async def _settings(self) -> Settings:
        session = self._session
        try:
            return await self._hook.aget_settings()
        except InvalidRequest:
            raise
        except Exception as error:
            if session is None:
                raise
            # A secrets backend that is away ends no wait: the key that was read before may be good for long.
            name = self._hook.tcbilling_conn_id
            log.warning(
                "Connection %s could not be read again, so it is used as it was: %s", name, type(error).__name__
            )
            return session.settings

    def note_success(self) -> None:
        """Forget the refusals before a query that has succeeded."""
        self._refusals = 0

    def is_given_up_after(self, error: Exception) -> bool:
        """Return whether a failed query ends the wait. A passing failure does not; several refusals in a row do."""
        if isinstance(error, TcBillingError) and error.transient:
            return False
        is_hopeless = self._session is None and isinstance(error, AirflowNotFoundException)
        self._refusals += PATIENCE if is_hopeless else 1
        self._read_at = -math.inf
        if self._refusals < PATIENCE:
            return False
        self._refusals = 0
        return True

    def close(self) -> None:
        """Close the client. The next one is made anew."""
        if self._session:
            self._session.close()
        self._session = None
