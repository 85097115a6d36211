"""Plan: what a task of a DAG would do now, and what it would cost at most. It never spends or writes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from airflow_provider_tcbilling.cli.command import ATTEMPTS
from airflow_provider_tcbilling.cli.lookup import Refused
from airflow_provider_tcbilling.cli.table import table
from airflow_provider_tcbilling.cli.task_of_dag import TaskName, rendered
from airflow_provider_tcbilling.purchasing.approval_plan import FORMAT, plan_of
from airflow_provider_tcbilling.purchasing.plan_text import HEAD, facts_of, total_of

STYLES = {"At most": "bold", "Refused": "red"}
"""Styles of the facts of a purchase."""

OF_THE_RUN = ("key", "client_token", "approval_code", "where")
"""Fields of a purchase that is another one in each run, which are not known before there is the run."""


def plan_of_task(name: TaskName, file: str | None) -> dict[str, Any]:
    """
    Return the plan of a task. The task is not executed.

    :param file: The file of the DAG; ``None`` searches the DAGs of Airflow.
    :raises Refused: There is no such task, or it needs a run to be planned. Nothing was sent.
    :raises TcBillingError: A mistake in its arguments or its connection, or something could not be read.
    """
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")
    with rendered(name, file) as (task, context):
        if not hasattr(task, "planned"):
            raise Refused(f"Task {name.task_id} is a {type(task).__name__}, which moves no money, so it has no plan.")
        plan: dict[str, Any] = task.planned(context, attempts=ATTEMPTS)
    if name.run_id or plan.get("format") != FORMAT:
        return plan
    purchases = [
        {**purchase, **dict.fromkeys(OF_THE_RUN)} if name.is_of_no_run(purchase["key"]) else purchase
        for purchase in plan["purchases"]
    ]
    return plan_of(purchases, planned_at=plan["planned_at"])


def as_text(plan: Mapping[str, Any], width: int | None) -> str:
    """
    Return a plan, the total first.

    :param width: Cells of a terminal, in which a table is drawn; ``None`` for plain columns.
    """
    if plan.get("format") != FORMAT:
        return json.dumps(plan, indent=2)
    tables = [table(HEAD, list(facts_of(purchase)), width, STYLES) for purchase in plan["purchases"]]
    return "\n".join([f"Total: at most {total_of(plan)}. Nothing was sent.", *tables])
