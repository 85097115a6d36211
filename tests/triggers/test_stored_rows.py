"""
Trigger rows and events that version 0.1.0 (57f6dd5) stored: its deferred tasks wake up in this version, and resume.

``stored_rows.json`` was written by that version: each task deferred against its own sandbox, and the two last rows are
triggers with the fewest and with all arguments. Only numbers of orders and instances, deadlines and times are replaced.
"""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path

import pytest

from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from airflow_provider_tcbilling.triggers import base
from tests.conftest import ORDER, client_to, context_of

ROWS = json.loads(Path(__file__).with_name("stored_rows.json").read_text(encoding="utf-8"))
ids = [f"{row['classpath'].rpartition('.')[2]}-{row.get('task', number)}" for number, row in enumerate(ROWS)]
every_row = pytest.mark.parametrize("row", ROWS, ids=ids)
every_task = pytest.mark.parametrize("row", [row for row in ROWS if "task" in row], ids=ids[:-2])

PRODUCT = {name: ORDER[name] for name in ("product_code", "sub_product_code", "region_code")}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch, passing_time):
    monkeypatch.setattr(base, "FIRST_QUERY_SECONDS", 0.01)


def trigger_of(row, **kwargs):
    """Make the trigger as a triggerer does."""
    module, _, name = row["classpath"].rpartition(".")
    return getattr(importlib.import_module(module), name)(**{**row["kwargs"], **kwargs})


@pytest.fixture
def instance_id(connection, sandbox):
    return client_to(sandbox).create_instance(client_token="bought", **ORDER).instance_ids[0]


@pytest.fixture
def placed(sandbox, instance_id):
    """Place an order as an action does, and return its number."""
    client, about = client_to(sandbox), {**PRODUCT, "instance_id": instance_id}

    def place(action):
        if action == "CreateInstance":
            return sandbox.account.orders()[0].order_id
        call = client.renew_instance if action == "RenewInstance" else client.refund_instance
        return call(client_token="t", **about).order_id

    return place


def facts_of(row, placed, instance_id):
    """Return what of a row names the things of another sandbox and another day, replaced by those of this test."""
    if "order" in row["kwargs"]:
        return {"order": {**row["kwargs"]["order"], "order_id": placed(row["kwargs"]["action"])}}
    question = row["kwargs"]["question"]
    moved = {"instance_id": instance_id, "expires_after": "2020-01-31 08:00:00"}
    return {"question": moved if "instance_id" in question else {"within": 9e8, "filters": {"name": "*"}}}


@every_row
def test_a_stored_row_is_read_and_stored_again_as_it_was(row):
    assert trigger_of(row).serialize() == (row["classpath"], row["kwargs"])


@every_row
async def test_the_trigger_of_a_stored_row_wakes_its_task_with_the_same_event(row, placed, instance_id):
    facts = facts_of(row, placed, instance_id)
    deadline = time.time() + 3600
    trigger = trigger_of(row, **facts, deadline=deadline, tcbilling_conn_id="tcbilling_default")

    (event,) = [event.payload async for event in trigger.run()]

    assert event == {
        **{name: row["kwargs"][name] for name in ("action", "placed_at") if name in row["kwargs"]},
        **facts,
        "deadline": deadline,
    }


@every_task
def test_a_task_that_the_version_before_deferred_resumes(row, placed, instance_id):
    facts = facts_of(row, placed, instance_id)
    about = {**PRODUCT, "instance_id": instance_id}
    tasks = {
        "CreateInstanceOperator": lambda: CreateInstanceOperator(task_id="task", **ORDER),
        "RenewInstanceOperator": lambda: RenewInstanceOperator(task_id="task", **about),
        "RefundInstanceOperator": lambda: RefundInstanceOperator(task_id="task", confirm=True, **about),
        "InstanceDeliverySensor": lambda: InstanceDeliverySensor(
            task_id="task", order_id=facts["order"]["order_id"], deferrable=True
        ),
        "InstanceExpirySensor": lambda: InstanceExpirySensor(
            task_id="task",
            deferrable=True,
            **({"within": "P9000D"} if "within" in facts["question"] else facts["question"]),
        ),
    }
    event = {**row["event"], **facts, "deadline": time.time() + 3600}

    result = tasks[row["task"]]().resume_execution(row["next_method"], {"event": event}, context_of(task_id="task"))

    assert "order" not in facts or result["order_id"] == facts["order"]["order_id"]
    assert "question" not in facts or [found["instance_id"] for found in result] == [instance_id]
