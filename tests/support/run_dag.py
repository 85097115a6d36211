"""
Load one DAG file as Airflow does, and run it to its end: ``run_dag.py FILE``.

Each ``--conf JSON`` is one run with these parameters, one after the other. Where a run asks for an approval, ``--answer
yes`` and ``--answer no`` are the user who answers, the next one that of the next question. Without one, nobody can be
asked: ``dag.test()`` would wait for an answer for ever.

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
    answer_questions(chosen.answer)

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


class Asked(BaseException):
    """A task waits for the answer to a question."""


def answer_questions(answers: list[str]) -> None:
    from airflow_provider_tcbilling.operators import _approval_dialects as dialects
    from airflow_provider_tcbilling.operators.approval import ApproveSpendingOperator
    from airflow_provider_tcbilling.task.errors import unguarded

    execute, execute_approved = map(
        unguarded, (ApproveSpendingOperator.execute, ApproveSpendingOperator.execute_approved)
    )

    def wait(task, ti, prompt):
        raise Asked(prompt)

    def answered(self, context):
        """Show the question, and go on as the task does when it comes back with the user's answer."""
        try:
            return execute(self, context)
        except Asked as asked:
            (prompt,) = asked.args
        print(f"asked: {prompt.subject}\n{prompt.body}")
        user = {"id": "somebody", "name": "somebody"}
        event = {"chosen_options": [prompt.approve if answers.pop(0) == "yes" else prompt.refuse], "params_input": {}}
        event |= {"responded_by_user": user, "responded_at": datetime.now(timezone.utc), "timedout": False}
        return execute_approved(self, context, event)

    dialects.can_ask = lambda: bool(answers)
    dialects.kept_options = lambda ti, prompt: prompt.options
    dialects.wait = wait
    ApproveSpendingOperator.execute = answered


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
