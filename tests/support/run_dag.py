"""
Load one DAG file as Airflow does, and run it to its end: ``run_dag.py FILE``.

Each ``--conf JSON`` is one run with these parameters, one after the other. Where a run asks for an approval, ``--answer
Approve`` is the person who answers, the next one that of the next run: ``dag.test()`` would wait for one for ever.

``run_dag.py --serve`` reads jobs from its input, one JSON object a line, and runs each in a fork of itself. What a job
has imported is imported here, too, so that the next job need not do it. It answers ``done``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
import traceback
from datetime import datetime, timedelta, timezone

from airflow import settings
from airflow.providers.common.compat.sdk import BaseOperator

try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--conf", type=json.loads, action="append")
    parser.add_argument("--answer", action="append", default=[])
    parser.add_argument("--mark-success")
    chosen = parser.parse_args(arguments)
    if chosen.answer:
        answer_approvals(chosen.answer)

    bag = DagBag(chosen.file)
    assert bag.import_errors == {}, bag.import_errors
    (dag,) = bag.dags.values()
    for task in dag.tasks:
        if isinstance(task, BaseOperator):
            task.retry_delay = timedelta(0)

    options = {"mark_success_pattern": chosen.mark_success} if chosen.mark_success else {}
    for conf in chosen.conf or [None]:
        run = dag.test(run_conf=conf, **options)
        for ended in run.get_task_instances():
            print(f"task ended: {ended.task_id}[{ended.map_index}] {getattr(ended.state, 'value', ended.state)}")
        print(f"dag run ended: {getattr(run.state, 'value', run.state)}")


def answer_approvals(answers: list[str]) -> None:
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    def execute(self, context):
        """Show the question, and answer as an approval does when it comes back with the person's answer."""
        print(f"asked: {self.subject}\n{self.body}")
        event = {"chosen_options": [answers.pop(0)], "params_input": {}, "responded_by_user": "somebody"}
        return self.execute_complete(context, {**event, "responded_at": datetime.now(timezone.utc)})

    ApprovalOperator.execute = execute


def warm_up() -> None:
    """Do once what each run would do again: configure the mappers, and build the execution API of Airflow 3."""
    from sqlalchemy.orm import configure_mappers

    configure_mappers()
    with contextlib.suppress(ImportError):
        from airflow.sdk.execution_time.supervisor import in_process_api_server

        in_process_api_server().app._cadwyn_initialize()


def serve() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What an import prints is no answer.
    warm_up()
    for line in sys.stdin:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.close(reader)
            work(json.loads(line), writer)
        os.close(writer)
        with open(reader, encoding="utf-8") as imported:
            modules = imported.read().split()
        os.waitpid(child, 0)
        for name in modules:
            if name not in sys.modules:
                with contextlib.suppress(Exception):
                    importlib.import_module(name)
        print("done", file=answers, flush=True)


def work(job: dict, modules: int) -> None:
    """Do one job in a fork, and end it. All that is printed goes to a file."""
    try:
        output = os.open(job["output"], os.O_WRONLY | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.environ.clear()
        os.environ.update(job["environment"])
        settings.dispose_orm()
        settings.configure_vars()
        settings.configure_orm()
        main(job["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        names = [name for name, module in sys.modules.items() if getattr(module, "__spec__", None)]
        os.write(modules, "\n".join(name for name in names if name != "__main__").encode())
        os._exit(0)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        serve()
    else:
        main(sys.argv[1:])
