"""The meaning of our errors for Airflow: whether a failed task is retried, and its last message."""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from airflow_provider_tcbilling.api.errors import InvalidRequest, TcBillingError, WaitEnded
from airflow_provider_tcbilling.api.text import harmless, lines_of

if TYPE_CHECKING:
    from airflow_provider_tcbilling.task.failure_message import TaskEnd

log = logging.getLogger(__name__)


def unguarded(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Return the ``execute`` of a base class for a call from within ours; Airflow 2 warns of its guarded one."""
    inner: Callable[..., Any] = inspect.unwrap(execute)
    return inner


@contextmanager
def no_retry_unless_transient(end: Callable[[], TaskEnd]) -> Iterator[None]:
    """
    Let an error that another try may help fly on, so that Airflow's retries apply; any other fails the task at once.

    Its message is the whole report of the task, once: the money, the cause, the next step. The exception has no cause,
    since Airflow would print that, too, before the message.

    :param end: Returns the facts about the task.
    :raises AirflowFailException: Another try cannot help, or must not happen.
    :raises AirflowTaskTimeout: The task's execution_timeout is over.
    :raises AirflowException: In place of an error of something else, such as a secrets backend.
    """
    try:
        yield
        return
    except TcBillingError as error:
        error.report = end().report(error)
        raised: BaseException = error if error.transient else AirflowFailException(str(error))
    except AirflowNotFoundException as error:
        raised = AirflowFailException("\n".join(end().report(InvalidRequest("Connection", [str(error)]))))
    except AirflowException:
        raise
    except AirflowTaskTimeout as error:
        raised = AirflowTaskTimeout("\n".join(end().report(error)))
    except Exception as error:
        log.info("The error in full:\n%s", lines_of(traceback.format_exc()))
        raised = AirflowException("\n".join(end().report(error)))
    raise raised from None


@contextmanager
def told_if_airflow_ended_the_wait(next_method: str, end: Callable[[], TaskEnd]) -> Iterator[None]:
    """
    Report what it means for the money if Airflow resumes a task only to fail it, such as when no triggerer runs.

    :param next_method: The method with which Airflow resumes the task.
    :param end: Returns the facts about the task.
    """
    try:
        yield
        return
    except AirflowException as error:
        if next_method != "__fail__" or isinstance(error, AirflowSkipException):
            raise
        ended = WaitEnded(f"Airflow ended the wait in the triggerer ({harmless(error)}). See whether a triggerer runs.")
        ended.transient = not isinstance(error, AirflowSensorTimeout)
        raised = type(error)("\n".join(end().report(ended)))
    raise raised from None
