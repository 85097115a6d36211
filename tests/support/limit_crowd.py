"""Processes that buy within a limit, all at once, and may be killed at any point of a purchase."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

LAG = 2.0
KILLED, DONE = "killed", "done\n"


@dataclass(frozen=True)
class Job:
    """
    What one process buys, one after the other.

    :param ledger: The fields of the ledger's address.
    :param keys: The purchases.
    :param limit: The fields of the limit.
    :param now: Epoch seconds of the ledger's clock when the job begins.
    :param account: The account that the key is of; empty if the key may not read it.
    :param death: How probable it is that the process is killed at each point.
    """

    ledger: dict[str, Any]
    endpoint: str
    order: dict[str, Any]
    keys: list[str]
    limit: dict[str, Any]
    max_cents: int
    secret: tuple[str, str]
    now: float
    account: str = ""
    key_id: str = ""
    death: float = 0.0
    seed: int = 0
    run: str = "manual__1"


class Crowd:
    """
    Processes that buy at the same time. Each job has a new one, and so has its rest once that is killed.

    :param size: How many there are.
    """

    def __init__(self, size: int) -> None:
        command = [sys.executable, "-m", "tests.support.limit_crowd"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._processes = [subprocess.Popen(command, cwd=ROOT, **pipes) for _ in range(size)]  # type: ignore[call-overload]
        for process in self._processes:
            assert process.stdout.readline() == "ready\n"
        self.killed = 0

    def close(self) -> None:
        for process in self._processes:
            process.communicate()

    def buy(self, jobs: list[Job]) -> dict[str, list[str]]:
        """
        Let each process do one job, all from the same moment on; return the outcomes of each purchase.

        A process that is killed is started again, and goes on with the next purchase of its job.
        """
        outcomes: dict[str, list[str]] = {}
        with ThreadPoolExecutor(len(jobs)) as pool:
            for done in pool.map(_done, self._processes, jobs):
                for key, outcome in done:
                    outcomes.setdefault(key, []).append(outcome)
        self.killed += sum(of_one.count(KILLED) for of_one in outcomes.values())
        return outcomes


def _done(process: subprocess.Popen[str], job: Job) -> list[tuple[str, str]]:
    """Let a process do a job; return each purchase and its outcome."""
    assert process.stdin
    assert process.stdout
    outcomes, seed, began = [], job.seed, time.monotonic()
    left = list(job.keys)
    while left:
        now = job.now + time.monotonic() - began
        process.stdin.write(json.dumps({**asdict(job), "keys": left, "seed": seed, "now": now}) + "\n")
        process.stdin.flush()
        for line in iter(process.stdout.readline, DONE):
            assert line, "the process that starts the buyers has ended"
            key, outcome = json.loads(line)
            outcomes.append((key or left[0], outcome))
            left.remove(key or left[0])
        seed += 1000
    return outcomes


def main() -> None:
    """Do the jobs that are read, one a line, each in a child: to start Python again would take too long."""
    from airflow_provider_tcbilling.ledger import database
    from airflow_provider_tcbilling.purchasing import purchase

    assert database
    assert purchase
    _say("ready\n")
    for line in sys.stdin:
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            if status:
                assert status == signal.SIGKILL, "a buyer failed: see above"
                _say(json.dumps(["", KILLED]) + "\n")
            _say(DONE)
        else:
            _do(Job(**json.loads(line)))
            os._exit(0)


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _do(job: Job) -> None:
    from airflow_provider_tcbilling.ledger.database import DatabaseStore
    from airflow_provider_tcbilling.ledger.database_address import Address

    ahead = job.now - time.time()
    DatabaseStore.now = lambda store: time.time() + ahead  # type: ignore[method-assign]
    store = DatabaseStore(Address(**{**job.ledger, "options": ()}))
    die = _Death(random.Random(job.seed), job.death)
    die.lurk()
    for key in job.keys:
        _say(json.dumps([key, _outcome(job, store, key, die)]) + "\n")


class _Death:
    """Kills this process at random points: those of a purchase, of its transaction, and of its answer."""

    def __init__(self, source: random.Random, probability: float) -> None:
        self._source, self.probability = source, probability

    def __call__(self, point: str) -> None:
        if self._source.random() < self.probability:
            os.kill(os.getpid(), signal.SIGKILL)

    def lurk(self) -> None:
        """Lurk between the statements of a transaction, at its end, and between an answer and its reader."""
        from requests import Session

        from airflow_provider_tcbilling.ledger import database_changes
        from airflow_provider_tcbilling.ledger.database_engine import Database

        self._around(database_changes, "check")
        self._around(Database, "_commit")
        self._around(Session, "post")

    def _around(self, place: Any, name: str) -> None:
        function = getattr(place, name)

        def watched(*given: Any, **named: Any) -> Any:
            self(f"before {name}")
            result = function(*given, **named)
            self(f"after {name}")
            return result

        setattr(place, name, watched)


def _outcome(job: Job, store: Any, key: str, die: Callable[[str], None]) -> str:
    """Buy one thing as a task does, and return its order, or the name of what it raises."""
    from airflow_provider_tcbilling.api.client import BillingClient
    from airflow_provider_tcbilling.api.errors import TcBillingError
    from airflow_provider_tcbilling.api.rate_limit import UNLIMITED
    from airflow_provider_tcbilling.purchasing.authorization import Authorization
    from airflow_provider_tcbilling.purchasing.decision import Rules
    from airflow_provider_tcbilling.purchasing.limits import Limit, Window
    from airflow_provider_tcbilling.purchasing.money_rules import MoneyRules
    from airflow_provider_tcbilling.purchasing.new_instance import NewInstance
    from airflow_provider_tcbilling.purchasing.purchase import Purchase
    from airflow_provider_tcbilling.waiting.delivery import DeliveryWatch

    class Bought(NewInstance):
        """It is bought with a key of a chosen account."""

        key_id = job.key_id or NewInstance.key_id  # type: ignore[assignment]

        def account(self) -> str:
            return job.account

    client = BillingClient(*job.secret, endpoint=job.endpoint, rate_limiter=UNLIMITED)
    action = Bought(client, job.order)
    limit = Limit(**{**job.limit, "window": Window(job.limit["window"])})
    rules = MoneyRules(limits=(limit,), max_cents=job.max_cents, currency=limit.currency)
    purchase = Purchase(
        key,
        action,
        store,
        Rules(lag=LAG, replay_window=20_000.0, request_seconds=60.0),
        placed_by={"dag_id": "shop", "run_id": job.run},
        authorization=Authorization(store, action, rules),
        checkpoint=die,
        sleep=lambda seconds: time.sleep(min(seconds, 0.05)),
    )
    try:
        order = purchase.place()
        delivery = DeliveryWatch(client, order.order_id).step()
        if delivery.order:
            die("settle")
            purchase.note_delivery(delivery.order)
            die("settled")
        return f"order {order.order_id}"
    except TcBillingError as error:
        return type(error).__name__ if "Limit" in type(error).__name__ else f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    main()
