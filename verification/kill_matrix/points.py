"""
Kill points, as the task's process meets them.

The DAG of the harness imports this and passes :func:`arm` and :func:`finish` as hooks around ``execute``. What a cell
wants is in its plan, a JSON file; the provider's code holds no hook, so functions are wrapped here. A process dies
by its own SIGKILL, once per plan: the process that creates the marker dies.
"""

from __future__ import annotations

import functools
import http.client
import importlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("KILL_MATRIX_FOLDER", "."))
ORDER = {
    "product_code": "p_cloudfirewall",
    "sub_product_code": "sp_cloudfirewall_svv1",
    "region_code": "ap-guangzhou",
    "zone_code": "ap-guangzhou-6",
}
PRODUCT = {name: ORDER[name] for name in ("product_code", "sub_product_code", "region_code")}
FIXED: dict[str, dict[str, Any]] = {"purchase": ORDER, "renewal": PRODUCT, "refund": {**PRODUCT, "confirm": True}}
"""What a task is told in every cell, by what it spends."""

OF_ITEM = {"purchase": ("parameter",), "renewal": ("instance_id", "period"), "refund": ("instance_id",)}
"""What it is told of its item."""

KEYED_BY = {"purchase": "purchase_key", "renewal": "expire_time", "refund": "purchase_key"}
"""What names an item, whichever place it has in a mapping."""

ANSWER_SECONDS = 30.0
TWIN_SECONDS = 90.0
HIDDEN_FROM_TWIN = ("_AIRFLOW", "AIRFLOW__DATABASE__", "AIRFLOW__CORE__SQL_ALCHEMY")
"""A task's process is kept from the database by variables with which no other process could start."""

PACKAGE = "airflow_provider_tcbilling"
PURCHASE = f"{PACKAGE}.purchasing.purchase.Purchase"
OPERATOR = f"{PACKAGE}.operators.base.SpendingOperator"
SDK = "tencentcloud.billing.v20180709.billing_client.BillingClient"
ENTRY, EXIT, CHECKPOINT = "entry", "exit", "checkpoint"
PLACES: dict[str, dict[str, tuple[str, str]]] = {
    "ours": {
        "before-intent": ("begin", CHECKPOINT),
        "after-intent": ("intent stored", CHECKPOINT),
        "after-refresh": (f"{PACKAGE}.api.credentials.Credentials.after", EXIT),
        "before-record": ("order known", CHECKPOINT),
        "after-record": ("order stored", CHECKPOINT),
        "while-waiting": (f"{PACKAGE}.waiting.delivery.DeliveryWatch.step", EXIT),
        "while-deferring": (f"{PACKAGE}.triggers.base.deferral", ENTRY),
        "after-event": (f"{OPERATOR}.execute_complete", ENTRY),
        "in-complete": (f"{PACKAGE}.operators._execution.Execution.note_delivery", ENTRY),
    },
    "sdk": {
        "before-record": (f"{SDK}.CreateInstance", EXIT),
        "after-record": ("verification.kill_matrix.contenders.remembered", EXIT),
        "while-waiting": ("verification.kill_matrix.contenders.pause", ENTRY),
    },
    "sdk-renews": {
        "before-record": (f"{SDK}.RenewInstance", EXIT),
        "after-record": ("verification.kill_matrix.contenders.remembered", EXIT),
        "while-waiting": ("verification.kill_matrix.contenders.pause", ENTRY),
    },
    "mixin": {
        "before-record": (f"{SDK}.CreateInstance", EXIT),
        "after-record": ("airflow.sdk.execution_time.context.TaskStateStoreAccessor.set", EXIT),
        "while-waiting": ("verification.kill_matrix.contenders.pause", ENTRY),
    },
}
"""For each point, a checkpoint of a purchase, or a function and its side. Points on the wire: DEATHS and PAUSES."""

MEETING = {
    "ours": ("begin", CHECKPOINT),
    "sdk": (f"{SDK}.CreateInstance", ENTRY),
    "sdk-renews": (f"{SDK}.RenewInstance", ENTRY),
}
"""Where two copies wait for each other, after both have looked for an earlier purchase and found none."""


def plan_of(cell: str) -> dict[str, Any]:
    """Return what a cell wants."""
    return dict(json.loads((FOLDER / f"{cell}.json").read_text(encoding="utf-8")))


def argument(cell: str, index: int, name: str) -> str:
    """Return what a task is told, for a template: it is read when the task runs, so it can be edited between tries."""
    item = plan_of(cell)["items"][index]
    if name == "parameter":
        return json.dumps({"pid": item["pid"], "timeSpan": 1, "timeUnit": "m"})
    return f"{cell}-{item['key']}" if name == "purchase_key" else str(item[name])


