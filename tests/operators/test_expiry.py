"""ExpiringInstancesOperator, InstanceExpirySensor and its trigger: they read, and say what was meant."""

from __future__ import annotations

import importlib
import time
from datetime import timedelta
from importlib.util import find_spec

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_tcbilling.api.errors import InvalidRequest, OutcomeUnknown
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from airflow_provider_tcbilling.triggers import base as waking
from airflow_provider_tcbilling.triggers.expiry import ExpiryTrigger
from tests.conftest import SECRET_KEY
from tests.support.account import AUTO, DAY, PRODUCT, renewed, shown

READS = {"DescribeRenewInstances"}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch):
    monkeypatch.setattr("airflow_provider_tcbilling.api.caller.BACKOFF_CAP", 0)
    monkeypatch.setattr(waking, "FIRST_QUERY_SECONDS", 0.01)


def subscribed(sandbox, days=3.0, **more):
    expires_at = None if days is None else time.time() + days * DAY
    return sandbox.account.add_instance(expires_at=expires_at, **more).instance_id


def expiry(sandbox, instance_id):
    return shown(sandbox, instance_id)[0][1]


def listing(**arguments):
    return ExpiringInstancesOperator(task_id="expiring", **{"within": "P14D", **arguments})


def test_it_returns_the_arguments_of_renewals_and_tells_the_rest_in_an_xcom(connection, sandbox, context):
    second, first = subscribed(sandbox, 9, name="b"), subscribed(sandbox, 3, name="a")
    subscribed(sandbox, 30)

    arguments = listing().execute(context)

    assert [one["instance_id"] for one in arguments] == [first, second]
    assert arguments[0] == {
        **PRODUCT,
        "instance_id": first,
        "expire_time": expiry(sandbox, first),
        "instance_name": "a",
    }
    told = context["ti"].xcoms["instances"]
    assert [(one["instance_id"], one["renew_flag"], one["status"]) for one in told] == [
        (first, "NOTIFY_AND_MANUAL_RENEW", "NORMAL"),
        (second, "NOTIFY_AND_MANUAL_RENEW", "NORMAL"),
    ]
    assert set(sandbox.requests) == READS


@pytest.mark.parametrize("within", ["P14D", timedelta(days=14), 14 * DAY, f"{14 * DAY}"])
def test_nothing_is_an_empty_list(connection, sandbox, context, within):
    subscribed(sandbox, 30)

    assert listing(within=within).execute(context) == []


def test_a_limit_takes_the_soonest_and_says_so(connection, sandbox, context, logged):
    ids = [subscribed(sandbox, days) for days in (1, 2, 3)]

    assert [one["instance_id"] for one in listing(limit="2").execute(context)] == ids[:2]
    assert "3 instances expire in that span; only the first 2 are taken" in logged()


@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        ({"within": "soon"}, "within: 'soon' is not a timedelta"),
        ({"within": None}, "within: None is not"),
        ({"within": True}, "within: True is not"),
        ({"within": "P1Q"}, "within: 'P1Q' is not"),
        ({"limit": 0}, "limit: 0 is not a number from 1 on"),
        ({"limit": "many"}, "limit: 'many' is not"),
        ({"product_codes": [""]}, "product_codes: "),
        ({"renew_flags": "ALWAYS"}, "ALWAYS"),
    ],
)
def test_a_mistake_fails_before_anything_is_sent(connection, sandbox, context, arguments, mistake):
    with pytest.raises(AirflowFailException, match=mistake):
        listing(**arguments).execute(context)

    assert sandbox.requests == {}


def test_a_list_that_cannot_be_read_is_worth_a_retry(connection, sandbox, context):
    sandbox.faults.add({"fault": "http", "times": None})

    with pytest.raises(OutcomeUnknown):
        listing().execute(context)


def test_the_hook_gives_the_instances_to_a_python_task(connection, sandbox):
    mine = subscribed(sandbox, 3, name="edge-1", renew_flag=AUTO)
    subscribed(sandbox, 4, name="edge-2")

    (instance,) = TcBillingHook().expiring_instances(timedelta(days=14), name="edge-*", renew_flags=[AUTO])

    assert (instance.instance_id, instance.renews_by_itself) == (mine, True)
    with pytest.raises(InvalidRequest, match="colour: there is no such filter"):
        TcBillingHook().expiring_instances("P14D", colour="red")


# The sensor

MODES = [
    pytest.param({}, id="poke"),
    pytest.param({"deferrable": True}, id="deferrable"),
]


def sensor(**arguments):
    return InstanceExpirySensor(task_id="wait", **{"timeout": 600, "poke_interval": 30, **arguments})


def resume(task, leaving, context, **changes):
    event = {"question": leaving.trigger.question, "deadline": leaving.trigger.deadline, **changes}
    return task.resume_execution(leaving.method_name, {"event": event}, context)


@pytest.mark.parametrize("mode", MODES)
def test_what_expires_soon_already_is_not_waited_for(connection, sandbox, context, mode):
    instance = subscribed(sandbox, 3)

    found = sensor(within="P14D", **mode).execute(context)

    assert [one["instance_id"] for one in found] == [instance]
    assert set(sandbox.requests) == READS


