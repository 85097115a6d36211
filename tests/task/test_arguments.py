"""Arguments mean what they say: every one has a check, and a mistake is named before anything is sent."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
import random
import time
from datetime import timedelta

import pendulum
import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    TaskDeferred,
)

import airflow_provider_tcbilling
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from airflow_provider_tcbilling.task.arguments import LONGEST_DAYS, is_true, seconds_of
from airflow_provider_tcbilling.waiting.filters import READERS
from tests.conftest import ORDER, context_of
from tests.support.nasty import accepted
from tests.support.task_arguments import GOOD, mistake, ours


def kinds():
    """Yield every class of tasks that the package has, and that a user can use."""
    path = airflow_provider_tcbilling.__path__
    for found in pkgutil.walk_packages(path, "airflow_provider_tcbilling."):
        if (".operators." in found.name or ".sensors." in found.name) and "._" not in found.name:
            for kind in vars(importlib.import_module(found.name)).values():
                if isinstance(kind, type) and issubclass(kind, BaseOperator) and kind.__module__ == found.name:
                    yield kind


def arguments_of(kind):
    names = {name for base in ours(kind) for name in inspect.signature(base.__init__).parameters}
    return sorted(names - {"self", "kwargs"})


ARGUMENTS = [pytest.param(kind, name, id=f"{kind.__name__}-{name}") for kind in GOOD for name in arguments_of(kind)]


class Unspeakable:
    """What cannot even say what it is."""

    def __repr__(self):
        raise RuntimeError("no words")


class Incomparable:
    """What refuses to be compared, as arrays and frames do."""

    def __eq__(self, other):
        raise RuntimeError("no comparison")

    __hash__ = None


def test_no_class_of_tasks_is_left_out():
    assert {kind for kind in kinds() if kind.__name__ != "SpendingOperator"} == set(GOOD)


@pytest.mark.parametrize(("kind", "name"), ARGUMENTS)
def test_every_argument_has_a_check(kind, name):
    fields = {field.arg for field in kind.action.fields} if hasattr(kind, "action") else set()

    assert name in kind.checks or name in fields
    assert not set(kind.checks) - set(arguments_of(kind)), "a check of no argument"


def test_every_argument_of_the_hook_has_a_check(connection, sandbox):
    for name in ("within", "limit", *READERS):
        with pytest.raises(InvalidRequest, match=f"{name}: "):
            TcBillingHook().expiring_instances(**{"within": "P1D", name: object()})

    assert set(inspect.signature(TcBillingHook.expiring_instances).parameters) == {"self", "within", "limit", "filters"}
    assert sandbox.requests == {}


@pytest.mark.parametrize(("kind", "name"), ARGUMENTS)
def test_no_argument_takes_anything(connection, sandbox, kind, name):
    for value in (object(), [object()], b"x", 2.5j, Unspeakable(), Incomparable()):
        assert f"{name}: " in mistake(kind, **{name: value})
    assert sandbox.requests == {}


SPANS = [
    (CreateInstanceOperator, "poll_interval"),
    (CreateInstanceOperator, "delivery_timeout"),
    (CreateInstanceOperator, "replay_window"),
    (CreateInstanceOperator, "max_lateness"),
    (RenewInstanceOperator, "renew_within"),
    (ExpiringInstancesOperator, "within"),
    (InstanceExpirySensor, "within"),
    (InstanceExpirySensor, "poke_interval"),
    (InstanceExpirySensor, "timeout"),
    (InstanceDeliverySensor, "poke_interval"),
    (InstanceDeliverySensor, "timeout"),
]
NO_SPANS = [
    *[True, False, math.nan, math.inf, -math.inf, -1, -0.5, 10**400, 1e300, timedelta.max, timedelta(days=-1)],
    *["soon", "", "None", " ", "nan", "inf", "1e400", "-1", "1_000", "\u0663", "True", "9" * 5000, "0x10", "1 day"],
    *[
        "P",
        "PT",
        "P1",
        "P1DT",
        "-P1D",
        "P-1D",
        "p1d",
        "P99999999999D",
        "P9" + "9" * 5000 + "D",
        "PT1D",
        "P1D/2027-01-01",
    ],
    *["P\u0661D", [1], {"days": 1}],
]


@pytest.mark.parametrize(("kind", "name"), SPANS, ids=lambda it: getattr(it, "__name__", it))
def test_what_is_no_span_is_a_named_mistake(connection, sandbox, kind, name):
    for value in NO_SPANS:
        assert f"{name}: " in mistake(kind, **{name: value}), value

    assert sandbox.requests == {}


def test_a_span_is_read_as_it_is_written_in_whatever_way():
    for value in (30, 30.0, "30", " 30.0\n", "3e1", "+30", timedelta(seconds=30), "PT30S", "PT0.5M", "PT0,5M"):
        assert (seconds_of(value), type(seconds_of(value))) == (30.0, float), value


def test_durations_are_those_of_pendulum():
    chance = random.Random(16)
    for _ in range(3000):
        date = "".join(f"{chance.randint(0, 40)}{unit}" for unit in "YMD" if chance.random() < 0.5)
        clock = "".join(f"{chance.randint(0, 99)}{unit}" for unit in "HMS" if chance.random() < 0.5)
        text = f"P{date}{'T' * bool(clock)}{clock}"
        if text != "P":
            assert seconds_of(text) == pendulum.parse(text).total_seconds(), text
    assert seconds_of("P2W") == pendulum.parse("P2W").total_seconds()


def test_no_text_is_more_than_a_span_or_a_mistake():
    for _, seconds in accepted(seconds_of, "PTYMWDHS0159.,e+-: naif", longest=12, seed=4711):
        assert 0 <= timedelta(seconds=seconds).total_seconds() <= LONGEST_DAYS * 86400


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (CreateInstanceOperator, {"poll_interval": "PT30S", "delivery_timeout": timedelta(hours=1)}),
        (InstanceDeliverySensor, {"poke_interval": timedelta(seconds=30), "timeout": "PT1H"}),
        (InstanceDeliverySensor, {"poke_interval": 30, "timeout": 3600}),
        (InstanceExpirySensor, {"within": timedelta(days=1), "poke_interval": "PT30S", "timeout": "3600"}),
    ],
)
def test_what_is_stored_of_a_deferred_task_is_plain(start_sandbox, connect, context, kind, arguments):
    connect(host=start_sandbox(delivery_looks=9).url)
    with pytest.raises(TaskDeferred) as leaving:
        kind(task_id="task", **{**GOOD[kind], "deferrable": "true", **arguments}).execute(context)

    _, stored = leaving.value.trigger.serialize()
    assert {type(stored["poll_interval"]), type(stored["deadline"])} == {float}
    assert stored["poll_interval"] == 30.0
    assert 3500 < stored["deadline"] - time.time() < 3700
    assert type(stored.get("question", {}).get("within", 0.0)) is float
    assert leaving.value.timeout > timedelta(hours=1)


FLAGS = [
    (CreateInstanceOperator, "allow_backfill"),
    (CreateInstanceOperator, "wait_for_delivery"),
    (CreateInstanceOperator, "deferrable"),
    (RenewInstanceOperator, "renew_isolated"),
    (RefundInstanceOperator, "dry_run"),
    (InstanceDeliverySensor, "deferrable"),
    (InstanceExpirySensor, "deferrable"),
]


@pytest.mark.parametrize(("kind", "name"), FLAGS, ids=lambda it: getattr(it, "__name__", it))
def test_what_is_no_flag_is_a_named_mistake(connection, sandbox, kind, name):
    for value in ("yes", "no", "", "None", "0", 0, 1, 1.0, None, [], ["True"], "t"):
        assert f"{name}: " in mistake(kind, **{name: value}), value
    assert sandbox.requests == {}


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "tRuE", " true\n"])
def test_a_flag_may_be_written_as_text(text):
    assert is_true(text) is True
    assert is_true(text.lower().replace("true", "fAlse")) is False


@pytest.mark.parametrize("said", [False, "False", "false", " FALSE "])
def test_a_backfill_that_may_not_buy_buys_nothing(connection, sandbox, said):
    task = CreateInstanceOperator(task_id="buy", **ORDER, allow_backfill=said, deferrable=False)

    with pytest.raises(AirflowFailException, match="backfill"):
        task.execute(context_of(run_type="backfill"))

    assert "CreateInstance" not in sandbox.requests


@pytest.mark.parametrize("said", [True, "True", "TRUE"])
def test_a_backfill_that_may_buy_buys(connection, sandbox, said):
    task = CreateInstanceOperator(task_id="buy", **ORDER, allow_backfill=said, deferrable=False)
    task.execute(context_of(run_type="backfill"))

    assert sandbox.requests["CreateInstance"] == 1


@pytest.mark.parametrize("said", ["False", "false"])
def test_a_task_that_is_not_to_wait_does_not(start_sandbox, connect, context, said):
    sandbox = start_sandbox(delivery_looks=9)
    connect(host=sandbox.url)
    task = CreateInstanceOperator(task_id="buy", **ORDER, wait_for_delivery=said, deferrable="true")

    assert task.execute(context)["instance_ids"] == []
    assert sandbox.requests == {"CreateInstance": 1}


@pytest.mark.parametrize("lateness", ["P0D", "0", 0, timedelta(0), "PT1H"])
def test_a_run_that_is_too_late_buys_nothing(connection, sandbox, lateness):
    due = pendulum.now("UTC").subtract(hours=2)
    task = CreateInstanceOperator(
        task_id="buy", **ORDER, max_lateness=lateness, on_refused_run="skip", deferrable=False
    )

    with pytest.raises(AirflowSkipException, match="max_lateness"):
        task.execute(context_of(run_after=due, start_date=due))

    assert "CreateInstance" not in sandbox.requests


@pytest.mark.parametrize("name", ["quantity", "period", "project_id"])
def test_a_whole_number_sends_the_same_bytes_in_whatever_way_it_is_written(name):
    parameter = {"pid": 1}
    for number in (1, 2, 12):
        ways = [number, float(number), str(number), f" {number}\n", f"{number}.0", f"{number}.00", f"+{number}"]
        payloads = [
            CreateInstanceOperator.action.payload(
                {**ORDER, "parameter": parameter, "pay_mode": "PrePay", "client_token": "t", name: way}
            )
            for way in ways
        ]
        assert len({repr(payload) for payload in payloads}) == 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (CreateInstanceOperator, "quantity"),
        (CreateInstanceOperator, "period"),
        (CreateInstanceOperator, "project_id"),
        (RenewInstanceOperator, "period"),
        (SetRenewalOperator, "renew_period"),
        (ExpiringInstancesOperator, "limit"),
    ],
    ids=lambda it: getattr(it, "__name__", it),
)
def test_what_is_no_whole_number_is_a_named_mistake(connection, sandbox, kind, name):
    for value in (2.5, True, False, math.nan, math.inf, "2.5", "2e0", "\u0662", "None", 10**400, 2**63, "9" * 5000):
        assert f"{name}: " in mistake(kind, **{name: value}), value
    assert sandbox.requests == {}


@pytest.mark.parametrize("period", [3, 3.0, "3", "3.0", " 3 "])
def test_the_length_of_an_automatic_renewal_is_a_whole_number(connection, sandbox, context, period):
    instance = sandbox.account.add_instance(expires_at=time.time() + 9e5).instance_id
    arguments = {**GOOD[SetRenewalOperator], "instance_id": instance, "renew_period_unit": "m"}
    task = SetRenewalOperator(task_id="set", **arguments, renew_period=period)

    assert task.execute(context)["after"]["renew_period"] == "3"
