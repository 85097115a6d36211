"""The driver: scenario after scenario on one cluster, as long as the settings of Airflow stay the same."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from verification.cluster.judge import Books, books_of
from verification.cluster.machine import way_of_namespaces
from verification.cluster.nodes import Cluster
from verification.cluster.results import Identity, stamp
from verification.cluster.scenarios import SCENARIOS
from verification.cluster.stage import Stage
from verification.cluster.trial import Trial
from verification.cluster.watch import Watch

DAG = "buy-default"
Result = dict[str, Any]
Played = tuple[str, Stage]
Note = Callable[[Result, Books], None]


def run(selected: Sequence[Identity], note: Note, *, keep: bool = False) -> None:
    """
    Run trials, and tell of each result at once.

    :param keep: Leave the cluster's folder behind, with all logs.
    """
    logging.getLogger("uvicorn.error").addFilter(lambda record: "Exception in ASGI" not in record.getMessage())
    waiting = list(selected)
    while waiting:
        settings = SCENARIOS[waiting[0][0]].settings
        group = [identity for identity in waiting if SCENARIOS[identity[0]].settings == settings]
        waiting = [identity for identity in waiting if identity not in group]
        home = Path(tempfile.mkdtemp(prefix="cluster-"))
        try:
            with Cluster(home, settings) as cluster:
                cluster.wait_for_dag(DAG)
                _play_all(group, cluster, note)
        finally:
            if keep:
                print(f"kept: {home}", file=sys.stderr)
            else:
                shutil.rmtree(home, ignore_errors=True)


def _play_all(group: Sequence[Identity], cluster: Cluster, note: Note) -> None:
    """Play scenarios one after the other; the others are played while a long one waits."""
    names = sorted(dict.fromkeys(name for name, _, _ in group), key=lambda name: not SCENARIOS[name].is_long)
    waiting: list[Played] = []
    with contextlib.ExitStack() as stack:
        for name in names:
            played = _play(name, [identity for identity in group if identity[0] == name], cluster, stack)
            if SCENARIOS[name].is_long:
                waiting.append(played)
            else:
                _end(played, note)
                cluster.wait_until_healthy()
        for played in waiting:
            _end(played, note)


def _play(name: str, identities: Sequence[Identity], cluster: Cluster, stack: contextlib.ExitStack) -> Played:
    """Play a scenario, with all of its trials side by side."""
    scenario, watch = SCENARIOS[name], Watch(cluster.postgresql)
    trials = [
        Trial(f"{name}-{store}-{tokens}", scenario.order, cluster, watch, store=store, tokens=tokens)
        for _, store, tokens in identities
    ]
    print(f"{time.strftime('%H:%M:%S')} {scenario.about}", flush=True)
    for trial in trials:
        stack.callback(trial.close)
        trial.start()
    stage = Stage(cluster, watch, trials)
    scenario.play(stage)
    return name, stage


def _end(played: Played, note: Note) -> None:
    name, stage = played
    stage.until_over(SCENARIOS[name].seconds)
    for trial in stage.trials:
        note(*_result_of(trial, name))
        trial.close()


def _result_of(trial: Trial, name: str) -> tuple[Result, Books]:
    books = books_of(trial.ending())
    seconds = (trial.ended or time.monotonic()) - trial.began
    result = {
        "scenario": name,
        "store": trial.store,
        "tokens": trial.tokens,
        **asdict(books),
        "struck": trial.struck,
        "tries": max((task.try_number for task in trial.tasks()), default=0),
        "requests": trial.sandbox.requests["CreateInstance"],
        "refused": trial.refused(),
        "seconds": round(seconds, 1),
        "namespaces": bool(way_of_namespaces()),
        "airflow": version("apache-airflow"),
        **stamp(),
    }
    return result, books
