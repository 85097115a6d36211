"""Arguments mean what they say: every one has a check, and a mistake is named before anything is sent."""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import pkgutil
import random
import textwrap
import time
from datetime import timedelta

import pendulum
import pytest
from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowFailException,
    AirflowSkipException,
    BaseOperator,
    TaskDeferred,
)

import airflow_provider_tcbilling
from airflow_provider_tcbilling.api.errors import InvalidRequest
from airflow_provider_tcbilling.hooks.tcbilling import TcBillingHook
from airflow_provider_tcbilling.operators._execution import Execution
from airflow_provider_tcbilling.operators.expiry import ExpiringInstancesOperator
from airflow_provider_tcbilling.operators.instance import CreateInstanceOperator
from airflow_provider_tcbilling.operators.refund import RefundInstanceOperator
from airflow_provider_tcbilling.operators.renewal import RenewInstanceOperator, SetRenewalOperator
from airflow_provider_tcbilling.sensors.delivery import InstanceDeliverySensor
from airflow_provider_tcbilling.sensors.expiry import InstanceExpirySensor
from airflow_provider_tcbilling.task.arguments import LONGEST_DAYS, is_true, seconds_of
from airflow_provider_tcbilling.waiting.filters import READERS
from tests.conftest import ORDER, context_of
from tests.support.account import PRODUCT
from tests.support.nasty import accepted

INSTANCE = {**PRODUCT, "instance_id": "ins-1"}
SET = {**{name: INSTANCE[name] for name in ("product_code", "region_code", "instance_id")}, "renew_flag": "x"}
GOOD = {
    CreateInstanceOperator: {**ORDER, "deferrable": False},
    RenewInstanceOperator: {**INSTANCE, "deferrable": False},
    RefundInstanceOperator: {**INSTANCE, "confirm": True, "deferrable": False},
    SetRenewalOperator: {**SET, "renew_flag": "NOTIFY_AND_AUTO_RENEW"},
    ExpiringInstancesOperator: {"within": "P14D"},
    InstanceDeliverySensor: {"order_id": "20261125"},
    InstanceExpirySensor: {"within": "P14D"},
}
"""The least that each task needs."""


def kinds():
    """Yield every class of tasks that the package has, and that a user can use."""
    path = airflow_provider_tcbilling.__path__
    for found in pkgutil.walk_packages(path, "airflow_provider_tcbilling."):
        if (".operators." in found.name or ".sensors." in found.name) and "._" not in found.name:
            for kind in vars(importlib.import_module(found.name)).values():
                if isinstance(kind, type) and issubclass(kind, BaseOperator) and kind.__module__ == found.name:
                    yield kind


def ours(kind):
    """Return the classes of the package that say what a kind of tasks takes."""
    return [
        base for base in kind.__mro__ if base.__module__.startswith("airflow_provider_") and "__init__" in vars(base)
    ]


def arguments_of(kind):
    names = {name for base in ours(kind) for name in inspect.signature(base.__init__).parameters}
    return sorted(names - {"self", "kwargs"})


ARGUMENTS = [pytest.param(kind, name, id=f"{kind.__name__}-{name}") for kind in GOOD for name in arguments_of(kind)]


def mistake(kind, **arguments):
    """Return the message of the mistake with which a task ends, made or executed."""
    with pytest.raises((InvalidRequest, AirflowFailException)) as caught:
        kind(task_id="task", **{**GOOD[kind], **arguments}).execute(context_of())
    assert "nothing was " in str(caught.value).lower()
    assert len(str(caught.value)) < 3000
    return str(caught.value)


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


SELECTING = [
    *[(CreateInstanceOperator, name) for name in ("purchase_key", "client_token", "tcbilling_conn_id")],
    *[(RenewInstanceOperator, name) for name in ("instance_id", "expire_time", "renew_within", "purchase_key")],
    *[(RenewInstanceOperator, name) for name in ("on_auto_renew", "renew_isolated", "product_code", "region_code")],
    *[(RefundInstanceOperator, name) for name in ("instance_id", "confirm", "dry_run", "purchase_key")],
    *[(SetRenewalOperator, name) for name in ("instance_id", "renew_flag", "region_code", "tcbilling_conn_id")],
    *[(ExpiringInstancesOperator, name) for name in ("within", "limit", "tcbilling_conn_id", *READERS)],
    *[(InstanceExpirySensor, name) for name in ("within", *READERS)],
    (InstanceDeliverySensor, "order_id"),
]


@pytest.mark.parametrize(("kind", "name"), SELECTING, ids=lambda it: getattr(it, "__name__", it))
def test_a_template_that_rendered_to_nothing_widens_nothing(connection, sandbox, kind, name):
    for value in ("", "None", " ", "\n", " None "):
        assert f"{name}: " in mistake(kind, **{name: value})
    assert sandbox.requests == {}


