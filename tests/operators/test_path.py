"""The path from ``execute`` to the wire: at most six frames of ours, and one payload that is computed once."""

from __future__ import annotations

import sys
import time

import pytest

import airflow_provider_tcbilling
from airflow_provider_tcbilling.api.schema import Action
from airflow_provider_tcbilling.api.transport import Transport
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator
from tests.conftest import ORDER, context_of
from tests.support.account import DAY, PRODUCT

PACKAGE = airflow_provider_tcbilling.__path__[0]
MOST_FRAMES = 6

PLACING = {
    CreateInstanceOperator: lambda instance_id: ORDER,
    RenewInstanceOperator: lambda instance_id: {**PRODUCT, "instance_id": instance_id},
    RefundInstanceOperator: lambda instance_id: {**PRODUCT, "instance_id": instance_id, "confirm": True},
}


def own_frames(frame):
    """Return the functions of the package that are under way, the outermost first."""
    found = []
    while frame:
        if frame.f_code.co_filename.startswith(PACKAGE):
            found.append(frame.f_code.co_qualname if hasattr(frame.f_code, "co_qualname") else frame.f_code.co_name)
        frame = frame.f_back
    return found[::-1]


@pytest.mark.parametrize("kind", PLACING, ids=lambda kind: kind.__name__)
def test_between_execute_and_the_wire_stand_few_frames_and_the_payload_is_computed_once(
    connection, sandbox, passing_time, monkeypatch, kind
):
    instance_id = sandbox.account.add_instance(expires_at=time.time() + 3 * DAY).instance_id
    send, compute, paths, computed = Transport.send, Action._payload, [], []

    def sent(transport, action, *arguments, **options):
        if action.moves_money:
            paths.append([*own_frames(sys._getframe(1)), "send"])
        return send(transport, action, *arguments, **options)

    def counted(action, arguments, fields):
        if action.moves_money:
            computed.append(action.name)
        return compute(action, arguments, fields)

    monkeypatch.setattr(Transport, "send", sent)
    monkeypatch.setattr(Action, "_payload", counted)
    kind(task_id="task", deferrable=False, **PLACING[kind](instance_id)).execute(context_of())

    (path,) = paths
    assert [name.rpartition(".")[2] for name in path[:2]] == ["execute", "place"]
    assert len(path) <= MOST_FRAMES, path
    assert computed == [kind.action.name]
