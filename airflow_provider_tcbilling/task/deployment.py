"""The deployment: what Airflow's configuration says for all tasks of it."""

from __future__ import annotations

from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.task.arguments import A_FLAG

SECTION, DRY_RUN = "tcbilling", "dry_run"


def is_dry_run() -> bool:
    """
    Whether tasks of this deployment only show what they would do: ``[tcbilling] dry_run = True``.

    :raises InvalidRequest: The value is no flag, such as ``yes`` or nothing. It must not mean that a task may buy.
        Nothing was sent.
    """
    from airflow.providers.common.compat.sdk import conf

    value = conf.get(SECTION, DRY_RUN, fallback="False")
    if mistake := A_FLAG.mistake(DRY_RUN, value):
        raise InvalidRequest(f"[{SECTION}] in Airflow's configuration", [mistake])
    return bool(A_FLAG.read(value))