@pytest.mark.parametrize("name", ["purchase_key", "client_token"])
def test_a_name_that_is_false_to_python_is_never_no_name(connection, sandbox, name):
    for value in (False, [], {}, 0.0, 2.5, *[0] * (name == "client_token")):
        assert f"{name}: " in mistake(CreateInstanceOperator, **{name: value}), value
    assert sandbox.requests == {}


@pytest.mark.parametrize(("told", "key"), [("k", "k"), (" k\n", "k"), (7, "7"), (0, "0"), ("7.0", "7.0"), ("0", "0")])
def test_a_key_is_what_its_record_has_always_been_called(connection, told, key):
    task = CreateInstanceOperator(task_id="buy", **ORDER, purchase_key=told)
    with task.hook.session() as tencent:
        assert Execution(task, context_of(), tencent).key == key


@pytest.mark.parametrize("name", [name for name in READERS if name != "name"])
@pytest.mark.parametrize("kind", [ExpiringInstancesOperator, InstanceExpirySensor])
def test_a_list_that_turned_out_empty_selects_nothing_and_not_everything(connection, sandbox, kind, name):
    for value in (None, (), [], "[]", "()", set()):
        assert f"{name}: " in mistake(kind, **{name: value})
    assert sandbox.requests == {}


OPTIONAL = [
    *[
        (kind, name)
        for kind in (CreateInstanceOperator, RenewInstanceOperator)
        for name in ("purchase_key", "client_token")
    ],
    *[(RenewInstanceOperator, name) for name in ("expire_time", "renew_within")],
    *[(RefundInstanceOperator, "purchase_key"), (ExpiringInstancesOperator, "limit"), (InstanceExpirySensor, "within")],
]


@pytest.mark.parametrize(("kind", "name"), OPTIONAL, ids=lambda it: getattr(it, "__name__", it))
@pytest.mark.parametrize("is_mapped", [False, True], ids=["alone", "mapped"])
def test_what_was_given_and_turned_out_as_nothing_is_not_left_out(connection, sandbox, kind, name, is_mapped):
    arguments = {**GOOD[kind], name: "{{ none }}"}
    with DAG(dag_id="shop", schedule=None, render_template_as_native_obj=True) as dag:
        if is_mapped:
            mapped = kind.partial(task_id="task", **arguments).expand(tcbilling_conn_id=["tcbilling_default"])
            task = mapped.unmap({"tcbilling_conn_id": "tcbilling_default"})
        else:
            task = kind(task_id="task", **arguments)
    names = kind.template_fields
    task._do_render_template_fields(
        parent=task, template_fields=names, context=context_of(), jinja_env=dag.get_template_env(), seen_oids=set()
    )
    assert getattr(task, name) is None

    with pytest.raises(AirflowFailException, match=f"{name}: given, but its template rendered to None"):
        task.execute(context_of())
    assert sandbox.requests == {}


def test_what_a_task_returned_as_nothing_is_not_left_out(connection, sandbox):
    with DAG(dag_id="shop", schedule=None):
        before = ExpiringInstancesOperator(task_id="before", within="P1D")
        task = RenewInstanceOperator(task_id="task", **GOOD[RenewInstanceOperator], renew_within=before.output)
    context = context_of()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(before.output), "resolve", lambda self, context, *args, **kwargs: None)
        task.render_template_fields(context)

    with pytest.raises(AirflowFailException, match="renew_within: given, but its template rendered to None"):
        task.execute(context)
    assert sandbox.requests == {}


def test_filters_and_an_instance_exclude_each_other(connection, sandbox):
    wait = {"within": None, "instance_id": "ins-1", "expires_after": "2027-01-01"}

    assert "name: goes together with within" in mistake(InstanceExpirySensor, **wait, name="edge-*")


@pytest.mark.parametrize("value", ["now", "12:00", "P1D", "2027-13-01", 5, pendulum.datetime(2027, 1, 1), "9" * 400])
def test_what_is_no_time_is_a_named_mistake(connection, sandbox, value):
    wait = {"within": None, "instance_id": "ins-1", "expires_after": value}

    assert "expires_after: " in mistake(InstanceExpirySensor, **wait)
    assert "expire_time: " in mistake(RenewInstanceOperator, expire_time=value)


@pytest.mark.parametrize("value", [True, 2.5, "a b", {}, ["20261125"]], ids=repr)
def test_what_is_no_number_of_an_order_is_a_named_mistake(connection, sandbox, value):
    assert "order_id: " in mistake(InstanceDeliverySensor, order_id=value)
    assert sandbox.requests == {}


LITERALS = {
    "on_unknown_outcome": "go",
    "replay_window": True,
    "allow_backfill": "yes",
    "max_lateness": "P99999999999D",
    "on_refused_run": "never",
    "wait_for_delivery": 1,
    "deferrable": "on",
    "poll_interval": True,
    "delivery_timeout": "1e400",
}