def test_it_waits_in_the_triggerer_until_something_expires_soon(connection, sandbox, context):
    task = sensor(within="P14D", name="edge*", deferrable=True)
    with pytest.raises(TaskDeferred) as leaving:
        task.execute(context)
    subscribed(sandbox, 3, name="other")
    with pytest.raises(TaskDeferred):
        resume(task, leaving.value, context)
    instance = subscribed(sandbox, 3, name="edge")

    assert [one["instance_id"] for one in resume(task, leaving.value, context)] == [instance]
    _, kwargs = leaving.value.trigger.serialize()
    assert set(kwargs) == {"question", "tcbilling_conn_id", "poll_interval", "deadline"}
    assert SECRET_KEY not in repr(kwargs)
    assert leaving.value.timeout > timedelta(seconds=600)


@pytest.mark.skipif(find_spec("airflow.sdk") is None, reason="Airflow 2 keeps the first look in its database")
def test_it_gives_its_slot_back_between_two_looks(connection, context):
    context["ti"].get_first_reschedule_date = lambda context: None

    with pytest.raises(AirflowException) as leaving:
        sensor(within="P14D", mode="reschedule").execute(context)
    assert type(leaving.value).__name__ == "AirflowRescheduleException"


def test_it_waits_until_somebody_has_renewed_an_instance(connection, sandbox, context):
    instance = subscribed(sandbox, 3)
    was = expiry(sandbox, instance)
    task = sensor(instance_id=instance, expires_after=was, deferrable=True)
    with pytest.raises(TaskDeferred) as leaving:
        task.execute(context)
    renewed(sandbox, instance)

    (found,) = resume(task, leaving.value, context)

    assert found["expire_time"] == expiry(sandbox, instance) > was


@pytest.mark.parametrize(("soft_fail", "raised"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)])
def test_the_deadline_ends_it_in_the_triggerer_and_on_a_worker(connection, sandbox, context, soft_fail, raised):
    task = sensor(within="P14D", deferrable=True, soft_fail=soft_fail)
    with pytest.raises(TaskDeferred) as leaving:
        task.execute(context)

    with pytest.raises(raised):
        resume(task, leaving.value, context, deadline=0)
    with pytest.raises(raised):
        sensor(within="P14D", timeout=0.05, poke_interval=0.01, soft_fail=soft_fail).execute(context)


def test_a_passing_failure_to_read_is_waited_through(connection, sandbox, context):
    subscribed(sandbox, 3)
    sandbox.faults.add({"fault": "http", "times": 20})

    assert sensor(within="P14D", poke_interval=0.01).execute(context)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("arguments", "mistake"),
    [
        ({}, "say either how soon something expires, or which instance_id"),
        ({"within": "P1D", "instance_id": "i", "expires_after": "2027-01-01"}, "say either how soon"),
        ({"instance_id": "ins-1"}, "expires_after: goes together with instance_id"),
        ({"instance_id": "ins-1", "expires_after": "soon"}, "expires_after: 'soon' is not a time"),
        ({"instance_id": "None", "expires_after": "2027-01-01"}, "instance_id: given, but its template rendered"),
        ({"instance_id": "ins-nowhere", "expires_after": "2027-01-01 00:00:00"}, "there is no such instance"),
        ({"within": "soon"}, "within: 'soon' is not a timedelta"),
    ],
)
def test_a_mistake_fails_at_once(connection, sandbox, context, arguments, mistake, mode):
    with pytest.raises(AirflowFailException, match=mistake):
        sensor(**arguments, **mode).execute(context)


def test_an_instance_without_an_expiry_is_not_waited_for(connection, sandbox, context):
    with pytest.raises(AirflowFailException, match="its expiry is 'not told'"):
        sensor(instance_id=subscribed(sandbox, None), expires_after="2027-01-01 00:00:00").execute(context)


# The trigger


async def events_of(trigger):
    return [event.payload async for event in trigger.run()]


def trigger(question, **options):
    options = {"poll_interval": 0.01, "deadline": time.time() + 30, "tcbilling_conn_id": "tcbilling_default", **options}
    return ExpiryTrigger(question, **options)


async def test_the_trigger_wakes_the_task_once_when_it_has_come_true(connection, sandbox):
    instance = subscribed(sandbox, 3)
    question = {"instance_id": instance, "expires_after": expiry(sandbox, instance)}
    sandbox.faults.add({"fault": "expiry-late", "seconds": 0.3, "action": "RenewInstance"})
    renewed(sandbox, instance)

    (event,) = await events_of(waiting := trigger(question))

    assert event == {"question": question, "deadline": waiting.deadline}
    assert expiry(sandbox, instance) > question["expires_after"]


@pytest.mark.parametrize("question", [{"within": DAY, "filters": {}}, {"instance_id": "i", "expires_after": "soon"}])
async def test_the_trigger_wakes_the_task_at_the_deadline_and_on_a_mistake(connection, sandbox, question):
    assert len(await events_of(trigger(question, deadline=time.time() + 0.1))) == 1


def test_the_trigger_is_rebuilt_from_what_it_stores():
    path, kwargs = trigger({"within": DAY, "filters": {"name": "edge*"}}).serialize()
    module, _, name = path.rpartition(".")

    assert getattr(importlib.import_module(module), name)(**kwargs).serialize() == (path, kwargs)
