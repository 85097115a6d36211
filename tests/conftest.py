"""What every test shares: a sandbox of its own, a client and a connection to it, and a task's context."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# Before anything imports Airflow: each worker has a home of its own, and leaves that of the user alone.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="tcbilling-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__UNIT_TEST_MODE"] = "True"

import pytest

from airflow_provider_tcbilling.api.client import BillingClient
from airflow_provider_tcbilling.api.rate_limit import UNLIMITED
from airflow_provider_tcbilling.sandbox.options import Options
from airflow_provider_tcbilling.sandbox.sandbox import Sandbox
from tests.support.servers import serving

SECRET_ID = "AKIDtestsonly"
SECRET_KEY = "key-that-must-never-be-seen-4711"

ORDER: dict[str, Any] = {
    "product_code": "p_cloudfirewall",
    "sub_product_code": "sp_cloudfirewall_svv1",
    "region_code": "ap-guangzhou",
    "zone_code": "ap-guangzhou-6",
    "parameter": {"pid": 1002147, "timeSpan": 1, "timeUnit": "m"},
}
"""The least that CreateInstance needs, beside the token."""

PRICE = Options().price_cents

WRITING = (("ledger", "upgrade"), ("ledger", "check"), ("ledger", "import"), ("ledger", "prune"))
"""Commands that write into the ledger, beside ``settle``; a check gives a folder its identity."""

StartSandbox = Callable[..., Sandbox]


def pytest_unconfigure() -> None:
    """Remove the home of this worker."""
    shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run one worker more than there are cores: some tests wait, for a process or a socket."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture
def start_sandbox() -> Iterator[StartSandbox]:
    """Start sandboxes with chosen rules; each has its address as ``url``."""
    with contextlib.ExitStack() as servers:

        def start(**rules: Any) -> Sandbox:
            sandbox = Sandbox(Options(**{"secret_id": SECRET_ID, "secret_key": SECRET_KEY, "rate_limit": 0, **rules}))
            start.started.append(sandbox)  # type: ignore[attr-defined]
            sandbox.url = servers.enter_context(serving(sandbox))  # type: ignore[attr-defined]
            return sandbox

        start.started = []  # type: ignore[attr-defined]
        yield start


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A migrated metadata database for the whole test run; a process that runs DAG files ends with it."""
    from tests.support.dag_runs import close_airflow, migrate_once

    own = tmp_path_factory.getbasetemp()
    yield migrate_once(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)
    close_airflow()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A PostgreSQL of this machine, for the whole test run. No test stops it."""
    from tests.support.databases import postgresql, shared

    yield from shared("postgres", postgresql, tmp_path_factory.getbasetemp().parent)


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A MariaDB of this machine, for the whole test run. No test stops it."""
    from tests.support.databases import mariadb, shared

    yield from shared("mariadb", mariadb, tmp_path_factory.getbasetemp().parent)


@pytest.fixture
def airflow_home(migrated: Path, tmp_path: Path) -> Path:
    """An Airflow home with a migrated metadata database that no other test uses."""
    from tests.support.dag_runs import copied_home

    return copied_home(migrated, tmp_path / "airflow")


@pytest.fixture
def waiting_only_reads(start_sandbox: StartSandbox) -> Iterator[None]:
    """For tests of waiting: from the first look for an order on, nothing that spends reaches a sandbox."""
    yield
    for sandbox in start_sandbox.started:  # type: ignore[attr-defined]
        asked = [entry.action for entry in sandbox.journal]
        looks = asked.index("DescribeDealsByCond") if "DescribeDealsByCond" in asked else len(asked)
        assert set(asked[looks:]) <= {"DescribeDealsByCond"}


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A sandbox that delivers at once and honours tokens."""
    return start_sandbox()


@pytest.fixture
def client(sandbox: Sandbox) -> BillingClient:
    """A client of the sandbox that does not sleep between tries."""
    return client_to(sandbox)


def client_to(sandbox: Sandbox | None, **options: Any) -> BillingClient:
    """Return a client that does not sleep between tries, and counts no requests."""
    options = {"sleep": lambda seconds: None, "endpoint": sandbox and sandbox.url, "rate_limiter": UNLIMITED, **options}
    return BillingClient(options.pop("secret_id", SECRET_ID), options.pop("secret_key", SECRET_KEY), **options)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Define the Airflow connection ``tcbilling_default``."""

    def define(host: str | None = None, conn_id: str = "tcbilling_default", **fields: Any) -> None:
        connection = {"conn_type": "tcbilling", "login": SECRET_ID, "password": SECRET_KEY, "host": host, **fields}
        connection = {name: value for name, value in connection.items() if value is not None}
        if isinstance(extra := connection.get("extra", {}), dict):
            connection["extra"] = {"requests_per_second": 1000, **extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(connection))

    return define