@pytest.mark.parametrize("kind", [CreateInstanceOperator, RenewInstanceOperator, RefundInstanceOperator])
def test_literal_mistakes_are_told_when_the_dag_is_imported_and_all_at_once(kind):
    with pytest.raises(InvalidRequest) as caught, DAG(dag_id="shop", schedule=None):
        kind(task_id="task", **{**GOOD[kind], **LITERALS})

    assert isinstance(caught.value, ValueError)
    for name, value in LITERALS.items():
        assert f"{name}: {value!r} is not " in str(caught.value)


@pytest.mark.parametrize("kind", [InstanceDeliverySensor, InstanceExpirySensor])
@pytest.mark.parametrize("name", ["deferrable", "poke_interval", "timeout"])
def test_literal_mistakes_of_a_sensor_are_told_when_the_dag_is_imported(kind, name):
    with pytest.raises(InvalidRequest, match=f"wait: nothing was sent, because\n  - {name}: 'later' is not"):
        kind(task_id="wait", **{**GOOD[kind], name: "later"})


def test_literal_mistakes_in_default_args_are_told_too():
    with (
        pytest.raises(InvalidRequest, match="allow_backfill: 'nein' is not True or False"),
        DAG(dag_id="shop", schedule=None, default_args={"allow_backfill": "nein"}),
    ):
        CreateInstanceOperator(task_id="buy", **ORDER)


def test_a_template_where_none_is_rendered_is_told():
    with DAG(dag_id="shop", schedule=None):
        before = ExpiringInstancesOperator(task_id="before", within="P1D")
        for number, value in enumerate(("{{ params.n }}", "{% if x %}30{% endif %}", before.output)):
            with pytest.raises(InvalidRequest, match=r"poll_interval: .* is a template, and poll_interval is not temp"):
                CreateInstanceOperator(task_id=f"buy-{number}", **ORDER, poll_interval=value)
            with pytest.raises(InvalidRequest, match=r"timeout: .* is a template, and timeout is not templated"):
                InstanceDeliverySensor(task_id=f"wait-{number}", order_id="1", timeout=value)


def test_a_subclass_may_render_what_this_class_does_not(connection, sandbox):
    class Rendering(CreateInstanceOperator):
        template_fields = (*CreateInstanceOperator.template_fields, "poll_interval")

    task = Rendering(task_id="buy", **ORDER, poll_interval="{{ params.n }}")

    with pytest.raises(AirflowFailException, match="poll_interval: "):
        task.execute(context_of())
    assert sandbox.requests == {}


def test_mapped_literals_are_checked_when_the_task_is_made_of_them():
    with DAG(dag_id="shop", schedule=None):
        mapped = CreateInstanceOperator.partial(task_id="buy", **ORDER).expand(allow_backfill=["true", "yes"])

    assert is_true(mapped.unmap({"allow_backfill": "true"}).allow_backfill)
    with pytest.raises(InvalidRequest, match="allow_backfill: 'yes' is not True or False"):
        mapped.unmap({"allow_backfill": "yes"})


def test_templates_are_not_touched_when_the_dag_is_imported():
    with DAG(dag_id="shop", schedule=None):
        before = ExpiringInstancesOperator(task_id="before", within="{{ params.span }}", limit="{{ params.limit }}")
        RenewInstanceOperator(
            task_id="renew",
            **dict.fromkeys(INSTANCE, "{{ params.x }}"),
            expire_time=before.output,
            renew_within=before.output,
            renew_isolated="{{ params.x }}",
            on_auto_renew=before.output,
        )
        InstanceExpirySensor(task_id="wait", within=before.output, name="{{ params.x }}")


@pytest.mark.parametrize("kind", [CreateInstanceOperator, RenewInstanceOperator, RefundInstanceOperator])
def test_what_was_changed_after_the_import_is_checked_again(connection, sandbox, kind):
    task = kind(task_id="task", **GOOD[kind])
    for name, value in LITERALS.items():
        setattr(task, name, value)

    with pytest.raises(AirflowFailException) as caught:
        task.execute(context_of())

    assert all(f"{name}: " in str(caught.value) for name in LITERALS)
    assert sandbox.requests == {}


def readers_in(kind):
    """Yield the names of arguments that a constructor reads, but to store them or hand them on as they are."""
    init = ast.parse(textwrap.dedent(inspect.getsource(kind.__init__))).body[0]
    stored = {
        id(statement.value)
        for statement in ast.walk(init)
        if isinstance(statement, (ast.Assign, ast.keyword)) and isinstance(statement.value, ast.Name)
    }
    for node in ast.walk(init):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and id(node) not in stored:
            yield node.id
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node.attr


@pytest.mark.parametrize("kind", GOOD)
def test_a_constructor_stores_its_templates_and_reads_none(kind):
    templates = set(kind.template_fields) | {"dry_run"}

    assert not templates & {name for base in ours(kind) for name in readers_in(base)}
