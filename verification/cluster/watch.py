"""Watch: the runs of a cluster as they stand in its metadata database, which costs its API server nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from verification.cluster.nodes import METADATA
from verification.cluster.servers import PostgreSQL
from verification.xcoms import plain

RUNS = "SELECT run_id, state FROM dag_run"
TASKS = """
SELECT run_id, map_index, state, try_number, coalesce(hostname, '') FROM task_instance
WHERE task_id = %s AND state IS DISTINCT FROM 'removed'
"""
RETURNED = "SELECT map_index, value FROM xcom WHERE run_id = %s AND task_id = %s AND key = 'return_value'"
TASK = "buy"
OVER = ("success", "failed")


@dataclass(frozen=True)
class Seen:
    """A task as it was seen last."""

    map_index: int
    state: str | None
    try_number: int
    host: str


class Watch:
    """The states of all runs, as they were seen last."""

    def __init__(self, server: PostgreSQL) -> None:
        self._server = server
        self._runs: dict[str, str] = {}
        self._tasks: dict[str, list[Seen]] = {}

    def refresh(self) -> None:
        """Read the states anew; what is known stays while the server is away."""
        import psycopg2

        try:
            runs, tasks = dict(self._rows(RUNS)), defaultdict(list)
            for run_id, *seen in self._rows(TASKS, TASK):
                tasks[run_id].append(Seen(*seen))
        except psycopg2.Error:
            return
        self._runs, self._tasks = runs, tasks

    def is_over(self, run_id: str) -> bool:
        """Whether a run has ended."""
        return self._runs.get(run_id) in OVER

    def tasks(self, run_id: str) -> Sequence[Seen]:
        """Return the tasks of a run that buy; before they are mapped there is one with the index -1."""
        return self._tasks.get(run_id, [])

    def returned(self, run_id: str) -> dict[int, Any]:
        """Return what the tasks of a run returned, by map index."""
        return {map_index: plain(value) for map_index, value in self._rows(RETURNED, run_id, TASK)}

    def _rows(self, query: str, *values: Any) -> list[Any]:
        with closing(self._server.connect(METADATA)) as connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())
