"""Load one DAG file as Airflow does, and run it to its end: ``run_dag.py FILE``."""

from __future__ import annotations

import sys

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag

bag = DagBag(sys.argv[1])
assert bag.import_errors == {}, bag.import_errors
(dag,) = bag.dags.values()

run = dag.test()
print(f"dag run ended: {getattr(run.state, 'value', run.state)}")
