"""
Load one DAG file as Airflow does, and run it to its end: ``run_dag.py FILE``.

``--conf JSON`` gives the run its parameters, and ``--answer Approve`` is the person who is asked for an approval:
``dag.test()`` waits for one for ever.
"""

from __future__ import annotations

import argparse
import json
from datetime import datetime, timezone

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag

arguments = argparse.ArgumentParser()
arguments.add_argument("file")
arguments.add_argument("--conf", type=json.loads)
arguments.add_argument("--answer")
arguments.add_argument("--mark-success")
told = arguments.parse_args()

if told.answer:
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    def execute(self, context):
        """Show what is asked, and answer as an approval does when it comes back with the person's answer."""
        print(f"asked: {self.subject}\n{self.body}")
        event = {"chosen_options": [told.answer], "params_input": {}, "responded_by_user": "somebody"}
        return self.execute_complete(context, {**event, "responded_at": datetime.now(timezone.utc)})

    ApprovalOperator.execute = execute

bag = DagBag(told.file)
assert bag.import_errors == {}, bag.import_errors
(dag,) = bag.dags.values()

options = {"mark_success_pattern": told.mark_success} if told.mark_success else {}
run = dag.test(run_conf=told.conf, **options)
for task in run.get_task_instances():
    print(f"task ended: {task.task_id}[{task.map_index}] {getattr(task.state, 'value', task.state)}")
print(f"dag run ended: {getattr(run.state, 'value', run.state)}")
