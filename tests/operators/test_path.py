"""The path from ``execute`` to the purchase: nothing stands in between, and the payload is computed once."""

from __future__ import annotations

import sys
import time

import pytest

from airflow_provider_tcbilling.api.schema import Action
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator
from airflow_provider_tcbilling.purchasing.purchase import Purchase
from tests.conftest import ORDER, context_of
from tests.support.account import DAY, PRODUCT

PLACING = {
    CreateInstanceOperator: lambda instance_id: ORDER,
    RenewInstanceOperator: lambda instance_id: {**PRODUCT, "instance_id": instance_id},
    RefundInstanceOperator: lambda instance_id: {**PRODUCT, "instance_id": instance_id, "confirm": True},
}


@pytest.mark.parametrize("kind", PLACING, ids=lambda kind: kind.__name__)
def test_execute_itself_places_the_purchase_with_a_payload_that_is_computed_once(
    connection, sandbox, passing_time, monkeypatch, kind
):
    instance_id = sandbox.account.add_instance(expires_at=time.time() + 3 * DAY).instance_id
    place, payload, placed_by, computed = Purchase.place, Action.payload, [], []

    def placed(purchase):
        placed_by.append((sys._getframe(1).f_code, len(computed)))
        return place(purchase)

    def counted(action, arguments):
        if action.moves_money:
            computed.append(action)
        return payload(action, arguments)

    monkeypatch.setattr(Purchase, "place", placed)
    monkeypatch.setattr(Action, "payload", counted)
    kind(task_id="task", deferrable=False, **PLACING[kind](instance_id)).execute(context_of())

    assert [(code.co_name, code.co_filename.rpartition("/")[2], count) for code, count in placed_by] == [
        ("execute", "base.py", 1)
    ]
