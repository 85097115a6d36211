"""What every random answer, record and connection needs: a clock, a store, a client, and what counts as designed."""

from __future__ import annotations

import json
import logging
import pickle
import time
from collections.abc import Callable, Mapping
from typing import Any

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.errors import TcBillingError
from airflow_provider_tcbilling.api.rate_limit import UNLIMITED
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase, Rules
from verification.fuzz.server import NOW, ORDER

SLOW = 5.0
"""Seconds after which a call hangs: nothing here waits for anything, and sleeping takes no time."""

NUMBERED = "20261130000007"
KEY = "firewall"

Verdict = tuple[str, list[str]]
"""How it ended, and what is wrong."""


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += max(0.0, seconds)


class Shelf:
    """A store that keeps what it is given, read as JSON; *stored* are the records that it has at first."""

    about, keeps_records, is_shared, is_exclusive = "a shelf", True, True, True

    def __init__(self, stored: Mapping[str, Any] | None = None) -> None:
        self.stored = dict(stored or {})

    def where(self, key: str) -> str:
        return f"shelf {key}"

    def named(self, key: str) -> str:
        return f"--key {key}"

    def read(self, key: str) -> Any:
        return self.stored.get(key)

    def create(self, key: str, stored: Mapping[str, Any]) -> bool:
        if key in self.stored:
            return False
        self.write(key, stored)
        return True

    def write(self, key: str, stored: Mapping[str, Any]) -> None:
        self.stored[key] = json.loads(json.dumps(stored))

    def others(self, key: str) -> list[tuple[str, Any]]:
        return [(name, stored) for name, stored in self.stored.items() if name != key]


def client_of(clock: Clock, **options: Any) -> BillingClient:
    """Return a client of a server at this machine, which is none."""
    given = {"endpoint": "http://127.0.0.1:9", "attempts": 2, "clock": clock, "sleep": clock.sleep, **options}
    return BillingClient("AKIDfuzz", "key", rate_limiter=UNLIMITED, **given)


def purchase_of(client: BillingClient, clock: Clock, shelf: Shelf, **options: Any) -> Purchase:
    """Return the purchase of the one instance that is bought here."""
    rules = Rules(lag=1.0, request_seconds=5.0, replay_window=30.0)
    return Purchase(KEY, NewInstance(client, ORDER), shelf, rules, clock=clock, sleep=clock.sleep, **options)


def designed(use: Callable[[], Any]) -> tuple[Any, list[str]]:
    """Do something; return its result, or its error if that is one of ours, and what is wrong."""
    began = time.monotonic()
    wrong = []
    try:
        result = use()
    except TcBillingError as error:
        result = error
        str(error).encode()
        pickle.dumps(error)
    except Exception as error:
        logging.getLogger(__name__).debug("not designed", exc_info=True)
        result, wrong = error, [f"{type(error).__name__} left the package: {error!r:.300}"]
    if time.monotonic() - began > SLOW:
        wrong.append(f"it took {time.monotonic() - began:.0f} s")
    return result, wrong


def kind_of(result: Any) -> str:
    return type(result).__name__ if isinstance(result, TcBillingError) else "read"
