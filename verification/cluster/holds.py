"""
Holds: points of a purchase at which tasks stand still, until the scenario has let something happen.

The scenario writes a hold into the shared folder; tasks that reach its point on its node take a place in it, and stand
there until the hold is lifted, or until their machine is lost.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from verification.cluster.machine import NODE

SHARED = "CLUSTER_SHARED"
"""The variable that names the folder that all nodes see."""

STEP_SECONDS = 0.1


@dataclass(frozen=True)
class Hold:
    """
    One hold.

    :param point: A checkpoint of a purchase, of ``Purchase.CHECKPOINTS``.
    :param node: Only tasks of this node stand still; empty for all.
    :param each: So many tasks of each trial.
    """

    name: str
    point: str
    node: str = ""
    each: int = 2


class Holds:
    """
    The holds of a scenario.

    :param folder: That all nodes see.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def set(self, hold: Hold) -> None:
        """Let tasks stand still from now on."""
        draft = self._folder / f"{hold.name}.draft"
        draft.write_text(json.dumps(asdict(hold)), encoding="utf-8")
        draft.replace(self._folder / f"{hold.name}.json")

    def lift(self, hold: Hold) -> None:
        """Let them go on."""
        (self._folder / f"{hold.name}.json").unlink(missing_ok=True)

    def standing(self, hold: Hold) -> Counter[str]:
        """Return how many tasks of each trial have come to stand at a hold."""
        return Counter(path.name.split(".")[1] for path in self._folder.glob(f"{hold.name}.*.at-*"))

    def stand(self, trial: str, point: str) -> None:
        """Stand still as long as a hold of this point has a place for the trial, in a task's process."""
        for path in sorted(self._folder.glob("*.json")):
            try:
                hold = Hold(**json.loads(path.read_text(encoding="utf-8")))
            except FileNotFoundError:
                continue
            if hold.point == point and hold.node in ("", os.environ.get(NODE)) and self._takes_place(hold, trial):
                while path.exists():
                    time.sleep(STEP_SECONDS)

    def _takes_place(self, hold: Hold, trial: str) -> bool:
        for place in range(hold.each):
            try:
                os.close(os.open(self._folder / f"{hold.name}.{trial}.at-{place}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            return True
        return False


def arm(context: Any) -> None:
    """Let the purchases of this task's process meet the holds; runs before ``execute``."""
    from airflow_provider_tcbilling.purchasing.purchase import Purchase

    trial = str(context["dag_run"].conf["trial"])
    holds = Holds(Path(os.environ[SHARED]) / "holds")
    Purchase.checkpoint = staticmethod(lambda point: holds.stand(trial, point))  # type: ignore[assignment,method-assign]
