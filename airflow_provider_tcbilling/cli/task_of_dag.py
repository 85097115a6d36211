"""A task of a DAG, with its templates rendered as in a run, or as far as they need none. It is never executed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.cli.lookup import Refused, Task, TaskState
from airflow_provider_tcbilling.task.dag_run import run_key

NO_RUN = "a run that there is not yet"
"""The run of a task that is planned without one. No run has this id, since Airflow allows no such blanks."""


@dataclass(frozen=True)
class TaskName:
    """
    The name of a task.

    :param run_id: Its run; ``None`` plans it without one.
    :param map_index: -1 if it is not mapped.
    """

    dag_id: str
    task_id: str
    run_id: str | None = None
    map_index: int = -1

    def is_of_no_run(self, key: str) -> bool:
        """Whether a key is that of a purchase that happens once in each run, planned without one."""
        return key == run_key(_context_without_run(self))


@contextlib.contextmanager
def rendered(name: TaskName, file: str | None) -> Iterator[tuple[Any, dict[str, Any]]]:
    """
    Yield a task with its templates rendered, and its context.

    :param file: The file of its DAG; ``None`` searches the DAGs of Airflow.
    :raises Refused: There is no such DAG, task or run, or an argument needs a run.
    """
    dag = _dag(name.dag_id, file)
    if not dag.has_task(name.task_id):
        tasks = ", ".join(sorted(map(harmless, dag.task_ids))) or "none"
        raise Refused(f"DAG {name.dag_id} has no task {name.task_id}. It has: {tasks}.")
    task = dag.get_task(name.task_id)
    if not name.run_id:
        yield _rendered_without_run(task, name)
        return
    from airflow.utils.session import create_session

    with create_session() as session:
        context = _context_of(task, name, session)
        try:
            task.render_template_fields(context)
        except Exception as error:
            raise Refused(f"The arguments of {name.task_id} cannot be rendered for {name.run_id}: {error!r}") from error
        yield context["task"], context


def _dag(dag_id: str, file: str | None) -> Any:
    """Return a DAG as its file has it now."""
    errors: dict[str, str] = {}
    for bag in _bags(file):
        if dag_id in bag.dags:
            return bag.dags[dag_id]
        errors |= bag.import_errors
    failed = [f"  {harmless(path)}: {harmless(error.strip().splitlines()[-1])}" for path, error in errors.items()]
    why = "\n".join(["These files cannot be imported:", *failed[:5]]) if failed else "Compare the name."
    raise Refused(f"There is no DAG {dag_id} in {file or 'the DAGs of Airflow'}. {why}")


def _bags(file: str | None) -> Iterator[Any]:
    try:
        from airflow.dag_processing.dagbag import DagBag
    except ImportError:  # before Airflow 3.2
        from airflow.models.dagbag import DagBag  # type: ignore[no-redef,attr-defined,unused-ignore]
    if file:
        yield DagBag(file)
        return
    try:
        from airflow.dag_processing.bundles.manager import DagBundlesManager
    except ImportError:  # Airflow 2 has one folder
        yield DagBag()
        return
    manager: Any = DagBundlesManager
    for bundle in manager().get_all_dag_bundles():
        bundle.initialize()
        yield DagBag(bundle.path)


def _rendered_without_run(task: Any, name: TaskName) -> tuple[Any, dict[str, Any]]:
    """Return a task with each argument rendered that needs no run."""
    import jinja2

    if task.is_mapped if isinstance(getattr(task, "is_mapped", None), bool) else hasattr(task, "expand_input"):
        raise Refused(f"Task {name.task_id} is mapped, so its arguments need a run: give --run-id and --map-index.")
    task.dag.template_undefined = jinja2.StrictUndefined
    environment, needs = task.get_template_env(), []
    known = {"dag": task.dag, "task": task, "params": _params(task), "macros": _macros()}
    for argument in task.template_fields:
        try:
            task._do_render_template_fields(task, [argument], known, environment, set())
        except Exception as error:
            needs.append(f"  - {argument}: {_why(error)}")
    if needs:
        raise Refused("\n".join([f"These arguments of {name.task_id} need a run, so give --run-id:", *needs]))
    return task, _context_without_run(name)


def _why(error: Exception) -> str:
    missing = error.args[0] if isinstance(error, KeyError) and error.args else None
    return f"it is the output of another task ({missing})" if missing in ("ti", "task_instance") else harmless(error)


def _params(task: Any) -> Mapping[str, Any]:
    from airflow.providers.common.compat.sdk import Param

    given = {**dict(task.dag.params), **dict(task.params)}
    return {name: value.value if isinstance(value, Param) else value for name, value in given.items()}


def _macros() -> Any:
    try:
        from airflow.sdk.execution_time.context import MacrosAccessor
    except ImportError:  # Airflow 2
        from airflow import macros  # type: ignore[attr-defined,unused-ignore]

        return macros
    return MacrosAccessor()


def _context_without_run(name: TaskName) -> Any:
    ti = SimpleNamespace(dag_id=name.dag_id, task_id=name.task_id, run_id=NO_RUN, map_index=-1, try_number=1)
    run = SimpleNamespace(
        run_type="scheduled", run_after=None, start_date=None, logical_date=None, data_interval_end=None, clear_number=0
    )
    return {"ti": ti, "dag_run": run}


class _Ti:
    """A task instance whose XComs are read from Airflow's database, and which writes none."""

    def __init__(self, ti: Any, row: Any) -> None:
        self._ti, self._row = ti, row
        self.try_number = (row.try_number or 0) + (1 if row.state is not None else 0) or 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ti, name)

    def xcom_pull(self, task_ids: Any = None, map_indexes: Any = None, **more: Any) -> Any:
        """Return the output of other tasks of the run."""
        given = {} if map_indexes is None or type(map_indexes).__name__ == "ArgNotSet" else {"map_indexes": map_indexes}
        return self._row.xcom_pull(task_ids=task_ids, **given, **more)

    def xcom_push(self, key: str, value: Any) -> None:
        """Refuse: a plan writes nothing."""
        raise NotImplementedError("A plan writes nothing.")


def _context_of(task: Any, name: TaskName, session: Any) -> dict[str, Any]:
    """Return the context of a task instance, as Airflow makes it for its templates."""
    row = _row(name, session)
    try:
        from airflow.cli.commands.task_command import _get_template_context
    except ImportError:  # before Airflow 3.2
        row.task = task
        context = dict(row.get_template_context(session=session))
    else:
        context = dict(_get_template_context(row, task))
    context["task"] = task
    context["ti"] = context["task_instance"] = _Ti(context["ti"], row)
    place = Task(name.dag_id, str(name.run_id), name.task_id, name.map_index)
    context.pop("task_state_store", None)
    with contextlib.suppress(Refused):
        context["task_state_store"] = TaskState(place)
    return context


def _row(name: TaskName, session: Any) -> Any:
    from airflow.models.taskinstance import TaskInstance

    named = {"dag_id": name.dag_id, "run_id": name.run_id, "task_id": name.task_id}
    rows = session.query(TaskInstance).filter_by(**named).all()
    for row in rows:
        if row.map_index == name.map_index:
            return row
    places = ", ".join(str(row.map_index) for row in sorted(rows, key=lambda row: row.map_index)) or "none"
    raise Refused(
        f"Run {name.run_id} of DAG {name.dag_id} has no task {name.task_id} with map index {name.map_index}. It has it "
        f"with these: {places}."
    )