@pytest.fixture
def connection(sandbox: Sandbox, connect: Callable[..., None]) -> None:
    """The Airflow connection to the sandbox."""
    connect(host=sandbox.url)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """Return what was logged so far, wherever the line of Airflow under test sends it."""
    caplog.set_level(logging.INFO)
    return lambda: caplog.text + "".join(capfd.readouterr())


class TaskInstance(SimpleNamespace):
    """As much of a task instance as our tasks use."""

    def xcom_push(self, key: str, value: Any) -> None:
        if value is None:
            raise AssertionError("Airflow 3.0 refuses None in an XCom")
        self.xcoms[key] = value

    def xcom_pull(self, task_ids: str, key: str, map_indexes: int) -> Any:
        return self.xcoms.get(key) if (task_ids, map_indexes) == (self.task_id, self.map_index) else None


@pytest.fixture
def context() -> dict[str, Any]:
    """The context of one run of one task."""
    return context_of()


class TaskState:
    """Airflow 3.3's task state store, as much of it as our tasks use, as JSON text that outlives the tries."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}
        self.writes = 0

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.stored[key]) if key in self.stored else default

    def set(self, key: str, value: Any, *, retention: Any = None) -> None:
        assert value is not None
        self.writes += 1
        self.stored[key] = json.dumps(value)


def context_of(
    run_id: str = "manual__1",
    task_id: str = "buy",
    map_index: int = -1,
    try_number: int = 1,
    state: TaskState | None = None,
    **run: Any,
) -> dict[str, Any]:
    """
    Return the context of a try of a task.

    :param state: What the task state store holds; ``None`` is a line of Airflow that has none.
    :param run: What the Dag run is like, where that matters.
    """
    ti = TaskInstance(
        dag_id="shop", run_id=run_id, task_id=task_id, map_index=map_index, try_number=try_number, xcoms={}
    )
    now = datetime.now(timezone.utc)
    facts = {"run_type": "manual", "run_after": now, "start_date": now, "logical_date": None, "data_interval_end": None}
    context: dict[str, Any] = {"ti": ti, "dag_run": SimpleNamespace(**{**facts, **run})}
    return context if state is None else {**context, "task_state_store": state}


class Time:
    """Time that passes only when somebody sleeps, for client, protocol and sandbox alike."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.slept = 0.0
        began, microseconds = time.time(), itertools.count()
        # No two moments are the same, and a machine that is busy makes none of them later.
        patch.setattr(time, "time", lambda: began + next(microseconds) / 1e6 + self.slept)
        patch.setattr(time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept += max(0.0, seconds)


@pytest.fixture
def passing_time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Let sleeping take no time, and still let the clock go on."""
    return Time(monkeypatch)


@pytest.fixture
def shop(sandbox, connect, tmp_path, passing_time):
    """A sandbox, a ledger, and a connection that names both."""
    from tests.support.shop import LAG, Shop

    shop = Shop(sandbox, tmp_path / "ledger", passing_time)
    connect(host=sandbox.url, extra={"ledger_uri": shop.folder.as_uri(), "order_book_lag": LAG})
    return shop


@pytest.fixture
def run(shop, capsys, monkeypatch):
    """Run a command; it must buy nothing, and write only if it is for that, ``settle`` and ``approve`` on success."""
    from airflow_provider_tcbilling.cli import commands

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    # A handler of Airflow may hold the stream of an earlier test, which is closed by now.
    monkeypatch.setattr(logging, "raiseExceptions", False)

    def spent():
        return shop.sandbox.requests.get("CreateInstance", 0), shop.sandbox.account.balance_cents

    def run(*arguments):
        before, records = spent(), shop.files()
        capsys.readouterr()
        code = commands.main(list(arguments))
        out, err = capsys.readouterr()
        assert spent() == before
        reconciles = arguments[0] == "reconcile" and "--no-settle" not in arguments
        settles = (arguments[0], code) in (("settle", 0), ("approve", 0)) or reconciles
        may_write = settles or arguments[:2] in WRITING
        assert may_write or shop.files() == records
        assert SECRET_KEY not in out + err
        return code, out, err

    return run