def arm(context: Any) -> None:
    """Prepare the task's process for what its cell wants; runs before ``execute`` and after a deferral alike."""
    cell = context["dag_run"].conf["cell"]
    plan = plan_of(cell)
    task = context["task"] if "task" in context else context["ti"].task
    for name, value in plan["task"].items():
        setattr(task, name, value)
    os.environ.update(plan["environment"])
    if plan["clocks"]:
        set_clock(plan["clocks"][0 if _is_first(cell, "clock") else 1])
    if plan["pauses"]:
        _wrap(plan["point"], PLACES[plan["places"]], PAUSES, lambda: stand_still(cell, context))
    elif plan["point"]:
        _wrap(plan["point"], PLACES[plan["places"]], DEATHS, lambda *before: die(cell, *before))
    if plan["twin"] and _is_first(cell, "twin"):
        start_twin(cell, context)
        meet(cell, plan["places"])


def set_clock(ahead: float) -> None:
    """Set the clock of this process, as far as the provider looks at it."""
    real = time.time
    time.time = lambda: real() + ahead


def finish(context: Any, result: Any = None) -> None:
    """Die after success, where the plan says so: Airflow has not been told."""
    cell = context["dag_run"].conf["cell"]
    if plan_of(cell)["point"] == "after-success":
        die(cell)


def die(cell: str, before: Callable[[], None] = lambda: None) -> None:
    """Do something and kill this process on the spot, unless the plan has been carried out."""
    if _is_first(cell, "struck"):
        before()
        os.kill(os.getpid(), signal.SIGKILL)


def stand_still(cell: str, context: Any) -> None:
    """Stop this process until a second copy of its attempt has ended, unless the plan has been carried out."""
    if _is_first(cell, "struck"):
        start_twin(cell, context)
        os.kill(os.getpid(), signal.SIGSTOP)
        write(FOLDER / f"{cell}.continued", "")


