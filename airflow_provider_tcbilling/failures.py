"""What our errors mean to Airflow: which failed task is worth another try, and what it says last."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowNotFoundException

from airflow_provider_tcbilling.api.errors import InvalidRequest, TcBillingError
from airflow_provider_tcbilling.api.text import lines_of

if TYPE_CHECKING:
    from airflow_provider_tcbilling.task_end import TaskEnd

log = logging.getLogger(__name__)


def unguarded(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Return the ``execute`` of a base class for a call from within ours; Airflow 2 warns of its guarded one."""
    inner: Callable[..., Any] = inspect.unwrap(execute)
    return inner


@contextmanager
def no_retry_unless_transient(end: Callable[[], TaskEnd]) -> Iterator[None]:
    """
    Let an error that another try may help fly on, so that Airflow's retries apply; any other fails the task at once.

    Its message is the whole report of the task, said once: the money, the cause, the next step. What it was raised from
    is left out, since Airflow would print that too, before it.

    :param end: Returns what is known of the task by then.
    :raises AirflowFailException: Another try cannot help, or must not happen.
    :raises AirflowException: In place of an error of something else, such as Airflow's own, once there is an order.
    """
    try:
        yield
        return
    except TcBillingError as error:
        error.report = end().report(error)
        raised: Exception = error if error.transient else AirflowFailException(str(error))
    except AirflowNotFoundException as error:
        raised = AirflowFailException("\n".join(end().report(InvalidRequest("Connection", [str(error)]))))
    except AirflowException:
        raise
    except Exception as error:
        known = end()
        if not (known.order_id or known.in_doubt):
            raise
        log.info("The error in full:\n%s", lines_of(traceback.format_exc()))
        raised = AirflowException("\n".join(known.report(error)))
    raise raised from None
