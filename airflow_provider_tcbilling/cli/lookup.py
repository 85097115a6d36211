"""Lookup: find the record of the purchase that a user names. It only reads."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, TypeVar

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.reading import json_of
from airflow_provider_tcbilling.api.text import harmless
from airflow_provider_tcbilling.hooks.connection import Settings
from airflow_provider_tcbilling.ledger.store import NoStore, Store
from airflow_provider_tcbilling.ledger.task_state import TaskStateStore, is_mapped
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord, StoreFailed
from airflow_provider_tcbilling.purchasing.evidence import order_numbered
from airflow_provider_tcbilling.purchasing.key import client_token_for
from airflow_provider_tcbilling.purchasing.record import VERSION, Record
from airflow_provider_tcbilling.task.dag_run import task_run_key
from airflow_provider_tcbilling.task.store import open_ledger, refuse_if_away

T = TypeVar("T")

_ELSEWHERE = "__airflow_state_ref__"
"""Airflow stores this in place of a value that a worker's own state store backend keeps."""


class Refused(Exception):
    """The command does nothing; the text says why. Nothing was written, nothing was sent."""


@dataclass(frozen=True)
class Task:
    """
    One task of one run.

    :param map_index: -1 if it is not mapped.
    :param loop_index: Which iteration of a loop; ``None`` outside of loops.
    """

    dag_id: str
    run_id: str
    task_id: str
    map_index: int = -1
    loop_index: int | None = None

    @property
    def key(self) -> str:
        """The key of its purchase, unless the DAG gives another."""
        return task_run_key(self.dag_id, self.run_id, self.task_id, self.map_index, self.loop_index)

    @property
    def place(self) -> str:
        """The options that tell it from others of the same task on the command line."""
        mapped = [f"--map-index {self.map_index}"] if self.map_index >= 0 else []
        looped = [] if self.loop_index is None else [f"--loop-index {self.loop_index}"]
        return " ".join(["with", *mapped, *looped]) if mapped or looped else "without an index"

    def has_name_of(self, other: Task) -> bool:
        """Whether another one is of the same task, at any place."""
        return (self.dag_id, self.run_id, self.task_id) == (other.dag_id, other.run_id, other.task_id)


@dataclass(frozen=True)
class PurchaseName:
    """
    The name of a purchase: one of these that a user gives, or the key and the task of a record to restore.

    :param token: The client token.
    """

    key: str | None = None
    token: str | None = None
    order_id: str | None = None
    task: Task | None = None

    def __str__(self) -> str:
        names = {"client token": self.token, "order": self.order_id, "task": self.task and self.task.key}
        return self.key or next(f"of {kind} {name}" for kind, name in names.items() if name)


@dataclass(frozen=True)
class FoundPurchase:
    """
    One purchase, as far as it could be found.

    :param name: Its name, as the user gave it.
    :param store: Where its record is, or belongs.
    :param key: Its key; ``None`` if that is not known.
    :param record: ``None`` if there is none, or none that can be used.
    :param unusable: The reason why its record cannot be used.
    :param is_newer: That record is of a newer version of this package.
    :param notes: Notes for the user.
    :param last_try_ended: Epoch seconds at which the last try of the task has ended, as far as it is known; infinity if
        it runs.
    """

    name: PurchaseName
    store: Store
    key: str | None = None
    record: Record | None = None
    unusable: InvalidRecord | None = None
    is_newer: bool = False
    notes: tuple[str, ...] = ()
    last_try_ended: float = -math.inf

    @property
    def where(self) -> str:
        """Where its record is, or belongs, in words."""
        return self.store.location(self.key) if self.key else self.store.about

    @property
    def has_twins(self) -> bool:
        """Whether it belongs to a mapped task or an iteration of a loop, whose siblings may buy the same."""
        task = self.name.task
        return task is not None and (is_mapped(task) or task.loop_index is not None)


class TaskState:
    """
    The state of one task in Airflow's metadata database: the ``context["task_state_store"]`` of the task.

    :raises Refused: This line of Airflow has none, or the task has no such place.
    """

    def __init__(self, task: Task) -> None:
        try:
            from airflow.state import get_state_backend  # type: ignore[import-untyped,unused-ignore]
        except ImportError:
            raise Refused(
                "No record is kept: this line of Airflow has no task state store, and the connection names no ledger. "
                "Look for the order in the console, in every status."
            ) from None
        self._backend = get_state_backend()
        self._scope, self.last_try_ended = _scope_of(task)

    def get(self, key: str) -> Any:
        """
        Return the stored value; text that is no JSON as it is.

        :raises Refused: A worker's own backend keeps it, which cannot be read from here.
        """
        text = self._backend.get(self._scope, key)
        try:
            stored = json_of(text) if text is not None else None
        except (ValueError, RecursionError):
            return text
        if isinstance(stored, Mapping) and _ELSEWHERE in stored:
            raise Refused("The record is kept outside of Airflow, by [workers] state_store_backend: look there.")
        return stored

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        """Store it for ever, as the operator does."""
        self._backend.set(self._scope, key, json.dumps(value), expires_at=None)


