"""
Load one DAG file as Airflow does, and run it to its end: ``run_dag.py FILE``.

Each ``--conf JSON`` is one run with these parameters, one after the other. Where a run asks for an approval, ``--answer
Approve`` is the person who answers, the next one that of the next run: ``dag.test()`` would wait for one for ever.
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timedelta, timezone

from airflow.providers.common.compat.sdk import BaseOperator

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag

arguments = argparse.ArgumentParser()
arguments.add_argument("file")
arguments.add_argument("--conf", type=json.loads, action="append")
arguments.add_argument("--answer", action="append", default=[])
arguments.add_argument("--mark-success")
told = arguments.parse_args()

if told.answer:
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    def execute(self, context):
        """Show what is asked, and answer as an approval does when it comes back with the person's answer."""
        print(f"asked: {self.subject}\n{self.body}")
        event = {"chosen_options": [told.answer.pop(0)], "params_input": {}, "responded_by_user": "somebody"}
        return self.execute_complete(context, {**event, "responded_at": datetime.now(timezone.utc)})

    ApprovalOperator.execute = execute

bag = DagBag(told.file)
assert bag.import_errors == {}, bag.import_errors
(dag,) = bag.dags.values()

for task in dag.tasks:
    if isinstance(task, BaseOperator):
        task.retry_delay = timedelta(0)

options = {"mark_success_pattern": told.mark_success} if told.mark_success else {}
for conf in told.conf or [None]:
    run = dag.test(run_conf=conf, **options)
    for ended in run.get_task_instances():
        print(f"task ended: {ended.task_id}[{ended.map_index}] {getattr(ended.state, 'value', ended.state)}")
    print(f"dag run ended: {getattr(run.state, 'value', run.state)}")
