"""The published results, from which the page can be written again at any time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from verification import published
from verification.cluster.scenarios import SCENARIOS
from verification.cluster.trial import STORES

Result = Mapping[str, Any]
Identity = tuple[str, str, str]
"""Scenario, store and rule for tokens."""

DATA = Path(__file__).with_name("results.json.xz")


def identity_of(result: Result) -> Identity:
    """Return which trial a result is of."""
    return result["scenario"], result["store"], result["tokens"]


def identities() -> list[Identity]:
    """Return all trials that there are, in the order of the page."""
    return [
        (name, store, tokens)
        for name, scenario in SCENARIOS.items()
        for tokens in scenario.tokens
        for store in STORES
        if store in scenario.stores
    ]


def read() -> dict[Identity, Result]:
    """Return the published results, of the trials that there are today."""
    stored = published.read(DATA) or {"results": []}
    found = {identity_of(result): result for result in stored["results"]}
    return {identity: found[identity] for identity in identities() if identity in found}


def merge(results: Iterable[Result]) -> None:
    """Publish results, in place of older ones of the same trials."""
    merged = {**read(), **{identity_of(result): result for result in results}}
    lines = ",\n".join(json.dumps(merged[identity]) for identity in identities() if identity in merged)
    published.write(DATA, f'{{"results": [\n{lines}\n]}}\n')


def stamp() -> dict[str, str]:
    """Return when and with which version of the provider a result was made."""
    return {"date": datetime.now(timezone.utc).date().isoformat(), "provider": version("airflow-provider-tcbilling")}