def _scope_of(task: Task) -> tuple[Any, float]:
    """
    Return where the state of a task stands, and when its last try ended: see :class:`FoundPurchase`.

    From Airflow 3.4 on that of a mapped task, and of a loop, is kept by region, and only the database knows which.

    :raises Refused: The run has this task, but not at this place, or twice.
    """
    from airflow.models.taskinstance import TaskInstance
    from airflow.state import TaskScope
    from airflow.utils.session import create_session

    named: dict[str, Any] = {"dag_id": task.dag_id, "run_id": task.run_id, "task_id": task.task_id}
    with create_session() as session:
        rows = session.query(TaskInstance).filter_by(**named).all()
        places = [(place, scope, _end_of(row)) for row in rows for place, scope in _places(row, session)]
    if not places:
        refuse_unknown_run(task)
        return TaskScope(**named, map_index=task.map_index), -math.inf
    wanted = (task.map_index, task.loop_index)
    found = [(scope, end) for place, scope, end in places if (place.map_index, place.loop_index) == wanted]
    if len(found) == 1:
        return TaskScope(**named, **found[0][0]), found[0][1]
    existing = "\n".join(sorted({f"  {place.place}" for place, *_ in places}))
    many = "more than one" if found else "no"
    raise Refused(
        f"Run {task.run_id} has {many} task {task.task_id} {task.place}, so nothing is known of its purchase. It has "
        f"the task\n{existing}"
    )


def _end_of(row: Any) -> float:
    """Return when the last try of a task instance ended, in epoch seconds; infinity if it runs."""
    if str(row.state) in ("running", "restarting"):
        return math.inf
    end: float = row.end_date.timestamp() if row.end_date else -math.inf
    return end


def refuse_unknown_run(task: Task) -> None:
    """
    Raise if Airflow's database can be read and does not know the run of a task.

    :raises Refused: There is no such run.
    """
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    with create_session() as session:
        if session.query(DagRun).filter_by(dag_id=task.dag_id, run_id=task.run_id).first() is None:
            raise Refused(
                f"No such run: Airflow knows no run {harmless(task.run_id)} of DAG {harmless(task.dag_id)}, so it "
                "keeps no record of it. Compare the names with the page of the task."
            )


