"""The driver: many trials in flight on one Airflow, the components' deaths in phases of their own."""

from __future__ import annotations

import logging
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from verification.kill_matrix.actions import course_of
from verification.kill_matrix.airflows import RunningAirflow
from verification.kill_matrix.cells import Cell
from verification.kill_matrix.data import stamp
from verification.kill_matrix.judge import in_words, judge
from verification.kill_matrix.ledgers import Ledgers, running_ledgers
from verification.kill_matrix.trial import Condition, Trial

TICK_SECONDS = 0.3
READY_SECONDS = 120.0
GROUP = 4
"""Cells that share the death of a component: all must come to the point at the same time."""

ENOUGH_ORDERS = 20
"""A cell that has bought so often is not watched any longer."""

PHASES = ("looking", "triggerer", "scheduler")
Result = dict[str, Any]


class Flight:
    """A trial with the condition that it waits for."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self._course = course_of(trial)
        self._condition: Condition | None = None
        self.is_over = False

    def step(self) -> bool:
        """Go on as far as possible; return whether the trial is done, or has taken too long."""
        spent = len(self.trial.placed())
        if self.trial.is_late or spent >= ENOUGH_ORDERS:
            return True
        while self._condition is None or self._condition():
            try:
                self._condition = next(self._course)
            except StopIteration:
                self.is_over = True
                return True
        return False


class Driver:
    """
    Runs cells of one line.

    :param ledgers: Makes the databases of the cells whose ledger is one.
    :param jobs: How many are in flight at once.
    :param note: Called with every result.
    """

    def __init__(
        self, airflow: RunningAirflow, folder: Path, ledgers: Ledgers, jobs: int, note: Callable[[Result], None]
    ) -> None:
        self._airflow = airflow
        self._folder, self._ledgers = folder, ledgers
        self._jobs = jobs
        self._note = note

    def run(self, cells: Sequence[Cell]) -> None:
        """Run the cells that share Airflow, mixed, so that not all that is slow comes at once; then the others."""
        shared = [cell for cell in cells if not cell.row.phase]
        random.Random(0).shuffle(shared)
        self._fly(shared)
        for phase in PHASES:
            group = [cell for cell in cells if cell.row.phase == phase]
            for first in range(0, len(group), GROUP):
                self._fly(group[first : first + GROUP], phase)

    def _fly(self, cells: Sequence[Cell], phase: str = "") -> None:
        waiting = list(cells)[::-1]
        flying: list[Flight] = []
        outside = self._kill_when_ready(flying, len(cells), phase) if phase else iter(())
        try:
            while waiting or flying:
                self._airflow.check()
                self._airflow.refresh()
                if waiting and len(flying) < self._jobs:
                    flying.append(Flight(Trial(waiting.pop(), self._airflow, self._folder, self._ledgers)))
                next(outside, None)
                for flight in [flight for flight in flying if flight.step()]:
                    flying.remove(flight)
                    self._land(flight)
                time.sleep(TICK_SECONDS)
        finally:
            for flight in flying:
                flight.trial.close()

    def _land(self, flight: Flight) -> None:
        trial = flight.trial
        try:
            end = trial.ending(is_over=flight.is_over)
        finally:
            trial.close()
        verdict = judge(trial.cell, end)
        cell = trial.cell
        named = dict(zip(("line", "contender", "store", "row", "column"), cell.identity, strict=True))
        self._note(
            {
                **named,
                "verdict": verdict,
                "orders": len(end.orders),
                "wanted": cell.row.wanted,
                "cents": end.cents,
                "requests": end.requests,
                "ended": in_words(cell, end, verdict),
                "seconds": round(end.seconds, 1),
                "airflow": self._airflow.version,
                **stamp(),
            }
        )

    def _kill_when_ready(self, flying: list[Flight], number: int, phase: str) -> Iterator[None]:
        """Wait until every trial of the phase is where it should be struck, kill the component, and start it anew."""
        deadline = time.monotonic() + READY_SECONDS
        held: set[Trial] = set()
        while time.monotonic() < deadline:
            trials = [flight.trial for flight in flying]
            if len(trials) == number and all(_is_ready(trial, phase, held) for trial in trials):
                self._airflow.kill("scheduler" if phase == "scheduler" else "triggerer")
                for trial in trials:
                    trial.is_struck = True
                break
            yield
        for trial in [flight.trial for flight in flying]:
            trial.deliver()
        for trial in held:
            trial.sandbox.faults.clear()


def _is_ready(trial: Trial, phase: str, held: set[Trial]) -> bool:
    if phase == "scheduler":
        action = trial.cell.spent.action
        return any(entry.action == action and "delay" in entry.faults for entry in trial.sandbox.journal)
    if phase == "triggerer":
        return trial.has_state("deferred")
    if trial not in held and trial.has_state("deferred"):
        held.add(trial)
        trial.sandbox.faults.add(
            {"fault": "delay", "seconds": 60.0, "times": None, "action": "DescribeDealsByCond", "when": "after"}
        )
    return trial in held and any("delay" in entry.faults for entry in trial.sandbox.journal)


def run_line(line: str, cells: Sequence[Cell], jobs: int, note: Callable[[Result], None], keep: bool = False) -> None:
    """Run the cells of a line on an Airflow that lives as long as they need it."""
    logging.getLogger("uvicorn.error").addFilter(lambda record: "Exception in ASGI" not in record.getMessage())
    home = tempfile.mkdtemp(prefix="kill-matrix-")
    try:
        folder = Path(home) / "plans"
        folder.mkdir()
        kills_components = any(cell.row.phase for cell in cells)
        with (
            running_ledgers(folder, {cell.store for cell in cells}) as ledgers,
            RunningAirflow(Path(home) / "airflow", folder, line, kills_components=kills_components) as airflow,
        ):
            Driver(airflow, folder, ledgers, jobs, note).run(cells)
    finally:
        if keep:
            print(f"kept: {home}", file=sys.stderr)
        else:
            shutil.rmtree(home, ignore_errors=True)