def start_twin(cell: str, context: Any) -> None:
    """Start a second copy of this attempt: a process of its own, which executes the same operator."""
    ti, run = context["ti"], context["dag_run"]
    names = ("dag_id", "run_id", "task_id", "map_index", "try_number")
    attempt = {name: getattr(ti, name) for name in names} | {"start_date": run.start_date.isoformat()}
    attempt["pid"] = os.getpid()
    write(FOLDER / f"{cell}.twin-attempt", json.dumps(attempt))
    plan = plan_of(cell)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN_FROM_TWIN)}
    connections = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(one) for name, one in plan["connections"].items()}
    environment = {**kept, **connections}
    with (FOLDER / f"{cell}.twin-log").open("wb") as log:
        subprocess.Popen(
            [sys.executable, "-m", "verification.kill_matrix.twin", cell],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def meet(cell: str, places: str) -> None:
    """Let this copy wait for the other one where both have seen that nothing was bought: the worst moment."""
    path, side = MEETING.get(places, MEETING["sdk"])
    _strike(path, side, lambda: _pass_the_barrier(cell))


def _pass_the_barrier(cell: str) -> None:
    """Return at the next full second after both copies have come here; a copy comes once."""
    mark = FOLDER / f"{cell}.here-{os.getpid()}"
    if mark.exists():
        return
    write(mark, "")
    deadline = time.monotonic() + TWIN_SECONDS
    while copies_here(FOLDER, cell) < 2:
        if time.monotonic() > deadline:
            raise RuntimeError("the other copy did not come")
        time.sleep(0.05)
    time.sleep(1 - time.time() % 1)


def copies_here(folder: Path, cell: str) -> int:
    """Return how many copies of an attempt have come to where they meet."""
    return len(list(folder.glob(f"{cell}.here-*[0-9]")))


def write(path: Path, text: str) -> None:
    """Write a file so that nobody reads half of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def _is_first(cell: str, what: str) -> bool:
    try:
        os.close(os.open(FOLDER / f"{cell}.{what}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _wrap(
    point: str,
    places: dict[str, tuple[str, str]],
    on_the_wire: Mapping[str, Callable[[Callable[[], None]], None]],
    strike: Callable[[], None],
) -> None:
    if point in on_the_wire:
        on_the_wire[point](strike)
    elif point in places:
        _strike(*places[point], strike)


def _strike(path: str, side: str, strike: Callable[[], None]) -> None:
    """Let something happen whenever a function is entered or left, or a purchase reaches a checkpoint."""
    if side == CHECKPOINT:
        _strike_at_checkpoint(path, strike)
        return
    owner, name = owner_of(path)
    function = getattr(owner, name)

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if side == ENTRY:
            strike()
        result = function(*args, **kwargs)
        if side == EXIT:
            strike()
        return result

    setattr(owner, name, wrapped)


def _strike_at_checkpoint(name: str, strike: Callable[[], None]) -> None:
    owner, method = owner_of(f"{PURCHASE}.checkpoint")
    before = owner.checkpoint

    def checkpoint(reached: str) -> None:
        before(reached)
        if reached == name:
            strike()

    setattr(owner, method, staticmethod(checkpoint))


def owner_of(path: str) -> tuple[Any, str]:
    """Return the module or class that holds a function, and the function's name."""
    holder, _, name = path.rpartition(".")
    try:
        return importlib.import_module(holder), name
    except ImportError:
        module, _, cls = holder.rpartition(".")
        return getattr(importlib.import_module(module), cls), name


MOVES_MONEY = re.compile(rb"x-tc-action: *(create|renew|refund)instance\r", re.IGNORECASE)


# At http.client, which both our client and the official SDK stand on.


def _spends(connection: Any, data: Any = b"") -> bool:
    """Whether what is under way on a connection moves money. Its headers say so, in the first thing sent."""
    if _is_head(data):
        connection.kill_matrix_spends = bool(MOVES_MONEY.search(data))
    return bool(getattr(connection, "kill_matrix_spends", False))


Sender = Callable[[Any, Any], None]


def _watch_sending(
    strike: Callable[[Any, Any, Sender], None], after: Callable[[Any], None] = lambda data: None
) -> None:
    """Let something happen before each part of a request that spends, and after it."""
    real = http.client.HTTPConnection.send

    def send(self: Any, data: Any) -> None:
        spends = _spends(self, data)
        if spends:
            strike(self, data, real)
        real(self, data)
        if spends:
            after(data)

    http.client.HTTPConnection.send = send  # type: ignore[method-assign]


def _half_sent(strike: Callable[..., None]) -> None:
    """Strike when half of the body is sent, if the process dies of it."""

    def send_half(connection: Any, data: Any, real: Sender) -> None:
        head, blank, body = data.partition(b"\r\n\r\n") if _is_head(data) else (b"", b"", data)
        if body:
            strike(lambda: real(connection, head + blank + body[: len(body) // 2]))

    _watch_sending(send_half)


def _headers_sent(strike: Callable[[], None]) -> None:
    _watch_sending(lambda *of: None, lambda data: strike() if _is_head(data) else None)


def _last_check(strike: Callable[[], None]) -> None:
    """Strike when the time of the body is checked, which the server needs before it carries anything out."""
    _watch_sending(lambda connection, data, real: None if _is_head(data) else strike())


def _connecting(strike: Callable[[], None]) -> None:
    """Strike before a request that spends has a connection, its time checked for the last time but one."""
    from airflow_provider_tcbilling.api.exchange import _Watched

    real = _Watched.send

    def send(self: Any, data: Any) -> None:
        if _is_head(data) and MOVES_MONEY.search(data):
            strike()
        real(self, data)

    _Watched.send = send  # type: ignore[method-assign]


def _is_head(data: Any) -> bool:
    return isinstance(data, bytes) and b" HTTP/1." in data[:400]


def _watch_answers(before: Callable[[Any], None], after: Callable[[Any], None]) -> None:
    _watch_sending(lambda connection, data, real: None)
    real = http.client.HTTPConnection.getresponse

    def getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _spends(self):
            before(self)
        answer = real(self, *args, **kwargs)
        if _spends(self):
            after(self)
        return answer

    http.client.HTTPConnection.getresponse = getresponse  # type: ignore[method-assign]


def _before_answer(strike: Callable[[], None]) -> None:
    def before(connection: Any) -> None:
        select.select([connection.sock], [], [], ANSWER_SECONDS)
        strike()

    _watch_answers(before, lambda connection: None)


def _half_read(strike: Callable[[], None]) -> None:
    _watch_answers(lambda connection: None, lambda connection: strike())


DEATHS = {"half-sent": _half_sent, "before-answer": _before_answer, "half-read": _half_read}
PAUSES = {
    "connecting": _connecting,
    "last-check": _last_check,
    "headers-sent": _headers_sent,
    "before-answer": _before_answer,
    "half-read": _half_read,
}
"""Points on the wire, for a process that dies and for one that stands still."""