def _places(row: Any, session: Any) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Yield the place of a task instance and the scope of its state; nothing if only Airflow knows the place."""
    named = (row.dag_id, row.run_id, row.task_id)
    if not hasattr(row, "region_id"):  # before Airflow 3.4
        yield Task(*named, row.map_index), {"map_index": row.map_index}
        return
    from airflow.models.dynamic_region import (  # type: ignore[import-not-found,unused-ignore]
        SENTINEL_REGION_ID,
        DynamicRegion,
    )

    if row.working_set is not True:
        return
    scope = {"region_index": row.region_index, "region_id": row.region_id}
    if row.region_id == SENTINEL_REGION_ID:
        yield Task(*named, row.region_index), scope
        return
    region = session.get(DynamicRegion, row.region_id)
    is_expansion = region.node_id == row.task_id
    loop = session.get(DynamicRegion, region.parent_region_id) if is_expansion and region.parent_region_id else region
    if loop.parent_region_id:
        return
    if not is_expansion:
        yield Task(*named, loop_index=row.region_index), scope
    else:
        yield Task(*named, row.region_index, region.parent_region_index), scope


def find(name: PurchaseName, settings: Settings, client: BillingClient) -> FoundPurchase:
    """
    Find a purchase.

    :raises StoreFailed: Its store cannot be read, so nothing is known.
    :raises Refused: It cannot be found in this way, or is not the only one.
    """
    if settings.ledger:
        return reading(settings.ledger, lambda: _in_ledger(name, open_ledger(settings), client))
    if task := name.task:
        return reading("the task state store", lambda: _in_task_state(name, task))
    if name.order_id:
        return FoundPurchase(name, NoStore(), notes=("The connection names no ledger, so no record was looked for.",))
    raise Refused(
        "The connection names no ledger, so a record can only be found by its task: give --dag-id, --run-id and "
        "--task-id, or the --conn-id of the connection that has ledger_conn_id or ledger_uri."
    )


def read(name: PurchaseName, store: Store, key: str) -> FoundPurchase:
    """Read the record of a key. Errors of the store fly on."""
    stored = None
    try:
        stored = store.read(key)
        record = Record.from_json(stored, store.location(key)) if stored is not None else None
        if record and record.key != key and store.is_shared:
            raise InvalidRecord(store.location(key), f"it is of another purchase, {record.key}")
    except InvalidRecord as error:
        version = stored.get("version") if isinstance(stored, Mapping) else None
        is_newer = isinstance(version, int) and version > VERSION
        return FoundPurchase(name, store, key, unusable=error, is_newer=is_newer)
    if record is None and store.is_shared:
        refuse_if_away(store)
    return FoundPurchase(name, store, record.key if record else key, record)


def task_of(record: Record) -> Task | None:
    """Return the task that placed a purchase, ``None`` if its record does not name it."""
    by = {"map_index": None, "loop_index": None, **record.placed_by}
    names: list[Any] = [by.get(name) for name in ("dag_id", "run_id", "task_id")]
    indices: list[Any] = [-1 if by["map_index"] is None else by["map_index"], by["loop_index"]]
    is_complete = all(isinstance(name, str) and name for name in names)
    return (
        Task(*names, *indices) if is_complete and all(type(index) in (int, type(None)) for index in indices) else None
    )


def _in_task_state(name: PurchaseName, task: Task) -> FoundPurchase:
    loop = None if task.loop_index is None else SimpleNamespace(index=task.loop_index)
    state = TaskState(task)
    context = {"ti": SimpleNamespace(**vars(task)), "loop": loop, "task_state_store": state}
    return replace(read(name, TaskStateStore(context), task.key), last_try_ended=state.last_try_ended)  # type: ignore


def numbers_of(client: BillingClient, order_id: str) -> frozenset[str]:
    """Return all numbers of an order: this one alone, if the order book does not list it."""
    try:
        order = order_numbered(client, order_id)
    except TcBillingError:
        order = None
    return frozenset({order_id}) | (order.order_ids if order else frozenset())


def _in_ledger(name: PurchaseName, ledger: Store, client: BillingClient) -> FoundPurchase:
    key = name.key or (name.task.key if name.task else None)
    exact = read(name, ledger, key) if key else FoundPurchase(name, ledger)
    if name.key or exact.record or exact.unusable:
        return exact
    numbers = numbers_of(client, name.order_id) if name.order_id else frozenset()
    dag_id = name.task.dag_id if name.task else ""
    possible = ledger.possible(token=name.token or "", dag_id=dag_id, order_ids=numbers)
    found, notes = _scan(possible, ledger, _matcher_of(name, numbers))
    if len(found) > 1:
        keys = "\n".join(f"  {harmless(record.key)}" for record in found)
        raise Refused(f"{len(found)} purchases are {name}. Name one of them with --key:\n{keys}")
    if found:
        return FoundPurchase(name, ledger, found[0].key, found[0], notes=notes)
    return FoundPurchase(name, ledger, key, notes=(*notes, *_note_of_siblings(name.task, ledger)))


def _note_of_siblings(task: Task | None, ledger: Store) -> tuple[str, ...]:
    """Return a note of the purchases of the same task at other places: the user may mean one of them."""
    if task is None:
        return ()
    possible = ledger.possible(dag_id=task.dag_id)
    records, _ = _scan(possible, ledger, lambda record: bool((other := task_of(record)) and other.has_name_of(task)))
    places = sorted({other.place for record in records if (other := task_of(record))})
    return (f"The ledger has purchases of this task {', '.join(places)}.",) if places else ()


def _scan(
    possible: Iterable[tuple[str, Any]], ledger: Store, matches: Callable[[Record], bool]
) -> tuple[list[Record], tuple[str, ...]]:
    """Return those of some records that match, and a note of those that cannot be used."""
    found, damaged = [], []
    for location, stored in possible:
        name = location.rpartition("/")[2]
        try:
            record = Record.from_json(stored, name)
        except InvalidRecord:
            damaged.append(name)
            continue
        if matches(record):
            found.append(record)
    note = f"Records of {ledger.about} that cannot be used, and may be it: {', '.join(damaged)}"
    return found, (note,) if damaged else ()


def _matcher_of(name: PurchaseName, numbers: frozenset[str]) -> Callable[[Record], bool]:
    if name.token:
        return lambda record: name.token in (record.client_token, client_token_for(record.key))
    if name.task:
        return lambda record: task_of(record) == name.task
    return lambda record: record.order_id in numbers


def reading(place: str, read_it: Callable[[], T]) -> T:
    """
    Return the result of reading a ledger or a state store.

    :raises StoreFailed: It cannot be read, so nothing is known.
    """
    try:
        return read_it()
    except (Refused, TcBillingError):
        raise
    except FileNotFoundError as error:
        raise StoreFailed(
            f"There is no folder {place}, or it is empty. Is it mounted here? Nothing is known of any purchase."
        ) from error
    except Exception as error:
        raise StoreFailed(f"The records ({place}) cannot be read, so nothing is known: {error!r}") from error
