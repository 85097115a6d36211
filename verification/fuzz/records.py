"""Random records: each is used or refused, buys nothing by itself, and stops no other purchase."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from airflow_provider_tcbilling.api.models import Order
from airflow_provider_tcbilling.api.text import NUMBER, matching
from airflow_provider_tcbilling.cli.explain import as_text, explanation_of
from airflow_provider_tcbilling.cli.lookup import PurchaseName, read
from airflow_provider_tcbilling.hooks.connection import Settings
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord
from airflow_provider_tcbilling.purchasing.ownership import Ownership
from airflow_provider_tcbilling.purchasing.record import Record, State
from verification.fuzz.judging import KEY, NUMBERED, Clock, Shelf, Verdict, client_of, designed, kind_of, purchase_of
from verification.fuzz.server import MONEY, NOW, Server
from verification.fuzz.values import Draw

SETTINGS = Settings.read(
    SimpleNamespace(conn_id="c", host="127.0.0.1:9", port=None, login="k", password="k", extra_dejson={})
)


def a_record(seed: int) -> Verdict:
    """Meet a record that somebody or something has changed, as one's own and as that of another purchase."""
    draw = Draw(seed)
    sound = _sound(draw)
    stored = draw.changed(sound, draw.randint(1, 3)) if draw.happens(0.95) else draw.odd()
    record, wrong = _read(stored)
    wrong += _as_ones_own(draw, stored, record) + _as_anothers(draw, stored) + _claimed(stored, sound)
    return f"record: {kind_of(record)}", wrong


def _read(stored: Any) -> tuple[Any, list[str]]:
    record, wrong = designed(lambda: Record.from_json(stored, "here"))
    if not isinstance(record, Record):
        return record, wrong if isinstance(record, InvalidRecord) else [*wrong, f"{record!r} is no word on a record"]
    again, more = designed(lambda: Record.from_json(json.loads(json.dumps(record.as_json())), "here"))
    return record, wrong + more + ([] if repr(again) == repr(record) else [f"{record} is {again} when stored"])


def _as_ones_own(draw: Draw, stored: Any, record: Any) -> list[str]:
    """Buy with it, and explain it: what cannot be used buys nothing."""
    server, shelf, clock = Server(draw, is_odd=False), Shelf({} if stored is None else {KEY: stored}), Clock()
    with server.listening():
        placed, wrong = designed(lambda: purchase_of(client_of(clock), clock, shelf).place())
        spent = [action for action, _ in server.sent if action in MONEY]
        found = read(PurchaseName(KEY), shelf, KEY)
        diagnosis, more = designed(lambda: explanation_of(found, SETTINGS, client_of(clock), "c"))
    wrong += more
    if isinstance(diagnosis, dict):
        wrong += designed(lambda: as_text(diagnosis).encode())[1]
    if isinstance(record, InvalidRecord) and stored is not None and (spent or isinstance(placed, Order)):
        wrong.append(f"a record that cannot be used, and {placed!r}")
    if isinstance(placed, Order) and not matching(placed.order_id, NUMBER):
        wrong.append(f"order {placed.order_id!r} is adopted")
    return wrong


def _as_anothers(draw: Draw, stored: Any) -> list[str]:
    """Buy something else, of which the order book shows nothing: it must be bought."""
    server, clock = Server(draw, is_odd=False), Clock()
    server.book = ()
    since = {"presumed_since": NOW - 60} if draw.happens(0.5) else {}
    with server.listening():
        bought, wrong = designed(lambda: purchase_of(client_of(clock), clock, Shelf({"x": stored}), **since).place())
    has_that_order = isinstance(stored, Mapping) and stored.get("order_id") == NUMBERED  # The server gives it twice.
    if not isinstance(bought, Order) and not has_that_order:
        wrong.append(f"a record of another purchase stops one that the order book does not show: {bought!r}")
    return wrong


def _claimed(stored: Any, sound: dict[str, Any]) -> list[str]:
    """Ask what it owns: the order that it still names is nobody else's, however damaged the rest is."""
    clock, asker = Clock(), replace(Record.from_json(sound, "here"), key="asks")
    memory = Ownership(Shelf({"x": stored}), asker, clock, clock.sleep)
    claims, wrong = designed(lambda: memory.others(asker, lambda payload: True))
    is_named = isinstance(stored, Mapping) and stored.get("order_id") == sound["order_id"] == NUMBERED
    is_here = is_named and all(stored.get(name) == sound[name] for name in ("endpoint", "action", "account"))
    if not wrong and is_here and NUMBERED not in claims.owned:
        wrong.append("the order that it names counts as nobody's")
    return wrong


def _sound(draw: Draw) -> dict[str, Any]:
    clock, state = Clock(), draw.choice([*State])
    placed_by = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": 0}
    record = replace(
        purchase_of(client_of(clock), clock, Shelf())._intents.first(time.time()), state=state, placed_by=placed_by
    )
    if state in (State.ORDERED, State.DELIVERED):
        record = record.ordered(Order(NUMBERED, ("ins-1",), "t", "r", 5, "USD"), NOW, state)
    stored: dict[str, Any] = json.loads(json.dumps({**record.as_json(), "is_resent": draw.happens(0.3)}))
    return stored
