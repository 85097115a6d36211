"""A clock, a store and a client for random input, and the definition of a designed end."""

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
from airflow_provider_tcbilling.ledger.memory import MemoryStore
from airflow_provider_tcbilling.purchasing.decision import Rules
from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from verification.fuzz.server import NOW, ORDER

SLOW = 60.0
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


class Shelf(MemoryStore):
    """A store that holds JSON values at first."""

    about = "a shelf"

    def __init__(self, stored: Mapping[str, Any] | None = None) -> None:
        super().__init__({key: json.dumps(value) for key, value in (stored or {}).items()})

    @property
    def stored(self) -> Mapping[str, Any]:
        """The JSON values that it holds."""
        return {key: json.loads(text) for key, text in self.texts.items()}


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
