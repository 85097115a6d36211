"""Patience: a key that is refused may be about to be replaced, so one refusal does not end a wait."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import AuthError, CredentialsRefused, is_of_key

T = TypeVar("T")

REFUSALS = 5
"""Refusals in a row that end a wait."""

PAUSE_SECONDS = 5.0
"""Seconds from a refusal to the next query."""

log = logging.getLogger(__name__)


def patiently(client: BillingClient, query: Callable[[], T]) -> T:
    """
    Query, and query again for some seconds while the key is refused that may be replaced meanwhile.

    It only reads. A permanent key, or a refusal for another reason, ends the wait at once.

    :raises AuthError: The server calls the key expired, and there is no other one.
    :raises CredentialsRefused: The source of the keys says no.
    """
    for refusals in range(1, REFUSALS):
        try:
            return query()
        except (AuthError, CredentialsRefused) as error:
            if client.credentials.is_lasting or not is_of_key(error):
                raise
            log.warning("%s Trying again in %.0f s (refusal %d of %d).", error, PAUSE_SECONDS, refusals, REFUSALS)
        time.sleep(PAUSE_SECONDS)
    return query()
