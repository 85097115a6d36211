"""What our errors mean to Airflow: which failed task is worth another try."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowNotFoundException

from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.text import harmless

LOOK_FIRST = "It may have been carried out all the same: look at the orders in the console before running this again."


@contextmanager
def no_retry_unless_transient(placed: Callable[[], str] = str) -> Iterator[None]:
    """
    Let an error that another try may help fly on, so that Airflow's retries apply; any other fails the task at once.

    :param placed: Returns what is to be said of the order that exists by then, with its number; empty if none does.
    :raises AirflowFailException: Another try cannot help, or must not happen.
    :raises AirflowException: In place of an error of something else, such as Airflow's own, once there is an order.
    """
    try:
        yield
    except AirflowNotFoundException as error:
        raise AirflowFailException(f"{error} {placed() or 'Nothing was sent.'}") from error
    except TcBillingError as error:
        if not hasattr(error, "order_id"):
            error.placed = placed() or error.placed
        if error.transient:
            raise
        raise AirflowFailException(f"{error} {LOOK_FIRST}" if error.ambiguous else str(error)) from error
    except AirflowException:
        raise
    except Exception as error:
        if not (words := placed()):
            raise
        raise AirflowException(f"{type(error).__name__}: {harmless(error)}. {words}") from error
