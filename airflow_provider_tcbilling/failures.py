"""What our errors mean to Airflow: which failed task is worth another try."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException

from airflow_provider_tcbilling.api.errors import TcBillingError

LOOK_FIRST = "It may have been carried out all the same: look at the orders in the console before running this again."


@contextmanager
def no_retry_unless_transient() -> Iterator[None]:
    """
    Let an error that another try may help fly on, so that Airflow's retries apply; any other fails the task at once.

    :raises AirflowFailException: Another try cannot help, or must not happen.
    """
    try:
        yield
    except AirflowNotFoundException as error:
        raise AirflowFailException(f"{error} Nothing was sent.") from error
    except TcBillingError as error:
        if error.transient:
            raise
        raise AirflowFailException(f"{error} {LOOK_FIRST}" if error.ambiguous else str(error)) from error
