"""What an event, a record or an XCom says is text as well: it forges no line, is no template, and loses no order."""

from __future__ import annotations

import json
import logging

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_tcbilling.cli.commands import main
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.purchasing.errors import InvalidRecord
from airflow_provider_tcbilling.purchasing.record import Record, State
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.triggers.event import deadline_of, order_of
from tests.conftest import ORDER

TEMPLATE, LINES = "{{ conn.tcbilling_default.password }}", "x\n[2026-11-28] ERROR forged\x1b[2J"


def buying(**arguments):
    return CreateInstanceOperator(task_id="buy", **{**ORDER, "deferrable": True, **arguments})


@pytest.fixture
def slow(start_sandbox, connect):
    sandbox = start_sandbox(delivery_looks=1)
    connect(host=sandbox.url)
    return sandbox


def test_a_key_forges_no_line_in_the_log(sandbox, connect, context, caplog, logged):
    connect(host=sandbox.url)

    with caplog.at_level(logging.INFO):
        buying(purchase_key=LINES, deferrable=False).execute(context)

    text = logged()
    assert "ERROR forged" in text
    assert LINES not in text
    assert "\x1b[2J" not in text
    assert not [line for line in text.splitlines() if line.startswith("[2026-11-28]")]


@pytest.mark.parametrize(
    "forged",
    [
        {"instance_ids": None},
        {"instance_ids": "abc"},
        {"instance_ids": [TEMPLATE, LINES, 7]},
        {"client_token": TEMPLATE, "currency": TEMPLATE, "paid_cents": TEMPLATE},
        {"request_id": LINES},
    ],
)
def test_nothing_of_an_event_without_a_record_becomes_more_than_an_id(slow, context, forged):
    with pytest.raises(TaskDeferred) as leaving:
        buying().execute(context)
    asked = leaving.value.trigger.facts

    event = {**asked, "order": {**asked["order"], **forged}, "deadline": leaving.value.trigger.deadline}
    result = json.dumps(buying().execute_complete(context, event))

    assert context["ti"].xcoms["order_id"] in result
    assert not {"{", "conn", "forged"} & set(json.loads(result)["instance_ids"])
    assert "conn." not in result
    assert "forged" not in result


@pytest.mark.parametrize("number", [LINES, TEMPLATE, "", " ", "a b", "x" * 65, 7, None])
def test_an_event_names_no_order_by_what_is_no_number(number):
    assert order_of({"order": {"order_id": number}}) is None


@pytest.mark.parametrize("deadline", [10**400, -(10**400), float("inf"), float("-inf"), 1e308, 0, -1])
def test_a_deadline_of_any_size_is_read(deadline):
    told = deadline_of({"deadline": deadline}, 10.0)
    assert told is not None
    assert 0 <= told < 1e11


@pytest.mark.parametrize("number", [LINES, TEMPLATE, "a b", 7, ["2026"]])
def test_a_record_whose_order_has_no_number_is_damaged(number):
    with pytest.raises(InvalidRecord, match="order_id"):
        Record.from_json({**stored(), "order_id": number}, "a shelf")


def test_a_record_hands_on_nothing_that_a_template_could_be():
    record = Record.from_json(
        {**stored(), "instance_ids": ["ins-1", TEMPLATE, LINES], "currency": TEMPLATE, "request_id": TEMPLATE}, "here"
    )
    order = record.order
    assert order.instance_ids[0] == "ins-1"
    assert not [c for c in json.dumps([order.instance_ids, order.currency, order.request_id]) if c in "{}\\\x1b\n"]


def stored():
    moments = dict.fromkeys(("intended_at", "sending_until", "replay_until", "changed_at"), 1.8e9)
    names = dict.fromkeys(("key", "client_token", "fingerprint", "owner"), "k")
    return Record(
        **names,
        **moments,
        generation=0,
        endpoint="http://127.0.0.1:8765",
        action="CreateInstance",
        state=State.ORDERED,
        order_id="2026",
    ).as_json()


@pytest.mark.parametrize(
    "forged",
    [
        {"state": "charged", "order_id": None, "reason": LINES},
        {"state": "intended", "order_id": None, "intended_at": LINES},
        {"endpoint": f"http://127.0.0.2/{LINES}"},
    ],
)
def test_a_record_forges_no_line_of_the_desk(sandbox, connect, context, tmp_path, capsys, forged):
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})
    buying(deferrable=False, purchase_key="k").execute(context)
    (path,) = tmp_path.glob("*.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **forged}))
    capsys.readouterr()

    assert main(["settle", "--key", "k", "--not-bought"]) == 1

    told = capsys.readouterr().err
    assert "forged" in told
    assert not [line for line in told.splitlines() if line.startswith("[2026-11-28] ERROR")]


def test_a_person_names_no_order_by_what_is_no_number(sandbox, connect, context, tmp_path, capsys):
    connect(host=sandbox.url, extra={"ledger_uri": tmp_path.as_uri()})
    buying(deferrable=False, purchase_key="k").execute(context)
    (path,) = tmp_path.glob("*.json")
    before = path.read_text()

    assert main(["settle", "--key", "k", "--order-id", "a b", "--force"]) == 1

    assert path.read_text() == before


def test_a_sensor_waits_for_no_order_without_a_number(sandbox, connection, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(AirflowFailException, match="order_id"):
        InstanceDeliverySensor(task_id="wait", order_id=LINES).poke({})
    assert not [message for message in caplog.messages if "\n[2026-11-28]" in message]


def test_an_xcom_that_cannot_be_pushed_fails_with_the_order_s_number(slow, context, monkeypatch):
    def is_away(*args, **kwargs):
        raise RuntimeError("the API server is away\x1b[2J")

    monkeypatch.setattr(type(context["ti"]), "xcom_push", is_away)
    with pytest.raises(AirflowException) as failed:
        buying().execute(context)

    assert not isinstance(failed.value, AirflowFailException)
    assert str(failed.value).startswith("Paid: an amount that is not known yet, order ")
    assert f"order {slow.account.orders()[0].order_id}.\n" in str(failed.value)
    assert all(line.isprintable() for line in str(failed.value).splitlines())


def test_a_connection_that_cannot_be_read_after_the_order_fails_with_its_number(slow, context, monkeypatch):
    real, reads = TcBillingHook.get_settings, []

    def once(hook):
        reads.append(hook)
        if len(reads) > 1:
            raise OSError("the secrets backend is away")
        return real(hook)

    monkeypatch.setattr(TcBillingHook, "get_settings", once)
    with pytest.raises(TaskDeferred) as leaving:
        buying().execute(context)
    assert len(reads) == 1
    event = {**leaving.value.trigger.facts, "deadline": leaving.value.trigger.deadline}

    with pytest.raises(AirflowException, match=r"^Paid: .*, order \d+\."):
        buying().execute_complete(context, event)
