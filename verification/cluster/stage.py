"""Stage: the trials of a scenario side by side on one cluster, and the waits of a scenario."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.support.real_airflow import AirflowTrouble
from verification.cluster.holds import Hold
from verification.cluster.nodes import Cluster
from verification.cluster.trial import Trial, unfinished
from verification.cluster.watch import Watch

STEP_SECONDS = 1.0
PROGRESS_SECONDS = 60.0
HOLD_SECONDS = 150.0
SETTLED_SECONDS = 15.0
NONE_SECONDS = 60.0


class Stage:
    """
    A scenario under way.

    :param trials: All of them are struck at once.
    """

    def __init__(self, cluster: Cluster, watch: Watch, trials: Sequence[Trial]) -> None:
        self.cluster = cluster
        self.trials = trials
        self._watch = watch
        self._holds = 0

    def wait(self, what: str, is_true: Callable[[], bool], seconds: float = 900.0, *, is_needed: bool = True) -> bool:
        """
        Return when something is true, or when every run has ended.

        :param is_needed: Raise if it is not true in time; else return ``False``.
        :raises AirflowTrouble: It is not true after *seconds*. The message shows how far each trial is.
        """
        deadline = time.monotonic() + seconds
        spoke = time.monotonic()
        while not is_true():
            if not any(unfinished(self.trials)):
                return False
            now = time.monotonic()
            if now > deadline:
                if is_needed:
                    raise AirflowTrouble(f"{what}: not after {seconds:.0f} s. {self.progress()}")
                return False
            if now > spoke + PROGRESS_SECONDS:
                spoke = now
                print(f"    {time.strftime('%H:%M:%S')} waiting for {what}; {self.progress()}", flush=True)
            self.step()
        return True

    def step(self) -> None:
        """Let a second pass, with the cluster tended and the states read anew."""
        self.cluster.check()
        self._watch.refresh()
        time.sleep(STEP_SECONDS)

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.step()

    def until_over(self, seconds: float) -> bool:
        """Return when every run has ended, or when the time is over: whether they have."""
        self.wait("the end of every run", lambda: False, seconds, is_needed=False)
        return not any(unfinished(self.trials))

    @contextmanager
    def held(self, point: str, node: str = "", each: int = 2) -> Iterator[None]:
        """
        Let tasks of each trial stand still at a point, and go on afterwards, unless their machine was lost.

        It begins when enough of them stand there. Those of a trial that has none left to buy are not waited for.
        """
        self._holds += 1
        hold = Hold(f"{self.trials[0].name.split('-')[0]}{self._holds}", point, node, each)
        self.cluster.holds.set(hold)
        try:
            if self._wait_for(hold):
                self.note(f"tasks stand at '{point}' {f'on {node}' if node else ''}: {self._standing(hold)}")
            self._watch.refresh()
            yield
        finally:
            self.cluster.holds.lift(hold)

    def strike(self, *hosts: str) -> None:
        """Count the tasks that are struck now: all that run, or those on some machines."""
        self._watch.refresh()
        for trial in self.trials:
            trial.note_strike(hosts or None)

    def note(self, text: str) -> None:
        """Print what happens."""
        print(f"    {time.strftime('%H:%M:%S')} {text}", flush=True)

    def progress(self) -> str:
        """Return how far the trials are, and what was started again by itself."""
        restarts = ", ".join(f"{name} {count}" for name, count in self.cluster.restarts.items())
        return " | ".join([*(trial.progress() for trial in self.trials), f"restarts: {restarts or 'none'}"])

    def _wait_for(self, hold: Hold) -> bool:
        """Wait until each trial has its tasks there, or some of them, and no more have come for a while."""
        latest, count = time.monotonic(), 0

        def is_enough() -> bool:
            nonlocal latest, count
            standing = self.cluster.holds.standing(hold)
            if standing.total() != count:
                latest, count = time.monotonic(), standing.total()
            if all(standing[trial.name] >= hold.each for trial in unfinished(self.trials)):
                return True
            has_all = all(standing[trial.name] for trial in unfinished(self.trials))
            return count > 0 and time.monotonic() > latest + (SETTLED_SECONDS if has_all else NONE_SECONDS)

        return self.wait(f"tasks at '{hold.point}' {hold.node}", is_enough, HOLD_SECONDS, is_needed=False)

    def _standing(self, hold: Hold) -> str:
        return ", ".join(f"{name} {count}" for name, count in sorted(self.cluster.holds.standing(hold).items()))
